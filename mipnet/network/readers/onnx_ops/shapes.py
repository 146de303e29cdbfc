"""Steps that move, select, join or repeat elements, and those that do nothing."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mipnet.errors import NetworkError
from mipnet.network.numbers import Array
from mipnet.network.readers.combine import axis_of, joined
from mipnet.network.readers.complaints import LostError
from mipnet.network.readers.onnx_ops.step import FLOATS, Step, reads
from mipnet.network.readers.values import RefusalError, Value, bounded

Anything = npt.NDArray[np.int64]


@reads("Identity")
def _identity(step: Step) -> Value:
    return step.value()


@reads("Dropout")
def _dropout(step: Step) -> Value:
    training = step.raw(2)
    if (training is not None and np.any(training)) or (
        step.opset < 7 and not step.attribute("is_test", 0)
    ):
        reason = "is in training mode; export the model for inference (model.eval())"
        raise RefusalError(reason)
    return step.value()


@reads("Cast")
def _cast(step: Step) -> Value:
    if step.attribute("to") not in FLOATS:
        reason = "casts to a type that is not float, double, float16 or bfloat16; keep it in float"
        raise RefusalError(reason)
    return step.value()


@reads("Flatten")
def _flatten(step: Step) -> Value:
    axis = int(step.attribute("axis", 1))

    def change(a: Anything) -> Anything:
        if not -a.ndim <= axis <= a.ndim:
            msg = f"axis {axis} is out of range"
            raise ValueError(msg)
        rows = math.prod(a.shape[: axis + a.ndim if axis < 0 else axis])
        return a.reshape(rows, -1)

    return step.value().view(step.name, change)


@reads("Reshape")
def _reshape(step: Step) -> Value:
    sizes = step.integers(1, "shape")
    if sizes is None:
        reason = "has no shape; give it one"
        raise RefusalError(reason)
    value, keep = step.value(), not step.attribute("allowzero", 0)
    if value.lost:
        return value.unknown
    for k, n in enumerate(sizes):
        if n == 0 and keep:
            if k >= len(value.shape):
                msg = (
                    f"layer {step.name!r}: shape {sizes} keeps axis {k}, but {value.shape} has none"
                )
                raise NetworkError(msg)
            sizes[k] = value.shape[k]
    return value.reshape(step.name, sizes)


@reads("Transpose")
def _transpose(step: Step) -> Value:
    value = step.value()
    order = step.integers(9, "perm")
    return value.transpose(step.name, range(len(value.shape))[::-1] if order is None else order)


@reads("Squeeze")
def _squeeze(step: Step) -> Value:
    axes = step.integers(1, "axes")
    return step.value().view(
        step.name, lambda a: np.squeeze(a, None if axes is None else tuple(axes))
    )


@reads("Unsqueeze")
def _unsqueeze(step: Step) -> Value:
    axes = tuple(step.integers(1, "axes") or ())
    return step.value().view(step.name, lambda a: np.expand_dims(a, axes))


@reads("Slice")
def _slice(step: Step) -> Value:
    starts, ends = step.integers(1, "starts"), step.integers(2, "ends")
    if starts is None or ends is None or len(starts) != len(ends):
        reason = f"has starts {starts} and ends {ends}; give as many of both, as constants"
        raise RefusalError(reason)
    axes = step.integers(3, "axes") or list(range(len(starts)))
    steps = step.integers(4, "steps") or [1] * len(starts)
    if len({len(starts), len(axes), len(steps)}) > 1 or 0 in steps:
        reason = (
            f"has axes {axes} and steps {steps} for {len(starts)} starts; give as many of each, "
        )
        reason += "and steps other than 0"
        raise RefusalError(reason)
    value = step.value()
    for start, end, axis, stride in zip(starts, ends, axes, steps, strict=True):
        value = value.slice(step.name, axis, start, end, stride)
    return value


@reads("Split")
def _split(step: Step) -> list[Value]:
    value, count = step.value(), len(step.node.output)
    if value.lost:
        return [value.unknown] * count
    axis = axis_of(step.name, value, int(step.attribute("axis", 0)), batch=True)
    sizes = step.integers(1, "split")
    n = value.shape[axis]
    if sizes is None:
        part = -(-n // count)
        sizes = [min(part, n - k * part) for k in range(count)]
    if len(sizes) != count or sum(sizes) != n or min(sizes) < 1:
        msg = f"layer {step.name!r}: parts of {sizes} do not fit axis {axis} of shape {value.shape}"
        raise NetworkError(msg)
    ends = np.cumsum([0, *sizes]).tolist()
    return [value.slice(step.name, axis, ends[k], ends[k + 1]) for k in range(count)]


@reads("Concat")
def _concat(step: Step) -> Value:
    parts: list[Value | Array] = [
        step.value(i) if i in step.computed else step.parameter(i) for i in range(len(step.inputs))
    ]
    return joined(step.graph, step.name, parts, int(step.attribute("axis", 1)))


@reads("Gather")
def _gather(step: Step) -> Value:
    value, index = step.value(), step.raw(1)
    if index is None or index.dtype.kind not in "iu":
        reason = "has no whole numbers as indices; select by whole numbers"
        raise RefusalError(reason)
    if value.lost:
        return value.unknown
    axis = axis_of(step.name, value, int(step.attribute("axis", 0)), batch=True)
    return gather(step.name, value, index, axis)


def gather(name: str, value: Value, index: npt.NDArray[np.int64], axis: int) -> Value:
    """Elements along an axis, as NumPy's take; an even range is a slice."""
    n = value.shape[axis]
    if index.size and (index.min() < -n or index.max() >= n):
        msg = f"layer {name!r}: index {index.min()} to {index.max()} is not within {n} elements"
        raise NetworkError(msg)
    shape = (*value.shape[:axis], *index.shape, *value.shape[axis + 1 :])
    bounded(name, shape)
    flat = index.ravel() % n
    gaps = np.unique(np.diff(flat))
    if flat.size and gaps.size <= 1 and (gaps != 0).all():
        stride = int(gaps[0]) if gaps.size else 1
        end = int(flat[-1]) + (1 if stride > 0 else -1)
        part = value.slice(name, axis, int(flat[0]), end if end >= 0 else -n - 1, stride)
        return part.reshape(name, shape)
    return value.view(name, lambda a: np.take(a, flat.reshape(index.shape), axis))


