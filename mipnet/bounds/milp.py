r"""MILP tightening: the exact range of a neuron, approached by branch and bound.

The range of a pre-activation over the region is the mixed-integer program of the layers before it.
Both ends of every unstable neuron of a layer are targets of one :class:`Splitting`: all share their
batches, each stops as soon as its sign is proven or its bound is near a value the neuron attains.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from mipnet.bounds.cascade import alpha_bounds
from mipnet.bounds.chain import Chain, Stage
from mipnet.bounds.chaining import chain_of
from mipnet.bounds.data import Bounds
from mipnet.bounds.splitting import Splitting
from mipnet.bounds.subproblems import Index
from mipnet.clocks import Stopwatch
from mipnet.network import Interval, Network
from mipnet.region import Region
from mipnet.threads import one_blas_thread

#: Subproblems of one stage in each round, where the time sets no other limit.
ROUNDS = (4000, 16_000, 64_000)
#: How near, relative to it, a bound must come to a value the neuron attains.
TOLERANCE = 0.02
#: Neurons times neurons before them that one branch and bound starts from (256 MiB).
_CELLS = 2**24
#: Products of one pass over the neurons that one branch and bound starts from: seconds, at most.
_PRODUCTS = 2**32
#: Outputs up to which each is bounded anew after a stage got tighter.
_OUTPUTS = 100


def ranges(
    chain: Chain, region: Region, k: int, neurons: Index, watch: Stopwatch | None = None
) -> Splitting:
    """Branch and bound for the ranges of unstable neurons of stage ``k``.

    Parameters
    ----------
    chain : Chain
    region : Region
    k : int
    neurons : array of int, shape (count,)
        Unstable neurons, by their row in the stage.
    watch : Stopwatch, optional
        Limits what is spent before anything is split.

    Returns
    -------
    Splitting
        Its first ``count`` targets are the neurons, the others the negated neurons.
    """
    stage, count = chain.stages[k], len(neurons)
    last = replace(stage, unstable=0, lower=stage.lower[:0], upper=stage.upper[:0])
    rows = np.zeros((2 * count, stage.n_out))
    rows[np.arange(count), neurons] = 1.0
    rows[count + np.arange(count), neurons] = -1.0
    before = Chain((*chain.stages[:k], last))
    return Splitting(before, region, rows, np.zeros(2 * count), tolerance=TOLERANCE, watch=watch)


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
        found, finished = self._ranges(chain, k, known[name], watch, subproblems)
        if finished:
            self._finished.add(name)
        before = known[name]
        if not ((found.lower > before.lower) | (found.upper < before.upper)).any():
            return False
        intervals = self._behind({**known, name: found}, k, watch)
        methods = {**self.bounds.methods, name: "milp"}
        seconds = self.bounds.seconds + time.perf_counter() - start
        self.bounds = Bounds(self._network, intervals, methods, seconds)
        return True

    def _behind(
        self, intervals: dict[str, Interval], k: int, watch: Stopwatch
    ) -> dict[str, Interval]:
        """Bounds of the stages behind stage ``k`` with optimised slopes, and of all nodes.

        The roots of a branch and bound are optimised CROWN on the chain, which is much smaller
        than the network.
        """
        network = self._network
        for j in range(k + 1, len(chain_stages(network, intervals))):
            chain = chain_of(network, intervals)
            if chain is None or watch.expired:
                break
            stage = chain.stages[j]
            if stage.unstable:
                box, _ = self._ranges(chain, j, intervals[stage.node], watch, 0)
                intervals[stage.node] = box
        for node in network.nodes:
            box = node.layer.interval(*(intervals[i] for i in node.inputs))
            intervals[node.name] = box.intersect(intervals[node.name])
        chain = chain_of(network, intervals)
        if chain is not None and not watch.expired and network.n_outputs <= _OUTPUTS:
            size = network.n_outputs
            rows = np.concatenate([np.eye(size), -np.eye(size)])
            found = Splitting(chain, self._region, rows, np.zeros(2 * size)).bounds
            box = Interval(found[None, :size], -found[None, size:])
            shaped = box.reshape(network.shapes[network.output])
            intervals[network.output] = shaped.intersect(intervals[network.output])
        return intervals

    def _ranges(
        self, chain: Chain, k: int, known: Interval, watch: Stopwatch, subproblems: float
    ) -> tuple[Interval, bool]:
        """Bounds of a stage by branch and bound, and whether nothing is left to gain."""
        stage = chain.stages[k]
        lower, upper = known.lower.reshape(-1).copy(), known.upper.reshape(-1).copy()
        rows, work = 2 * stage.unstable, sum(before.products for before in chain.stages[:k])
        parts = -(-rows * max(1, stage.first) // _CELLS) + rows * work // _PRODUCTS
        parts = min(parts, stage.unstable)
        finished = True
        for part in np.array_split(np.arange(stage.unstable), parts):
            if watch.expired:
                return Interval(lower[None], upper[None]).reshape(known.lower.shape[1:]), False
            task = ranges(chain, self._region, k, part, watch)
            task.run(watch, subproblems=subproblems / parts, threads=self._threads)
            self.visited += task.visited
            finished &= not task.active.any()
            found, where = task.bounds, stage.neurons[part]
            lower[where] = np.maximum(lower[where], found[: part.size])
            upper[where] = np.minimum(upper[where], -found[part.size :])
        return Interval(lower[None], upper[None]).reshape(known.lower.shape[1:]), finished


def chain_stages(network: Network, intervals: Mapping[str, Interval]) -> tuple[Stage, ...]:
    """Stages of the chain of a network, none where it is no chain."""
    chain = chain_of(network, intervals)
    return () if chain is None else chain.stages


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
