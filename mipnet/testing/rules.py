"""The rules of a layer against its own forward pass: no program, no solver."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from mipnet.network import Interval, Layer, LinearForm
from mipnet.network.interval import Lines
from mipnet.network.layers.base import Array, Relaxation, Shape
from mipnet.testing.nets import odd_box, points
from mipnet.testing.where import Where

#: Linear forms over the output that are followed backwards at once.
_TARGETS = 5
#: Step of central differences, and how far they may be off.
_STEP, _SLOPE = 1e-5, 1e-4


def check_rules(layer: Layer, shapes: Sequence[Shape], where: Where) -> None:
    """Semantics, gradient, interval rule and linear relaxation of a layer.

    Parameters
    ----------
    layer : Layer
    shapes : sequence of tuple of int
        Of its inputs.
    where : Where

    Raises
    ------
    ConformanceError
    """
    rng = where.rng()
    for _ in range(3):
        boxes = [odd_box(rng, shape) for shape in shapes]
        values = [points(rng, b.lower[0], b.upper[0]) for b in boxes]
        with where.doing("forward"):
            outputs = _semantics(layer, values, where)
        with where.doing("gradient"):
            _gradient(layer, values, rng, where)
        with where.doing("interval"):
            _interval(layer, boxes, outputs, where)
            _inactive(layer, boxes, values, where)
        with where.doing("relax, backward, follow or lines"):
            relaxation = layer.relax(*boxes)
            _backward(layer, relaxation, values, outputs, rng=rng, where=where)
            _lines(layer, boxes, relaxation, values, outputs, where=where)


def _semantics(layer: Layer, values: list[Array], where: Where) -> Array:
    before = [v.copy() for v in values]
    found = np.asarray(layer.forward(*values), dtype=np.float64)
    shape = layer.output_shape(*(v.shape[1:] for v in values))
    wanted = (values[0].shape[0], *shape)
    where.demand(found.shape == wanted, f"forward: shape {found.shape} instead of {wanted}")
    where.demand(np.isfinite(found).all(), "forward: an output is not finite")
    same = all(np.array_equal(a, b) for a, b in zip(before, values, strict=True))
    where.demand(same, "forward changes its inputs")
    one = np.asarray(layer.forward(*(v[:1] for v in values)), dtype=np.float64)
    where.near(one, found[:1], "forward: an item alone and in a batch")
    single = layer.cast(np.float32).forward(*(v.astype(np.float32) for v in values))
    where.demand(single.dtype == np.float32, f"forward: {single.dtype} from float32 inputs")
    where.near(np.asarray(single, dtype=np.float64), found, "forward in float32", 1e-3)
    return found


def _gradient(layer: Layer, values: list[Array], rng: np.random.Generator, where: Where) -> None:
    x = [rng.uniform(-2.0, 2.0, size=v.shape) for v in values]
    steps = [rng.choice([-_STEP, _STEP], size=v.shape) for v in values]
    base = np.asarray(layer.forward(*x))
    weights = rng.normal(size=base.shape)

    def moved(sign: float) -> Array:
        there = layer.forward(*(v + sign * d for v, d in zip(x, steps, strict=True)))
        return _items(weights * (there - base)) / _STEP

    ahead, behind = moved(1.0), -moved(-1.0)
    gradients = layer.gradient(weights, *x)
    shapes = [g.shape for g in gradients]
    where.demand(shapes == [v.shape for v in x], f"gradient: shapes {shapes}")
    found = sum(
        (_items(g * d) / _STEP for g, d in zip(gradients, steps, strict=True)),
        np.zeros(len(base)),
    )
    # Next to a kink the two differences are not the same.
    smooth = np.abs(ahead - behind) <= 10.0 * _SLOPE * (1.0 + np.abs(ahead))
    middle = (ahead + behind) / 2.0
    what = "gradient and differences of the forward pass"
    where.near(found[smooth], middle[smooth], what, 10.0 * _SLOPE)


def _interval(layer: Layer, boxes: list[Interval], outputs: Array, where: Where) -> None:
    found = layer.interval(*boxes)
    where.demand(
        found.lower.shape == found.upper.shape == (1, *outputs.shape[1:]),
        f"interval: shapes {found.lower.shape} and {found.upper.shape}",
    )
    where.below(found.lower, outputs, "interval: lower bound above an output")
    where.below(outputs, found.upper, "interval: output above an upper bound")


def _inactive(layer: Layer, boxes: list[Interval], values: list[Array], where: Where) -> None:
    if not layer.nonlinear:
        return
    (x,), (box,) = values, boxes
    off = layer.inactive(box)
    moved = np.where(off, np.broadcast_to(box.lower, x.shape), x)
    what = "inactive: an input said to be without influence"
    where.near(np.asarray(layer.forward(moved)), np.asarray(layer.forward(x)), what)


def _backward(
    layer: Layer,
    relaxation: Relaxation,
    values: list[Array],
    outputs: Array,
    *,
    rng: np.random.Generator,
    where: Where,
) -> None:
    shape = outputs.shape[1:]
    a, c = rng.normal(size=(1, _TARGETS, *shape)), rng.normal(size=(1, _TARGETS))
    own = layer.start(relaxation)
    choices: list[Array | None] = [None]
    if own is not None:
        choices += [rng.random((1, _TARGETS, *own.shape[1:])) for _ in range(2)]
    truth = _dot(a, outputs) + c
    each = [np.broadcast_to(v[:, None], (len(v), _TARGETS, *v.shape[1:])) for v in values]
    for slopes in choices:
        forms = layer.backward(LinearForm(a, c, np.zeros_like(c)), relaxation, slopes)
        where.demand(len(forms) == layer.arity, f"backward: {len(forms)} forms")
        pairs = zip(forms, values, strict=True)
        low = sum((_dot(f.coefficients, v) + f.constant - f.error for f, v in pairs), 0.0 * truth)
        where.below(low, truth, "backward: lower line above an output")
        many = np.broadcast_to(a, (len(outputs), *a.shape[1:]))
        picked = _items(many * layer.follow(many, relaxation, slopes, *each), 2)
        where.below(picked + c, truth, "follow: lower line above an output")


def _lines(
    layer: Layer,
    boxes: list[Interval],
    relaxation: Relaxation,
    values: list[Array],
    outputs: Array,
    *,
    where: Where,
) -> None:
    sizes = [prod(b.lower.shape[1:]) for b in boxes]
    unit, given, first = np.eye(sum(sizes))[None], [], 0
    for size in sizes:
        rows, none = unit[:, first : first + size], np.zeros((1, size))
        given.append(Lines(rows, rows, none, none, none))
        first += size
    inputs = np.concatenate([b.magnitude.reshape(1, -1) for b in boxes], axis=1)
    found = layer.lines(relaxation, inputs, *given)
    x = np.concatenate([v.reshape(len(v), -1) for v in values], axis=1)
    y = outputs.reshape(len(outputs), -1)
    low = x @ found.lower[0].T + found.lower_constant - found.error
    high = x @ found.upper[0].T + found.upper_constant + found.error
    where.below(low, y, "lines: lower line above an output")
    where.below(y, high, "lines: output above an upper line")


def _items(values: Array, axes: int = 1) -> Array:
    """Sum over everything behind the first axes."""
    return np.asarray(values.reshape(*values.shape[:axes], -1).sum(axis=-1))


def _dot(coefficients: Array, values: Array) -> Array:
    """Values of forms (1, targets, *shape) at points (batch, *shape)."""
    flat = coefficients.reshape(coefficients.shape[1], -1)
    return np.asarray(values.reshape(len(values), -1) @ flat.T)
