"""Elementwise arithmetic: with constants, and sums and maxima of computed results."""

from __future__ import annotations

import numpy as np

from mipnet.network.readers import gates
from mipnet.network.readers.combine import relu
from mipnet.network.readers.onnx_ops.step import Step, reads
from mipnet.network.readers.values import Operation, RefusalError, Value

ARITHMETIC: dict[str, Operation] = {"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div"}


@reads(*ARITHMETIC)
def _arithmetic(step: Step) -> Value:
    operation = ARITHMETIC[step.node.op_type]
    if step.attribute("axis") is not None:
        reason = "broadcasts along an axis as before opset 7; convert the model to a newer opset"
        raise RefusalError(reason)
    places = step.computed
    if operation == "div" and 1 in places:
        reason = "divides by a computed tensor; multiply with a constant instead"
        raise RefusalError(reason)
    if len(places) == 2:
        values = [step.value(0), step.value(1)]
        if operation == "mul":
            return gates.product(step.graph, step.name, *values)
        scales = (1.0, -1.0 if operation == "sub" else 1.0)
        return gates.total(step.graph, step.name, values, scales)
    (place,) = places
    if place == 1 and operation == "sub":
        operation = "rsub"
    return step.value(place).apply(step.name, operation, step.parameter(1 - place))


@reads("Sum", "Mean")
def _sum(step: Step) -> Value:
    places = step.computed
    weight = 1.0 / len(step.inputs) if step.node.op_type == "Mean" else 1.0
    values = [step.value(i) for i in places]
    first = values[0]
    result = first if len(values) == 1 else gates.total(
        step.graph, step.name, values, (1.0,) * len(values)
    )  # fmt: skip
    for i in range(len(step.inputs)):
        if i not in places:
            result = result.apply(step.name, "add", step.parameter(i))
    return result if weight == 1.0 else result.apply(step.name, "mul", np.asarray(weight))


@reads("Max", "Min")
def _extreme(step: Step) -> Value:
    """``max(a, b) = b + relu(a - b)``, ``min(a, b) = a - relu(a - b)``."""
    graph, name = step.graph, step.name
    most = step.node.op_type == "Max"
    result: Value | None = None
    for place in sorted(range(len(step.inputs)), key=lambda i: i not in step.computed):
        other = step.value(place) if place in step.computed else step.parameter(place)
        if result is None:
            result = step.value(place)
        elif isinstance(other, Value):
            rest = relu(graph, name, gates.total(graph, name, [result, other], (1.0, -1.0)))
            kept, sign = (other, 1.0) if most else (result, -1.0)
            result = gates.total(graph, name, [kept, rest], (1.0, sign))
        elif most:
            rest = relu(graph, name, result.apply(name, "sub", other))
            result = rest.apply(name, "add", other) if other.any() else rest
        else:
            rest = relu(graph, name, result.apply(name, "rsub", other))
            result = rest.apply(name, "rsub", other)
    return step.value() if result is None else result


@reads("Neg")
def _neg(step: Step) -> Value:
    return step.value().apply(step.name, "mul", np.asarray(-1.0))


@reads("Pow")
def _pow(step: Step) -> Value:
    if 1 in step.computed:
        reason = "raises to a computed power; use an activation of docs/layers.md"
        raise RefusalError(reason)
    exponent = step.parameter(1)
    if exponent.size != 1:
        reason = "raises to several powers; use an activation of docs/layers.md"
        raise RefusalError(reason)
    return gates.power(step.graph, step.name, step.value(), float(exponent.flat[0]))
