"""Figures of every series in one row: times, scores, fidelity, size, spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mipnet.bench.errors import StoreError
from mipnet.bench.problems.base import CENSORED, FAILED
from mipnet.bench.registry import unknown_name
from mipnet.bench.report.grid import Grid, grid
from mipnet.bench.statistics import (
    marginal_contribution,
    paired_ratio,
    pareto_front,
    penalised_average,
    shifted_geometric_mean,
    signed_rank,
    spread,
    wins_ties_losses,
)

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[np.float64]

#: Clocks of a cell, in the order they run; together they make the total.
CLOCKS = ("attack_s", "bound_s", "build_s", "solve_s", "check_s")
#: Clocks of a network or mask.
PRUNE_CLOCKS = ("train_s", "prune_s", "compact_s", "finetune_s")
#: Measures of a network that say how well it stands for the dense one, the first known is shown.
FIDELITY = ("accuracy", "r2", "agreement")
#: Columns of a network, averaged over networks.
NETWORK = (
    *("accuracy", "agreement", "r2", "output_mse", "units", "parameters", "nonzeros"),
    *("cycles", "tiles", "energy_pj", "utilization"),
)
#: Columns of a program, averaged over cells.
PROGRAM = (
    *("size_unstable", "size_binaries", "size_rows", "size_nonzeros"),
    *("m_min", "m_median", "m_max"),
)
#: Measures of the way to an answer, averaged over the cells that have them.
PROGRESS = ("primal_integral", "primal_dual_integral", "gap", "first_s", "best_s")


def baseline_of(cells: pd.DataFrame, series: Sequence[str]) -> str:
    """Return the series others are compared with: the first unpruned one, else the first."""
    dense = set(cells.loc[cells["method"] == "dense", "series"])
    return next((name for name in series if name in dense), series[0])


def summary(
    cells: pd.DataFrame,
    *,
    metric: str = "total_s",
    shift: float = 1.0,
    baseline: str | None = None,
) -> pd.DataFrame:
    """One row for each series.

    Times are over the items all series have; means of networks over networks and masks, those of
    programs over cells.

    Parameters
    ----------
    cells : DataFrame
        With the columns of :func:`~mipnet.bench.report.grid.with_series`.
    metric : str
    shift : float
        Of the geometric mean, in the unit of the metric.
    baseline : str, optional
        Series of the ratios; :func:`baseline_of` when absent.

    Returns
    -------
    DataFrame
        Indexed by series.

    Raises
    ------
    StoreError
        Without cells, or when the baseline is no series.
    """
    import pandas as pd

    whole = grid(cells, metric)
    chosen = baseline or baseline_of(cells, whole.series)
    if chosen not in whole.series:
        msg = f"no series {chosen!r}; there are: {', '.join(whole.series)}"
        raise StoreError(msg)
    common = whole.common()
    contribution = _contribution(common)
    rows = []
    for k, name in enumerate(whole.series):
        own = cells[cells["series"] == name]
        here = common.present[:, k]
        times, solved, limit = common.times[here, k], common.solved[here, k], common.limit[here]
        rows.append(
            {
                "series": name,
                "cells": len(own),
                "items": int(here.sum()),
                "solved": int(own["solved"].sum()),
                "limits": int(own["status"].isin(CENSORED - FAILED).sum()),
                "failed": int(own["status"].isin(FAILED).sum()),
                "sgm": shifted_geometric_mean(times, shift),
                "censored": int((~solved).sum()),
                "par2": penalised_average(times, solved, limit, 2.0),
                "par10": penalised_average(times, solved, limit, 10.0),
                "contribution": contribution[k],
                **_against(whole, k, whole.series.index(chosen), shift),
                "nodes": _mean(own["nodes"]),
                "regret": _mean(own["regret"]),
                "replay_error": _most(own["replay_error"]),
                "spread": _spread(whole, k),
                **_means(own.drop_duplicates(["artefact", "network"]), NETWORK),
                **_means(own, (*PROGRAM, *PROGRESS, *CLOCKS)),
                **_means(own.drop_duplicates(["artefact", "network"]), PRUNE_CLOCKS),
            }
        )
    return pd.DataFrame(rows).set_index("series")


def pareto(
    cells: pd.DataFrame,
    *,
    metric: str = "total_s",
    shift: float = 1.0,
    fidelity: str | None = None,
) -> pd.DataFrame:
    """Points of the headline figure: one for each network and series.

    Parameters
    ----------
    cells : DataFrame
        With the columns of :func:`~mipnet.bench.report.grid.with_series`.
    metric, shift
        See :func:`summary`.
    fidelity : str, optional
        One of :data:`FIDELITY`; the first any cell has when absent.

    Returns
    -------
    DataFrame
        ``network``, ``series``, ``fidelity``, ``seconds``, ``cycles`` and ``front``: whether no
        other network or series beats it in all of them. Without any cycles, in the other two.
    """
    import pandas as pd

    measure = fidelity or fidelity_of(cells)
    if measure not in FIDELITY:
        raise StoreError(unknown_name("measure of fidelity", measure, FIDELITY))
    rows = []
    for network, group in cells.groupby("network", sort=False):
        times = grid(group, metric).common()
        for k, name in enumerate(times.series):
            own = group[group["series"] == name].drop_duplicates(["artefact", "network"])
            here = times.present[:, k]
            rows.append(
                {
                    "network": network,
                    "series": name,
                    "fidelity": _mean(own[measure]),
                    "seconds": shifted_geometric_mean(times.times[here, k], shift),
                    "cycles": _mean(own["cycles"]),
                }
            )
    found = pd.DataFrame(rows)
    costs = [-found["fidelity"], found["seconds"]]
    if found["cycles"].notna().any():
        costs.append(found["cycles"])
    found["front"] = pareto_front(np.column_stack([c.to_numpy(dtype=np.float64) for c in costs]))
    return found


def fidelity_of(cells: pd.DataFrame) -> str:
    """Name the first measure of fidelity any cell has."""
    return next((name for name in FIDELITY if cells[name].notna().any()), FIDELITY[0])


def sizes(cells: pd.DataFrame) -> pd.DataFrame:
    """Sizes of networks and programs, one row for each network and series."""
    import pandas as pd

    order = {name: k for k, name in enumerate(dict.fromkeys(cells["series"]))}
    rows = []
    for (network, name), own in cells.groupby(["network", "series"], sort=False):
        rows.append(
            {
                "network": network,
                "series": name,
                **_means(own.drop_duplicates(["artefact"]), NETWORK),
                **_means(own, PROGRAM[:4]),
                "m_min": _least(own["m_min"]),
                "m_median": _mean(own["m_median"]),
                "m_max": _most(own["m_max"]),
            }
        )
    rows.sort(key=lambda row: (str(row["network"]), order[row["series"]]))
    return pd.DataFrame(rows)


def unsettled(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells without an answer, the worst first: contradictions, failures, limits."""
    rank = {"inconsistent": 0, "error": 1, "memory": 2, "killed": 3, "unresolved": 4}
    open_cells = cells[~cells["solved"].fillna(False).astype(bool)]
    order = open_cells["status"].map(rank).fillna(5)
    return open_cells.assign(rank=order).sort_values("rank", kind="stable").drop(columns="rank")


