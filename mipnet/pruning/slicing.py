"""Layers with fewer units: one rule for each kind that units may pass or reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError
from mipnet.network import Affine, Layer
from mipnet.network.layers import BatchNorm, Concat, Conv, PReLU, Reshape, Scale, Slice

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

#: Layer from itself, the kept elements of its inputs, those of its output.
Rule = Callable[[Any, Sequence[Flags], Flags], Layer]


def sliced(layer: Layer, sources: Sequence[Flags], own: Flags) -> Layer:
    """Return a layer over what is kept of its inputs and its output.

    Parameters
    ----------
    layer : Layer
        Affine layers and convolutions in one group are not among them: :func:`read`.
    sources : sequence of array of bool
        Kept elements of every input, of the shape of an item; inputs without any are left out.
    own : array of bool
        Kept elements of the output.
    """
    if own.all() and all(flags.all() for flags in sources):
        return layer
    rule = next((RULES[kind] for kind in type(layer).__mro__ if kind in RULES), None)
    return rule(layer, sources, own) if rule else layer


def read(layer: Affine | Conv, rows: Flags, columns: Flags, value: Array) -> Affine | Conv:
    """Return a layer with some rows and columns; the constants of the others join the bias.

    Parameters
    ----------
    layer : Affine or Conv
    rows, columns : array of bool, shape (n_out,), (n_in,)
    value : array, shape (n_in,)
        Values of the columns that go.
    """
    if rows.all() and columns.all():
        return layer
    weight = layer.weight[rows]
    bias = layer.bias[rows] + kernel_sums(weight[:, ~columns]) @ value[~columns]
    return replace(layer, weight=weight[:, columns], bias=bias)


def kernel_sums(weight: Array) -> Array:
    """Weights (n_out, n_in, *kernel) summed over the kernel: what a constant channel meets."""
    return np.asarray(weight.sum(axis=tuple(range(2, weight.ndim))))


def per_axis(flags: Flags) -> list[Flags]:
    """Kept indices along every axis of an item whose kept elements are a product of such.

    Raises
    ------
    MaskError
        When they are none.
    """
    axes = range(flags.ndim)
    others = [tuple(a for a in axes if a != axis) for axis in axes]
    parts = [np.asarray(flags.any(axis=rest)) for rest in others]
    if int(np.prod([part.sum() for part in parts])) != int(flags.sum()):
        msg = "what is left of an item is no array; please report this"
        raise MaskError(msg)
    return parts


def shape_of(flags: Flags) -> tuple[int, ...]:
    """Shape of the kept elements of an item."""
    return tuple(int(part.sum()) for part in per_axis(flags))


def spread(parameter: Array, parts: Sequence[Flags]) -> Array:
    """Kept entries of a parameter that is broadcast to an item."""
    for axis in range(-parameter.ndim, 0):
        if parameter.shape[axis] > 1:
            parameter = np.compress(parts[axis], parameter, axis=axis)
    return parameter


def _batch_norm(layer: BatchNorm, sources: Sequence[Flags], own: Flags) -> Layer:
    del sources
    rows = per_axis(own)[0]
    weight, bias, mean, variance = (p[rows] for p in layer.parameters)
    return BatchNorm(weight, bias, mean, variance, layer.epsilon)


def _scale(layer: Scale, sources: Sequence[Flags], own: Flags) -> Layer:
    del sources
    parts = per_axis(own)
    return Scale(*(spread(p, parts) for p in layer.parameters))


def _prelu(layer: PReLU, sources: Sequence[Flags], own: Flags) -> Layer:
    del sources
    return PReLU(spread(layer.slope, per_axis(own)))


def _grouped(layer: Conv, sources: Sequence[Flags], own: Flags) -> Layer:
    """Whole groups go: their outputs fall with their inputs."""
    del sources
    rows = per_axis(own)[0]
    groups = rows.reshape(layer.groups, -1).any(axis=1)
    return replace(
        layer, weight=layer.weight[rows], bias=layer.bias[rows], groups=int(groups.sum())
    )


def _reshape(layer: Reshape, sources: Sequence[Flags], own: Flags) -> Layer:
    del layer, sources
    return Reshape(shape_of(own))


def _concat(layer: Concat, sources: Sequence[Flags], own: Flags) -> Layer:
    del own
    return replace(layer, arity=len(sources))


def _slice(layer: Slice, sources: Sequence[Flags], own: Flags) -> Layer:
    del own
    parts = per_axis(sources[0])
    starts, ends = list(layer.starts), list(layer.ends)
    axes, steps = layer.axes or (), layer.steps or ()
    for k, (axis, step) in enumerate(zip(axes, steps, strict=True)):
        kept = parts[axis]
        if kept.all():
            continue
        inside = np.zeros(kept.size, bool)
        inside[_range(layer.starts[k], layer.ends[k], step, kept.size)] = True
        # Places, among those that stay, of what the range picks: successive, since steps are 1.
        places = np.flatnonzero(inside[kept])
        first, last = int(places[0]), int(places[-1])
        count = int(kept.sum())
        starts[k] = first if step > 0 else last
        ends[k] = last + 1 if step > 0 else first - 1 if first else -count - 1
    return Slice(starts, ends, axes, steps)


def _range(start: int, end: int, step: int, size: int) -> npt.NDArray[np.int64]:
    past = step < 0 and end < -size
    return np.arange(size)[slice(start, None if past else end, step)]


RULES: dict[type[Layer], Rule] = {
    BatchNorm: _batch_norm,
    Scale: _scale,
    PReLU: _prelu,
    Conv: _grouped,
    Reshape: _reshape,
    Concat: _concat,
    Slice: _slice,
}
