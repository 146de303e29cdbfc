"""Small networks around a layer, boxes and points of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from mipnet.network import Affine, Flatten, Interval, Layer, Network, Node, ReLU
from mipnet.network.layers import Concat, Reshape, Slice
from mipnet.network.layers.base import Array, Shape
from mipnet.region import Box

Rng = np.random.Generator


def alone(layer: Layer, shapes: Sequence[Shape]) -> Network:
    """Return the layer by itself; the outputs are its own, followed by the flat input."""
    nodes = [*_parts("input", shapes), _layer(layer, len(shapes)), Node("y", Flatten(), ("layer",))]
    size = sum(prod(s) for s in shapes)
    return Network((*nodes, Node("both", Concat(2, 0), ("y", "input"))), (size,))


def around(layer: Layer, shapes: Sequence[Shape], sparsity: float, rng: Rng) -> Network:
    """Two inputs, an affine layer, the layer, an affine layer, a ReLU layer, one output."""
    width = sum(prod(s) for s in shapes)
    size = prod(layer.output_shape(*shapes))
    nodes = [Node("wide", _affine(rng, width, 2, sparsity), ("input",)), *_parts("wide", shapes)]
    nodes += [_layer(layer, len(shapes)), Node("flat", Flatten(), ("layer",))]
    nodes.append(Node("narrow", _affine(rng, 3, size, sparsity), ("flat",)))
    nodes.append(Node("kink", ReLU(), ("narrow",)))
    nodes.append(Node("out", _affine(rng, 1, 3, 0.0), ("kink",)))
    return Network(tuple(nodes), (2,))


def box(rng: Rng, n: int) -> Box:
    """Bounds on either side of zero, of different widths."""
    return Box(-rng.uniform(0.2, 1.5, size=n), rng.uniform(0.2, 1.5, size=n))


def odd_box(rng: Rng, shape: Shape) -> Interval:
    """Bounds anywhere, some of width zero; batch of one."""
    one, other = rng.normal(size=(2, 1, *shape)) * 2.0
    other = np.where(rng.random(one.shape) < 0.15, one, other)
    return Interval(np.minimum(one, other), np.maximum(one, other))


def points(rng: Rng, lower: Array, upper: Array, count: int = 60) -> Array:
    """Both ends, corners, the middle, and points inside and on faces; shape (count, *shape)."""
    u = rng.random((count, *lower.shape))
    u[0], u[1], u[2] = 0.0, 1.0, 0.5
    third = count // 3
    u[3:third] = np.round(u[3:third])
    faces = rng.random(u[third : 2 * third].shape) < 0.3
    u[third : 2 * third] = np.where(faces, np.round(u[third : 2 * third]), u[third : 2 * third])
    return np.asarray(np.clip(lower + u * (upper - lower), lower, upper))


def _layer(layer: Layer, count: int) -> Node:
    return Node("layer", layer, tuple(f"part{k}" for k in range(count)))


def _parts(source: str, shapes: Sequence[Shape]) -> list[Node]:
    nodes, first = [], 0
    for k, shape in enumerate(shapes):
        nodes.append(Node(f"cut{k}", Slice((first,), (first + prod(shape),)), (source,)))
        nodes.append(Node(f"part{k}", Reshape(shape), (f"cut{k}",)))
        first += prod(shape)
    return nodes


def _affine(rng: Rng, m: int, n: int, sparsity: float) -> Affine:
    weight = rng.normal(size=(m, n)) * (2.0 / n) ** 0.5
    return Affine(weight * (rng.random((m, n)) >= sparsity), 0.3 * rng.normal(size=m))
