"""The answer to the question how many samples are robust."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, get_args

from mipnet.clocks import Clocks
from mipnet.errors import MissingPackageError
from mipnet.search.record import Record
from mipnet.search.verdict import Verdict

SampleStatus = Literal["misclassified", "robust", "witness", "unresolved"]
STATUSES: tuple[SampleStatus, ...] = get_args(SampleStatus)


@dataclass(frozen=True)
class Sample(Record):
    """What is known about one sample.

    Attributes
    ----------
    index : int
        Row of the samples.
    label : int
        Its right class.
    predicted : int or None
        Class the model gives it, in its own dtype; None when it was not reached.
    status : {"misclassified", "robust", "witness", "unresolved"}
    reason : str
        Why it is unresolved.
    verdict : Verdict or None
        The whole answer; None where nothing was searched.
    seconds : float
        Time spent when it was answered.
    limit : float
        Time it had; infinite for no limit.
    resumed : bool
        Whether the answer comes from a file of results.
    """

    index: int
    label: int
    predicted: int | None = None
    status: SampleStatus = "unresolved"
    reason: str = ""
    verdict: Verdict | None = None
    seconds: float = field(default=0.0, compare=False)
    limit: float = field(default=0.0, compare=False)
    resumed: bool = field(default=False, compare=False)

    def at(self, index: int) -> Sample:
        """Return the answer as one of another row, taken from a file."""
        return replace(self, index=index, resumed=True)


@dataclass(frozen=True)
class RobustAccuracy(Record):
    """Robust accuracy, from below by proofs and from above by witnesses.

    Attributes
    ----------
    norm : str
    radius : float
    samples : tuple of Sample
        In the order they were given.
    reason : str
        Why samples were left out: ``time limit reached``, ``interrupted`` or ``a worker process
        died``; empty otherwise.
    seconds : float
        Of this call.
    fingerprint : str
        Of the network.
    """

    DERIVED: ClassVar[tuple[str, ...]] = ("clean", "certified", "attacked", "counts", "clocks")

    norm: str
    radius: float
    samples: tuple[Sample, ...]
    reason: str = ""
    seconds: float = field(default=0.0, compare=False)
    fingerprint: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """Number of samples of each status."""
        return {name: sum(s.status == name for s in self.samples) for name in STATUSES}

    @property
    def clean(self) -> float | None:
        """Share of samples the model gets right; None while some were not reached."""
        if any(s.predicted is None for s in self.samples):
            return None
        return sum(s.status != "misclassified" for s in self.samples) / len(self.samples)

    @property
    def certified(self) -> float:
        """Share of samples proven robust: a lower bound of the robust accuracy."""
        return self.counts["robust"] / len(self.samples)

    @property
    def attacked(self) -> float:
        """Share of samples not known to fail: an upper bound of the robust accuracy."""
        counts = self.counts
        return (counts["robust"] + counts["unresolved"]) / len(self.samples)

    @property
    def clocks(self) -> Clocks:
        """Sum over the samples, those from a file of results included."""
        return sum((s.verdict.clocks for s in self.samples if s.verdict), Clocks())

    def to_frame(self) -> Any:
        """Table of the samples as a pandas DataFrame, one row each.

        Raises
        ------
        MissingPackageError
            When pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            package, purpose, extra = "pandas", "a table of the samples", "report"
            raise MissingPackageError(package, purpose, extra) from error
        names = ("index", "label", "predicted", "status", "reason", "seconds", "resumed")
        rows = [
            {
                **{name: getattr(s, name) for name in names},
                "bound": None if s.verdict is None else s.verdict.bound,
                "margin": None if s.verdict is None else s.verdict.margin,
            }
            for s in self.samples
        ]
        table = pd.DataFrame(rows, columns=[*names, "bound", "margin"])
        # A sample that was not reached has no class: a missing integer, not a float.
        return table.astype({"predicted": "Int64"}).set_index("index")

    def __str__(self) -> str:
        clean = "not known" if self.clean is None else f"{self.clean:.4f}"
        counted = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        lines = [
            f"robust accuracy {self.certified:.4f} to {self.attacked:.4f} "
            f"({self.norm} radius {self.radius:.6g}, {len(self.samples)} samples, clean {clean})",
            f"  {counted}",
        ]
        if self.reason:
            lines.append(f"  {self.reason}")
        return "\n".join(lines)
