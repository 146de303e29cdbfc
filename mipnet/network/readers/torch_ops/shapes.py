"""Calls that move, select, join or repeat elements, ask for shapes, or do nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import NetworkError
from mipnet.network.numbers import Array
from mipnet.network.readers.combine import BATCH, axis_of, joined
from mipnet.network.readers.onnx_ops.shapes import gather
from mipnet.network.readers.torch_ops.step import Step, computed, reads, whole
from mipnet.network.readers.values import LOST, RefusalError, Value, bounded

Numbers = npt.NDArray[Any]


@reads("float", "double", "contiguous", "clone", "detach", "half", "bfloat16", alias=True)
def identity(step: Step, input: Any, *args: Any, **options: Any) -> Value:
    """Nothing."""
    del step, args, options
    return computed(input)


@reads("to", "type_as", alias=True)
def _to(step: Step, input: Any, *args: Any, **options: Any) -> Value:
    del step
    for target in (*args, *options.values()):
        if not getattr(target, "is_floating_point", True):
            reason = f"casts to {target}, which is no floating type; keep it in float"
            raise RefusalError(reason)
    return computed(input)


@reads("flatten", "ravel", alias=True)
def flatten(step: Step, input: Any, start_dim: int = 0, end_dim: int = -1) -> Value:
    """Several axes as one."""

    def change(a: Numbers) -> Numbers:
        first, last = (int(np.arange(max(a.ndim, 1))[d]) for d in (start_dim, end_dim))
        return a.reshape(*a.shape[:first], -1, *a.shape[last + 1 :])

    return computed(input).view(step.name, change)


@reads("unflatten", alias=True)
def unflatten(step: Step, input: Any, dim: int, sizes: Sequence[int]) -> Value:
    """One axis as several."""
    value = computed(input)
    if value.lost:
        return value.unknown
    axis = axis_of(step.name, value, int(dim), batch=True)
    parts = whole(sizes, "unflattens to")
    return value.reshape(step.name, (*value.shape[:axis], *parts, *value.shape[axis + 1 :]))


@reads("reshape", "view", alias=True)
def _reshape(step: Step, input: Any, *shape: Any, **options: Any) -> Value:
    sizes = options.get("shape", options.get("size", shape))
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = sizes[0]
    if any(isinstance(size, Value) and size.lost for size in sizes):
        return LOST
    return computed(input).reshape(step.name, whole(sizes, "reshapes to"))


@reads("squeeze", alias=True)
def _squeeze(step: Step, input: Any, dim: Any = None) -> Value:
    def change(a: Numbers) -> Numbers:
        axes = range(a.ndim) if dim is None else np.atleast_1d(dim)
        return np.squeeze(a, tuple(int(k) for k in axes if a.shape[k] == 1))

    return computed(input).view(step.name, change)


@reads("unsqueeze", alias=True)
def _unsqueeze(step: Step, input: Any, dim: int) -> Value:
    return computed(input).view(step.name, lambda a: np.expand_dims(a, dim))


@reads("transpose", "swapaxes", "swapdims", alias=True)
def _transpose(step: Step, input: Any, dim0: int, dim1: int) -> Value:
    value = computed(input)
    if value.lost:
        return value.unknown
    order = list(range(len(value.shape)))
    first, second = (axis_of(step.name, value, int(d), batch=True) for d in (dim0, dim1))
    order[first], order[second] = order[second], order[first]
    return value.transpose(step.name, order)


@reads("permute", alias=True)
def _permute(step: Step, input: Any, *dims: Any, **options: Any) -> Value:
    given = options.get("dims", dims)
    order = given[0] if len(given) == 1 and isinstance(given[0], (tuple, list)) else given
    value = computed(input)
    if value.lost:
        return value.unknown
    axes = whole(order, "permutes by")
    return value.transpose(step.name, [axis_of(step.name, value, d, batch=True) for d in axes])


@reads("movedim", "moveaxis", alias=True)
def _movedim(step: Step, input: Any, source: Any, destination: Any) -> Value:
    value = computed(input)
    if value.lost:
        return value.unknown
    order = np.moveaxis(np.empty(range(1, len(value.shape) + 1)), source, destination).shape
    return value.transpose(step.name, [n - 1 for n in order])


@reads("t", alias=True)
def transposed(step: Step, input: Any) -> Value:
    """Return the axes in reverse order."""
    value = computed(input)
    return value.transpose(step.name, range(len(value.shape))[::-1])


@reads("cat", "concat", "concatenate")
def _cat(step: Step, tensors: Sequence[Any], dim: int = 0) -> Value:
    parts: list[Value | Array] = [p if isinstance(p, Value) else step.constant(p) for p in tensors]
    return joined(step.graph, step.name, parts, int(dim))


@reads("stack")
def _stack(step: Step, tensors: Sequence[Any], dim: int = 0) -> Value:
    first = next(t for t in tensors if isinstance(t, Value))
    if first.lost:
        return first.unknown
    axis = axis_of(step.name, first.view(step.name, lambda a: a[None]), int(dim), batch=True)
    if axis == 0 and first.batched:
        raise RefusalError(BATCH)
    parts: list[Value | Array] = [
        _unsqueeze(step, p, axis)
        if isinstance(p, Value)
        else np.expand_dims(step.constant(p), axis)
        for p in tensors
    ]
    return joined(step.graph, step.name, parts, axis)


@reads("chunk", "tensor_split", alias=True)
def _chunk(step: Step, input: Any, chunks: int, dim: int = 0) -> Any:
    value = computed(input)
    if value.lost:
        return value.unknown
    axis = axis_of(step.name, value, int(dim), batch=True)
    return _split(step, value, -(-value.shape[axis] // int(chunks)), axis)


@reads("split", alias=True)
def _split(step: Step, input: Any, split_size_or_sections: Any, dim: int = 0) -> Any:
    value = computed(input)
    if value.lost:
        return value.unknown
    axis = axis_of(step.name, value, int(dim), batch=True)
    n, given = value.shape[axis], split_size_or_sections
    if isinstance(given, (tuple, list)):
        ends = np.cumsum([0, *given]).tolist()
    else:
        ends = [*range(0, n, int(given)), n]
    if ends[-1] != n:
        msg = f"layer {step.name!r}: parts of {given} do not fit axis {axis} of {value.shape}"
        raise NetworkError(msg)
    return tuple(value.slice(step.name, axis, a, b) for a, b in pairwise(ends))


@reads("narrow", alias=True)
def _narrow(step: Step, input: Any, dim: int, start: int, length: int) -> Value:
    value = computed(input)
    if not value.lost:
        n = value.shape[axis_of(step.name, value, int(dim), batch=True)]
        if not 0 <= start % n <= start % n + length <= n:
            msg = (
                f"layer {step.name!r}: {length} elements from {start} on are not within {n}; give "
            )
            msg += "places that it has"
            raise NetworkError(msg)
        start %= n
    return value.slice(step.name, int(dim), int(start), int(start) + int(length))


@reads("select", alias=True)
def _select(step: Step, input: Any, dim: int, index: int) -> Value:
    value = computed(input)
    if value.lost:
        return value.unknown
    axis = axis_of(step.name, value, int(dim), batch=True)
    return gather(step.name, value, np.asarray(int(index)), axis)


@reads("index_select")
def _index_select(step: Step, input: Any, dim: int, index: Any) -> Value:
    value = computed(input)
    if value.lost:
        return value.unknown
    axis = axis_of(step.name, value, int(dim), batch=True)
    return gather(step.name, value, step.constant(index).astype(np.int64), axis)


@reads("flip")
def _flip(step: Step, input: Any, *dims: Any) -> Value:
    axes = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    value = computed(input)
    for axis in whole(axes, "flips"):
        value = value.slice(step.name, axis, -1, -(10**18), -1)
    return value


@reads("expand", "broadcast_to", alias=True)
def _expand(step: Step, input: Any, *sizes: Any) -> Value:
    given = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
    value = computed(input)
    if value.lost:
        return value.unknown
    target = whole(given, "expands to")
    skipped = len(target) - len(value.shape)
    shape = tuple(value.shape[k - skipped] if n == -1 else n for k, n in enumerate(target))
    if value.batched and skipped <= 0 and shape[0] > 1:
        raise RefusalError(BATCH)
    result = value.broadcast(step.name, shape)
    if result.shape != shape:
        msg = f"layer {step.name!r}: shape {value.shape} does not expand to {shape}"
        raise NetworkError(msg)
    return result


@reads("expand_as", alias=True)
def _expand_as(step: Step, input: Any, other: Any) -> Value:
    return _expand(step, input, list(other.shape)) if not getattr(other, "lost", False) else LOST


@reads("repeat", "tile")
def _repeat(step: Step, input: Any, *sizes: Any) -> Value:
    given = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
    value = computed(input)
    if value.lost:
        return value.unknown
    counts = whole(given, "repeats")
    missing = len(counts) - len(value.shape)
    if missing > 0 or min(counts, default=1) < 1:
        msg = f"layer {step.name!r}: repeats {counts} do not fit shape {value.shape}"
        raise NetworkError(msg)
    counts = [1] * -missing + counts
    bounded(step.name, tuple(n * c for n, c in zip(value.shape, counts, strict=True)))
    for axis, count in enumerate(counts):
        if count > 1:
            value = joined(step.graph, step.name, [value] * count, axis)
    return value


@reads("getitem", alias=True)
def _getitem(step: Step, input: Any, index: Any) -> Any:
    value = computed(input)
    if value.lost:
        return value.unknown
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(isinstance(p, Value) for p in parts):
        reason = "selects elements by a computed index; select by numbers"
        raise RefusalError(reason)
    if Ellipsis in [p for p in parts if not hasattr(p, "shape")]:
        place = next(k for k, p in enumerate(parts) if p is Ellipsis)
        taken = sum(p is not None for p in parts) - 1
        parts[place : place + 1] = [slice(None)] * (len(value.shape) - taken)
    axis = 0
    for part in parts:
        if part is None:
            value = _unsqueeze(step, value, axis)
            axis += 1
        elif isinstance(part, slice):
            value = _sliced(step, value, axis, part)
            axis += 1
        elif isinstance(part, int) and not isinstance(part, bool):
            value = _select(step, value, axis, part)
        elif (places := _places(part)) is not None and sum(
            _places(p) is not None for p in parts
        ) == 1:
            _check_axis(step, value, axis)
            value = gather(step.name, value, places, axis)
            axis += 1
        else:
            reason = f"selects elements by {type(part).__name__}; use index_select"
            raise RefusalError(reason)
    return value


def _places(part: Any) -> npt.NDArray[np.int64] | None:
    """Return a list of places among the indices; None when it is something else."""
    if part is None or part is Ellipsis or isinstance(part, (int, slice)):
        return None
    found = np.asarray(part)
    return found.astype(np.int64) if found.ndim == 1 and found.dtype.kind in "iu" else None


def _check_axis(step: Step, value: Value, axis: int) -> None:
    if axis >= len(value.shape):
        msg = f"layer {step.name!r}: shape {value.shape} has no axis {axis}"
        raise NetworkError(msg)
    axis_of(step.name, value, axis)


def _sliced(step: Step, value: Value, axis: int, part: slice) -> Value:
    if axis > 0:
        _check_axis(step, value, axis)
    start, stop, stride = part.indices(value.shape[axis])
    whole([start, stop, stride], "slices by")
    return value.slice(step.name, axis, start, stop, stride)


@reads("size")
def _size(step: Step, input: Any, dim: int | None = None) -> Any:
    import torch

    del step
    value = computed(input)
    if value.lost:
        return LOST
    return torch.Size(value.shape) if dim is None else value.shape[dim]


@reads("dim", "ndimension")
def _rank(step: Step, input: Any) -> Any:
    del step
    return LOST if computed(input).lost else len(input.shape)


@reads("numel", "nelement")
def _numel(step: Step, input: Any) -> Any:
    del step
    return LOST if computed(input).lost else math.prod(input.shape)


@reads("getattr", alias=True)
def _getattr(step: Step, input: Any, name: str) -> Any:
    known = {"shape": _size, "ndim": _rank, "T": transposed, "mT": _matrix_t, "data": identity}
    value = computed(input)
    if name not in known:
        # Not knowing what a lost value is, every attribute of it is as unknown.
        if value.lost:
            return LOST
        reason = f"attribute {name!r} is not supported; use methods of torch that are read"
        raise RefusalError(reason)
    return known[name](step, value)


def _matrix_t(step: Step, input: Any) -> Value:
    return _transpose(step, input, -1, -2)
