"""The cascade: each method only for neurons the one before left unstable, while it pays."""

from __future__ import annotations

import time

import numpy as np

from mipnet.bounds.alpha import alpha_intervals
from mipnet.bounds.crown import crown_bounds, crown_intervals
from mipnet.bounds.data import Bounds, deciders, unstable
from mipnet.bounds.interval import input_interval
from mipnet.bounds.tighten import tighten_layer
from mipnet.clocks import Stopwatch
from mipnet.network import INPUT, Interval, Layer, Network
from mipnet.region import Region

#: Unstable neurons below which the MIP is quicker than any tightening.
_FEW = 25

#: Seconds of one gradient step over all neurons, in units of those of plain CROWN.
_STEP = 3.0


def alpha_bounds(
    network: Network,
    region: Region,
    *,
    budget: float | None = None,
    first: Bounds | None = None,
) -> Bounds:
    """CROWN bounds, then optimised slopes for the neurons still unstable and the output.

    Parameters
    ----------
    network : Network
    region : Region
    budget : float, optional
        Seconds for the optimisation; none takes place when one step likely takes longer.
    first : Bounds, optional
        Bounds of the same network over the same region, when they are at hand.

    Returns
    -------
    Bounds
        Never looser than CROWN's.
    """
    start = time.perf_counter()
    bounds = first or crown_bounds(network, region)
    if budget is not None and _STEP * bounds.seconds > budget:
        return bounds
    intervals, names = alpha_intervals(network, region, bounds.intervals, Stopwatch(budget))
    methods = {**bounds.methods, **dict.fromkeys(names, "alpha")}
    return Bounds(network, intervals, methods, time.perf_counter() - start)


def lp_bounds(
    network: Network,
    region: Region,
    *,
    budget: float | None = None,
    threads: int = 1,
    first: Bounds | None = None,
) -> Bounds:
    """Optimised CROWN, then LP tightening of the neurons still unstable, layer by layer.

    After a layer has been tightened, CROWN runs again for the layers behind it.

    Parameters
    ----------
    network : Network
    region : Region
    budget : float, optional
        Seconds for the linear programs.
    threads : int
        Linear programs solved at once.
    first : Bounds, optional
        Bounds of the same network over the same region, when they are at hand.

    Returns
    -------
    Bounds
    """
    start = time.perf_counter()
    watch = Stopwatch(budget)
    box = input_interval(network, region)
    bounds = first or alpha_bounds(network, region, budget=budget)
    intervals, methods = dict(bounds.intervals), dict(bounds.methods)
    decisive = deciders(network)
    for name in list(decisive)[1:]:
        if _count(intervals, decisive) <= _FEW or watch.expired:
            break
        if name == INPUT:
            continue
        tightened = tighten_layer(network, region, intervals, name, watch, threads=threads)
        if tightened is intervals[name]:
            continue
        methods[name] = "lp"
        # Tighter bounds may turn a lower line the wrong way, so what held before is kept.
        known = {**intervals, name: tightened}
        intervals, _ = crown_intervals(network, region, box, known)
    if "lp" in methods.values() and not watch.expired:
        intervals, _ = alpha_intervals(network, region, intervals, watch)
    return Bounds(network, intervals, methods, time.perf_counter() - start)


def _count(intervals: dict[str, Interval], decisive: dict[str, list[Layer]]) -> int:
    return sum(
        int(np.count_nonzero(unstable(readers, intervals[name])))
        for name, readers in decisive.items()
    )
