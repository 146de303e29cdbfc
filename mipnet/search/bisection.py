"""Bisection of the inputs: many boxes at once, each bounded by CROWN.

Where a network has few inputs, halving boxes until bounds decide them beats a MIP: the bounds of a
box cost a few matrix products, and they tighten in every neuron as the box shrinks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from mipnet.bounds.crown import crown_lower
from mipnet.clocks import Stopwatch
from mipnet.network import Affine, Interval, Network
from mipnet.network.layers.base import Array
from mipnet.region import Region
from mipnet.search.goal import Stack

Index = npt.NDArray[np.intp]

#: Boxes bounded in one batch.
BATCH = 128

#: Points on the boundary that turn out no witness before bisection gives up: at a tie no box
#: that holds it is ever settled.
_MISSES = 20

#: Unstable neurons up to which a box is a leaf, leaves asked between two batches, and boxes
#: after which they are asked at all: plain bisection decides most questions sooner.
LEAF_UNSTABLE, _LEAVES, _LEAVES_AFTER = 8, 8, 1000

#: What is known of a leaf.
Leaf = Literal["excluded", "witness", "open"]
#: From lower bounds (batch, rows) of the boxes to the boxes that are settled, shape (batch,).
Settled = Callable[[Array], Array]


@dataclass
class BoxTree:
    """Open boxes of a bisection, with a lower bound of every output row.

    Parameters
    ----------
    network : Network
        Its outputs are the rows to bound from below.
    region : Region
    batch : int
        Boxes bounded at once.

    Attributes
    ----------
    lower, upper : array, shape (open, n_inputs)
        The open boxes.
    bounds : array, shape (open, rows)
        Lower bounds of the rows over each open box.
    axes, unstable : array of int, shape (open,)
        Axis to halve next, and number of unstable neurons, of each open box.
    visited : int
        Boxes bounded so far.
    """

    network: Network
    region: Region
    batch: int = BATCH
    lower: Array = field(init=False)
    upper: Array = field(init=False)
    bounds: Array = field(init=False)
    axes: Index = field(init=False)
    unstable: Index = field(init=False)
    visited: int = 0

    def __post_init__(self) -> None:
        self.lower, self.upper = self.region.lower[None].copy(), self.region.upper[None].copy()
        self.bounds, self.axes, self.unstable, _ = self._bound(self.lower, self.upper)

    def _bound(self, lower: Array, upper: Array) -> tuple[Array, Index, Index, Array]:
        """Bounds, axis to halve, unstable neurons and a promising point of each box."""
        shape = self.network.input_shape
        found = crown_lower(self.network, self.region, Interval(lower, upper).reshape(shape))
        bounds, slopes = found.lower, found.slopes
        self.visited += len(lower)
        worst = slopes[np.arange(len(lower)), np.argmin(bounds, axis=1)]
        smear = np.abs(slopes).max(axis=1) * (upper - lower)
        # A box the forms are flat on is halved along its longest edge.
        flat = ~(smear.max(axis=1) > 0.0)
        smear[flat] = (upper - lower)[flat]
        points = np.where(worst > 0.0, lower, upper)
        return bounds, np.argmax(smear, axis=1), found.unstable, points

    @property
    def open(self) -> int:
        """Number of open boxes."""
        return len(self.lower)

    def step(self, order: Array, settled: Settled) -> Array:
        """Halve the boxes that come first in ``order``; drop settled children.

        Parameters
        ----------
        order : array, shape (open,)
            Boxes with the smallest values are halved.
        settled : callable

        Returns
        -------
        array, shape (k, n_inputs)
            Points worth evaluating, inside the region.
        """
        count = min(max(1, self.batch // 2), self.open)
        chosen = np.argpartition(order, count - 1)[:count]
        keep = np.ones(self.open, dtype=bool)
        keep[chosen] = False
        low, up, axis = self.lower[chosen], self.upper[chosen], self.axes[chosen]
        rows = np.arange(count)
        middle = 0.5 * low[rows, axis] + 0.5 * up[rows, axis]
        left_up, right_low = up.copy(), low.copy()
        left_up[rows, axis] = right_low[rows, axis] = middle
        lower, upper = np.concatenate([low, right_low]), np.concatenate([left_up, up])
        bounds, axes, unstable, points = self._bound(lower, upper)
        # What held for the parent holds for the children.
        bounds = np.maximum(bounds, np.tile(self.bounds[chosen], (2, 1)))
        alive = ~settled(bounds).astype(bool)
        self.lower = np.concatenate([self.lower[keep], lower[alive]])
        self.upper = np.concatenate([self.upper[keep], upper[alive]])
        self.bounds = np.concatenate([self.bounds[keep], bounds[alive]])
        self.axes = np.concatenate([self.axes[keep], axes[alive]])
        self.unstable = np.concatenate([self.unstable[keep], unstable[alive]])
        centres = 0.5 * lower + 0.5 * upper
        return self.region.project(np.concatenate([centres, points]))

    def drop(self, settled: Settled) -> None:
        """Drop the open boxes that are settled (after the criterion has changed)."""
        self.keep(~settled(self.bounds).astype(bool))

    def keep(self, alive: npt.NDArray[np.bool_]) -> None:
        """Keep the marked open boxes."""
        self.lower, self.upper = self.lower[alive], self.upper[alive]
        self.bounds, self.axes = self.bounds[alive], self.axes[alive]
        self.unstable = self.unstable[alive]


def exclude_by_bisection(
    network: Network,
    region: Region,
    stack: Stack,
    watch: Stopwatch,
    *,
    boxes: int,
    hit: Callable[[Array], bool],
    leaf: Callable[[Array, Array], Leaf],
) -> tuple[bool, int]:
    """Try to exclude every clause on every box of a bisection.

    Parameters
    ----------
    network : Network
    region : Region
    stack : Stack
        The clauses.
    watch : Stopwatch
    boxes : int
        Stop after this many boxes.
    hit : callable
        Gets the most promising point of every step, shape (n_inputs,); returns True to stop.
    leaf : callable
        Decides a box, given its ends, by other means; asked for boxes with few unstable neurons
        once bisection alone has not ended soon.

    Returns
    -------
    excluded : bool
        Whether no clause can be reached anywhere.
    visited : int
    """
    negated = network.then(Affine(-stack.rows, -stack.offsets), "negated")
    tree = BoxTree(negated, region)

    def settled(bounds: Array) -> Array:
        # A clause is out of reach where some row stays below zero.
        return np.asarray((stack.tightest(-bounds) < 0.0).all(axis=-1))

    tree.drop(settled)
    misses = 0
    while tree.open and not watch.expired and tree.visited < boxes:
        # Depth first keeps the tree small: the largest margins are nearest to a decision.
        reach = stack.tightest(-tree.bounds).max(axis=-1)
        if tree.visited > _LEAVES_AFTER:
            if _ask_leaves(tree, reach, leaf):
                return False, tree.visited
            if not tree.open:
                break
            reach = stack.tightest(-tree.bounds).max(axis=-1)
        points = tree.step(-reach, settled)
        outputs = network(points).reshape(len(points), -1)
        margins = np.stack([c.margin(outputs) for c in stack.clauses]).max(axis=0)
        best = int(np.argmax(margins))
        if margins[best] < 0.0:
            continue
        misses += 1
        if hit(points[best]) or misses > _MISSES:
            return False, tree.visited
    return tree.open == 0, tree.visited


def _ask_leaves(tree: BoxTree, reach: Array, leaf: Callable[[Array, Array], Leaf]) -> bool:
    """Ask for the first boxes with few unstable neurons; True when one holds a witness."""
    first = np.argsort(-reach)[:_LEAVES]
    alive = np.ones(tree.open, dtype=bool)
    for i in first[tree.unstable[first] <= LEAF_UNSTABLE]:
        answer = leaf(tree.lower[i], tree.upper[i])
        if answer == "witness":
            return True
        alive[i] = answer != "excluded"
        # Asked once; from now on it is halved like any other.
        tree.unstable[i] = LEAF_UNSTABLE + 1
    tree.keep(alive)
    return False
