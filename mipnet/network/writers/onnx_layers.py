"""What every layer is in ONNX, one rule each."""

from __future__ import annotations

import math
from typing import Any

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
from mipnet.network.layers.base import Shape
from mipnet.network.layers.window import Window
from mipnet.network.writers.onnx_draft import Draft, writes

Names = list[str]
Shapes = list[Shape]

#: Layers that are one node without parameters.
PLAIN = {
    "Abs": "Abs",
    "GlobalAvgPool": "GlobalAveragePool",
    "GlobalMaxPool": "GlobalMaxPool",
    "HardSwish": "HardSwish",
    "Identity": "Identity",
    "ReLU": "Relu",
    "Sigmoid": "Sigmoid",
    "Tanh": "Tanh",
}


def _plain(kind: str, operation: str) -> None:
    @writes(kind)
    def rule(draft: Draft, layer: Layer, inputs: Names, name: str, shapes: Shapes) -> None:
        del layer, shapes
        draft.add(operation, inputs, name)


for _kind, _operation in PLAIN.items():
    _plain(_kind, _operation)


def _window(window: Window) -> dict[str, Any]:
    return {
        "kernel_shape": window.kernel,
        "strides": window.stride,
        "dilations": window.dilation,
        "pads": (*window.before, *window.after),
    }


def _axis(axis: int) -> int:
    """Axis with the batch axis counted."""
    return axis + 1 if axis >= 0 else axis


@writes("Affine")
def _affine(draft: Draft, layer: Affine, inputs: Names, name: str, shapes: Shapes) -> None:
    del shapes
    weight = draft.constant(layer.weight, f"{name}.weight")
    bias = draft.constant(layer.bias, f"{name}.bias")
    draft.add("Gemm", [*inputs, weight, bias], name, transB=1)


@writes("Conv")
def _conv(draft: Draft, layer: Conv, inputs: Names, name: str, shapes: Shapes) -> None:
    del shapes
    weight = draft.constant(layer.weight, f"{name}.weight")
    bias = draft.constant(layer.bias, f"{name}.bias")
    draft.add("Conv", [*inputs, weight, bias], name, **_window(layer.window), group=layer.groups)


@writes("BatchNorm")
def _batch_norm(draft: Draft, layer: BatchNorm, inputs: Names, name: str, shapes: Shapes) -> None:
    del shapes
    # The attribute is single precision: what it loses goes into the variance.
    epsilon = float(np.float32(layer.epsilon))
    variance = layer.variance
    if draft.dtype == np.float64:
        variance = variance + (layer.epsilon - epsilon)
    parts = {"weight": layer.weight, "bias": layer.bias, "mean": layer.mean, "variance": variance}
    names = [draft.constant(values, f"{name}.{key}") for key, values in parts.items()]
    draft.add("BatchNormalization", [*inputs, *names], name, epsilon=epsilon)


@writes("Scale")
def _scale(draft: Draft, layer: Scale, inputs: Names, name: str, shapes: Shapes) -> None:
    del shapes
    scale, shift = layer.parameters
    steps = [("Mul", scale, "scale", bool(np.any(scale != 1.0)))]
    steps.append(("Add", shift, "shift", bool(np.any(shift))))
    kept = [step[:3] for step in steps if step[3]]
    if not kept:
        draft.add("Identity", inputs, name)
    for k, (kind, values, key) in enumerate(kept):
        part = "" if k == len(kept) - 1 else key
        constant = draft.constant(values, f"{name}.{key}")
        inputs = [draft.add(kind, [*inputs, constant], name, part)]


@writes("Add")
def _add(draft: Draft, layer: Add, inputs: Names, name: str, shapes: Shapes) -> None:
    del shapes
    if tuple(layer.scales) == (1.0, -1.0):
        draft.add("Sub", inputs, name)
        return
    terms = []
    for k, (source, factor) in enumerate(zip(inputs, layer.scales, strict=True)):
        term = source
        if factor != 1.0:
            constant = draft.constant(factor, f"{name}.scale{k}")
            term = draft.add("Mul", [source, constant], name, f"scaled{k}")
        terms.append(term)
    kinds = {1: "Identity", 2: "Add"}
    draft.add(kinds.get(len(terms), "Sum"), terms, name)


@writes("AvgPool")
def _avg_pool(draft: Draft, layer: AvgPool, inputs: Names, name: str, shapes: Shapes) -> None:
    del shapes
    options = {**_window(layer.window), "ceil_mode": int(layer.ceil)}
    draft.add("AveragePool", inputs, name, **options, count_include_pad=int(layer.count_padding))