@reads("Expand")
def _expand(step: Step) -> Value:
    shape = step.integers(1, "shape") or []
    value = step.value()
    if value.batched and len(shape) >= len(value.shape) and shape[0] > 1:
        reason = "repeats items along the batch axis; let it act on the other axes"
        raise RefusalError(reason)
    return value.broadcast(step.name, tuple(shape))


@reads("Tile")
def _tile(step: Step) -> Value:
    counts, value = step.integers(1, "repeats") or [], step.value()
    if value.lost:
        return value.unknown
    if len(counts) != len(value.shape) or min(counts, default=1) < 1:
        msg = f"layer {step.name!r}: repeats {counts} do not fit shape {value.shape}"
        raise NetworkError(msg)
    bounded(step.name, tuple(n * c for n, c in zip(value.shape, counts, strict=True)))
    for axis, count in enumerate(counts):
        if count > 1:
            value = joined(step.graph, step.name, [value] * count, axis)
    return value


@reads("Shape")
def _shape(step: Step) -> npt.NDArray[np.int64]:
    value = step.value()
    if value.lost:
        raise LostError
    window = slice(step.attribute("start", 0), step.attribute("end"))
    return np.array(value.shape[window], dtype=np.int64)


@reads("Size")
def _size(step: Step) -> npt.NDArray[np.int64]:
    value = step.value()
    if value.lost:
        raise LostError
    return np.asarray(value.index.size, dtype=np.int64)
