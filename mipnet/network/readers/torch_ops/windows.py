"""Convolutions, pooling, padding, batch normalisation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mipnet.errors import NetworkError
from mipnet.network.layers import GlobalAvgPool, GlobalMaxPool
from mipnet.network.readers import windows
from mipnet.network.readers.combine import layered
from mipnet.network.readers.torch_ops.step import Step, computed, reads, spread
from mipnet.network.readers.values import RefusalError, Value

Sizes = int | Sequence[int]


@reads("conv1d", "conv2d", "conv3d")
def conv(  # noqa: PLR0917 - the order of torch
    step: Step,
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Value:
    """Convolution."""
    kernel = step.constant(weight, "weight")
    offset = None if bias is None else step.constant(bias, "bias")
    axes = kernel.ndim - 2
    if axes < 1:
        msg = f"layer {step.name!r}: weight must have shape (n_out, n_in / groups, *kernel), got "
        msg += f"{kernel.shape}"
        raise NetworkError(msg)
    strides, dilations = spread(stride, axes), spread(dilation, axes)
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilations, kernel.shape[2:], strict=True)]
        pads = [*(t // 2 for t in total), *(t - t // 2 for t in total)]
    else:
        pads = [0] * 2 * axes if isinstance(padding, str) else spread(padding, axes) * 2
    return windows.conv(
        step.graph, step.name, computed(input), kernel, offset,
        stride=strides, pads=pads, dilation=dilations, groups=groups,
    )  # fmt: skip


@reads("batch_norm")
def batch_norm(  # noqa: PLR0917 - the order of torch
    step: Step,
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Value:
    """Batch normalisation by running statistics."""
    del momentum
    if training or running_mean is None or running_var is None:
        reason = "normalises by the statistics of the batch; track running statistics"
        raise RefusalError(reason)
    mean = step.constant(running_mean, "running_mean")
    variance = step.constant(running_var, "running_var")
    gamma = np.ones(mean.shape) if weight is None else step.constant(weight, "weight")
    beta = np.zeros(mean.shape) if bias is None else step.constant(bias, "bias")
    parameters = (gamma, beta, mean, variance)
    return windows.batch_norm(step.graph, step.name, computed(input), parameters, eps)


@reads("max_pool1d", "max_pool2d", "max_pool3d")
def max_pool(  # noqa: PLR0917 - the order of torch
    step: Step,
    input: Any,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Value:
    """Maximum pooling."""
    value, kernel, strides, pads = _geometry(step, input, kernel_size, stride, padding, dilation)
    if return_indices:
        reason = "returns indices, which no layer gives; leave return_indices out"
        raise RefusalError(reason)
    return windows.max_pool(
        step.graph, step.name, value, kernel,
        stride=strides, pads=pads, dilation=spread(dilation, len(kernel)), ceil=bool(ceil_mode),
    )  # fmt: skip


@reads("avg_pool1d", "avg_pool2d", "avg_pool3d")
def avg_pool(  # noqa: PLR0917 - the order of torch
    step: Step,
    input: Any,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: Any = None,
) -> Value:
    """Average pooling."""
    value, kernel, strides, pads = _geometry(step, input, kernel_size, stride, padding, 1)
    if divisor_override is not None and ceil_mode:
        # The means of windows that reach past the padding have other divisors already.
        reason = "overrides its divisor with ceil_mode=True; leave one of them out"
        raise RefusalError(reason)
    counted = bool(count_include_pad) or divisor_override is not None
    result = windows.avg_pool(
        step.graph, step.name, value, kernel, stride=strides, pads=pads,
        dilation=[1] * len(kernel), ceil=bool(ceil_mode), counted=counted,
    )  # fmt: skip
    if divisor_override is None:
        return result
    factor = np.asarray(math.prod(kernel) / int(divisor_override))
    return result.apply(step.name, "mul", factor)


def _geometry(  # noqa: PLR0917 - the order of torch
    step: Step,
    input: Any,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    dilation: Sizes,
) -> tuple[Value, list[int], list[int], list[int]]:
    value = computed(input)
    axes = max(len(value.shape) - 2, 1)
    kernel = spread(kernel_size, axes)
    strides = kernel if stride is None or stride == [] else spread(stride, len(kernel))
    pads = spread(padding, len(kernel))
    spans = (d * (k - 1) + 1 for k, d in zip(kernel, spread(dilation, len(kernel)), strict=True))
    if any(2 * p > span for p, span in zip(pads, spans, strict=True)):
        msg = f"layer {step.name!r}: padding {pads} is above half the kernel {kernel}, which torch "
        msg += "does not run; use a smaller padding"
        raise NetworkError(msg)
    return value, kernel, strides, pads * 2


@reads("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
def adaptive_avg_pool(step: Step, input: Any, output_size: Any) -> Value:
    """Average pooling to a number of outputs that divides the inputs."""
    return _adaptive(step, input, output_size, mean=True)


@reads("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def adaptive_max_pool(
    step: Step, input: Any, output_size: Any, return_indices: bool = False
) -> Value:
    """Maximum pooling to a number of outputs that divides the inputs."""
    if return_indices:
        reason = "returns indices, which no layer gives; leave return_indices out"
        raise RefusalError(reason)
    return _adaptive(step, input, output_size, mean=False)


def _adaptive(step: Step, input: Any, output_size: Any, *, mean: bool) -> Value:
    value = computed(input)
    if value.lost:
        step.graph.images |= value.open
        return replace(value.unknown, channels=value.channels)
    spatial = value.shape[2:]
    given = output_size if isinstance(output_size, (tuple, list)) else [output_size] * len(spatial)
    if len(given) != len(spatial):
        msg = f"layer {step.name!r}: {tuple(given)} outputs do not fit shape {value.shape}"
        raise NetworkError(msg)
    sizes = [n if g is None else int(g) for g, n in zip(given, spatial, strict=True)]
    if all(s == 1 for s in sizes):
        kind = GlobalAvgPool if mean else GlobalMaxPool
        return layered(step.graph, step.name, value, kind, 3)
    if any(s < 1 or n % s for s, n in zip(sizes, spatial, strict=True)):
        reason = f"pools {spatial} to {tuple(sizes)}, which does not divide it into equal windows; "
        reason += "use an output size that divides the input"
        raise RefusalError(reason)
    kernel = [n // s for s, n in zip(sizes, spatial, strict=True)]
    return avg_pool(step, value, kernel) if mean else max_pool(step, value, kernel)


@reads("pad")
def pad(
    step: Step, input: Any, pad: Sequence[int], mode: str = "constant", value: Any = None
) -> Value:
    """Constant padding; the last axis comes first, as torch has it."""
    if mode != "constant":
        reason = f"pads by {mode!r}; only constant padding is read"
        raise RefusalError(reason)
    tensor = computed(input)
    if tensor.lost:
        return replace(tensor.unknown, channels=tensor.channels)
    numbers = [int(p) for p in pad]
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))[::-1]
    widths = ((0, 0),) * (len(tensor.shape) - len(pairs)) + tuple(pairs)
    filling = 0.0 if value is None else float(value)
    if np.isnan(filling) or filling == np.inf:
        msg = f"layer {step.name!r}: pads with {filling}"
        raise NetworkError(msg)
    return windows.pad(step.graph, step.name, tensor, widths, filling)
