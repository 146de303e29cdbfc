"""An ONNX graph while it is written, and the registry of what is written for each layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mipnet.network.layers import Layer
from mipnet.network.layers.base import Shape
from mipnet.network.onnx_double import DOMAIN, function

if TYPE_CHECKING:
    from onnx import FunctionProto, NodeProto, TensorProto


class Draft:
    """Nodes, constants and functions of a graph.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    names : iterable of str
        Names of tensors that are taken.
    """

    def __init__(self, dtype: str, names: set[str]) -> None:
        self.dtype = np.dtype(dtype)
        self.nodes: list[NodeProto] = []
        self.stored: list[TensorProto] = []
        self.functions: list[FunctionProto] = []
        self.names = set(names)

    def fresh(self, name: str) -> str:
        """Return the name, numbered when it is taken."""
        chosen, count = name, 0
        while chosen in self.names:
            count += 1
            chosen = f"{name}_{count}"
        self.names.add(chosen)
        return chosen

    def add(
        self, kind: str, inputs: list[str], name: str, part: str = "", **attributes: Any
    ) -> str:
        """Append a node of a layer and return its output: the layer's own, or that of a part."""
        from onnx import helper

        output = self.fresh(f"{name}/{part}") if part else name
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, values: Any, name: str) -> str:
        """Append a parameter and return its name."""
        return self._store(np.asarray(values, dtype=self.dtype), name)

    def integers(self, values: Any, name: str) -> str:
        """Append whole numbers and return their name."""
        return self._store(np.asarray(values, dtype=np.int64).reshape(-1), name)

    def call(self, layer: Layer, shape: Shape, inputs: list[str], name: str) -> None:
        """Append a node that calls the function of a layer."""
        from onnx import helper

        title = f"{layer.kind}_{len(self.functions)}"
        self.functions.append(function(layer, shape, title))
        node = helper.make_node(title, inputs, [name], name=name, domain=DOMAIN)
        self.nodes.append(node)

    def _store(self, array: np.ndarray[Any, Any], name: str) -> str:
        from onnx import numpy_helper

        chosen = self.fresh(name)
        self.stored.append(numpy_helper.from_array(array, chosen))
        return chosen


#: Writes the nodes of a layer: draft, layer, names of its inputs, its name, its input shapes.
Rule = Callable[[Draft, Any, list[str], str, list[Shape]], Any]
RULES: dict[str, Rule] = {}


def writes(kind: str) -> Callable[[Rule], Rule]:
    """File a rule under the kind of layer it writes, as a decorator.

    Raises
    ------
    TypeError
        When the kind is taken.
    """

    def file(rule: Rule) -> Rule:
        if kind in RULES:
            msg = f"layer {kind!r} has two rules for ONNX"
            raise TypeError(msg)
        RULES[kind] = rule
        return rule

    return file
