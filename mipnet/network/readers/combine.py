"""Layers of one or several computed results: elementwise, sums, joins, means and maxima of axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from mipnet.errors import NetworkError
from mipnet.network.layers import (
    Add,
    Affine,
    Concat,
    GlobalAvgPool,
    GlobalMaxPool,
    Layer,
    PReLU,
    ReLU,
    Slice,
)
from mipnet.network.layers.base import Shape
from mipnet.network.numbers import Array
from mipnet.network.readers.graph import Graph, item
from mipnet.network.readers.values import (
    RESIZE,
    MisfitError,
    Move,
    RefusalError,
    Value,
    compressed,
    named,
)

BATCH = "acts along the batch axis; a network is read for one item: let it act on the other axes"


def elementwise(graph: Graph, name: str, value: Value, make: Callable[[], Layer]) -> Value:
    """Elementwise layer; a mere reordering stays a view of its result.

    Parameters
    ----------
    graph : Graph
    name : str
    value : Value
    make : callable
        Makes the layer; its errors get the name.
    """
    with named(name):
        layer = make()
    if value.lost:
        return value
    value = graph.settled(value)
    if value.plain and value.whole:
        return replace(value, base=graph.emit(name, layer, str(value.base)))
    return graph.value(
        graph.emit(name, layer, graph.node(value)), value.shape, batched=value.batched
    )


def relu(graph: Graph, name: str, value: Value) -> Value:
    """Elementwise ``max(0, x)``."""
    return elementwise(graph, name, value, ReLU)


def prelu(graph: Graph, name: str, value: Value, slope: Array) -> Value:
    """PReLU with slopes that broadcast to the item."""
    with named(name):
        layer = PReLU(slope)
    if value.lost:
        return value
    before = graph.node(value)
    try:
        node = graph.emit(name, layer, before)
    except NetworkError as error:
        raise MisfitError(f"{error}; {RESIZE}", graph.ghost(name, value.shape)) from error
    return graph.value(node, value.shape, batched=value.batched)


def layered(
    graph: Graph, name: str, value: Value, make: Callable[[], Layer], least: int = 2
) -> Value:
    """Layer that reads a value as one item (channels, ...) behind its batch axis.

    Parameters
    ----------
    graph : Graph
    name : str
    value : Value
    make : callable
    least : int
        Fewest axes the value may have, batch axis included.
    """
    with named(name):
        layer = make()
    if value.lost:
        graph.images |= value.open and least > 2
        return replace(value.unknown, channels=value.channels)
    if len(value.shape) < least or value.shape[0] != 1:
        msg = f"layer {name!r}: takes one item (1, channels, ...), not shape {value.shape}; "
        msg += "give it as many axes, by input_shape= or a reshape in front of it"
        raise NetworkError(msg)
    node = graph.emit(name, layer, graph.node(value))
    return graph.value(node, (1, *graph.shapes[node]), batched=value.batched)


def axis_of(name: str, value: Value, axis: int, *, batch: bool = False) -> int:
    """Axis counted from the front; the batch axis is refused unless ``batch``.

    Raises
    ------
    NetworkError
        When there is no such axis.
    RefusalError
        When it is the batch axis.
    """
    rank = len(value.shape)
    if not -rank <= axis < rank:
        msg = f"layer {name!r}: shape {value.shape} has no axis {axis}; give one that it has"
        raise NetworkError(msg)
    axis %= rank
    if axis == 0 and value.batched and not batch:
        raise RefusalError(BATCH)
    return axis


def along(graph: Graph, name: str, value: Value, axis: int, make: Callable[[int], Layer]) -> Value:
    """Layer along one axis of the item, such as Softmax; ``make`` gets the axis of the item."""
    if value.lost:
        with named(name):
            make(-1)
        return value
    axis = axis_of(name, value, axis)
    inner = item(value.shape)
    if len(inner) != len(value.shape):
        # The first axis has one element: along it, the layer acts on single numbers.
        node = graph.node(value)
        if axis == 0:
            node, axis = graph.shaped(node, value.shape, name), 1
        axis -= 1
    else:
        node = graph.node(value)
    with named(name):
        layer = make(axis)
    return graph.value(graph.emit(name, layer, node), value.shape, batched=value.batched)


def total(graph: Graph, name: str, values: Sequence[Value], scales: Sequence[float]) -> Value:
    """Weighted sum of results, broadcast as NumPy does."""
    if any(v.lost for v in values):
        return next(v for v in values if v.lost).unknown
    shape: Shape = ()
    for v in values:
        try:
            shape = np.broadcast_shapes(shape, v.shape)
        except ValueError as error:
            shapes = [v.shape for v in values]
            msg = f"layer {name!r}: results of shapes {shapes} do not fit each other; make the "
            msg += "branches end in one shape"
            raise NetworkError(msg) from error
    values = [graph.settled(v).broadcast(name, shape) for v in values]
    batched = all(v.batched for v in values)
    first = values[0]
    if all(v.base == first.base and np.array_equal(v.index, first.index) for v in values):
        # The same elements: one affine function of them.
        scale = sum(s * v.scale for s, v in zip(scales, values, strict=True))
        shift = sum(s * v.shift for s, v in zip(scales, values, strict=True))
        bare = replace(first, scale=np.ones(shape), shift=np.zeros(shape), moves=unscaled(first))
        return bare.apply(name, "mul", np.asarray(scale)).apply(name, "add", np.asarray(shift))
    shift, factors, nodes = np.zeros(()), [], []
    for factor, v in zip(scales, values, strict=True):
        one, factor_v, shift_v = _separated(v)
        factors.append(factor * factor_v)
        shift = shift + factor * shift_v
        nodes.append(graph.node(one))
    with named(name):
        layer = Add(factors)
    result = graph.value(graph.emit(name, layer, *nodes), shape, batched=batched)
    return result.apply(name, "add", compressed(np.asarray(shift))) if np.any(shift) else result


def unscaled(value: Value) -> tuple[Move, ...] | None:
    """Return the moves of a view without its arithmetic."""
    if value.moves is None:
        return None
    return tuple(m for m in value.moves if m.kind != "scale")


def _separated(value: Value) -> tuple[Value, float, Array]:
    """Value as factor times a view that only moves elements, plus a shift."""
    factor = float(value.scale.flat[0])
    if value.plain or factor == 0.0 or not np.all(value.scale == factor):
        return value, 1.0, np.zeros(())
    shape = value.shape
    bare = replace(value, scale=np.ones(shape), shift=np.zeros(shape), moves=unscaled(value))
    return bare, factor, value.shift


def fill(graph: Graph, name: str, like: Value, constant: Array) -> Value:
    """Constant as a result: an Affine layer without weights over one element of another result."""
    if like.lost:
        return like
    base = str(graph.settled(like).base)
    vector = graph.shaped(base, (math.prod(graph.shapes[base]),), name)
    first = graph.emit(name, Slice((0,), (1,)), vector) if graph.shapes[vector] != (1,) else vector
    with named(name):
        layer = Affine(np.zeros((constant.size, 1)), constant.ravel())
    return graph.value(graph.emit(name, layer, first), constant.shape, batched=like.batched)


def joined(graph: Graph, name: str, parts: Sequence[Value | Array], axis: int) -> Value:
    """Results and constants one after the other along an axis."""
    values = [p for p in parts if isinstance(p, Value)]
    if any(v.lost for v in values):
        return next(v for v in values if v.lost).unknown
    first = values[0]
    axis = axis_of(name, first, axis)
    results = [p if isinstance(p, Value) else fill(graph, name, first, p) for p in parts]
    shapes = [r.shape for r in results]
    ranks = {len(s) for s in shapes}
    rest = {(*s[:axis], *s[axis + 1 :]) for s in shapes}
    if len(ranks) > 1 or len(rest) > 1:
        msg = f"layer {name!r}: results of shapes {shapes} do not join along axis {axis}; make "
        msg += "their other axes equal"
        raise NetworkError(msg)
    if len(results) == 1:
        return first
    shape = list(first.shape)
    shape[axis] = sum(s[axis] for s in shapes)
    inner = axis > 0 and shape[0] == 1
    nodes = [graph.shaped(graph.node(r), r.shape[1:] if inner else r.shape, name) for r in results]
    node = graph.emit(name, Concat(len(nodes), axis - 1 if inner else axis), *nodes)
    return graph.value(node, tuple(shape), batched=all(r.batched for r in results))


def reduced(
    graph: Graph, name: str, value: Value, axes: Sequence[int] | None, *, keep: bool, kind: str
) -> Value:
    """Mean, sum, maximum or minimum over axes, as global pooling.

    Parameters
    ----------
    graph : Graph
    name : str
    value : Value
    axes : sequence of int, or None
        None for all but the batch axis.
    keep : bool
        Whether the axes stay, with one element.
    kind : {"mean", "sum", "max", "min"}
    """
    if value.lost:
        return value.unknown
    shape = value.shape
    start = int(value.batched)
    chosen = sorted(
        {axis_of(name, value, a) for a in (range(start, len(shape)) if axes is None else axes)}
    )
    kept = [k for k in range(len(shape)) if k not in chosen]
    left = tuple(1 if k in chosen else n for k, n in enumerate(shape))
    final = left if keep else tuple(shape[k] for k in kept)
    count = math.prod(shape[k] for k in chosen)
    if count == 1:
        return value.reshape(name, final)
    if kind == "min":
        value = value.apply(name, "mul", np.asarray(-1.0))
    if kept and kept == list(range(len(kept))) and len(kept) == 2 and shape[0] == 1:
        rows = value
    else:
        rows = value.transpose(name, [*kept, *chosen]).reshape(name, (1, -1, count))
    pool = GlobalMaxPool if kind in ("max", "min") else GlobalAvgPool
    result = layered(graph, name, rows, pool, 3).reshape(name, final)
    if kind == "sum":
        return result.apply(name, "mul", np.asarray(float(count)))
    return result.apply(name, "mul", np.asarray(-1.0)) if kind == "min" else result
