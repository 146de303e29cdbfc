"""Tables as Markdown, LaTeX, CSV and HTML; every name in them is taken for hostile."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mipnet.bench.report.metrics import METRICS, Metric, written

if TYPE_CHECKING:
    import pandas as pd

Format = Literal["markdown", "latex", "csv", "html"]

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "−": "$-$",
    "∞": r"$\infty$",
    "·": r"$\cdot$",
    "²": r"$^2$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "\u2009": r"\,",
}


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of values under metrics.

    Attributes
    ----------
    caption : str
    metrics : tuple of Metric
    rows : tuple of tuple
        Values as they are; they are written when the table is.
    """

    caption: str
    metrics: tuple[Metric, ...]
    rows: tuple[tuple[Any, ...], ...]

    @classmethod
    def of(cls, frame: pd.DataFrame, names: Sequence[str], caption: str) -> Table:
        """Take columns of a frame; those without any value are left out."""
        kept = [name for name in names if frame[name].notna().any()]
        plain = frame[kept].astype(object).where(frame[kept].notna(), None)
        rows = plain.itertuples(index=False, name=None)
        return cls(caption, tuple(METRICS[name] for name in kept), tuple(rows))

    def text(self, form: Format) -> str:
        """Return the table in one of the forms, ending with a line break."""
        writers = {
            "markdown": self._markdown,
            "latex": self._latex,
            "csv": self._csv,
            "html": self._html,
        }
        return writers[form]()

    def _written(self) -> list[list[str]]:
        return [
            [written(value, m.kind) for value, m in zip(row, self.metrics, strict=True)]
            for row in self.rows
        ]

    def _headings(self) -> list[str]:
        return [m.heading + (" (s)" if m.kind == "seconds" else "") for m in self.metrics]

    def _markdown(self) -> str:
        def line(cells: Sequence[str]) -> str:
            return f"| {' | '.join(cells)} |"

        escaped = [[_markdown(cell) for cell in row] for row in self._written()]
        rules = [":--" if m.kind == "text" else "--:" for m in self.metrics]
        lines = [line([_markdown(h) for h in self._headings()]), line(rules), *map(line, escaped)]
        return "\n".join(lines) + "\n"

    def _latex(self) -> str:
        def line(cells: Sequence[str]) -> str:
            return " & ".join(map(_latex, cells)) + r" \\"

        kinds = "".join("l" if m.kind == "text" else "r" for m in self.metrics)
        return "\n".join(
            [
                "% \\usepackage{booktabs}",
                r"\begin{table}",
                r"\centering",
                rf"\caption{{{_latex(self.caption)}}}",
                rf"\begin{{tabular}}{{{kinds}}}",
                r"\toprule",
                line(self._headings()),
                r"\midrule",
                *map(line, self._written()),
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
                "",
            ]
        )

    def _csv(self) -> str:
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(m.name for m in self.metrics)
        for row in self.rows:
            writer.writerow(plain_cell(value) for value in row)
        return stream.getvalue()

    def _html(self) -> str:
        sides = [" class='n'" if m.kind != "text" else "" for m in self.metrics]

        def line(tag: str, cells: Sequence[str]) -> str:
            inside = "".join(
                f"<{tag}{side}>{html.escape(cell)}</{tag}>"
                for side, cell in zip(sides, cells, strict=True)
            )
            return f"<tr>{inside}</tr>"

        body = "".join(line("td", row) for row in self._written())
        head = line("th", self._headings())
        return (
            f"<table><caption>{html.escape(self.caption)}</caption><thead>{head}</thead>"
            f"<tbody>{body}</tbody></table>\n"
        )


def plain_cell(value: Any) -> Any:
    """Return a value for a CSV file; text that a spreadsheet would run is quoted by a prime.

    Examples
    --------
    >>> plain_cell("=1+1"), plain_cell(-1.5), plain_cell(float("nan"))
    ("'=1+1", -1.5, '')
    """
    if value is None or value != value:  # noqa: PLR0124
        return ""
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return f"'{value}"
    return value


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]|~$])", r"\\\1", html.escape(_flat(text), quote=False))


def _latex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in _flat(text))


def _flat(text: str) -> str:
    """Text on one line; thin spaces stay."""
    return re.sub(r"[ \t\r\n\v\f\u2028\u2029]+", " ", text)
