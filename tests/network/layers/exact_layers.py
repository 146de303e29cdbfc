"""Layers in rational arithmetic, element by element, with no code of the package but its data."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np

Array = np.ndarray


def exact(values: Array) -> Array:
    """Array of the same shape whose entries are Fractions."""
    return np.vectorize(Fraction, otypes=[object])(np.asarray(values, dtype=float))


def conv(layer, x: Array) -> Array:
    weight, bias = exact(layer.weight), exact(layer.bias)
    padded, places = _windows(layer, x, layer.weight.shape[2:])
    per_group = weight.shape[1]
    out = np.empty((len(weight), *places), dtype=object)
    for o, *where in product(range(len(weight)), *map(range, places)):
        first = o // (len(weight) // layer.groups) * per_group
        total = bias[o]
        for c, *k in product(range(per_group), *map(range, weight.shape[2:])):
            at = [w * s + i * d for w, s, i, d in
                  zip(where, layer.stride, k, layer.dilation, strict=True)]  # fmt: skip
            total += weight[(o, c, *k)] * padded[(first + c, *at)]
        out[(o, *where)] = total
    return out


def _windows(layer, x: Array, kernel) -> tuple[Array, list[int]]:
    axes = len(kernel)
    pads = layer.padding
    before, after = pads[:axes], pads[-axes:]
    padded = np.full((x.shape[0], *(n + b + a for n, b, a in
                     zip(x.shape[1:], before, after, strict=True))), Fraction(0))  # fmt: skip
    padded[(slice(None), *(slice(b, b + n) for b, n in zip(before, x.shape[1:], strict=True)))] = x
    places = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in
              zip(padded.shape[1:], kernel, layer.stride, layer.dilation, strict=True)]  # fmt: skip
    return padded, places


def _pooled(layer, x: Array):
    """Every window as (place, elements inside the item, elements inside item and padding)."""
    w = layer.window
    places = layer.output_shape(x.shape)[1:]
    for c, *where in product(range(x.shape[0]), *map(range, places)):
        inside, counted = [], 0
        for k in product(*map(range, w.kernel)):
            at = [p * s + i * d - b for p, s, i, d, b in
                  zip(where, w.stride, k, w.dilation, w.before, strict=True)]  # fmt: skip
            room = zip(at, x.shape[1:], w.before, w.after, strict=True)
            counted += all(-b <= i < n + a for i, n, b, a in room)
            if all(0 <= i < n for i, n in zip(at, x.shape[1:], strict=True)):
                inside.append(x[(c, *at)])
        yield (c, *where), inside, counted


def avg_pool(layer, x: Array) -> Array:
    out = np.empty(layer.output_shape(x.shape), dtype=object)
    for where, inside, counted in _pooled(layer, x):
        out[where] = sum(inside, Fraction(0)) / (counted if layer.count_padding else len(inside))
    return out


def max_pool(layer, x: Array) -> Array:
    out = np.empty(layer.output_shape(x.shape), dtype=object)
    for where, inside, _ in _pooled(layer, x):
        out[where] = max(inside)
    return out


def global_avg_pool(layer, x: Array) -> Array:
    means = [sum(channel.reshape(-1), Fraction(0)) / channel.size for channel in x]
    return np.array(means, dtype=object).reshape(-1, *(1,) * (x.ndim - 1))


def global_max_pool(layer, x: Array) -> Array:
    most = [max(channel.reshape(-1)) for channel in x]
    return np.array(most, dtype=object).reshape(-1, *(1,) * (x.ndim - 1))


def batch_norm(layer, x: Array) -> Array:
    column = (-1, *(1,) * (x.ndim - 1))
    return x * exact(layer.slope).reshape(column) + exact(layer.intercept).reshape(column)


def affine(layer, x: Array) -> Array:
    return exact(layer.weight) @ x + exact(layer.bias)


def scale(layer, x: Array) -> Array:
    return x * exact(layer.scale) + exact(layer.shift)


def add(layer, *values: Array) -> Array:
    return sum(v * Fraction(s) for v, s in zip(values, layer.scales, strict=True))


def concat(layer, *values: Array) -> Array:
    return np.concatenate(values, axis=layer.axis)


def slice_(layer, x: Array) -> Array:
    for start, end, axis, step in zip(
        layer.starts, layer.ends, layer.axes, layer.steps, strict=True
    ):
        n = x.shape[axis]
        # Positions by counting, not by Python's slicing.
        first = start + n if start < 0 else start
        last = end + n if end < 0 else end
        first = min(max(first, 0), n if step > 0 else n - 1)
        last = min(max(last, 0 if step > 0 else -1), n if step > 0 else n - 1)
        where, kept = first, []
        while where < last if step > 0 else where > last:
            kept.append(where)
            where += step
        x = np.take(x, kept, axis=axis)
    return x


def elementwise(rule):
    """Layer whose elements are functions of one Fraction."""
    return lambda layer, x: np.vectorize(lambda v: rule(layer, v), otypes=[object])(x)


def prelu(layer, x: Array) -> Array:
    slope = np.broadcast_to(exact(layer.slope), x.shape)
    return np.where(x > 0, x, slope * x)


def clip(layer, v: Fraction) -> Fraction:
    low = v if layer.low == -np.inf else max(v, Fraction(layer.low))
    return low if layer.high == np.inf else min(low, Fraction(layer.high))


def hard_sigmoid(layer, v: Fraction) -> Fraction:
    line = Fraction(layer.alpha) * v + Fraction(layer.beta)
    return min(Fraction(1), max(Fraction(0), line))


EXACT = {
    "Abs": elementwise(lambda layer, v: abs(v)),
    "Clip": elementwise(clip),
    "HardSigmoid": elementwise(hard_sigmoid),
    "LeakyReLU": elementwise(lambda layer, v: v if v > 0 else Fraction(layer.slope) * v),
    "GlobalMaxPool": global_max_pool,
    "MaxPool": max_pool,
    "PReLU": prelu,
    "ReLU": elementwise(lambda layer, v: max(v, Fraction(0))),
    "Add": add,
    "Affine": affine,
    "AvgPool": avg_pool,
    "BatchNorm": batch_norm,
    "Concat": concat,
    "Conv": conv,
    "Flatten": lambda layer, x: x.reshape(-1),
    "GlobalAvgPool": global_avg_pool,
    "Identity": lambda layer, x: x,
    "Reshape": lambda layer, x: x.reshape(layer.shape),
    "Scale": scale,
    "Slice": slice_,
    "Transpose": lambda layer, x: np.transpose(x, layer.axes),
}
