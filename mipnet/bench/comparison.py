"""Two runs of one plan, cell by cell: who is faster, by how much, and do the answers agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mipnet.bench.errors import StoreError
from mipnet.bench.problems.base import FAILED
from mipnet.bench.statistics import (
    Claim,
    Ratio,
    SignedRank,
    contradiction,
    paired_ratio,
    signed_rank,
    wins_ties_losses,
)

if TYPE_CHECKING:
    import pandas as pd

    from mipnet.bench.store.tables import Results

#: Columns a comparison is split by.
SPLITS = ("pruning", "problem")
#: Times that may be compared.
METRICS = ("total_s", "solve_s", "bound_s", "build_s", "attack_s", "cpu_s", "nodes")


@dataclass(frozen=True)
class Part:
    """Some pairs of cells.

    Attributes
    ----------
    name : str
    ratio : Ratio
        Second over first.
    test : SignedRank
    wins, ties, losses : int
        Of the second against the first; within 5 % is a tie.
    censored : int
        Pairs in which one of the two met its limit: the ratio is only a bound.
    """

    name: str
    ratio: Ratio
    test: SignedRank
    wins: int
    ties: int
    losses: int
    censored: int


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    Attributes
    ----------
    metric : str
    threshold : float
        Ratio from which the second counts as slower.
    whole : Part
    parts : tuple of Part
        By pruning and by problem.
    dropped : dict of str to int
        Cells left out, by reason.
    changed : tuple of str
        Cells whose answers contradict each other.
    solved : tuple of int
        Pairs only the first solved, and only the second.
    notes : tuple of str
    broken : tuple of str
        Cells that failed in the second only.
    lost : tuple of str
        Cells the first has and the plan of the second asks, of which the second has no record.
    allow_failed : bool
        Whether broken and lost cells are told only.
    """

    metric: str
    threshold: float
    whole: Part
    parts: tuple[Part, ...]
    dropped: dict[str, int] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    solved: tuple[int, int] = (0, 0)
    notes: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    allow_failed: bool = False

    @property
    def empty(self) -> bool:
        """Whether no pair is left that times could be taken from."""
        return self.whole.ratio.pairs == 0

    @property
    def slower(self) -> bool:
        """Whether the second run is slower than the threshold, and beyond the noise of a bootstrap.

        The lower end of the interval has to exceed 1.
        """
        return self.whole.ratio.ratio > self.threshold and self.whole.ratio.low > 1.0

    @property
    def ok(self) -> bool:
        """Whether the second run may replace the first.

        It has to be comparable and not slower, to contradict no answer, and to fail nowhere the
        first did not.
        """
        failed = not self.allow_failed and (self.broken or self.lost)
        return not (self.empty or self.slower or self.changed or failed)

    def verdict(self, first: str, second: str) -> str:
        """Sentence on the outcome.

        Parameters
        ----------
        first, second : str
            Names of the runs.
        """
        said = []
        if self.changed:
            said.append(f"{len(self.changed)} answers contradict each other")
        if self.broken:
            said.append(f"{len(self.broken)} cell(s) failed in {second} and not in {first}")
        if self.lost:
            said.append(f"{len(self.lost)} cell(s) of {first} are missing in {second}")
        if self.empty:
            said.append("nothing to compare: no cell was solved by either and failed in neither")
        elif self.slower:
            said.append(f"{second} is slower than the threshold {self.threshold:g}")
        else:
            said.append(f"{second} is not slower than the threshold {self.threshold:g}")
        return f"{'; '.join(said)} ({self.metric})"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "slower": self.slower, "empty": self.empty, "ok": self.ok}


def compare(
    first: Results,
    second: Results,
    *,
    threshold: float = 1.1,
    metric: str = "total_s",
    shift: float | None = None,
    seed: int = 0,
    allow_failed: bool = False,
) -> Comparison:
    """Compare two runs over the cells they have in common.

    Cells are paired by everything that identifies them but the versions of the software. A cell
    that met its limit counts with the limit; a pair of which neither was solved is left out, as
    is one of which either failed. Cells that failed in the second only, or that its plan asks and
    it lacks, fail the comparison.

    Parameters
    ----------
    first, second : Results
        As :func:`mipnet.bench.load` returns them.
    threshold : float
    metric : str
        One of :data:`METRICS`.
    shift : float, optional
        Of the geometric mean; 0.1 s, or 100 for nodes, when absent.
    seed : int
        Of the bootstrap.
    allow_failed : bool
        Whether cells that failed, or are missing, in the second only are told and no more.

    Returns
    -------
    Comparison

    Raises
    ------
    StoreError
        When the two have no cell in common, or the metric is unknown.
    """
    if metric not in METRICS:
        msg = f"unknown metric {metric!r}; known: {', '.join(METRICS)}"
        raise StoreError(msg)
    moved = (100.0 if metric == "nodes" else 0.1) if shift is None else shift
    lost = _lost(first, second)
    a, b, dropped = _paired(first.cells, second.cells, len(lost))
    changed = _changed(a, b)
    fails = [frame["status"].isin(FAILED).to_numpy(dtype=bool) for frame in (a, b)]
    failed = fails[0] | fails[1]
    neither = ~failed & ~(a["solved"] | b["solved"]).to_numpy(dtype=bool)
    broken = _named(b[~fails[0] & fails[1]], reasons=True)
    dropped["failed in the first only"] = int((fails[0] & ~fails[1]).sum())
    dropped["failed in the second only"] = len(broken)
    dropped["failed in both"] = int((fails[0] & fails[1]).sum())
    dropped["solved by neither"] = int(neither.sum())
    a, b = a[~(failed | neither)], b[~(failed | neither)]
    won = [frame["solved"].to_numpy(dtype=bool) for frame in (a, b)]
    whole, *parts = _parts(a, b, metric, moved, seed)
    return Comparison(
        metric=metric,
        threshold=threshold,
        whole=whole,
        parts=tuple(parts),
        dropped={reason: count for reason, count in dropped.items() if count},
        changed=changed,
        solved=(int((won[0] & ~won[1]).sum()), int((won[1] & ~won[0]).sum())),
        notes=_notes(first, second),
        broken=broken,
        lost=lost,
        allow_failed=allow_failed,
    )


