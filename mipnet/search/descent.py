"""Minimisation by branch and bound of our own: over the inputs, or over phases of neurons."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mipnet.bounds import Bounds
from mipnet.bounds.milp import Tightening
from mipnet.bounds.splitting import Splitting
from mipnet.clocks import Stopwatch
from mipnet.network.layers.base import Array
from mipnet.region import Region
from mipnet.search.attack import descend
from mipnet.search.trees import GROWTH, PHASES, first_round, ways


class Descent:
    """Rounds of branch and bound for the least output of a network.

    Parameters
    ----------
    bounds : Bounds
        Of a network with one output.
    region : Region
    threads : int

    Attributes
    ----------
    possible : bool
        Whether the network is a chain of affine maps and ReLUs; no other is searched.
    exhausted : bool
        Whether another round would do nothing: what is left cannot be split any further.
    point : array, shape (n_inputs,)
        Best point known, inside the region.
    value : float
        Its output.
    bound : float
        Proven lower bound of the output.
    method : {"milp", "bisection", "splitting"}
        What moved the bound last.
    visited : int
        Subproblems bounded so far.
    patience : int
        Rounds before a MIP is worth a try.
    """

    def __init__(self, bounds: Bounds, region: Region, threads: int) -> None:
        self._network, self._region, self._threads = bounds.network, region, threads
        self._tightening = Tightening(bounds, region, threads=threads)
        self._boxes, self.patience = first_round(region)
        self._tasks: dict[bool, Splitting] = {}
        self._gap = 0.0
        self._before = 0
        self._lock = threading.Lock()
        self.possible, self.exhausted = self._tightening.possible, False
        self.point, self.value = region.centre, np.inf
        self.bound = float(bounds.output.lower.reshape(-1)[0])
        self.method = "milp"

    @property
    def bounds(self) -> Bounds:
        """What is proven of all neurons."""
        return self._tightening.bounds

    @property
    def visited(self) -> int:
        """Subproblems bounded so far."""
        own = sum(task.visited for task in self._tasks.values())
        return self._before + own + self._tightening.visited

    def round(self, watch: Stopwatch, point: Array, value: float, gap: float) -> None:
        """Tighten the hidden neurons, then search for the least output.

        Parameters
        ----------
        watch : Stopwatch
        point : array, shape (n_inputs,)
            Best point known so far.
        value : float
            Its output.
        gap : float
            Distance of value and bound at which the search may end.
        """
        self._gap, before = gap, self.bounds
        self._offer(point, value)
        early = True
        for bisect in ways(self._region, self._tightening.chain):
            size = self._boxes if bisect else PHASES * self._boxes
            if not bisect:
                for bounds in self._tightening.round(watch, size):
                    self._retire()
                    self._raise(float(bounds.output.lower.reshape(-1)[0]), "milp")
                    if self._met:
                        return
            early &= self._split(watch, size, bisect=bisect)
            if self._met:
                return
        self._polish(watch)
        self.exhausted = early and self.bounds is before
        self._boxes *= GROWTH

    @property
    def _met(self) -> bool:
        return self.value <= self.bound + self._gap

    def _raise(self, bound: float, method: str) -> None:
        if bound > self.bound:
            self.bound, self.method = bound, method

    def _split(self, watch: Stopwatch, subproblems: float, *, bisect: bool) -> bool:
        """Search for the least output; whether that ended for another reason than its limits."""
        task, chain = self._tasks.get(bisect), self._tightening.chain
        if chain is None or watch.expired:
            return False
        if task is None:
            goals = np.array([self.value - self._gap])
            task = self._tasks[bisect] = Splitting(
                chain,
                self._region,
                np.ones((1, 1)),
                goals,
                bisect=bisect,
                hit=self._hit,
                watch=watch,
            )
        task.lower_goals(np.array([self.value - self._gap]))
        with ThreadPoolExecutor(1) as worker:
            running = worker.submit(task.run, watch, subproblems=subproblems, threads=self._threads)
            try:
                running.result()
            except KeyboardInterrupt:
                # It reaches this thread alone: the tree is whole once its last batch has ended.
                task.stopped = True
                running.result()
                raise
            finally:
                if running.done():
                    self._raise(float(task.bounds[0]), "bisection" if bisect else "splitting")
        return task.visited < subproblems and not watch.expired

    def _retire(self) -> None:
        """Leave a tree over looser bounds for one over a smaller program."""
        task = self._tasks.pop(False, None)
        if task is not None:
            self._before += task.visited

    def _polish(self, watch: Stopwatch) -> None:
        """Descend from the best point: what a pass finds lies near a minimum, not in it."""
        if self._met:
            return
        points, values = descend(self._network, self._region, self.point[None], watch)
        self._offer(points[0], float(values[0]))

    def _hit(self, point: Array, target: int) -> bool:
        """Take a point that seems better than the best one; never ends the search."""
        del target
        inside = self._region.project(point[None])
        self._offer(inside[0], float(self._network(inside).reshape(-1)[0]))
        for task in list(self._tasks.values()):
            task.lower_goals(np.array([self.value - self._gap]))
        return False

    def _offer(self, point: Array, value: float) -> None:
        # Threads of the search meet here.
        with self._lock:
            if value < self.value and self._region.contains(point):
                self.point, self.value = point, value
