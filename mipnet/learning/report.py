"""What a trust region cost the model."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class TrustReport:
    """Size of one embedded trust region, or of several copies of it.

    Attributes
    ----------
    region : str
        What it is.
    inputs : int
    binaries : int
    columns : int
        Variables of the region, inputs included.
    rows, nonzeros : int
        Constraints and their terms.
    copies : int
        Number of blocks summed up here.
    build_s : float
        Seconds spent writing rows and Pyomo components.
    """

    region: str
    inputs: int
    binaries: int
    columns: int
    rows: int
    nonzeros: int
    copies: int = 1
    build_s: float = field(default=0.0, compare=False)

    def _facts(self) -> list[str]:
        copies = f"{self.copies} blocks; " if self.copies > 1 else ""
        return [
            f"{copies}{self.inputs} inputs in the {self.region}",
            f"{self.columns} columns ({self.binaries} binary), {self.rows} rows, "
            f"{self.nonzeros} nonzeros; build {self.build_s:.3f} s",
        ]

    def __str__(self) -> str:
        return "\n".join(self._facts())

    def _repr_html_(self) -> str:
        return f"<div><p>{'<br>'.join(map(html.escape, self._facts()))}</p></div>"


def total(reports: Sequence[TrustReport]) -> TrustReport:
    """Sum of the reports of blocks that hold the same region."""
    names = ("binaries", "columns", "rows", "nonzeros", "copies", "build_s")
    return replace(reports[0], **{name: sum(getattr(r, name) for r in reports) for name in names})
