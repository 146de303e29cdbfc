"""Elementwise arithmetic: with constants, and sums and maxima of computed results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mipnet.network.readers import gates
from mipnet.network.readers.combine import reduced, relu
from mipnet.network.readers.torch_ops.step import Step, computed, reads
from mipnet.network.readers.values import Operation, RefusalError, Value

NAMES: dict[Operation, tuple[str, ...]] = {
    "add": ("add", "iadd"),
    "sub": ("sub", "isub", "subtract"),
    "mul": ("mul", "imul", "multiply"),
    "div": ("div", "itruediv", "truediv", "true_divide", "divide"),
}


def _register(operation: Operation) -> None:
    @reads(*NAMES[operation])
    def calculate(
        step: Step, input: Any, other: Any, *, alpha: float = 1, rounding_mode: Any = None
    ) -> Value:
        if rounding_mode is not None:
            reason = f"rounds its result ({rounding_mode}); leave rounding_mode out"
            raise RefusalError(reason)
        if isinstance(other, Value) and operation == "div":
            reason = "divides by a computed tensor; multiply with a constant instead"
            raise RefusalError(reason)
        if isinstance(input, Value) and isinstance(other, Value):
            if operation == "mul":
                return gates.product(step.graph, step.name, input, other)
            scales = (1.0, float(alpha) if operation == "add" else -float(alpha))
            return gates.total(step.graph, step.name, [input, other], scales)
        if isinstance(input, Value):
            return input.apply(step.name, operation, alpha * step.constant(other))
        reverse: Operation = "rsub" if operation == "sub" else operation
        value = computed(other)
        if alpha != 1:
            value = value.apply(step.name, "mul", np.asarray(float(alpha)))
        return value.apply(step.name, reverse, step.constant(input))


for _operation in NAMES:
    _register(_operation)


@reads("rsub")
def _rsub(step: Step, input: Any, other: Any, *, alpha: float = 1) -> Value:
    value = computed(input).apply(step.name, "mul", np.asarray(float(alpha)))
    return value.apply(step.name, "rsub", step.constant(other))


@reads("neg", "negative")
def _neg(step: Step, input: Any) -> Value:
    return computed(input).apply(step.name, "mul", np.asarray(-1.0))


@reads("pow", "ipow")
def _pow(step: Step, input: Any, exponent: Any) -> Value:
    if isinstance(exponent, Value) or np.size(step.constant(exponent)) != 1:
        reason = "raises to a power that is no number; use an activation of docs/layers.md"
        raise RefusalError(reason)
    return gates.power(
        step.graph, step.name, computed(input), float(step.constant(exponent).flat[0])
    )


@reads("square")
def _square(step: Step, input: Any) -> Value:
    return gates.power(step.graph, step.name, computed(input), 2.0)


@reads("erf")
def _erf(step: Step, input: Any) -> Value:
    return gates.error_function(step.graph, step.name, computed(input))


class Extreme(NamedTuple):
    """What torch returns for an extreme over an axis; where it was found is not read."""

    values: Value
    indices: None = None


@reads("maximum")
def _maximum(step: Step, input: Any, other: Any = None) -> Value:
    """``max(a, b) = b + relu(a - b)``."""
    first, second = _pair(input, other)
    graph, name = step.graph, step.name
    if isinstance(second, Value):
        rest = relu(graph, name, gates.total(graph, name, [first, second], (1.0, -1.0)))
        return gates.total(graph, name, [second, rest], (1.0, 1.0))
    least = step.constant(second)
    return relu(graph, name, first.apply(name, "sub", least)).apply(name, "add", least)


@reads("minimum")
def _minimum(step: Step, input: Any, other: Any = None) -> Value:
    """``min(a, b) = a - relu(a - b)``."""
    first, second = _pair(input, other)
    graph, name = step.graph, step.name
    if isinstance(second, Value):
        rest = relu(graph, name, gates.total(graph, name, [first, second], (1.0, -1.0)))
        return gates.total(graph, name, [first, rest], (1.0, -1.0))
    most = step.constant(second)
    return relu(graph, name, first.apply(name, "rsub", most)).apply(name, "rsub", most)


def _register_extreme(kind: str, elementwise: Callable[[Step, Any, Any], Value]) -> None:
    @reads(kind)
    def rule(
        step: Step, input: Any, other: Any = None, keepdim: bool = False, *, dim: int | None = None
    ) -> Any:
        axis = other if isinstance(other, int) else dim
        if axis is None:
            return elementwise(step, input, other)
        value = computed(input)
        return Extreme(reduced(step.graph, step.name, value, [axis], keep=keepdim, kind=kind))


_register_extreme("max", _maximum)
_register_extreme("min", _minimum)


def _pair(input: Any, other: Any) -> tuple[Value, Any]:
    """Both operands, a computed one first."""
    if other is None or isinstance(other, (int, float)):
        reason = "is the extreme over elements; use amax, amin or pooling, or clamp with a number"
        raise RefusalError(reason)
    return (input, other) if isinstance(input, Value) else (computed(other), input)