def _lost(first: Results, second: Results) -> tuple[str, ...]:
    """Cells that did not fail in the first, and that the plan of the second asks but has not."""
    plan = second.plan
    tasks = plan.get("tasks")
    listed = plan.get("pairs"), tasks.get("solve") if isinstance(tasks, dict) else None
    asked = [value if isinstance(value, list) else [] for value in listed]
    cells = first.cells[~first.cells["status"].isin(FAILED)]
    # Plans of older releases list identities only, which differ between versions.
    wanted = cells["pair"].isin(asked[0]) | cells["cell"].isin(asked[1])
    return _named(cells[wanted & ~cells["pair"].isin(second.cells["pair"])])


def _named(cells: pd.DataFrame, *, reasons: bool = False) -> tuple[str, ...]:
    """Readable names of cells, with what became of them."""
    names = ["network", "pruning", "problem", "instance", "seed"]
    found = cells[[*names, "status", "reason"]].astype(str)
    return tuple(
        " ".join(row[:-2]) + (f": {row[-2]}: {row[-1]}" if reasons else "")
        for row in found.itertuples(index=False)
    )


def _parts(a: pd.DataFrame, b: pd.DataFrame, metric: str, shift: float, seed: int) -> list[Part]:
    """All pairs, and those of every pruning and problem."""
    won = [frame["solved"].to_numpy(dtype=bool) for frame in (a, b)]
    values = [_values(frame, metric) for frame in (a, b)]
    parts = [_part("all", values, won, a["subject"].tolist(), shift=shift, seed=seed)]
    for column in SPLITS:
        names = a[column].astype(str)
        for name in names.unique() if names.nunique() > 1 else ():
            at = (names == name).to_numpy()
            groups = a["subject"][at].tolist()
            inside = [v[at] for v in values], [w[at] for w in won]
            parts.append(_part(f"{column} {name}", *inside, groups, shift=shift, seed=seed))
    return parts


def _paired(
    first: pd.DataFrame, second: pd.DataFrame, lost: int
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, int]]:
    """Rows of cells in both tables, one under the other's pair, and how many are in one only."""
    left, right = (cells.drop_duplicates("pair").set_index("pair") for cells in (first, second))
    common = [pair for pair in left.index if pair in right.index]
    if not common and not lost:
        msg = "the two runs have no cell in common: were they made from the same plan?"
        raise StoreError(msg)
    alone = {
        "only in the first": len(left) - len(common),
        "only in the second": len(right) - len(common),
    }
    return left.loc[common], right.loc[common], alone


def _values(frame: pd.DataFrame, metric: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return what is compared; times of runs that met their limit are the limit."""
    values = frame[metric].to_numpy(dtype=np.float64, na_value=np.nan)
    if metric in {"total_s", "solve_s", "cpu_s"}:
        limit = frame["time_limit"].to_numpy(dtype=np.float64)
        values = np.where(frame["solved"].to_numpy(dtype=bool), values, limit)
    return np.asarray(np.maximum(np.nan_to_num(values, nan=0.0), 0.0))


def _part(
    name: str,
    values: Sequence[Any],
    won: Sequence[Any],
    groups: Sequence[str],
    *,
    shift: float,
    seed: int,
) -> Part:
    table, solved = np.stack(values, axis=1), np.stack(won, axis=1)
    counts = wins_ties_losses(np.maximum(table, 1e-9), solved)[1, 0]
    return Part(
        name=name,
        ratio=paired_ratio(*values, groups=np.array(groups), shift=shift, seed=seed),
        test=signed_rank(*values),
        wins=int(counts[0]),
        ties=int(counts[1]),
        losses=int(counts[2]),
        censored=int((~solved).any(axis=1).sum()),
    )


def _changed(a: pd.DataFrame, b: pd.DataFrame) -> tuple[str, ...]:
    """Cells of which the two runs say things that cannot both be true."""
    names = ["goal", "status_cell", "objective", "bound"]
    found = []
    labels = a[["network", "pruning", "problem", "instance", "seed"]].astype(str)
    for pair in a.index:
        claims = [
            Claim(str(row[0]), str(row[1]), _number(row[2]), _number(row[3]))
            for row in (frame.loc[pair, names].tolist() for frame in (a, b))
        ]
        why = contradiction(claims)
        if why:
            found.append(f"{' '.join(labels.loc[pair])}: {why}")
    return tuple(found)


def _number(value: Any) -> float | None:
    return None if value is None or value != value else float(value)  # noqa: PLR0124


def _notes(first: Results, second: Results) -> tuple[str, ...]:
    """Say what makes the times of two runs hard to compare."""
    notes = []
    for column, what in (("jobs", "cells at once"), ("cpu", "processors"), ("node", "machines")):
        seen = {str(v) for r in (first, second) for v in r.cells[column].dropna().unique()}
        if len(seen) > 1:
            notes.append(f"different {what}: {', '.join(sorted(seen))}")
    speeds = [r.cells["calibration_s"].median() for r in (first, second)]
    if all(s > 0 for s in speeds) and max(speeds) > 1.1 * min(speeds):
        notes.append(
            f"the same fixed work took {speeds[0]:.3g} s and {speeds[1]:.3g} s: the machine was "
            "not equally fast"
        )
    return tuple(notes)
