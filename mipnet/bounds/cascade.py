"""The cascade: each method only for neurons the one before left unstable, while it pays."""

from __future__ import annotations

import time

import numpy as np

from mipnet.bounds.crown import crown_bounds, crown_intervals
from mipnet.bounds.data import Bounds
from mipnet.bounds.interval import input_interval
from mipnet.bounds.tighten import tighten_layer
from mipnet.clocks import Stopwatch
from mipnet.network import Interval, Network
from mipnet.region import Region

#: Unstable neurons below which the MIP is quicker than any tightening.
_FEW = 25


def lp_bounds(
    network: Network,
    region: Region,
    *,
    budget: float | None = None,
    threads: int = 1,
    first: Bounds | None = None,
) -> Bounds:
    """CROWN bounds, then LP tightening of the neurons still unstable, layer by layer.

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
        CROWN bounds of the same network over the same region, when they are at hand.

    Returns
    -------
    Bounds
    """
    start = time.perf_counter()
    watch = Stopwatch(budget)
    box = input_interval(network, region)
    bounds = first or crown_bounds(network, region)
    intervals, methods = dict(bounds.intervals), dict(bounds.methods)
    tightened_names: list[str] = []
    decisive = [n.inputs[0] for n in network.nodes if n.layer.nonlinear]
    for name in decisive[1:]:
        if _count(intervals, decisive) <= _FEW or watch.expired:
            break
        tightened = tighten_layer(network, region, intervals, name, watch, threads=threads)
        if tightened is intervals[name]:
            continue
        tightened_names.append(name)
        # Tighter bounds may turn a lower line the wrong way, so what held before is kept.
        known = {**intervals, name: tightened}
        intervals, names = crown_intervals(network, region, box, known)
        methods = {**names, **dict.fromkeys(tightened_names, "lp")}
    return Bounds(network, intervals, methods, time.perf_counter() - start)


def _count(intervals: dict[str, Interval], names: list[str]) -> int:
    return sum(
        int(np.count_nonzero((intervals[n].lower < 0.0) & (intervals[n].upper > 0.0)))
        for n in names
    )
