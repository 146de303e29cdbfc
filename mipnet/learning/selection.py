"""What came of a choice between networks."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mipnet.bench.statistics.pareto import pareto_front
from mipnet.errors import MissingPackageError
from mipnet.network import Network

#: Columns of tables: name, attribute of a trial, format.
_COLUMNS = (
    ("name", "name", "{}"),
    ("score", "mean", "{:.4f}"),
    ("se", "standard_error", "{:.4f}"),
    ("binaries", "binaries", "{}"),
    ("unstable", "unstable", "{}"),
    ("rows", "rows", "{}"),
    ("nonzeros", "nonzeros", "{}"),
    ("parameters", "parameters", "{}"),
)


@dataclass(frozen=True)
class Trial:
    """One candidate, cross-validated, and its network fitted on all data.

    Attributes
    ----------
    name : str
    scores : tuple of float
        On the part of every fold that was not fitted on; larger is better.
    binaries, unstable, columns, rows, nonzeros : int
        Of the program of :attr:`network` over the box of the selection.
    parameters : int
        Weights and biases that are not zero.
    fit_s : float
        Seconds spent on fitting, pruning and training further.
    network : Network
        Fitted on all data.
    estimator : object
        The fitted scikit-learn estimator that the network was read from, before any pruning.
    """

    name: str
    scores: tuple[float, ...]
    binaries: int
    unstable: int
    columns: int
    rows: int
    nonzeros: int
    parameters: int
    fit_s: float = field(compare=False)
    network: Network = field(compare=False, repr=False)
    estimator: Any = field(compare=False, repr=False)

    @property
    def mean(self) -> float:
        """Mean score over the folds."""
        return float(np.mean(self.scores))

    @property
    def standard_error(self) -> float:
        """Standard error of the mean over the folds; 0 for one fold."""
        if len(self.scores) < 2:
            return 0.0
        return float(np.std(self.scores, ddof=1) / np.sqrt(len(self.scores)))

    @property
    def size(self) -> tuple[int, int, float]:
        """What is compared for smaller: binaries, then nonzeros, then the score."""
        return self.binaries, self.nonzeros, -self.mean


@dataclass(frozen=True)
class Selection:
    """Answer of :func:`mipnet.learning.select_network`.

    Attributes
    ----------
    trials : tuple of Trial
        In the order of the candidates, each followed by its pruned variants.
    chosen : Trial
    rule : str
    max_binaries : int or None
        Budget of the choice.
    least : float
        Mean score that was asked of the chosen one: by the rule ``"one_se"``, that of the best one
        less its standard error.
    scoring : str
    folds : int
    """

    trials: tuple[Trial, ...]
    chosen: Trial
    rule: str
    max_binaries: int | None
    least: float
    scoring: str
    folds: int

    @property
    def network(self) -> Network:
        """The chosen network, fitted on all data, ready for :func:`mipnet.add_network`."""
        return self.chosen.network

    @property
    def pareto(self) -> tuple[Trial, ...]:
        """Trials that no other one beats in both score and binaries, by binaries."""
        front = pareto_front([[t.binaries, -t.mean] for t in self.trials])
        kept = [t for t, on in zip(self.trials, front, strict=True) if on]
        return tuple(sorted(kept, key=lambda t: t.size))

    def frame(self) -> Any:
        """Return a DataFrame with a line for each trial.

        Raises
        ------
        MissingPackageError
            When pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingPackageError("pandas", "a DataFrame of trials", "report") from error
        lines = [{head: getattr(t, name) for head, name, _ in _COLUMNS} for t in self.trials]
        found = pd.DataFrame(lines).set_index("name")
        found["fit_s"] = [t.fit_s for t in self.trials]
        front = {id(t) for t in self.pareto}
        found["pareto"] = [id(t) in front for t in self.trials]
        found["chosen"] = [t is self.chosen for t in self.trials]
        return found

    @property
    def _title(self) -> str:
        budget = "" if self.max_binaries is None else f", at most {self.max_binaries} binaries"
        how = f"{self.scoring} over {self.folds} folds, rule {self.rule}{budget}"
        return f"{self.chosen.name} of {len(self.trials)} ({how}; score >= {self.least:.4f})"

    def _table(self) -> list[tuple[str, ...]]:
        """Heading and lines; the last column marks the front and the choice."""
        front = {id(t) for t in self.pareto}
        lines: list[tuple[str, ...]] = [(*(head for head, _, _ in _COLUMNS), "")]
        for t in self.trials:
            mark = "chosen" if t is self.chosen else "pareto" if id(t) in front else ""
            cells = (form.format(getattr(t, name)) for _, name, form in _COLUMNS)
            lines.append((*cells, mark))
        return lines

    def __str__(self) -> str:
        table = self._table()
        wide = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join([line[0].ljust(wide[0]),
                       *(c.rjust(w) for c, w in zip(line[1:-1], wide[1:-1], strict=True)),
                       line[-1]]).rstrip()
            for line in table
        ]  # fmt: skip
        return "\n".join([self._title, *lines])

    def _repr_html_(self) -> str:
        head, *body = (map(html.escape, line) for line in self._table())
        top = "".join(f"<th>{cell}</th>" for cell in head)
        lines = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in line)}</tr>" for line in body)
        title = html.escape(self._title)
        return f"<div><p>{title}</p><table><tr>{top}</tr>{lines}</table></div>"
