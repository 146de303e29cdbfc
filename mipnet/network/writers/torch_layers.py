"""What every layer is in torch, one rule each: a module where torch has one, else calls."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mipnet.network.layers import (
    GELU,
    Add,
    Affine,
    AvgPool,
    BatchNorm,
    Clip,
    Concat,
    Conv,
    HardSigmoid,
    Layer,
    LeakyReLU,
    LogSoftmax,
    MaxPool,
    PReLU,
    Reshape,
    Scale,
    Slice,
    Softmax,
    Softplus,
    Transpose,
)
from mipnet.network.layers.base import Array, Shape
from mipnet.network.layers.window import Window

if TYPE_CHECKING:
    from torch.fx import Node as Call


class Draft(Protocol):
    """What a rule writes with."""

    def module(self, module: Any, *inputs: Call) -> Call:
        """Call a module that gets the name of the layer."""

    def function(self, name: str, *args: Any, **options: Any) -> Call:
        """Call a function of torch, or of ``torch.nn.functional``, by name."""

    def method(self, name: str, *args: Any) -> Call:
        """Call a method."""

    def buffer(self, values: Any, key: str) -> Call:
        """Read an array stored beside the layer."""


Rule = Callable[[Draft, Any, list[Any], list[Shape]], Any]
RULES: dict[str, Rule] = {}
#: Beyond it, ``softplus(x) = x`` in double precision.
FAR = 40.0


def writes(kind: str) -> Callable[[Rule], Rule]:
    """File a rule under the kind of layer it writes, as a decorator.

    Raises
    ------
    TypeError
        When the kind is taken.
    """

    def file(rule: Rule) -> Rule:
        if kind in RULES:
            msg = f"layer {kind!r} has two rules for torch"
            raise TypeError(msg)
        RULES[kind] = rule
        return rule

    return file


def _of(name: str, axes: int) -> Any:
    """Class of torch for a number of spatial axes."""
    from torch import nn

    return getattr(nn, f"{name}{axes}d")


def filled(module: Any, **values: Array) -> Any:
    """Set the parameters and buffers of a module, in double precision."""
    import torch

    module = module.double()
    with torch.no_grad():
        for key, array in values.items():
            getattr(module, key).copy_(torch.from_numpy(np.array(array)))
    return module


def _plain(kind: str, name: str) -> None:
    @writes(kind)
    def rule(draft: Draft, layer: Layer, inputs: list[Any], shapes: list[Shape]) -> Any:
        from torch import nn

        del layer, shapes
        return draft.module(getattr(nn, name)(), *inputs)


for _kind in ("ReLU", "Sigmoid", "Tanh", "SiLU", "Identity", "Flatten"):
    _plain(_kind, _kind)
_plain("HardSwish", "Hardswish")


@writes("Affine")
def _affine(draft: Draft, layer: Affine, inputs: list[Any], shapes: list[Shape]) -> Any:
    from torch import nn

    del shapes
    made = nn.Linear(layer.weight.shape[1], len(layer.weight))
    return draft.module(filled(made, weight=layer.weight, bias=layer.bias), *inputs)


def _padded(
    draft: Draft, window: Window, x: Any, sizes: tuple[Shape, Shape], *, fill: float
) -> tuple[Any, tuple[int, ...]]:
    """Input and padding of a module: torch pads both ends of an axis alike, by a call if not."""
    shape, outputs = sizes
    small = all(2 * b <= k for b, k in zip(window.before, window.kernel, strict=True))
    if window.before == window.after and (small or fill == 0.0):
        return x, window.before
    pairs = []
    for n, b, e, s, count in zip(
        shape[1:], window.before, window.extents, window.stride, outputs, strict=True
    ):
        pairs.append((b, s * (count - 1) + e - n - b))
    flat = [n for pair in reversed(pairs) for n in pair]
    return draft.function("pad", x, flat, value=fill), (0,) * len(pairs)


@writes("Conv")
def _conv(draft: Draft, layer: Conv, inputs: list[Any], shapes: list[Shape]) -> Any:
    window, shape = layer.window, shapes[0]
    outputs = layer.output_shape(shape)[1:]
    if len(outputs) > 3:
        return None
    x, padding = _padded(draft, window, inputs[0], (shape, outputs), fill=0.0)
    kind = _of("Conv", len(outputs))
    made = kind(
        shape[0], len(layer.weight), window.kernel, window.stride, padding, window.dilation,
        layer.groups,
    )  # fmt: skip
    return draft.module(filled(made, weight=layer.weight, bias=layer.bias), x)


@writes("BatchNorm")
def _batch_norm(draft: Draft, layer: BatchNorm, inputs: list[Any], shapes: list[Shape]) -> Any:
    axes = max(len(shapes[0]) - 1, 1)
    if axes > 3:
        shape = (-1, *(1,) * (len(shapes[0]) - 1))
        scale = Scale(layer.slope.reshape(shape), layer.intercept.reshape(shape))
        return _scale(draft, scale, inputs, shapes)
    made = _of("BatchNorm", axes)(layer.weight.size, eps=layer.epsilon)
    values = {"weight": layer.weight, "bias": layer.bias}
    values |= {"running_mean": layer.mean, "running_var": layer.variance}
    return draft.module(filled(made, **values), *inputs)


@writes("Scale")
def _scale(draft: Draft, layer: Scale, inputs: list[Any], shapes: list[Shape]) -> Any:
    del shapes
    (x,) = inputs
    scale, shift = layer.parameters
    if np.any(scale != 1.0) or not np.any(shift):
        x = draft.function("mul", x, draft.buffer(scale, "scale"))
    return draft.function("add", x, draft.buffer(shift, "shift")) if np.any(shift) else x


@writes("Add")
def _add(draft: Draft, layer: Add, inputs: list[Any], shapes: list[Shape]) -> Any:
    del shapes
    total = inputs[0]
    if layer.scales[0] != 1.0 or len(inputs) == 1:
        total = draft.function("mul", total, layer.scales[0])
    for x, factor in zip(inputs[1:], layer.scales[1:], strict=True):
        term = x if abs(factor) == 1.0 else draft.function("mul", x, factor)
        total = draft.function("sub" if factor == -1.0 else "add", total, term)
    return total


@writes("MaxPool")
def _max_pool(draft: Draft, layer: MaxPool, inputs: list[Any], shapes: list[Shape]) -> Any:
    window, shape = layer.window, shapes[0]
    outputs = layer.output_shape(shape)[1:]
    if len(outputs) > 3:
        return None
    x, padding = _padded(draft, window, inputs[0], (shape, outputs), fill=-math.inf)
    kind = _of("MaxPool", len(outputs))
    ceil = layer.ceil and x is inputs[0]
    return draft.module(
        kind(window.kernel, window.stride, padding, window.dilation, ceil_mode=ceil), x
    )


@writes("AvgPool")
def _avg_pool(draft: Draft, layer: AvgPool, inputs: list[Any], shapes: list[Shape]) -> Any:
    window, shape = layer.window, shapes[0]
    outputs = layer.output_shape(shape)[1:]
    if len(outputs) > 3:
        return None
    small = all(2 * b <= k for b, k in zip(window.before, window.kernel, strict=True))
    if window.before == window.after and small and max(window.dilation) == 1:
        made = _of("AvgPool", len(outputs))
        pool = made(window.kernel, window.stride, window.before, layer.ceil, layer.count_padding)
        return draft.module(pool, *inputs)
    # torch has no such pooling: a convolution that sums, and a division.
    channels = shape[0]
    pairs = zip(shape[1:], window.before, window.extents, window.stride, outputs, strict=True)
    ends = [(b, s * (count - 1) + e - n - b) for n, b, e, s, count in pairs]
    x = draft.function("pad", inputs[0], [n for pair in reversed(ends) for n in pair])
    kind = _of("Conv", len(outputs))
    conv = kind(
        channels, channels, window.kernel, window.stride, 0, window.dilation, channels, bias=False
    )
    total = draft.module(filled(conv, weight=np.ones((channels, 1, *window.kernel))), x)
    counts = window.counts(shape[1:], outputs, padding=layer.count_padding)
    return draft.function("div", total, draft.buffer(counts, "counts"))


@writes("GlobalAvgPool")
def _global_avg(draft: Draft, layer: Layer, inputs: list[Any], shapes: list[Shape]) -> Any:
    del layer
    return draft.method("mean", *inputs, tuple(range(2, len(shapes[0]) + 1)), True)


@writes("GlobalMaxPool")
def _global_max(draft: Draft, layer: Layer, inputs: list[Any], shapes: list[Shape]) -> Any:
    del layer
    return draft.method("amax", *inputs, tuple(range(2, len(shapes[0]) + 1)), True)


@writes("Concat")
def _concat(draft: Draft, layer: Concat, inputs: list[Any], shapes: list[Shape]) -> Any:
    del shapes
    return draft.function("cat", inputs, _axis(layer.axis))


@writes("Slice")
def _slice(draft: Draft, layer: Slice, inputs: list[Any], shapes: list[Shape]) -> Any:
    (x,), shape = inputs, shapes[0]
    for axis in range(len(shape)):
        numbers = layer.pick(np.indices(shape)[axis][None])[0]
        kept = np.unique(numbers) if numbers.size else numbers
        along = np.moveaxis(numbers, axis, 0).reshape(numbers.shape[axis], -1)[:, 0]
        if along.size == shape[axis] and np.array_equal(along, kept):
            continue
        gaps = np.diff(along)
        if gaps.size and gaps[0] < 0:
            x = draft.function("index_select", x, axis + 1, draft.buffer(along, f"axis{axis}"))
            continue
        step = int(gaps[0]) if gaps.size else 1
        part = slice(int(along[0]), int(along[-1]) + 1, step)
        x = draft.function("getitem", x, (*(slice(None),) * (axis + 1), part))
    return x if x is not inputs[0] else draft.method("contiguous", x)


@writes("Reshape")
def _reshape(draft: Draft, layer: Reshape, inputs: list[Any], shapes: list[Shape]) -> Any:
    return draft.method("reshape", *inputs, (-1, *layer.output_shape(*shapes)))


@writes("Transpose")
def _transpose(draft: Draft, layer: Transpose, inputs: list[Any], shapes: list[Shape]) -> Any:
    del shapes
    return draft.method("permute", *inputs, (0, *(a + 1 for a in layer.axes)))


@writes("Abs")
def _abs(draft: Draft, layer: Layer, inputs: list[Any], shapes: list[Shape]) -> Any:
    del layer, shapes
    return draft.function("abs", *inputs)


@writes("LeakyReLU")
def _leaky(draft: Draft, layer: LeakyReLU, inputs: list[Any], shapes: list[Shape]) -> Any:
    from torch import nn

    del shapes
    return draft.module(nn.LeakyReLU(layer.slope), *inputs)


@writes("PReLU")
def _prelu(draft: Draft, layer: PReLU, inputs: list[Any], shapes: list[Shape]) -> Any:
    from torch import nn

    slope, shape = layer.slope, shapes[0]
    by_channel = slope.shape == (shape[0], *(1,) * (len(shape) - 1))
    if slope.size == 1 or by_channel:
        return draft.module(filled(nn.PReLU(slope.size), weight=slope.reshape(-1)), *inputs)
    (x,) = inputs
    below = draft.function("mul", draft.function("clamp_max", x, 0.0), draft.buffer(slope, "slope"))
    return draft.function("add", draft.function("relu", x), below)


@writes("Clip")
def _clip(draft: Draft, layer: Clip, inputs: list[Any], shapes: list[Shape]) -> Any:
    from torch import nn

    del shapes
    if math.isfinite(layer.low) and math.isfinite(layer.high):
        return draft.module(nn.Hardtanh(layer.low, layer.high), *inputs)
    name, end = ("clamp_min", layer.low) if math.isfinite(layer.low) else ("clamp_max", layer.high)
    return draft.function(name, *inputs, end)


@writes("HardSigmoid")
def _hard_sigmoid(draft: Draft, layer: HardSigmoid, inputs: list[Any], shapes: list[Shape]) -> Any:
    from torch import nn

    del shapes
    if (layer.alpha, layer.beta) == (1.0 / 6.0, 0.5):
        return draft.module(nn.Hardsigmoid(), *inputs)
    line = draft.function("add", draft.function("mul", *inputs, layer.alpha), layer.beta)
    return draft.module(nn.Hardtanh(0.0, 1.0), line)


@writes("Softplus")
def _softplus(draft: Draft, layer: Softplus, inputs: list[Any], shapes: list[Shape]) -> Any:
    from torch import nn

    del shapes
    return draft.module(nn.Softplus(layer.beta, FAR), *inputs)


@writes("GELU")
def _gelu(draft: Draft, layer: GELU, inputs: list[Any], shapes: list[Shape]) -> Any:
    from torch import nn

    del shapes
    return draft.module(nn.GELU(layer.approximate), *inputs)


@writes("Softmax")
def _softmax(draft: Draft, layer: Softmax, inputs: list[Any], shapes: list[Shape]) -> Any:
    from torch import nn

    del shapes
    return draft.module(nn.Softmax(_axis(layer.axis)), *inputs)


@writes("LogSoftmax")
def _log_softmax(draft: Draft, layer: LogSoftmax, inputs: list[Any], shapes: list[Shape]) -> Any:
    from torch import nn

    del shapes
    return draft.module(nn.LogSoftmax(_axis(layer.axis)), *inputs)


def _axis(axis: int) -> int:
    """Axis with the batch axis counted."""
    return axis + 1 if axis >= 0 else axis
