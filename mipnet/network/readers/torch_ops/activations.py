"""Elementwise activations, Softmax and LogSoftmax."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

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
from mipnet.network.readers.combine import along, elementwise
from mipnet.network.readers.torch_ops.step import Step, computed, reads
from mipnet.network.readers.values import RefusalError, Value


def _simple(*names: str, make: Callable[[], Layer]) -> None:
    @reads(*names)
    def rule(step: Step, input: Any, inplace: bool = False) -> Value:
        del inplace
        return elementwise(step.graph, step.name, computed(input), make)


_simple("relu", make=ReLU)
_simple("relu6", make=lambda: Clip(0.0, 6.0))
_simple("abs", "absolute", make=Abs)
_simple("sigmoid", "expit", make=Sigmoid)
_simple("hardsigmoid", make=HardSigmoid)
_simple("hardswish", make=HardSwish)
_simple("silu", make=SiLU)


@reads("tanh")
def tanh(step: Step, input: Any) -> Value:
    """Hyperbolic tangent, or its part in a GELU."""
    return gates.tanh(step.graph, step.name, computed(input))


@reads("leaky_relu")
def leaky_relu(
    step: Step, input: Any, negative_slope: float = 0.01, inplace: bool = False
) -> Value:
    """Leaky ReLU."""
    del inplace
    return elementwise(step.graph, step.name, computed(input), lambda: LeakyReLU(negative_slope))


@reads("prelu")
def prelu(step: Step, input: Any, weight: Any) -> Value:
    """PReLU: one slope, or one for each channel."""
    slope, value = step.constant(weight, "weight"), computed(input)
    if slope.size > 1 and not value.lost:
        slope = slope.reshape(-1, *(1,) * (len(value.shape) - 2))
    return combine.prelu(step.graph, step.name, value, slope)


@reads("clamp", "clip")
def clamp(step: Step, input: Any, min: Any = None, max: Any = None) -> Value:
    """Values cut off below and above."""
    ends = []
    for end, free in ((min, -math.inf), (max, math.inf)):
        number = np.asarray(free) if end is None or end in (math.inf, -math.inf) else None
        number = step.constant(end) if number is None else number
        if number.size != 1:
            reason = "clamps every element differently; use maximum and minimum"
            raise RefusalError(reason)
        ends.append(float(number.flat[0]) if end not in (math.inf, -math.inf) else float(end))
    if ends == [-math.inf, math.inf]:
        return computed(input)
    if ends == [0.0, math.inf]:
        return elementwise(step.graph, step.name, computed(input), ReLU)
    return elementwise(step.graph, step.name, computed(input), lambda: Clip(*ends))


@reads("clamp_min")
def _clamp_min(step: Step, input: Any, min: Any) -> Value:
    return clamp(step, input, min)


@reads("clamp_max")
def _clamp_max(step: Step, input: Any, max: Any) -> Value:
    return clamp(step, input, None, max)


@reads("hardtanh")
def hardtanh(
    step: Step, input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Value:
    """Clip."""
    del inplace
    return clamp(step, input, min_val, max_val)


@reads("softplus")
def softplus(step: Step, input: Any, beta: float = 1.0, threshold: float = 20.0) -> Value:
    """Softplus; beyond a low threshold torch goes on with the identity, which is refused."""
    if threshold < 20.0:
        reason = f"has a threshold of {threshold}, below 20, and jumps there; give 20 or more"
        raise RefusalError(reason)
    return elementwise(step.graph, step.name, computed(input), lambda: Softplus(beta=beta))


@reads("logsigmoid")
def logsigmoid(step: Step, input: Any) -> Value:
    """``-softplus(-x)``."""
    minus = np.asarray(-1.0)
    value = computed(input).apply(step.name, "mul", minus)
    return elementwise(step.graph, step.name, value, Softplus).apply(step.name, "mul", minus)


@reads("gelu")
def gelu(step: Step, input: Any, approximate: Any = "none") -> Value:
    """GELU of either kind."""
    return elementwise(
        step.graph, step.name, computed(input), lambda: GELU(approximate=approximate)
    )


def _axis(step: Step, input: Any, dim: int | None, kind: type[Softmax | LogSoftmax]) -> Value:
    value = computed(input)
    if dim is None and not value.lost:
        # What torch takes, with a warning.
        dim = 0 if len(value.shape) in (0, 1, 3) else 1
    return along(step.graph, step.name, value, -1 if dim is None else dim, kind)


@reads("softmax")
def softmax(
    step: Step, input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Value:
    """Softmax."""
    del _stacklevel, dtype
    return _axis(step, input, dim, Softmax)


@reads("log_softmax")
def log_softmax(
    step: Step, input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Value:
    """LogSoftmax."""
    del _stacklevel, dtype
    return _axis(step, input, dim, LogSoftmax)


@reads("threshold")
def threshold(
    step: Step, input: Any, threshold: float, value: float, inplace: bool = False
) -> Value:
    """ReLU, where it is one."""
    del inplace
    if threshold != 0 or value != 0:
        reason = "jumps at its threshold; only a threshold and value of 0 are read"
        raise RefusalError(reason)
    return elementwise(step.graph, step.name, computed(input), ReLU)


@reads(
    "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout",
    "feature_alpha_dropout", alias=True,
)  # fmt: skip
def dropout(
    step: Step, input: Any, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Value:
    """Nothing, out of training."""
    del step, inplace
    if training and p > 0:
        reason = "drops at random whatever the mode; pass training=self.training"
        raise RefusalError(reason)
    return computed(input)
