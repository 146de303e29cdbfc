"""Matrix products with a constant, as Affine layers or convolutions of width one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from mipnet.errors import NetworkError
from mipnet.network.layers import Conv
from mipnet.network.layers.base import Shape
from mipnet.network.numbers import Array
from mipnet.network.readers.graph import Graph
from mipnet.network.readers.values import LOST, RESIZE, MisfitError, Product, Value, named

#: Largest matrix written for a product of several rows; beyond it, a convolution of width one.
REPEATED = 10**6


def matmul(graph: Graph, name: str, value: Value, constant: Array, *, left: bool = False) -> Value:
    """Product ``value @ constant``, ``constant @ value`` when ``left``, as NumPy's matmul."""
    if value.lost:
        return _unknown(graph, name, value, constant, left=left)
    graph.complete(value)
    try:
        pair = (constant, np.zeros(value.shape)) if left else (np.zeros(value.shape), constant)
        shape = np.matmul(*pair).shape
    except ValueError as error:
        order = "from the left" if left else "from the right"
        msg = (
            f"layer {name!r}: a matrix of shape {constant.shape} multiplied "
            f"{order} does not fit shape {value.shape} of {graph.origin(value)}; {RESIZE}"
        )
        declared = constant.ndim == 2 and not left and value.shape
        shape = (*value.shape[:-1], constant.shape[-1]) if declared else None
        result = LOST if shape is None else graph.ghost(name, shape)
        if declared and graph.accepted(value, value.shape[-1], len(constant), msg):
            return result
        raise MisfitError(msg, result) from error
    if not left and value.shape:
        graph.accepted(value, value.shape[-1], value.shape[-1], "")
    graph.products += 1
    value = graph.settled(value)
    size = math.prod(value.shape)
    rows = size // max(constant.shape[-1 if left else max(-2, -constant.ndim)], 1)
    large = rows > 1 and rows * rows * constant.size > REPEATED
    if large and constant.ndim == 2 and len(value.shape) > 1:
        return _pointwise(graph, name, value, constant, left=left)
    weight = _matrix(graph, name, value.shape, constant, left=left)
    base, weight, bias = graph.absorb(value, weight)
    result = graph.value("", shape, batched=value.batched and shape[:1] == (1,))
    return replace(result, base=Product(name, base, weight, bias))


def _unknown(graph: Graph, name: str, value: Value, constant: Array, *, left: bool) -> Value:
    """Product of a lost value: how wide it is taken to be, and how wide the result is."""
    if not constant.ndim:
        return LOST
    taken = constant.shape[-1 if left else max(-2, -constant.ndim)]
    if value.open and graph.width is None:
        graph.width = taken
    if graph.guess is None:
        graph.guess = taken
    if left or constant.ndim != 2:
        return LOST
    result = replace(LOST, width=constant.shape[1])
    if value.width not in (None, taken):
        msg = f"layer {name!r}: a matrix of shape {constant.shape} takes vectors of {taken}, but "
        msg += f"those before it have {value.width}; {RESIZE}"
        raise MisfitError(msg, result)
    return result


def _matrix(graph: Graph, name: str, shape: Shape, constant: Array, *, left: bool) -> Array:
    """Matrix of the product over the flattened result."""
    size = math.prod(shape)
    if constant.ndim == 2 and size == (shape[-2:][0] if left else shape[-1]):
        return constant if left else constant.T
    # Products of several rows repeat the constant: the images of the unit vectors.
    core = shape if len(shape) > 1 else ((size, 1) if left else (1, size))
    vector = (None, slice(None)) if left else (slice(None), None)
    matrix = constant if constant.ndim > 1 else constant[vector]
    ones = (1,) * max(0, matrix.ndim - len(core))
    graph.guard(name, size * max(size, matrix.size))
    units = np.eye(size).reshape(size, *ones, *core)
    images = np.matmul(matrix, units) if left else np.matmul(units, matrix)
    return np.asarray(images.reshape(size, -1).T)


def _pointwise(graph: Graph, name: str, value: Value, constant: Array, *, left: bool) -> Value:
    """Product of many rows (or columns) with one matrix: a convolution over them."""
    rank, weight = len(value.shape), constant if left else constant.T
    axis = rank - 2 if left else rank - 1
    others = [k for k in range(rank) if k != axis]
    rest = [value.shape[k] for k in others]
    channels = value.transpose(name, [axis, *others]).reshape(name, (1, weight.shape[1], -1))
    with named(name):
        layer = Conv(weight[:, :, None], np.zeros(len(weight)))
    node = graph.emit(name, layer, graph.node(channels))
    result = graph.value(node, (len(weight), *rest), batched=False)
    back = result.transpose(name, [others.index(k) + 1 if k != axis else 0 for k in range(rank)])
    return replace(back, batched=value.batched)


def dense(graph: Graph, name: str, value: Value | None, weight: Any, bias: Any) -> Value:
    """Append ``weight @ value + bias``; the input of the network is made when ``value`` is None.

    Parameters
    ----------
    graph : Graph
    name : str
        Name of the layer, for messages too.
    value : Value or None
    weight : array_like, shape (n_out, n_in)
    bias : array_like, shape (n_out,), or None

    Raises
    ------
    ReadError, NetworkError
        When a parameter is no array of finite numbers, or shapes do not fit.
    """
    matrix = graph.constant(weight, f"weight of {name!r}")
    vector = None if bias is None else graph.constant(bias, f"bias of {name!r}")
    if matrix.ndim != 2 or 0 in matrix.shape:
        msg = f"layer {name!r}: weight must have shape (n_out, n_in), got {matrix.shape}; repair "
        msg += "the parameters"
        raise NetworkError(msg)
    if vector is not None and vector.shape != matrix.shape[:1]:
        msg = (
            f"layer {name!r}: y = W x + b needs W of shape (n_out, n_in) and b of shape (n_out,), "
            f"got {matrix.shape} and {vector.shape}"
        )
        if vector.shape == matrix.shape[1:]:
            msg += f"; the weight looks transposed: store W.T, of shape {matrix.T.shape}"
        else:
            msg += "; repair the parameters"
        raise NetworkError(msg)
    if value is None:
        value = graph.start((matrix.shape[1],))
    graph.complete(value)
    if not value.lost and value.shape[-1:] != matrix.shape[1:]:
        msg = (
            f"layer {name!r}: weight of shape {matrix.shape} takes vectors of {matrix.shape[1]}, "
            f"but {graph.origin(value)} gives shape {value.shape[1:]}; {RESIZE}"
        )
        result = graph.ghost(name, (*value.shape[:-1], len(matrix)))
        if value.shape and graph.accepted(value, value.shape[-1], matrix.shape[1], msg):
            return result
        raise MisfitError(msg, result)
    value = matmul(graph, name, value, matrix.T)
    return value if vector is None else value.apply(name, "add", vector)
