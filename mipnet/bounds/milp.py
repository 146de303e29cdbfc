r"""MILP tightening: the exact range of a neuron, approached by branch and bound.

The range of a pre-activation over the region is the mixed-integer program of the layers before it.
Both ends of every unstable neuron of a layer are targets of one :class:`Splitting`: all share their
batches, each stops as soon as its sign is proven or its bound is near a value the neuron attains.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mipnet.bounds.alpha import alpha_intervals
from mipnet.bounds.cascade import alpha_bounds
from mipnet.bounds.chain import Chain, chain_of
from mipnet.bounds.crown import crown_intervals
from mipnet.bounds.data import Bounds
from mipnet.bounds.interval import input_interval
from mipnet.bounds.splitting import Splitting
from mipnet.clocks import Stopwatch
from mipnet.network import Interval, Network
from mipnet.region import Region
from mipnet.threads import one_blas_thread

#: Subproblems of one stage in each round, where the time sets no other limit.
ROUNDS = (4000, 16_000, 64_000)
#: How near, relative to it, a bound must come to a value the neuron attains.
TOLERANCE = 0.02


def tighten_stage(
    chain: Chain,
    region: Region,
    k: int,
    known: Interval,
    watch: Stopwatch,
    subproblems: float,
    threads: int,
) -> tuple[Interval, Splitting]:
    """Bounds of the unstable neurons of stage ``k`` by branch and bound.

    Parameters
    ----------
    chain : Chain
    region : Region
    k : int
    known : Interval
        Bounds of the node of that stage, batch of one.
    watch : Stopwatch
    subproblems : float
        Stop after this many.
    threads : int

    Returns
    -------
    Interval
        Never looser than ``known``.
    Splitting
        The branch and bound, as far as it got.
    """
    stage = chain.stages[k]
    count = stage.unstable
    last = replace(stage, unstable=0, lower=stage.lower[:0], upper=stage.upper[:0])
    before = Chain((*chain.stages[:k], last))
    rows = np.zeros((2 * count, len(stage.neurons)))
    pick = np.arange(count)
    rows[pick, pick], rows[count + pick, pick] = 1.0, -1.0
    task = Splitting(before, region, rows, np.zeros(2 * count), tolerance=TOLERANCE)
    task.run(watch, subproblems=subproblems, threads=threads)
    found, where = task.bounds, stage.neurons[:count]
    shape = known.lower.shape[1:]
    lower, upper = known.lower.reshape(-1).copy(), known.upper.reshape(-1).copy()
    lower[where] = np.maximum(lower[where], found[:count])
    upper[where] = np.minimum(upper[where], -found[count:])
    return Interval(lower[None], upper[None]).reshape(shape), task


class Tightening:
    """Rounds of MILP tightening, stage by stage, each with more subproblems than the one before.

    Parameters
    ----------
    bounds : Bounds
        Bounds to start from, best with optimised slopes.
    region : Region
    threads : int

    Attributes
    ----------
    bounds : Bounds
        What is proven so far.
    visited : int
        Subproblems bounded so far.
    possible : bool
        Whether the network is a chain; of any other nothing is tightened.
    """

    def __init__(self, bounds: Bounds, region: Region, *, threads: int = 1) -> None:
        self.bounds, self.visited = bounds, 0
        self._network, self._region, self._threads = bounds.network, region, threads
        self._finished: set[str] = set()
        self.possible = self.chain is not None

    @property
    def chain(self) -> Chain | None:
        """The network over what is proven so far."""
        return chain_of(self._network, self.bounds.intervals)

    def round(self, watch: Stopwatch, subproblems: float) -> Iterator[Bounds]:
        """Tighten every stage that has unstable neurons behind another such stage.

        Parameters
        ----------
        watch : Stopwatch
        subproblems : float
            Most subproblems of one stage.

        Yields
        ------
        Bounds
            After every stage that got tighter.
        """
        chain = self.chain
        if chain is None:
            return
        names = [stage.node for stage in chain.stages]
        for k, name in enumerate(names):
            chain = self.chain
            if chain is None or watch.expired:
                return
            stage, before = chain.stages[k], chain.stages[:k]
            if name in self._finished or not stage.unstable or not any(s.unstable for s in before):
                continue
            if self._tighten(chain, k, watch, subproblems):
                yield self.bounds
            # While nothing here becomes stable, the stages behind are too loose to be worth it.
            if name not in self._finished and self._unstable(name) == stage.unstable:
                return

    def _unstable(self, name: str) -> int:
        box = self.bounds.intervals[name]
        return int(np.count_nonzero((box.lower < 0.0) & (box.upper > 0.0)))

    def _tighten(self, chain: Chain, k: int, watch: Stopwatch, subproblems: float) -> bool:
        """Tighten one stage; whether anything changed."""
        start = time.perf_counter()
        name, known = chain.stages[k].node, self.bounds.intervals
        found, task = tighten_stage(
            chain, self._region, k, known[name], watch, subproblems, self._threads
        )
        self.visited += task.visited
        if not task.active.any():
            self._finished.add(name)
        before = known[name]
        gained = (found.lower > before.lower) | (found.upper < before.upper)
        if not gained.any():
            return False
        network, region = self._network, self._region
        box = input_interval(network, region)
        intervals, _ = crown_intervals(network, region, box, {**known, name: found})
        if not watch.expired:
            intervals, _ = alpha_intervals(network, region, intervals, watch, behind=name)
        methods = {**self.bounds.methods, name: "milp"}
        seconds = self.bounds.seconds + time.perf_counter() - start
        self.bounds = Bounds(network, intervals, methods, seconds)
        return True


def milp_bounds(
    network: Network,
    region: Region,
    *,
    budget: float | None = None,
    threads: int = 1,
    first: Bounds | None = None,
) -> Bounds:
    """Optimised CROWN, then the ranges of unstable neurons by branch and bound.

    Parameters
    ----------
    network : Network
    region : Region
    budget : float, optional
        Seconds; without it every stage gets three rounds.
    threads : int
        Batches of subproblems at once.
    first : Bounds, optional
        Bounds of the same network over the same region, when they are at hand.

    Returns
    -------
    Bounds
        Never looser than those of optimised CROWN. A network that is no chain of affine maps and
        ReLUs keeps those.
    """
    watch = Stopwatch(budget)
    bounds = first or alpha_bounds(network, region, budget=budget)
    task = Tightening(bounds, region, threads=threads)
    for subproblems in ROUNDS:
        with one_blas_thread():
            for _ in task.round(watch, subproblems):
                pass
    return task.bounds
