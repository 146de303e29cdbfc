"""Convolutions, pooling, padding, batch normalisation."""

from __future__ import annotations

import numpy as np

from mipnet.errors import NetworkError
from mipnet.network.layers import GlobalAvgPool, GlobalMaxPool
from mipnet.network.readers import windows
from mipnet.network.readers.combine import layered
from mipnet.network.readers.onnx_ops.step import Step, reads
from mipnet.network.readers.values import RefusalError, Value


@reads("Conv")
def _conv(step: Step) -> Value:
    weight, bias = step.parameter(1), step.optional(2)
    axes = weight.ndim - 2
    if axes < 1:
        msg = f"layer {step.name!r}: the kernel must have shape (n_out, n_in / groups, *sizes), "
        msg += f"got {weight.shape}"
        raise NetworkError(msg)
    kernel = step.integers(9, "kernel_shape")
    if kernel is not None and tuple(kernel) != weight.shape[2:]:
        msg = f"layer {step.name!r}: kernel_shape {kernel} is not that of the kernel {weight.shape}"
        raise NetworkError(msg)
    stride, dilation = _sizes(step, "strides", axes), _sizes(step, "dilations", axes)
    pads = _pads(step, weight.shape[2:], stride, dilation)
    return windows.conv(
        step.graph, step.name, step.value(), weight, bias,
        stride=stride, pads=pads, dilation=dilation, groups=int(step.attribute("group", 1)),
    )  # fmt: skip


@reads("MaxPool", "AveragePool")
def _pool(step: Step) -> Value:
    kernel = step.integers(9, "kernel_shape") or []
    axes = len(kernel)
    stride, dilation = _sizes(step, "strides", axes), _sizes(step, "dilations", axes)
    pads, ceil = _pads(step, kernel, stride, dilation), bool(step.attribute("ceil_mode", 0))
    graph, name, value = step.graph, step.name, step.value()
    if step.node.op_type == "MaxPool":
        return windows.max_pool(
            graph, name, value, kernel, stride=stride, pads=pads, dilation=dilation, ceil=ceil
        )
    counted = bool(step.attribute("count_include_pad", 0))
    return windows.avg_pool(
        graph, name, value, kernel,
        stride=stride, pads=pads, dilation=dilation, ceil=ceil, counted=counted,
    )  # fmt: skip


def _sizes(step: Step, key: str, axes: int) -> list[int]:
    """One number for every spatial axis."""
    found = [int(n) for n in step.attribute(key, [1] * axes)]
    if len(found) != axes:
        msg = f"layer {step.name!r}: {key} {found} do not fit a kernel of {axes} axes"
        raise NetworkError(msg)
    return found


def _pads(step: Step, kernel: object, stride: list[int], dilation: list[int]) -> list[int]:
    """All beginnings and then all ends, ``auto_pad`` worked out."""
    sizes = [int(k) for k in np.ravel(np.asarray(kernel, dtype=np.int64))]
    mode = step.text("auto_pad", "NOTSET")
    axes = len(sizes)
    if mode == "VALID":
        return [0] * 2 * axes
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        pads = [int(n) for n in step.attribute("pads", [0] * 2 * axes)]
        if len(pads) != 2 * axes:
            msg = f"layer {step.name!r}: pads {pads} do not fit a kernel of {axes} axes"
            raise NetworkError(msg)
        return pads
    value = step.value()
    if value.lost or len(value.shape) != axes + 2 or min([1, *stride]) < 1:
        return [0] * 2 * axes
    before, after = [], []
    for n, k, s, d in zip(value.shape[2:], sizes, stride, dilation, strict=True):
        missing = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        small, large = missing // 2, missing - missing // 2
        before.append(large if mode == "SAME_LOWER" else small)
        after.append(small if mode == "SAME_LOWER" else large)
    return before + after


@reads("GlobalAveragePool", "GlobalMaxPool")
def _global(step: Step) -> Value:
    kind = GlobalAvgPool if step.node.op_type == "GlobalAveragePool" else GlobalMaxPool
    return layered(step.graph, step.name, step.value(), kind, 3)


@reads("BatchNormalization")
def _batch_norm(step: Step) -> Value:
    if step.attribute("training_mode", 0) or len([o for o in step.node.output if o]) > 1:
        reason = "is in training mode; export the model for inference (model.eval())"
        raise RefusalError(reason)
    if not step.attribute("spatial", 1):
        reason = "normalises every element by itself (spatial=0); convert to a newer opset"
        raise RefusalError(reason)
    parameters = [step.parameter(k) for k in range(1, 5)]
    epsilon = step.number("epsilon", 1e-5)
    return windows.batch_norm(step.graph, step.name, step.value(), parameters, epsilon)


@reads("Pad")
def _pad(step: Step) -> Value:
    mode = step.text("mode", "constant")
    if mode != "constant":
        reason = f"pads by {mode!r}; only constant padding is read"
        raise RefusalError(reason)
    widths = step.integers(1, "pads" if step.opset >= 2 else "paddings")
    filling = step.raw(2)
    number = step.attribute("value", 0.0) if filling is None else np.ravel(filling)[0]
    axes = step.integers(3, "axes")
    value = step.value()
    if widths is None or len(widths) % 2:
        reason = "has no pairs of pads; give one for both ends of each axis"
        raise RefusalError(reason)
    if np.isnan(number) or number == np.inf:
        msg = f"layer {step.name!r}: pads with {number}"
        raise NetworkError(msg)
    half = len(widths) // 2
    pairs = list(zip(widths[:half], widths[half:], strict=True))
    if axes is not None and not value.lost:
        rank = len(value.shape)
        spread = [(0, 0)] * rank
        for axis, pair in zip(axes, pairs, strict=False):
            if not -rank <= axis < rank:
                msg = f"layer {step.name!r}: shape {value.shape} has no axis {axis}"
                raise NetworkError(msg)
            spread[axis] = pair
        pairs = spread
    return windows.pad(step.graph, step.name, value, tuple(pairs), float(number))
