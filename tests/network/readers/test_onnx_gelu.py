"""GELU spelled out by its error function, as exporters wrote it before there was a node for it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from onnx import helper, numpy_helper
from planted import entries
from scipy.special import erf

from mipnet.network.readers import load

ROOT = math.sqrt(2.0)


class Chain:
    """A product, and what a test puts behind it; constants as nodes or stored in the graph."""

    def __init__(self, dtype, *, nodes):
        self.dtype, self.as_nodes, self.nodes, self.stored = np.dtype(dtype), nodes, [], []
        self.weight = np.random.default_rng(0).normal(size=(3, 4)).astype(dtype)
        self.x = self("MatMul", "x", self.weight)

    def __call__(self, kind, *inputs):
        names = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        self.nodes.append(helper.make_node(kind, names, [f"t{len(self.nodes)}"]))
        return self.nodes[-1].output[0]

    def constant(self, values):
        name = f"c{len(self.nodes)}_{len(self.stored)}"
        tensor = numpy_helper.from_array(np.asarray(values, self.dtype), name)
        if self.as_nodes:
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.stored.append(tensor)
        return name

    def model(self, output):
        kind = helper.np_dtype_to_tensor_dtype(self.dtype)
        ends = [helper.make_tensor_value_info("x", kind, ["N", 3])]
        ends.append(helper.make_tensor_value_info(output, kind, None))
        graph = helper.make_graph(self.nodes, "gelu", ends[:1], ends[1:], self.stored)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def part(d):
    return d("Erf", d("Div", d.x, ROOT))


SPELLINGS = {
    "half first": lambda d: d("Mul", d("Mul", d.x, 0.5), d("Add", 1.0, part(d))),
    "half last": lambda d: d("Mul", d("Mul", d.x, d("Add", part(d), 1.0)), 0.5),
    "half of the gate": lambda d: d("Mul", d.x, d("Mul", 0.5, d("Add", part(d), 1.0))),
    "halved last": lambda d: d("Div", d("Mul", d.x, d("Add", part(d), 1.0)), 2.0),
    "factor": lambda d: d(
        "Mul", d("Div", d.x, 2.0), d("Add", d("Erf", d("Mul", d.x, 1.0 / ROOT)), [1.0])
    ),
    "gate in halves": lambda d: d("Mul", d("Add", d("Mul", 0.5, part(d)), 0.5), d.x),
    "computed root": lambda d: d(
        "Mul", d.x,
        d("Add", 0.5, d("Div", d("Erf", d("Div", d.x, d("Sqrt", 2.0))), 2.0)),
    ),
    "difference": lambda d: d("Mul", d("Identity", d.x), d("Mul", d("Sub", part(d), -1.0), 0.5)),
    "odd": lambda d: d(
        "Mul", d("Mul", d("Sub", 1.0, d("Erf", d("Neg", d("Div", d.x, ROOT)))), d.x), 0.5
    ),
}  # fmt: skip


@pytest.mark.parametrize("nodes", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_is_one_layer(name, dtype, nodes):
    chain = Chain(dtype, nodes=nodes)
    net = load(chain.model(SPELLINGS[name](chain)))
    assert [node.layer.kind for node in net.nodes] == ["Affine", "GELU"]
    assert net.dtype == np.dtype(dtype).name
    points = np.random.default_rng(1).normal(size=(9, 3)) * 3.0
    h = points @ chain.weight.astype(np.float64)
    np.testing.assert_allclose(net(points), h * 0.5 * (1.0 + erf(h / ROOT)), rtol=1e-9, atol=1e-12)


def test_mirrored_gates_keep_their_sign():
    chain = Chain(np.float64, nodes=False)
    net = load(chain.model(chain("Mul", chain.x, chain("Sub", 1.0, part(chain)))))
    points = np.random.default_rng(2).normal(size=(9, 3))
    h = points @ chain.weight
    np.testing.assert_allclose(net(points), h * (1.0 - erf(h / ROOT)), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("constant", [0.9, -1.0])
def test_other_gates_are_no_gelu(constant):
    chain = Chain(np.float64, nodes=False)
    gate = chain("Add", constant, part(chain))
    (entry,) = entries(chain.model(chain("Mul", chain.x, gate)))
    assert "multiplies two computed results" in entry
