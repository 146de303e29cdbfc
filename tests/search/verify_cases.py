"""Networks as ONNX files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mipnet.network import Affine, Network


def save(network: Network, path: Path, batch: int | str = 1) -> Path:
    """The network as a float32 ONNX file of Gemm and Relu."""
    nodes, stored, last = [], [], "x"
    for node in network.nodes:
        if isinstance(node.layer, Affine):
            for name, values in (("w", node.layer.weight), ("b", node.layer.bias)):
                array = np.asarray(values, dtype=np.float32)
                stored.append(numpy_helper.from_array(array, f"{node.name}.{name}"))
            inputs = [last, f"{node.name}.w", f"{node.name}.b"]
            nodes.append(helper.make_node("Gemm", inputs, [node.name], transB=1))
        else:
            nodes.append(helper.make_node("Relu", [last], [node.name]))
        last = node.name
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, network.n_inputs])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, [batch, network.n_outputs])],
        stored,
    )
    opsets = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path
