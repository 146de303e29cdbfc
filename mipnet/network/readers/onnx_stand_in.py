"""Shapes of what ONNX nodes that are not read would give, so that what follows can be checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mipnet.errors import NetworkError
from mipnet.network.layers.base import Shape
from mipnet.network.readers.graph import Graph
from mipnet.network.readers.onnx_ops import FLOATS, KEEPING
from mipnet.network.readers.values import LOST, Value

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, ValueInfoProto

#: Constants up to this size are given to the inference; larger ones are no shapes or axes.
SMALL = 1000


def declared_shapes(graph: GraphProto) -> dict[str, Shape]:
    """Shapes that a graph states for its results, one for an open first axis."""
    found = {}
    for entry in (*graph.value_info, *graph.output):
        shape = _shape(entry)
        if shape is not None:
            found[entry.name] = shape
    return found


def stand_ins(
    node: NodeProto, inputs: list[Any], graph: Graph, opset: int, declared: Mapping[str, Shape]
) -> list[Value]:
    """Stand-ins for the outputs of a node, by ONNX's shape inference or what the graph states.

    Parameters
    ----------
    node : onnx.NodeProto
    inputs : list of Value, array or None
    graph : Graph
    opset : int
    declared : mapping of str to tuple of int

    Returns
    -------
    list of Value
        Unknown in every respect where no shape is found.
    """
    if node.op_type in KEEPING and isinstance(inputs[0], Value) and inputs[0].lost:
        return [inputs[0]]
    found = {**declared, **_inferred(node, inputs, opset)}
    results = []
    for output in node.output:
        try:
            results.append(graph.ghost(output, found[output]) if output in found else LOST)
        except NetworkError:
            results.append(LOST)
    return results


def _inferred(node: NodeProto, inputs: list[Any], opset: int) -> dict[str, Shape]:
    """Shapes of the outputs of floating type, where those of the inputs are all known."""
    from onnx import helper, numpy_helper, shape_inference

    if node.domain not in ("", "ai.onnx") or any(isinstance(v, Value) and v.lost for v in inputs):
        return {}
    arrays = [v for v in inputs if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
    kind = arrays[0].dtype if arrays else np.dtype(np.float32)
    ends, stored = [], []
    for name, value in zip(node.input, inputs, strict=True):
        if isinstance(value, np.ndarray) and value.size <= SMALL:
            stored.append(numpy_helper.from_array(value, name))
        elif value is not None:
            type_ = helper.np_dtype_to_tensor_dtype(getattr(value, "dtype", kind))
            ends.append(helper.make_tensor_value_info(name, type_, value.shape))
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    graph = helper.make_graph([node], "one", ends, outputs, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    try:
        told = shape_inference.infer_shapes(model, data_prop=True).graph
    except (RuntimeError, ValueError, TypeError):
        # A node that is listed already; what the graph states is left.
        return {}
    shapes = {entry.name: _shape(entry) for entry in (*told.value_info, *told.output)}
    return {name: shape for name, shape in shapes.items() if shape is not None}


def _shape(entry: ValueInfoProto) -> Shape | None:
    """Shape that an entry states, one for an open first axis; None when it is not all known."""
    kind = entry.type.tensor_type
    if not kind.HasField("shape") or kind.elem_type not in FLOATS:
        return None
    sizes = [d.dim_value for d in kind.shape.dim]
    if sizes and not sizes[0]:
        sizes[0] = 1
    return tuple(sizes) if sizes and min(sizes) > 0 else None
