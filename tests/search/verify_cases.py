"""Networks as ONNX files, and the head of property files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mipnet.network import Affine, Network
from mipnet.search import VerifyResult, verify
from mipnet.search.vnnlib import parse_property


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


def declared(n_inputs: int, n_outputs: int) -> str:
    """Declarations of all inputs and outputs."""
    names = [f"X_{i}" for i in range(n_inputs)] + [f"Y_{j}" for j in range(n_outputs)]
    return "".join(f"(declare-const {name} Real)\n" for name in names)


def boxed(lower: list[str], upper: list[str]) -> str:
    """Bounds of all inputs."""
    pairs = enumerate(zip(lower, upper, strict=True))
    return " ".join(f"(>= X_{i} {low}) (<= X_{i} {high})" for i, (low, high) in pairs)


def ask(network: Any, text: str, n: int = 1, m: int = 1, **keywords: Any) -> VerifyResult:
    """Answer to the assertions of a property."""
    return verify(network, parse_property(declared(n, m) + text), **keywords)


def line(slope: float = 1.0, offset: float = 0.0) -> Network:
    """One input, one output."""
    return Network.sequential([Affine([[slope]], [offset])])
