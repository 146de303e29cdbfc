r"""Branch and bound over the phases of neurons, many subproblems at a time.

A target is a linear function of the last stage of a chain, to be bounded from below over the
region. Each is the root of a tree whose nodes fix the sign of neurons, which makes them linear; the
node of least bound is split first. Several targets share every batch, because a batch costs little
more than one of its subproblems.

The proven bound of a target is the least over its open and its dropped subproblems, so nothing has
to be assumed about the value a subproblem is compared with when it is dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from mipnet.bounds.beta import BetaBounder, Lean, Pass
from mipnet.bounds.branching import choose
from mipnet.bounds.chain import Chain
from mipnet.bounds.hull import hull_of
from mipnet.bounds.leaves import settle_leaves
from mipnet.bounds.rebound import axes, rebound
from mipnet.bounds.subproblems import Flags, Pool, Subproblems, halve, root, split
from mipnet.clocks import Stopwatch
from mipnet.network.layers.base import Array
from mipnet.region import Box, Region

#: Subproblems split in one batch, at most; entries of its arrays, which are to stay in the cache.
BATCH, CELLS = 256, 2**17
#: Gradient steps at the roots, for children that fix a neuron, and for halves of a box.
ROOT_STEPS, STEPS, BOX_STEPS = 30, 6, 6
#: Memory the open subproblems may take.
MEMORY = 2**30
#: Excess over the goal, relative to the size of the bound, before a certificate is asked for.
_CLEAR = 1e-6
#: Seconds a thread without work waits for another to end its batch.
_WAIT = 0.05


def one_hidden_layer(chain: Chain) -> bool:
    """Whether a chain has unstable neurons in its first stage and nowhere else.

    Then a hull of their upper planes is worth a few linear programs for each target.
    """
    first = chain.stages[0]
    plain = first.terms == 0 and isinstance(first.weight, np.ndarray)
    return plain and 0 < chain.n_unstable == first.unstable


class Splitting:
    """Branch and bound for several targets over one chain.

    Parameters
    ----------
    chain : Chain
    region : Region
    weights : array, shape (targets, n_stop)
        What to bound, over the last stage: plus or minus one row, or the largest of several, by
        convex weights of one sign to start from.
    goals : array, shape (targets,)
        A target whose proven bound exceeds its goal is settled.
    tolerance : float
        A target is settled, too, when its bound is this near to a value it attains, relative to
        that value.
    bisect : bool
        Halve the inputs, rather than fix neurons: for regions of few inputs.
    watch : Stopwatch, optional
        Limits what is spent before the first call of :meth:`run`.
    hit : callable, optional
        Gets the point of the lowest value of a target seen so far, shape (n_inputs,), and the
        target, whenever that value falls to the goal or below. True ends the search.

    Attributes
    ----------
    bounds : array, shape (targets,)
        Proven lower bounds, rounded down.
    attained : array, shape (targets,)
        Least values seen, in float32.
    visited : int
        Subproblems bounded so far.
    """

    def __init__(
        self,
        chain: Chain,
        region: Region,
        weights: Array,
        goals: Array,
        *,
        tolerance: float = 0.0,
        bisect: bool = False,
        hit: Callable[[Array, int], bool] | None = None,
        watch: Stopwatch | None = None,
    ) -> None:
        count = len(weights)
        if count == 1 and not bisect and one_hidden_layer(chain):
            coefficients = weights[0]
            for stage in reversed(chain.stages[1:]):
                coefficients = coefficients @ stage.weight
            hull = hull_of(chain, region, coefficients, watch or Stopwatch())
            chain = replace(chain, hull=hull)
        self.chain, self.goals, self.tolerance = chain, goals.astype(float), tolerance
        self.attained = np.full(count, np.inf)
        self.visited = 0
        self.stopped = False
        self._bounder, self._hit, self._region = BetaBounder(chain, region), hit, region
        self._weights, self._watch = weights, watch
        self._batch = max(BATCH // 8, min(BATCH, CELLS // max(1, chain.n_unstable)))
        self._blended = bool((np.count_nonzero(weights, axis=1) > 1).any())
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._dropped = np.full(count, np.inf)
        self._held: dict[int, Array] = {}
        first = root(chain, weights, region.box() if bisect else None)
        self._pool = Pool(first, count)
        last = self._bound(first, ROOT_STEPS, np.full(count, np.inf))
        self.roots = first.bound.copy()
        self._pool.put(first)
        self._see(first, last)

    @property
    def bounds(self) -> Array:
        """Proven lower bounds of the targets."""
        held = list(self._held.values())
        return np.asarray(np.minimum.reduce([self._pool.least(), self._dropped, *held]))

    @property
    def n_open(self) -> int:
        """Number of open subproblems."""
        return len(self._pool)

    def run(self, watch: Stopwatch, *, subproblems: float = np.inf, threads: int = 1) -> None:
        """Split until every target is settled, or as long as allowed; a later call goes on.

        Parameters
        ----------
        watch : Stopwatch
        subproblems : float
            Stop after this many in all.
        threads : int
        """
        self._watch = watch

        def work() -> None:
            while self._step(subproblems, watch):
                pass

        if threads < 2:
            work()
            return
        with ThreadPoolExecutor(threads) as workers:
            tasks = [workers.submit(work) for _ in range(threads)]
            try:
                for task in tasks:
                    task.result()
            except BaseException:
                # An interrupt reaches this thread alone; the others end with their batch.
                self.stopped = True
                raise

    def lower_goals(self, goals: Array) -> None:
        """Settle targets at lower bounds than before: better values are known."""
        with self._lock:
            self.goals = np.minimum(self.goals, goals)
            self._dropped = np.minimum(self._dropped, self._pool.drop(self._ceiling()))

    def _ceiling(self) -> Array:
        """Bounds above which a subproblem need not be split any further."""
        return np.asarray(np.minimum(self.goals, self.attained))

    @property
    def active(self) -> Flags:
        """Targets that are not settled and have subproblems to split."""
        least = self._pool.least()
        near = self.tolerance * np.abs(self.attained)
        proven = np.minimum(least, self._dropped)
        return np.asarray((proven <= self._ceiling() - near) & (least < np.inf))

    def _step(self, subproblems: float, watch: Stopwatch) -> bool:
        """Split one batch; False when there is nothing to do."""
        token = threading.get_ident()
        with self._lock:
            over = self.visited >= subproblems or self._pool.n_bytes > MEMORY
            if self.stopped or over or watch.expired:
                return False
            active = self.active
            if not active.any():
                # Another thread may still hold what becomes work.
                if self._held:
                    self._idle.wait(_WAIT)
                return bool(self._held) or bool(self.active.any())
            batch = self._pool.take(self._batch, active)
            # What is being split still counts for the bound of its target.
            held = np.full(len(self.goals), np.inf)
            np.minimum.at(held, batch.owner, batch.bound)
            self._held[token] = held
            ceiling = self._ceiling()
        children = batch
        try:
            if batch.boxed:
                children = self._halve(batch, ceiling)
            else:
                children = self._split(batch, ceiling, watch)
        finally:
            with self._lock:
                self._file(children)
                del self._held[token]
                self._idle.notify_all()
        return True

    def _split(self, batch: Subproblems, ceiling: Array, watch: Stopwatch) -> Subproblems:
        """Children of a batch, bounded; and what cannot be split, bounded as well as can be."""
        bounder = self._bounder
        last = bounder.sweep(batch.weights, Lean.of(batch), batch.chosen)
        self._see(batch, last)
        enough = ceiling + _CLEAR * (1.0 + np.abs(ceiling))
        items, columns = choose(bounder, batch, last, enough[batch.owner])
        children = split(batch, columns, items)
        self._bound(children, STEPS, enough[children.owner])
        self.visited += len(children)
        if len(items) < len(batch):
            whole = np.ones(len(batch), dtype=bool)
            whole[items] = False
            rest = batch.select(whole)
            settle_leaves(self.chain, self._region, rest, watch)
            self._bound(rest, 0, enough[rest.owner])
            with self._lock:
                # Nothing can be split any further: this is what is known of them in the end.
                np.minimum.at(self._dropped, rest.owner, rest.bound)
        return children

    def _halve(self, batch: Subproblems, ceiling: Array) -> Subproblems:
        """Children of a batch of boxes, bounded."""
        enough = ceiling + _CLEAR * (1.0 + np.abs(ceiling))
        children = halve(batch)
        last = self._bound(children, BOX_STEPS, enough[children.owner])
        self.visited += len(children)
        self._see(children, last)
        return children

    def _bound(self, batch: Subproblems, steps: int, enough: Array) -> Pass:
        """Bound subproblems, never below what is known of them; choose the axes to halve next."""
        shares = rebound(self.chain, self._region, batch) if batch.boxed else None
        if self._blended:
            self._bounder.favour(batch)
        last = self._bounder.improve(batch, steps, enough, self._watch)
        bounds, forms = self._bounder.certify(batch)
        batch.bound = np.maximum(batch.bound, bounds)
        if shares is not None:
            batch.axis = axes(batch, shares, last.coefficients, forms)
        return last

    def _file(self, batch: Subproblems) -> None:
        """Put open subproblems into the pool; note the bounds of the others."""
        over = batch.bound > self._ceiling()[batch.owner]
        np.minimum.at(self._dropped, batch.owner[over], batch.bound[over])
        self._pool.put(batch.select(~over))

    def _see(self, batch: Subproblems, last: Pass) -> None:
        """Evaluate the minimisers of a pass."""
        points = last.points.astype(np.float64)
        if batch.boxed and not isinstance(self._region, Box):
            # The minimiser over a box of its own may lie outside the ball.
            points = self._region.project(points)
        values = self._bounder.evaluate(points.astype(np.float32), batch.weights)
        np.minimum.at(self.attained, batch.owner, values)
        if self._hit is None:
            return
        i = int(np.argmin(values - self.goals[batch.owner]))
        if values[i] <= self.goals[batch.owner[i]]:
            self.stopped |= self._hit(points[i], int(batch.owner[i]))
