"""Elementwise activations, Softmax and LogSoftmax."""

from __future__ import annotations

import math

import numpy as np

from mipnet.errors import NetworkError
from mipnet.network.layers import (
    GELU,
    Abs,
    Clip,
    HardSigmoid,
    HardSwish,
    Layer,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
)
from mipnet.network.readers import combine, gates
from mipnet.network.readers.combine import along, axis_of, elementwise
from mipnet.network.readers.onnx_ops.step import Step, reads
from mipnet.network.readers.values import RefusalError, Value

SIMPLE: dict[str, type[Layer]] = {
    "Abs": Abs,
    "HardSwish": HardSwish,
    "Relu": ReLU,
    "Sigmoid": Sigmoid,
    "Softplus": Softplus,
}
#: Bounds of a Clip beyond the range of single precision are none.
LARGEST = float(np.finfo(np.float32).max)


@reads(*SIMPLE)
def _simple(step: Step) -> Value:
    return elementwise(step.graph, step.name, step.value(), SIMPLE[step.node.op_type])


@reads("LeakyRelu")
def _leaky(step: Step) -> Value:
    alpha = step.number("alpha", 0.01)
    return elementwise(step.graph, step.name, step.value(), lambda: LeakyReLU(alpha))


@reads("PRelu")
def _prelu(step: Step) -> Value:
    return prelu(step, step.parameter(1))


def prelu(step: Step, slope: np.ndarray) -> Value:
    """PReLU with a slope that broadcasts to the value, batch axis included."""
    value = step.value()
    if slope.ndim == len(value.shape) and slope.shape[0] == 1 and slope.ndim > 1:
        slope = slope[0]
    return combine.prelu(step.graph, step.name, value, slope)


@reads("Clip")
def _clip(step: Step) -> Value:
    ends = []
    for position, key, free in ((1, "min", -math.inf), (2, "max", math.inf)):
        found = step.raw(position) if step.opset >= 11 else None
        number = step.attribute(key, free) if found is None else np.ravel(found)[0]
        if found is not None and found.size != 1:
            reason = f"has a {key} that is no single number; use Max and Min"
            raise RefusalError(reason)
        if np.isnan(number):
            msg = f"layer {step.name!r}: {key} is NaN"
            raise NetworkError(msg)
        ends.append(float(number) if abs(number) < LARGEST else math.copysign(math.inf, number))
    if ends == [-math.inf, math.inf]:
        return step.value()
    if ends == [0.0, math.inf]:
        return elementwise(step.graph, step.name, step.value(), ReLU)
    return elementwise(step.graph, step.name, step.value(), lambda: Clip(*ends))


@reads("HardSigmoid")
def _hard_sigmoid(step: Step) -> Value:
    alpha, beta = step.number("alpha", 0.2), step.number("beta", 0.5)
    return elementwise(step.graph, step.name, step.value(), lambda: HardSigmoid(alpha, beta))


@reads("Tanh")
def _tanh(step: Step) -> Value:
    return gates.tanh(step.graph, step.name, step.value())


@reads("Erf")
def _erf(step: Step) -> Value:
    return gates.error_function(step.graph, step.name, step.value())


@reads("Gelu")
def _gelu(step: Step) -> Value:
    how = step.text("approximate", "none")
    return elementwise(
        step.graph, step.name, step.value(), lambda: GELU(approximate=how)  # type: ignore[arg-type]
    )  # fmt: skip


@reads("Swish")
def _swish(step: Step) -> Value:
    if step.number("alpha", 1.0) != 1.0:
        reason = "is a Swish with an alpha other than 1; scale its input and output instead"
        raise RefusalError(reason)
    return elementwise(step.graph, step.name, step.value(), SiLU)


@reads("Softmax", "LogSoftmax")
def _softmax(step: Step) -> Value:
    kind = Softmax if step.node.op_type == "Softmax" else LogSoftmax
    value, graph, name = step.value(), step.graph, step.name
    if step.opset >= 13:
        return along(graph, name, value, int(step.attribute("axis", -1)), kind)
    # Over all axes from the given one on.
    axis = int(step.attribute("axis", 1))
    if value.lost or len(value.shape) == 0:
        return value
    axis = axis_of(name, value, axis)
    rows = value.reshape(name, (*value.shape[:axis], -1))
    return along(graph, name, rows, axis, kind).reshape(name, value.shape)