@writes("MaxPool")
def _max_pool(draft: Draft, layer: MaxPool, inputs: Names, name: str, shapes: Shapes) -> None:
    del shapes
    draft.add("MaxPool", inputs, name, **_window(layer.window), ceil_mode=int(layer.ceil))


@writes("Concat")
def _concat(draft: Draft, layer: Concat, inputs: Names, name: str, shapes: Shapes) -> None:
    del shapes
    draft.add("Concat", inputs, name, axis=_axis(layer.axis))


@writes("Slice")
def _slice(draft: Draft, layer: Slice, inputs: Names, name: str, shapes: Shapes) -> None:
    del shapes
    axes = [_axis(a) for a in layer.axes or ()]
    parts = {"starts": layer.starts, "ends": layer.ends, "axes": axes, "steps": layer.steps}
    names = [draft.integers(values, f"{name}.{key}") for key, values in parts.items()]
    draft.add("Slice", [*inputs, *names], name)


@writes("Reshape")
def _reshape(draft: Draft, layer: Reshape, inputs: Names, name: str, shapes: Shapes) -> None:
    sizes = draft.integers((0, *layer.output_shape(*shapes)), f"{name}.shape")
    draft.add("Reshape", [*inputs, sizes], name)


@writes("Flatten")
def _flatten(draft: Draft, layer: Layer, inputs: Names, name: str, shapes: Shapes) -> None:
    del layer, shapes
    draft.add("Flatten", inputs, name, axis=1)


@writes("Transpose")
def _transpose(draft: Draft, layer: Transpose, inputs: Names, name: str, shapes: Shapes) -> None:
    del shapes
    draft.add("Transpose", inputs, name, perm=(0, *(a + 1 for a in layer.axes)))


@writes("LeakyReLU")
def _leaky(draft: Draft, layer: LeakyReLU, inputs: Names, name: str, shapes: Shapes) -> None:
    del shapes
    draft.add("LeakyRelu", inputs, name, alpha=layer.slope)


@writes("PReLU")
def _prelu(draft: Draft, layer: PReLU, inputs: Names, name: str, shapes: Shapes) -> None:
    del shapes
    draft.add("PRelu", [*inputs, draft.constant(layer.slope, f"{name}.slope")], name)


@writes("Clip")
def _clip(draft: Draft, layer: Clip, inputs: Names, name: str, shapes: Shapes) -> None:
    del shapes
    ends = {"low": layer.low, "high": layer.high}
    names = [
        draft.constant(v, f"{name}.{key}") if math.isfinite(v) else "" for key, v in ends.items()
    ]
    draft.add("Clip", [*inputs, *(names if names[1] else names[:1])], name)


@writes("HardSigmoid")
def _hard_sigmoid(
    draft: Draft, layer: HardSigmoid, inputs: Names, name: str, shapes: Shapes
) -> None:
    del shapes
    draft.add("HardSigmoid", inputs, name, alpha=layer.alpha, beta=layer.beta)


@writes("Softplus")
def _softplus(draft: Draft, layer: Softplus, inputs: Names, name: str, shapes: Shapes) -> None:
    del shapes
    if layer.beta == 1.0:
        draft.add("Softplus", inputs, name)
        return
    beta = draft.constant(layer.beta, f"{name}.beta")
    inner = draft.add("Mul", [*inputs, beta], name, "scaled")
    draft.add("Div", [draft.add("Softplus", [inner], name, "softplus"), beta], name)


@writes("GELU")
def _gelu(draft: Draft, layer: GELU, inputs: Names, name: str, shapes: Shapes) -> None:
    del shapes
    draft.add("Gelu", inputs, name, approximate=layer.approximate)


@writes("SiLU")
def _silu(draft: Draft, layer: Layer, inputs: Names, name: str, shapes: Shapes) -> None:
    del layer, shapes
    draft.add("Mul", [*inputs, draft.add("Sigmoid", inputs, name, "sigmoid")], name)


@writes("Softmax")
def _softmax(draft: Draft, layer: Softmax, inputs: Names, name: str, shapes: Shapes) -> None:
    del shapes
    draft.add("Softmax", inputs, name, axis=_axis(layer.axis))


@writes("LogSoftmax")
def _log_softmax(draft: Draft, layer: LogSoftmax, inputs: Names, name: str, shapes: Shapes) -> None:
    del shapes
    draft.add("LogSoftmax", inputs, name, axis=_axis(layer.axis))
