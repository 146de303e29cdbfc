"""The ONNX operations that make up a chain, one function each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from mipnet.errors import NetworkError
from mipnet.network.readers.base import Array
from mipnet.network.readers.chain import Chain, Operation, RefusalError, Value, reshaped

if TYPE_CHECKING:
    from onnx import NodeProto

#: Element types a computed tensor may have: FLOAT, FLOAT16, DOUBLE, BFLOAT16.
FLOATS = {1: "float32", 10: "float32", 11: "float64", 16: "float32"}
ARITHMETIC: dict[str, Operation] = {"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div"}


class LostError(Exception):
    """A parameter of a step comes out of an unsupported step, which is listed already."""


@dataclass(frozen=True)
class Step:
    """One node with its inputs looked up."""

    chain: Chain
    name: str
    node: NodeProto
    inputs: list[Value | npt.NDArray[Any] | None]
    opset: int

    def attribute(self, key: str, default: Any = None) -> Any:
        """Attribute of the node."""
        from onnx import helper

        for entry in self.node.attribute:
            if entry.name == key:
                return helper.get_attribute_value(entry)
        return default

    def value(self, position: int = 0) -> Value:
        """Return a computed input."""
        found = self.inputs[position]
        if isinstance(found, Value):
            return found
        reason = "depends on the input in an unsupported place"
        raise RefusalError(reason)

    def raw(self, position: int) -> npt.NDArray[Any] | None:
        """Constant input; None when absent."""
        found = self.inputs[position] if position < len(self.inputs) else None
        if isinstance(found, Value):
            if found.lost:
                raise LostError
            reason = f"input {self.node.input[position]!r} must be a constant"
            raise RefusalError(reason)
        return found

    def parameter(self, position: int) -> Array:
        """Constant input as float64."""
        return self.chain.constant(self.raw(position), f"constant {self.node.input[position]!r}")

    def integers(self, position: int, key: str) -> list[int] | None:
        """Integers of an input, or of the attribute older versions have instead."""
        found = self.raw(position)
        if found is None:
            found = self.attribute(key)
        return None if found is None else [int(n) for n in np.ravel(found)]

    def view(self, change: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Value:
        """First input, rearranged."""
        return self.value().view(self.name, change)

    def one_computed(self) -> int:
        """Position of the one input that is no constant."""
        places = [i for i, value in enumerate(self.inputs) if isinstance(value, Value)]
        if len(places) > 1:
            reason = "combines two computed tensors; only chains are read"
            raise RefusalError(reason)
        return places[0]


def _arithmetic(step: Step) -> Value:
    place = step.one_computed()
    operation = ARITHMETIC[step.node.op_type]
    if step.attribute("axis") is not None:
        reason = "broadcasts along an axis as before opset 7; convert the model to a newer opset"
        raise RefusalError(reason)
    if place == 1 and operation == "div":
        reason = "divides by a computed tensor"
        raise RefusalError(reason)
    constant = step.parameter(1 - place)
    if place == 1 and operation == "sub":
        operation = "rsub"
    return step.value(place).apply(step.name, operation, constant)


def _matmul(step: Step) -> Value:
    place = step.one_computed()
    constant = step.parameter(1 - place)
    return step.chain.matmul(step.name, step.value(place), constant, left=place == 1)


def _gemm(step: Step) -> Value:
    place = step.one_computed()
    flips = [bool(step.attribute(key, 0)) for key in ("transA", "transB")]
    alpha, beta = float(step.attribute("alpha", 1.0)), float(step.attribute("beta", 1.0))
    factors: list[Value | Array] = []
    for k, flip in enumerate(flips):
        factor = step.value(k) if k == place else step.parameter(k)
        known = isinstance(factor, Value) and factor.lost
        if not known and len(factor.shape) != 2:
            msg = f"layer {step.name!r}: Gemm takes matrices, got shape {factor.shape}"
            raise NetworkError(msg)
        if flip:
            factor = factor.view(step.name, np.transpose) if isinstance(factor, Value) else factor.T
        factors.append(factor)
    first, second = factors
    if isinstance(first, Value):
        result = step.chain.matmul(step.name, first, alpha * cast("Array", second))
    elif isinstance(second, Value):
        result = step.chain.matmul(step.name, second, alpha * first, left=True)
    else:
        product = alpha * (first @ second)
        bias = step.value(2).view(step.name, lambda a: np.broadcast_to(a, product.shape))
        return bias.apply(step.name, "mul", np.asarray(beta)).apply(step.name, "add", product)
    if len(step.inputs) < 3 or step.inputs[2] is None:
        return result
    shift = beta * step.parameter(2)
    total = result.apply(step.name, "add", shift)
    if total.shape != result.shape:
        msg = f"layer {step.name!r}: C of shape {shift.shape} does not fit {result.shape}"
        raise NetworkError(msg)
    return total


def _flatten(step: Step) -> Value:
    axis = int(step.attribute("axis", 1))

    def change(a: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if not -a.ndim <= axis <= a.ndim:
            msg = f"axis {axis} is out of range"
            raise ValueError(msg)
        rows = math.prod(a.shape[: axis + a.ndim if axis < 0 else axis])
        return a.reshape(rows, -1)

    return step.view(change)


def _reshape(step: Step) -> Value:
    sizes = step.integers(1, "shape")
    if sizes is None:
        reason = "has no shape"
        raise RefusalError(reason)
    keep = not step.attribute("allowzero", 0)
    return step.view(
        lambda a: reshaped(a, [a.shape[k] if n == 0 and keep else n for k, n in enumerate(sizes)])
    )


def _transpose(step: Step) -> Value:
    order = step.integers(1, "perm")
    return step.view(lambda a: np.transpose(a, order))


def _squeeze(step: Step) -> Value:
    axes = step.integers(1, "axes")
    return step.view(lambda a: np.squeeze(a, None if axes is None else tuple(axes)))


def _unsqueeze(step: Step) -> Value:
    axes = tuple(step.integers(1, "axes") or ())
    return step.view(lambda a: np.expand_dims(a, axes))


def _cast(step: Step) -> Value:
    if step.attribute("to") not in FLOATS:
        reason = "casts to a type that is not float, double, float16 or bfloat16"
        raise RefusalError(reason)
    return step.value()


def _dropout(step: Step) -> Value:
    training = step.raw(2)
    if (training is not None and np.any(training)) or (
        step.opset < 7 and not step.attribute("is_test", 0)
    ):
        reason = "is in training mode; export the model for inference"
        raise RefusalError(reason)
    return step.value()


def _shape(step: Step) -> npt.NDArray[Any]:
    value = step.value()
    if value.lost:
        raise LostError
    window = slice(step.attribute("start", 0), step.attribute("end"))
    return np.array(value.shape[window], dtype=np.int64)


STEPS: dict[str, Callable[[Step], Value | npt.NDArray[Any]]] = {
    **dict.fromkeys(ARITHMETIC, _arithmetic),
    "Cast": _cast,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "Identity": lambda step: step.value(),
    "MatMul": _matmul,
    "Neg": lambda step: step.value().apply(step.name, "mul", np.asarray(-1.0)),
    "Relu": lambda step: step.chain.relu(step.name, step.value()),
    "Reshape": _reshape,
    "Shape": _shape,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
