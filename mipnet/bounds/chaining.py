"""Making the chain of a network: affine maps are multiplied out up to the next kink.

What a node gives is kept as an affine map of the *state*, the rows of the last stage. A ReLU starts
a new stage, whose rows are the neurons that are not proven inactive; what a later node still reads
of earlier ones passes through as rows of its own. So branches, sums and concatenations become
chains too, and so do kinks with any two slopes: a line plus a multiple of a ReLU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mipnet.bounds.chain import Chain, Index, Stage, Weight
from mipnet.network import INPUT, Interval, Network
from mipnet.network.layers import Add, Affine, Concat, Conv, ReLU
from mipnet.network.layers.base import Array, Layer, Shape
from mipnet.network.layers.hinge import Hinge
from mipnet.network.layers.linear import Linear
from mipnet.network.layers.rearrange import Rearrange
from mipnet.network.network import Node

#: Entries of a matrix above which it is kept sparse where few of them are not zero, and above
#: which there is no chain at all.
_LARGE, _TOO_LARGE = 2**20, 2**25
#: Share of entries that are not zero up to which a sparse product is the faster one.
_FULL = 0.04
#: Sizes are sums in floating point.
_INFLATE = 1.0 + 1e-9
_NONE = np.zeros(0)


class _TooLargeError(Exception):
    """A matrix no search over subproblems would get anywhere with."""


@dataclass(frozen=True, eq=False)
class _Pick:
    """A node whose elements are elements of the state, or zero.

    Attributes
    ----------
    reach : array, shape (n,)
        Bound on the size of every element.
    columns : array of int, shape (n,)
        Position in the state, or -1.
    """

    reach: Array
    columns: Index
    terms: int = 0

    def map(self, n_state: int) -> tuple[Weight, Array]:
        """Weight and offset."""
        rows = np.flatnonzero(self.columns >= 0)
        shape = (self.columns.size, n_state)
        picked = sp.csr_array((np.ones(rows.size), (rows, self.columns[rows])), shape=shape)
        return _stored(picked), np.zeros(self.columns.size)

    def select(self, rows: Index) -> _Pick:
        """Keep some elements."""
        return _Pick(self.reach[rows], self.columns[rows])


@dataclass(frozen=True, eq=False)
class _Map:
    """A node that is an affine map of the state.

    Attributes
    ----------
    reach : array, shape (n,)
        Bound on ``|W| |h| + |b|`` with the maps in front of each other, element by element.
    weight, offset : arrays, shape (n, n_state) and (n,)
    terms : int
        Roundings behind the entries of ``weight``.
    """

    reach: Array
    weight: Weight
    offset: Array
    terms: int

    def map(self, n_state: int) -> tuple[Weight, Array]:
        """Weight and offset."""
        del n_state
        return self.weight, self.offset

    def select(self, rows: Index) -> _Map:
        """Keep some elements."""
        return _Map(self.reach[rows], self.weight[rows], self.offset[rows], self.terms)


_Flow = _Pick | _Map


def chain_of(
    network: Network, intervals: Mapping[str, Interval], stop: str | None = None
) -> Chain | None:
    """Chain from the input to the node ``stop``, the output by default.

    Parameters
    ----------
    network : Network
    intervals : mapping of node name to Interval
        Bounds that hold, batch of one.
    stop : str, optional

    Returns
    -------
    Chain or None
        None for a network of which some layer in front of ``stop`` is neither affine nor made of
        one kink, or whose matrices are too large.
    """
    try:
        return _Builder(network, intervals, stop or network.output).chain()
    except _TooLargeError:
        return None


class _Builder:
    """The stages made so far, and what every node still needed gives."""

    def __init__(self, network: Network, intervals: Mapping[str, Interval], stop: str) -> None:
        self._network, self._intervals, self._stop = network, intervals, stop
        self._stages: list[Stage] = []
        self._first = 0
        # Largest sizes of the elements of the state.
        self._state = intervals[INPUT].magnitude.reshape(-1)
        self._flows: dict[str, _Flow] = {INPUT: _Pick(self._state, np.arange(self._state.size))}
        self._last = {i: k for k, node in enumerate(network.nodes) for i in node.inputs}

    def chain(self) -> Chain | None:
        for k, node in enumerate(self._network.nodes):
            flow = self._flow(k, node)
            if flow is None:
                return None
            self._flows[node.name] = flow
            if node.name == self._stop:
                self._push(node.name, np.arange(flow.reach.size), [flow])
                return Chain(tuple(self._stages))
        return None

    def _flow(self, k: int, node: Node) -> _Flow | None:
        layer = node.layer
        inputs = [self._flows[i] for i in node.inputs]
        shapes = [self._network.shapes[i] for i in node.inputs]
        if isinstance(layer, Rearrange):
            return inputs[0].select(layer.index(shapes[0]))
        if isinstance(layer, Linear):
            return self._linear(layer, inputs[0], shapes[0])
        if isinstance(layer, ReLU | Hinge):
            return self._hinge(k, node, layer, inputs[0])
        if isinstance(layer, Add):
            return self._sum(inputs, list(layer.scales))
        if isinstance(layer, Concat):
            return self._joined(layer, inputs, shapes)
        return None

    def _linear(self, layer: Linear, flow: _Flow, shape: Shape) -> _Flow:
        """Multiply an affine map with what is affine in the state."""
        matrix = layer.matrix(shape)
        image = layer.times(flow.reach.reshape(1, *shape), absolute=True)
        added = layer.flat_offset(image.shape[1:])
        reach = np.asarray((image.reshape(-1) + np.abs(added)) * _INFLATE, dtype=np.float64)
        if isinstance(flow, _Pick):
            # Mostly the elements are those of the state, in another order.
            used = np.flatnonzero(flow.columns >= 0)
            used = used[np.argsort(flow.columns[used], kind="stable")]
            if np.array_equal(flow.columns[used], np.arange(self._state.size)):
                terms = 0 if isinstance(layer, Affine | Conv) else 2
                return _Map(reach, _stored(matrix[:, used]), added, terms)
        weight, offset = flow.map(self._state.size)
        terms = flow.terms + 2 * min(layer.terms(shape), int(np.prod(shape))) + 4
        return _Map(reach, _stored(matrix @ weight), matrix @ offset + added, terms)

    def _sum(self, inputs: list[_Flow], scales: list[float]) -> _Flow:
        (weight, offset), reach = inputs[0].map(self._state.size), inputs[0].reach * abs(scales[0])
        weight, offset = weight * scales[0], offset * scales[0]
        for flow, scale in zip(inputs[1:], scales[1:], strict=True):
            other, shift = flow.map(self._state.size)
            weight, offset = _added(weight, other * scale), offset + shift * scale
            reach = reach + flow.reach * abs(scale)
        terms = max(flow.terms for flow in inputs) + 2 * len(inputs)
        return _Map(reach * _INFLATE, _stored(weight), offset, terms)

    def _joined(self, layer: Concat, inputs: list[_Flow], shapes: list[Shape]) -> _Flow:
        starts = np.cumsum([0, *(flow.reach.size for flow in inputs)])
        places = [
            np.arange(a, b, dtype=np.float64).reshape(1, *shape)
            for a, b, shape in zip(starts[:-1], starts[1:], shapes, strict=True)
        ]
        order = layer.forward(*places).reshape(-1).astype(np.intp)
        reach = np.concatenate([flow.reach for flow in inputs])
        picks = [flow.columns for flow in inputs if isinstance(flow, _Pick)]
        if len(picks) == len(inputs):
            return _Pick(reach, np.concatenate(picks)).select(order)
        weight, offset, terms = self._stacked(inputs)
        return _Map(reach, weight, offset, terms).select(order)

    def _hinge(self, k: int, node: Node, layer: Layer, flow: _Flow) -> _Flow:
        """Push a stage whose first rows are the neurons of a kink; what that gives behind it."""
        source = node.inputs[0]
        box = self._intervals[source].reshape((flow.reach.size,))
        lower, upper = box.lower[0], box.upper[0]
        left, right = np.zeros(lower.size), np.ones(lower.size)
        if isinstance(layer, Hinge):
            shape = self._network.shapes[source]
            sides = (np.broadcast_to(side, shape).reshape(-1) for side in layer.sides(shape))
            left, right = (side.astype(np.float64) for side in sides)
        open_ = (lower < 0.0) & (upper > 0.0) & (left != right)
        kinks = np.flatnonzero(open_)
        # The value itself: of open neurons where one side is no zero, of others their one side.
        stable = np.where(lower >= 0.0, right, left)
        passing = np.flatnonzero(np.where(open_, left, stable) != 0.0)
        kept = np.concatenate([kinks, passing])
        flows, sizes = [flow.select(kept)], [box.magnitude[0][kept]]
        places, start = {}, kept.size
        for name in self._needed(k):
            carried = self._flows[name]
            flows.append(carried)
            sizes.append(self._intervals[name].magnitude.reshape(-1))
            places[name] = np.arange(start, start + carried.reach.size)
            start += carried.reach.size
        self._push(source, kept, flows, lower[kinks], upper[kinks])
        self._state = np.concatenate(sizes)
        self._flows = {
            name: _Pick(self._intervals[name].magnitude.reshape(-1), columns)
            for name, columns in places.items()
        }
        return self._behind(kinks, passing, open_, np.where(open_, left, stable), right - left)

    def _behind(
        self, kinks: Index, passing: Index, open_: Array, line: Array, rise: Array
    ) -> _Flow:
        """``line z + rise max(0, z)``, where ``rise`` counts for open neurons only."""
        n, count = open_.size, kinks.size
        reach = np.zeros(n)
        reach[kinks] += np.abs(rise[kinks]) * self._state[:count]
        span = slice(count, count + passing.size)
        reach[passing] += np.abs(line[passing]) * self._state[span]
        single = np.ones(n, dtype=bool)
        single[passing] = line[passing] == 1.0
        single[kinks] = (rise[kinks] == 1.0) & (line[kinks] == 0.0)
        if single.all():
            columns = np.full(n, -1, dtype=np.intp)
            columns[passing] = np.arange(span.start, span.stop)
            columns[kinks] = np.arange(count)
            return _Pick(reach, columns)
        rows = np.concatenate([kinks, passing])
        values = np.concatenate([rise[kinks], line[passing]])
        shape = (n, self._state.size)
        weight = sp.csr_array((values, (rows, np.arange(rows.size))), shape=shape)
        return _Map(reach * _INFLATE, _stored(weight), np.zeros(n), 3)

    def _needed(self, k: int) -> list[str]:
        """Nodes with values that something behind node ``k`` reads."""
        return [name for name in self._flows if self._last.get(name, -1) > k]

    def _stacked(self, flows: list[_Flow]) -> tuple[Weight, Array, int]:
        """Weight, offset and roundings of several flows below each other."""
        maps = [flow.map(self._state.size) for flow in flows]
        dense = [weight for weight, _ in maps if isinstance(weight, np.ndarray)]
        if len(maps) == 1:
            stacked = maps[0][0]
        elif len(dense) == len(maps):
            stacked = np.concatenate(dense)
        else:
            stacked = _stored(sp.csr_array(sp.vstack([sp.csr_array(w) for w, _ in maps])))
        terms = max(flow.terms for flow in flows)
        return stacked, np.concatenate([offset for _, offset in maps]), terms

    def _push(
        self,
        name: str,
        neurons: Index,
        flows: list[_Flow],
        lower: Array = _NONE,
        upper: Array = _NONE,
    ) -> None:
        """Append a stage of some rows, of which the first are unstable and within these ends."""
        weight, offset, terms = self._stacked(flows)
        size = max(float(flow.reach.max(initial=0.0)) for flow in flows) * _INFLATE
        count = lower.size
        stage = Stage(name, weight, offset, neurons, count, self._first, lower, upper, size, terms)
        self._stages.append(stage)
        self._first += count


def _stored(matrix: Weight) -> Weight:
    """Return the matrix dense or sparse, as products with it are faster."""
    cells = matrix.shape[0] * matrix.shape[1]
    if isinstance(matrix, np.ndarray):
        if cells > _TOO_LARGE:
            raise _TooLargeError
        return np.ascontiguousarray(matrix)
    if cells > _LARGE and matrix.nnz <= _FULL * cells:
        return sp.csr_array(matrix)
    if cells > _TOO_LARGE:
        raise _TooLargeError
    return np.asarray(matrix.toarray())


def _added(one: Weight, other: Weight) -> Weight:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one + other
    return sp.csr_array(sp.csr_array(one) + sp.csr_array(other))
