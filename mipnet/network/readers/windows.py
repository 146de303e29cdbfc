"""Convolutions, pooling and padding; padding in front of a window becomes part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mipnet.errors import NetworkError
from mipnet.network.layers import AvgPool, BatchNorm, Conv, MaxPool
from mipnet.network.numbers import Array
from mipnet.network.readers.combine import axis_of, joined, layered
from mipnet.network.readers.disputes import Dispute
from mipnet.network.readers.graph import Graph
from mipnet.network.readers.values import (
    LOST,
    RESIZE,
    MisfitError,
    Pending,
    Value,
    bounded,
    named,
)

Widths = tuple[tuple[int, int], ...]


def pad(graph: Graph, name: str, value: Value, widths: Widths, filling: float) -> Value:
    """Elements put around a result; negative widths cut some off.

    Parameters
    ----------
    graph : Graph
    name : str
    value : Value
    widths : tuple of pairs of int
        Elements before and behind every axis.
    filling : float
        Minus infinity only in front of a maximum.
    """
    if value.lost:
        return replace(value.unknown, channels=value.channels)
    if len(widths) != len(value.shape):
        msg = (
            f"layer {name!r}: {len(widths)} pairs of padding do not fit shape {value.shape}; give "
        )
        msg += "one for each axis"
        raise NetworkError(msg)
    bounded(name, tuple(max(b + n + a, 0) for (b, a), n in zip(widths, value.shape, strict=True)))
    source = value
    for axis, (before, after) in enumerate(widths):
        if before < 0 or after < 0:
            end = value.shape[axis] + min(after, 0)
            value = value.slice(name, axis, max(-before, 0), end)
    cut: Widths = tuple((max(b, 0), max(a, 0)) for b, a in widths)
    if filling == -np.inf and any(map(any, cut)):
        shape = tuple(b + n + a for (b, a), n in zip(cut, value.shape, strict=True))
        pending = Pending("pad", name, value, widths=cut)
        return graph.value(pending, shape, batched=value.batched)
    inner = value
    for axis, sides in enumerate(cut):
        if any(sides):
            axis_of(name, value, axis)
            parts: list[Value | Array] = []
            for count in sides:
                shape = (*value.shape[:axis], count, *value.shape[axis + 1 :])
                parts.append(np.full(shape, filling))
            ends = [p for p in (parts[0], value, parts[1]) if isinstance(p, Value) or p.size]
            value = joined(graph, name, ends, axis)
    if value is not source:
        graph.padded[id(value)] = (value, inner, cut, filling)
    return value


def _unpadded(graph: Graph, value: Value, filling: float) -> tuple[Value, list[int]]:
    """Take the padding of the spatial axes off: what is padded, and how far, as ONNX has it."""
    axes = len(value.shape) - 2
    if isinstance(value.base, Pending) and value.base.kind == "pad" and value.straight:
        found = (value.base.source, value.base.widths, -np.inf)
    elif id(value) in graph.padded:
        found = graph.padded[id(value)][1:]
    else:
        return value, [0] * 2 * axes
    inner, widths, with_ = found
    if with_ != filling or any(map(any, widths[:2])):
        return value, [0] * 2 * axes
    return inner, [w[0] for w in widths[2:]] + [w[1] for w in widths[2:]]


def conv(
    graph: Graph,
    name: str,
    value: Value,
    weight: Array,
    bias: Array | None,
    *,
    stride: Sequence[int],
    pads: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Value:
    """Convolution; ``pads`` are all beginnings and then all ends."""
    known = replace(LOST, channels=len(weight))
    if not value.lost:
        _same_rank(name, value, weight.ndim, known)
        graph.complete(value)
        value, more = _unpadded(graph, value, 0.0)
        pads = [p + m for p, m in zip(pads, more, strict=True)]
    zeros = np.zeros(len(weight)) if bias is None else bias
    with named(name):
        layer = Conv(weight, zeros, stride, pads, dilation, groups)
    wanted = weight.shape[1] * groups
    graph.images |= value.open
    given = value.channels if value.lost else value.shape[1]
    if given in (None, wanted):
        if value.lost:
            return known
        graph.accepted(value, wanted, wanted, "")
        try:
            return layered(graph, name, value, lambda: layer, 3)
        except NetworkError as error:
            raise MisfitError(str(error), known) from error
    msg = f"layer {name!r}: weight of shape {weight.shape} in {groups} group(s) takes {wanted} "
    if value.lost:
        msg += f"channels, not the {given} before it; {RESIZE}"
        raise MisfitError(msg, known)
    msg += f"channels, but {graph.origin(value)} gives shape {value.shape[1:]}; {RESIZE}"
    with named(name):
        shape = (1, *layer.output_shape((wanted, *value.shape[2:])))
    result = graph.ghost(name, shape)
    if graph.accepted(value, value.shape[1], wanted, msg):
        return result
    raise MisfitError(msg, result)


def batch_norm(
    graph: Graph, name: str, value: Value, parameters: Sequence[Array], epsilon: float
) -> Value:
    """Batch normalisation; the parameters are weight, bias, mean and variance."""
    with named(name):
        weight, bias, mean, variance = parameters
        layer = BatchNorm(weight, bias, mean, variance, epsilon)
    wanted = layer.weight.size
    graph.complete(value)
    given = value.channels
    if not value.lost:
        given = value.shape[1] if len(value.shape) > 1 else None
    if given is None or given == wanted:
        graph.accepted(value, wanted, wanted, "")
        result = layered(graph, name, value, lambda: layer)
        return replace(value, channels=wanted) if value.lost else result
    msg = f"layer {name!r}: normalises {wanted} channels, but "
    if value.lost:
        raise MisfitError(
            f"{msg}there are {given} before it; {RESIZE}", replace(value, channels=None)
        )
    msg += f"{graph.origin(value)} gives shape {value.shape[1:]}; {RESIZE}"
    if graph.accepted(value, given, wanted, msg):
        return value
    raise MisfitError(msg, graph.ghost(name, value.shape, Dispute(given, wanted)))


def max_pool(
    graph: Graph,
    name: str,
    value: Value,
    kernel: Sequence[int],
    *,
    stride: Sequence[int],
    pads: Sequence[int],
    dilation: Sequence[int],
    ceil: bool,
) -> Value:
    """Maximum pooling."""
    if not value.lost:
        _same_rank(name, value, len(kernel) + 2)
        if not ceil:
            value, more = _unpadded(graph, value, -np.inf)
            pads = [p + m for p, m in zip(pads, more, strict=True)]
    return layered(
        graph, name, value, lambda: MaxPool(kernel, stride, pads, dilation, ceil=ceil), 3
    )


def avg_pool(
    graph: Graph,
    name: str,
    value: Value,
    kernel: Sequence[int],
    *,
    stride: Sequence[int],
    pads: Sequence[int],
    dilation: Sequence[int],
    ceil: bool,
    counted: bool,
) -> Value:
    """Average pooling."""
    if not value.lost:
        _same_rank(name, value, len(kernel) + 2)
        if not ceil and (counted or not any(pads)):
            value, more = _unpadded(graph, value, 0.0)
            if any(more):
                pads, counted = [p + m for p, m in zip(pads, more, strict=True)], True

    def make() -> AvgPool:
        return AvgPool(kernel, stride, pads, dilation, ceil, counted)

    return layered(graph, name, value, make, 3)


def _same_rank(name: str, value: Value, rank: int, known: Value = LOST) -> None:
    if len(value.shape) != rank:
        msg = f"layer {name!r}: a kernel of {rank - 2} axes takes (1, channels, {rank - 2} spatial "
        msg += (
            f"axes), not shape {value.shape}; give it as many axes, by input_shape= or a reshape "
        )
        msg += "in front of it"
        raise MisfitError(msg, known)