def _against(whole: Grid, k: int, base: int, shift: float) -> dict[str, Any]:
    """Compare a series with the baseline, over the items both have."""
    both = whole.present[:, k] & whole.present[:, base]
    either = whole.solved[:, k] | whole.solved[:, base]
    kept = both & either
    first, second = whole.times[kept, base], whole.times[kept, k]
    groups = [item[:3] for item, keep in zip(whole.items, kept, strict=True) if keep]
    numbers = {group: n for n, group in enumerate(dict.fromkeys(groups))}
    ratio = paired_ratio(first, second, groups=[numbers[g] for g in groups], shift=shift)
    test = signed_rank(first, second)
    table = np.stack([first, second], axis=1)
    won = np.stack([whole.solved[kept, base], whole.solved[kept, k]], axis=1)
    wins, ties, losses = wins_ties_losses(table, won)[1, 0].tolist()
    return {
        "pairs": ratio.pairs,
        "unpaired": int((both & ~either).sum()),
        "ratio": ratio.ratio,
        "ratio_low": ratio.low,
        "ratio_high": ratio.high,
        "p": test.p,
        "wins": wins,
        "ties": ties,
        "losses": losses,
    }


def _contribution(common: Grid) -> Array:
    if not common.present.all():
        return np.full(len(common.series), np.nan)
    return marginal_contribution(common.times, common.solved, common.limit)


def spreads(whole: Grid, k: int) -> Array:
    """Geometric standard deviations of the questions a series solved under several seeds."""
    groups: dict[Any, list[float]] = {}
    for item, seconds, solved in zip(
        whole.items, whole.times[:, k], whole.solved[:, k], strict=True
    ):
        if solved:
            groups.setdefault(item[:3], []).append(float(seconds))
    return np.array([spread(g).factor for g in groups.values() if len(g) > 1], dtype=np.float64)


def _spread(whole: Grid, k: int) -> float:
    factors = spreads(whole, k)
    return float(np.median(factors)) if factors.size else float("nan")


def _means(frame: pd.DataFrame, names: Sequence[str]) -> dict[str, float]:
    return {name: _mean(frame[name]) for name in names}


def _numbers(column: pd.Series[Any]) -> Array:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(values[~np.isnan(values)])


def _mean(column: pd.Series[Any]) -> float:
    values = _numbers(column)
    return float(values.mean()) if values.size else float("nan")


def _least(column: pd.Series[Any]) -> float:
    values = _numbers(column)
    return float(values.min()) if values.size else float("nan")


def _most(column: pd.Series[Any]) -> float:
    values = _numbers(column)
    return float(values.max()) if values.size else float("nan")
