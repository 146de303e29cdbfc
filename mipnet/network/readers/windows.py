"""Convolutions, pooling and padding; padding in front of a window becomes part of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mipnet.errors import NetworkError
from mipnet.network.layers import AvgPool, Conv, MaxPool
from mipnet.network.numbers import Array
from mipnet.network.readers.combine import axis_of, joined, layered
from mipnet.network.readers.graph import Graph
from mipnet.network.readers.values import Pending, Value, bounded

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
        return value
    if len(widths) != len(value.shape):
        msg = f"layer {name!r}: {len(widths)} pairs of padding do not fit shape {value.shape}"
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
    if not value.lost:
        _same_rank(name, value, weight.ndim)
        value, more = _unpadded(graph, value, 0.0)
        pads = [p + m for p, m in zip(pads, more, strict=True)]
    zeros = np.zeros(len(weight)) if bias is None else bias
    return layered(
        graph, name, value, lambda: Conv(weight, zeros, stride, pads, dilation, groups), 3
    )


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


def _same_rank(name: str, value: Value, rank: int) -> None:
    if len(value.shape) != rank:
        msg = f"layer {name!r}: a kernel of {rank - 2} axes takes (1, channels, {rank - 2} spatial "
        msg += f"axes), not shape {value.shape}"
        raise NetworkError(msg)
