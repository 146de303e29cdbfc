"""Subproblems of a branch and bound over phases: a batch of them, and the pool of the open ones."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from mipnet.bounds.chain import Chain, Single
from mipnet.network import Interval
from mipnet.network.layers.base import Array

Flags = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]


@dataclass(eq=False)
class Subproblems:
    """A batch of subproblems of one chain, and what is known of each.

    Attributes
    ----------
    weights : array of float32, shape (batch, n_stop)
        Coefficients over the last stage of what is bounded from below.
    lower, upper : array of float32, shape (batch, n_unstable)
        Bounds of the neurons that are unstable over the region, rounded outward.
    chosen : array of float32, shape (batch, n_unstable)
        Slope of a neuron still unstable, multiplier of a fixed one.
    bound : array, shape (batch,)
        Certified lower bound.
    owner : array of int, shape (batch,)
        The target a subproblem belongs to.
    box_lower, box_upper : array, shape (batch, n_inputs)
        Box the region is intersected with; no columns where the inputs are never split.
    axis : array of int, shape (batch,)
        Input to halve next.
    """

    weights: Single
    lower: Single
    upper: Single
    chosen: Single
    bound: Array
    owner: Index
    box_lower: Array
    box_upper: Array
    axis: Index

    def __len__(self) -> int:
        return len(self.bound)

    def select(self, items: Index | Flags | slice) -> Subproblems:
        """Return some of the subproblems, copied unless ``items`` is a slice."""
        return Subproblems(*(getattr(self, f.name)[items] for f in fields(self)))

    def join(self, other: Subproblems) -> Subproblems:
        """Return the subproblems of both batches."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Subproblems(*(np.concatenate(pair) for pair in pairs))

    @property
    def boxed(self) -> bool:
        """Whether the subproblems have boxes of their own."""
        return bool(self.box_lower.shape[1])

    @property
    def open(self) -> Flags:
        """Neurons still unstable, shape (batch, n_unstable)."""
        return (self.lower < 0.0) & (self.upper > 0.0)


def root(chain: Chain, weights: Array, box: Interval | None = None) -> Subproblems:
    """One subproblem for each row of weights, its own target, with nothing split.

    Parameters
    ----------
    chain : Chain
    weights : array, shape (targets, n_stop)
    box : Interval, batch of one, optional
        Give every subproblem this box of its own, to be split.
    """
    count = len(weights)
    lower = np.nextafter(chain.lower.astype(np.float32), np.float32(-np.inf))
    upper = np.nextafter(chain.upper.astype(np.float32), np.float32(np.inf))
    slopes = (upper > -lower).astype(np.float32)
    return Subproblems(
        weights.astype(np.float32),
        np.repeat(lower[None], count, axis=0),
        np.repeat(upper[None], count, axis=0),
        np.repeat(slopes[None], count, axis=0),
        np.full(count, -np.inf),
        np.arange(count),
        np.repeat(np.zeros((1, 0)) if box is None else box.lower, count, axis=0),
        np.repeat(np.zeros((1, 0)) if box is None else box.upper, count, axis=0),
        np.zeros(count, dtype=np.intp),
    )


def split(batch: Subproblems, columns: Index, items: Index) -> Subproblems:
    """Children of subproblems: first those with the neuron at least zero, then at most zero.

    Parameters
    ----------
    batch : Subproblems
    columns : array of int, shape (k,)
        The neurons to split.
    items : array of int, shape (k,)
        The subproblem each of them is split in.
    """
    children = batch.select(np.concatenate([items, items]))
    count = np.arange(len(items))
    children.lower[count, columns] = 0.0
    children.upper[len(items) + count, columns] = 0.0
    # The split neuron now owns a multiplier instead of a slope.
    children.chosen[np.arange(len(children)), np.concatenate([columns, columns])] = 0.0
    return children


def halve(batch: Subproblems) -> Subproblems:
    """Children of subproblems: first the lower, then the upper halves of their boxes."""
    items = np.arange(len(batch))
    children = batch.select(np.concatenate([items, items]))
    middle = 0.5 * batch.box_lower[items, batch.axis] + 0.5 * batch.box_upper[items, batch.axis]
    children.box_upper[items, batch.axis] = middle
    children.box_lower[len(items) + items, batch.axis] = middle
    return children


class Pool:
    """Open subproblems in arrays that grow.

    Parameters
    ----------
    like : Subproblems
        A batch of the same widths.
    targets : int
    """

    def __init__(self, like: Subproblems, targets: int) -> None:
        self._store = like.select(np.zeros(0, dtype=np.intp))
        self._free = np.zeros(0, dtype=np.intp)
        self._targets = targets

    def __len__(self) -> int:
        return len(self._store) - len(self._free)

    @property
    def n_bytes(self) -> int:
        """Memory of the store."""
        return sum(getattr(self._store, f.name).nbytes for f in fields(self._store))

    def least(self) -> Array:
        """Least bound of an open subproblem of each target, infinite without one."""
        least = np.full(self._targets, np.inf)
        np.minimum.at(least, self._store.owner, self._store.bound)
        return least

    def put(self, batch: Subproblems) -> None:
        """Add subproblems."""
        if len(batch) > len(self._free):
            self._grow(len(batch) - len(self._free))
        slots, self._free = self._free[: len(batch)], self._free[len(batch) :]
        for field in fields(batch):
            getattr(self._store, field.name)[slots] = getattr(batch, field.name)

    def take(self, count: int, active: Flags) -> Subproblems:
        """Remove and return the subproblems of least bounds, evenly over the active targets.

        Parameters
        ----------
        count : int
            About how many.
        active : array of bool, shape (targets,)
        """
        store = self._store
        slots = np.flatnonzero(active[store.owner] & (store.bound < np.inf))
        each = max(1, count // max(1, int(np.count_nonzero(active))))
        if slots.size > each:
            slots = slots[np.lexsort((store.bound[slots], store.owner[slots]))]
            owners = store.owner[slots]
            begin = np.searchsorted(owners, owners, side="left")
            slots = slots[np.arange(slots.size) - begin < each]
            slots = slots[np.argsort(store.bound[slots], kind="stable")[: 2 * count]]
        batch = store.select(slots)
        store.bound[slots] = np.inf
        self._free = np.concatenate([slots, self._free])
        return batch

    def drop(self, above: Array) -> Array:
        """Remove the subproblems whose bound exceeds that of their target; least bound removed.

        Parameters
        ----------
        above : array, shape (targets,)

        Returns
        -------
        array, shape (targets,)
        """
        store = self._store
        out = (store.bound > above[store.owner]) & (store.bound < np.inf)
        least = np.full(self._targets, np.inf)
        np.minimum.at(least, store.owner[out], store.bound[out])
        store.bound[out] = np.inf
        self._free = np.concatenate([np.flatnonzero(out), self._free])
        return least

    def _grow(self, need: int) -> None:
        size = len(self._store)
        more = max(need, size // 2, 256)
        shape = replace(self._store)
        blank = Subproblems(
            *(
                np.zeros((more, *getattr(shape, f.name).shape[1:]), getattr(shape, f.name).dtype)
                for f in fields(shape)
            )
        )
        blank.bound[:] = np.inf
        self._store = self._store.join(blank)
        self._free = np.concatenate([self._free, np.arange(size, size + more)])
