"""One node of an ONNX graph with its inputs looked up, and the registry of what is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import NetworkError
from mipnet.network.numbers import Array
from mipnet.network.readers.complaints import LostError
from mipnet.network.readers.graph import Graph
from mipnet.network.readers.values import RefusalError, Value

if TYPE_CHECKING:
    from onnx import NodeProto

#: Element types a computed tensor may have: FLOAT, FLOAT16, DOUBLE, BFLOAT16.
FLOATS = {1: "float32", 10: "float32", 11: "float64", 16: "float32"}

Constant = npt.NDArray[Any]
#: Outputs of a node: one, or as many as it has.
Result = Value | Constant | list[Value] | list[Constant]


@dataclass(frozen=True)
class Step:
    """One node with its inputs looked up."""

    graph: Graph
    name: str
    node: NodeProto
    inputs: list[Value | Constant | None]
    opset: int

    def attribute(self, key: str, default: Any = None) -> Any:
        """Attribute of the node."""
        from onnx import helper

        for entry in self.node.attribute:
            if entry.name == key:
                return helper.get_attribute_value(entry)
        return default

    def number(self, key: str, default: float) -> float:
        """Finite number among the attributes.

        Raises
        ------
        NetworkError
            When it is NaN or infinite.
        """
        found = float(self.attribute(key, default))
        if not np.isfinite(found):
            msg = f"layer {self.name!r}: {key} is {found}"
            raise NetworkError(msg)
        return found

    def text(self, key: str, default: str) -> str:
        """Text among the attributes."""
        found = self.attribute(key, default)
        return found.decode(errors="replace") if isinstance(found, bytes) else str(found)

    def value(self, position: int = 0) -> Value:
        """Return a computed input."""
        found = self.inputs[position]
        if isinstance(found, Value):
            return found
        reason = "depends on the input in an unsupported place; make what it reads there a constant"
        raise RefusalError(reason)

    def raw(self, position: int) -> Constant | None:
        """Constant input; None when absent."""
        found = self.inputs[position] if position < len(self.inputs) else None
        if isinstance(found, Value):
            if found.lost:
                raise LostError
            reason = f"input {self.node.input[position]!r} must be a constant; fold constants, "
            reason += "or use an operation that needs none"
            raise RefusalError(reason)
        return found

    def parameter(self, position: int) -> Array:
        """Constant input as float64.

        Raises
        ------
        RefusalError
            When it is missing.
        """
        found = self.raw(position)
        if found is None:
            reason = f"lacks its input {position}; repair the model, or export it again"
            raise RefusalError(reason)
        return self.graph.constant(found, f"constant {self.node.input[position]!r}")

    def optional(self, position: int) -> Array | None:
        """Constant input as float64; None when absent."""
        return None if self.raw(position) is None else self.parameter(position)

    def integers(self, position: int, key: str) -> list[int] | None:
        """Integers of an input, or of the attribute older versions have instead."""
        found = self.raw(position)
        if found is None:
            found = self.attribute(key)
        return None if found is None else [int(n) for n in np.ravel(found)]

    @property
    def computed(self) -> list[int]:
        """Positions of the inputs that are no constants."""
        return [i for i, value in enumerate(self.inputs) if isinstance(value, Value)]


Rule = Callable[[Step], Result]
STEPS: dict[str, Rule] = {}


def reads(*kinds: str) -> Callable[[Rule], Rule]:
    """File a rule under the operations it reads, as a decorator.

    Raises
    ------
    TypeError
        When one is taken.
    """

    def file(rule: Rule) -> Rule:
        for kind in kinds:
            if kind in STEPS:
                msg = f"ONNX operation {kind!r} has two rules"
                raise TypeError(msg)
            STEPS[kind] = rule
        return rule

    return file
