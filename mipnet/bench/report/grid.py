"""What is compared, over what: cells as a table of items by series.

A series is one way of answering: pruning, formulation, bounds, solver, as far as the results vary
in them. An item is one question under one seed; every series is asked the same items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mipnet.bench.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

#: Columns that tell series apart; those with one value are left out of the labels.
FACTORS = ("side", "pruning", "formulation", "bounds", "solver")
#: Columns that tell items apart.
ITEM = ("network", "problem", "instance", "seed")
#: Times that a limit bounds: a run that met it counts with the limit.
LIMITED = frozenset({"total_s", "solve_s", "cpu_s"})


@dataclass(frozen=True, eq=False)
class Grid:
    """Times of series over items.

    Attributes
    ----------
    series : tuple of str
    items : tuple of tuple
        Network, problem, instance and seed.
    times : array, shape (items, series)
        In the unit of the metric; runs that met their limit count with it, NaN where there is no
        cell.
    solved : array of bool, shape (items, series)
    limit : array, shape (items,)
        Seconds.
    """

    series: tuple[str, ...]
    items: tuple[tuple[Any, ...], ...]
    times: Array
    solved: Flags
    limit: Array

    @property
    def present(self) -> Flags:
        """Whether there is a cell."""
        return ~np.isnan(self.times)

    def common(self) -> Grid:
        """Only items every series has; all of them where there is none such."""
        kept = np.asarray(self.present.all(axis=1))
        if not kept.any():
            return self
        return replace(
            self,
            items=tuple(item for item, keep in zip(self.items, kept, strict=True) if keep),
            times=self.times[kept],
            solved=self.solved[kept],
            limit=self.limit[kept],
        )

    def shown(self, series: Sequence[str]) -> Grid:
        """Only some series, and items any of them has."""
        at = [self.series.index(name) for name in series]
        kept = np.asarray(self.present[:, at].any(axis=1))
        return Grid(
            series=tuple(series),
            items=tuple(item for item, keep in zip(self.items, kept, strict=True) if keep),
            times=self.times[kept][:, at],
            solved=self.solved[kept][:, at],
            limit=self.limit[kept],
        )


def with_series(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells with the columns ``series`` (its label) and ``item`` (number of the item).

    Series keep one order everywhere: unpruned first, then by method and share.
    """
    found = cells.copy()
    varying = [
        name
        for name in FACTORS
        if name in found and found[name].astype("string").fillna("").nunique() > 1
    ] or ["pruning"]
    labels = found[varying[0]].astype("string").fillna("")
    for name in varying[1:]:
        labels = labels.str.cat(found[name].astype("string").fillna(""), sep=" · ")
    found["series"] = labels.replace("", "unnamed")
    keys = found[list(ITEM)].astype("string").fillna("")
    found["item"] = keys.groupby(list(ITEM), sort=False).ngroup()
    return found


def series_order(cells: pd.DataFrame) -> tuple[str, ...]:
    """Labels of the series: unpruned first, then by method, the largest share first."""
    names = ["series", "method", "keep"] + (["side"] if "side" in cells else [])
    seen = cells[names].drop_duplicates("series")

    def rank(row: Any) -> tuple[Any, ...]:
        keep = 1.0 if row.keep is None or row.keep != row.keep else float(row.keep)
        side = str(getattr(row, "side", ""))
        return side, row.method != "dense", str(row.method), -keep, row.series

    return tuple(str(row.series) for row in sorted(seen.itertuples(index=False), key=rank))


def values_of(cells: pd.DataFrame, metric: str) -> Array:
    """Return what is compared; seconds of runs that met their limit are the limit, never NaN."""
    if metric not in cells:
        msg = f"unknown metric {metric!r}"
        raise StoreError(msg)
    values = cells[metric].to_numpy(dtype=np.float64, na_value=np.nan)
    if metric in LIMITED:
        limit = cells["time_limit"].to_numpy(dtype=np.float64, na_value=np.nan)
        solved = cells["solved"].to_numpy(dtype=bool, na_value=False)
        values = np.where(solved, values, limit)
    return np.asarray(np.maximum(np.nan_to_num(values, nan=0.0), 0.0))


def grid(cells: pd.DataFrame, metric: str = "total_s") -> Grid:
    """Arrange cells by item and series.

    Where a series has several cells of one item (masks of several seeds), the upper median
    counts, unsolved cells being the slowest: solved if most are.

    Parameters
    ----------
    cells : DataFrame
        With the columns of :func:`with_series`.
    metric : str
        Column of times or counts.

    Raises
    ------
    StoreError
        When there are no cells or no such column.
    """
    if not len(cells):
        msg = "no cells are left to compare"
        raise StoreError(msg)
    series = series_order(cells)
    numbers = {name: k for k, name in enumerate(series)}
    column = cells["series"].map(numbers).to_numpy(dtype=np.int64)
    _, first, row = np.unique(cells["item"].to_numpy(), return_index=True, return_inverse=True)
    value = values_of(cells, metric)
    solved = cells["solved"].to_numpy(dtype=bool, na_value=False)
    place = row * len(series) + column
    order = np.lexsort((value, ~solved, place))
    places, begin, count = np.unique(place[order], return_index=True, return_counts=True)
    chosen = order[begin + count // 2]
    shape = (len(first), len(series))
    times, won = np.full(shape, np.nan), np.zeros(shape, dtype=bool)
    times.flat[places] = value[chosen]
    won.flat[places] = solved[chosen]
    limit = np.zeros(len(first))
    limits = cells["time_limit"].to_numpy(dtype=np.float64, na_value=0.0)
    np.maximum.at(limit, row, limits)
    items = tuple(cells[list(ITEM)].iloc[first].itertuples(index=False, name=None))
    return Grid(series, items, times, won, limit)
