"""Minimisation by bisection, with a MIP for every box that has few unstable neurons left."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mipnet.bounds.crown import crown_intervals
from mipnet.clocks import Stopwatch
from mipnet.encode import encode
from mipnet.network import Network
from mipnet.network.layers.base import Array
from mipnet.region import Box
from mipnet.search.bisection import BoxTree
from mipnet.solver import PROVE, Limits, Status, solve

#: Unstable neurons up to which a box is a leaf, and leaves solved between two batches of boxes.
LEAF_UNSTABLE, _LEAVES = 12, 8


@dataclass
class Minimisation:
    """State of one minimisation by bisection.

    Parameters
    ----------
    scalar : Network
        With one output.
    region : Box
    gap : float
        Absolute gap at which value and bound meet.
    seed : int
    point : array, shape (n_inputs,)
        Best point so far, inside the region.
    value : float
        Its output.

    Attributes
    ----------
    floor : float
        Least bound of the boxes already settled.
    nodes : int
        Boxes bounded, and nodes of the leaves.
    """

    scalar: Network
    region: Box
    gap: float
    seed: int
    point: Array
    value: float
    floor: float = np.inf
    nodes: int = 0
    tree: BoxTree = field(init=False)

    def __post_init__(self) -> None:
        self.tree = BoxTree(self.scalar, self.region)

    def run(self, watch: Stopwatch, boxes: int) -> float:
        """Halve boxes and solve leaves until the gap closes; return the proven lower bound.

        Parameters
        ----------
        watch : Stopwatch
            Stops when its time is up; a later call goes on where this one stopped.
        boxes : int
            Stop after this many boxes in all.
        """
        tree, before = self.tree, self.tree.visited
        tree.drop(self.settled)
        while tree.open and not watch.expired and tree.visited < boxes:
            self.solve_leaves(tree, watch)
            if not tree.open:
                break
            self.offer(tree.step(tree.bounds[:, 0], self.settled))
            tree.drop(self.settled)
        self.nodes += tree.visited - before
        return min(self.floor, float(tree.bounds[:, 0].min(initial=np.inf)), self.value)

    def settled(self, bounds: Array) -> Array:
        """Boxes that hold nothing better by more than the gap."""
        done = bounds[:, 0] >= self.value - self.gap
        self.floor = min(self.floor, float(bounds[done, 0].min(initial=np.inf)))
        return np.asarray(done)

    def offer(self, points: Array) -> None:
        """Take the best of some points of the region, if it is better."""
        values = self.scalar(points).reshape(-1)
        least = int(np.argmin(values))
        if values[least] < self.value:
            self.point, self.value = points[least], float(values[least])

    def solve_leaves(self, tree: BoxTree, watch: Stopwatch) -> None:
        """Settle the lowest boxes with few unstable neurons by a MIP each."""
        lowest = np.argsort(tree.bounds[:, 0])[:_LEAVES]
        leaves = lowest[tree.unstable[lowest] <= LEAF_UNSTABLE]
        alive = np.ones(tree.open, dtype=bool)
        for i in leaves:
            alive[i] = not self.solve_leaf(tree.lower[i], tree.upper[i], watch)
        tree.keep(alive)

    def solve_leaf(self, lower: Array, upper: Array, watch: Stopwatch) -> bool:
        """Whether a MIP settles the box."""
        box = Box(lower, upper)
        shape = self.scalar.input_shape
        intervals, _ = crown_intervals(self.scalar, box, box.box().reshape(shape))
        low = float(intervals[self.scalar.output].lower.reshape(-1)[0])
        if low >= self.value - self.gap:
            self.floor = min(self.floor, low)
            return True
        encoding = encode(self.scalar, box, intervals)
        limits = Limits(time=watch.left, cutoff=self.value - self.gap)
        answer = solve(encoding.arrays(np.ones(1)), limits=limits, profile=PROVE, seed=self.seed)
        self.nodes += answer.nodes
        if answer.values is not None:
            inside = self.region.project(answer.values[encoding.inputs][None])
            self.offer(inside)
        if answer.status not in {Status.OPTIMAL, Status.CUTOFF} or answer.delicate:
            return False
        self.floor = min(self.floor, answer.bound)
        return True
