import numpy as np
import pyomo.environ as pyo
import pytest

from mipnet.embedding import solve
from mipnet.embedding.oracle import NetworkOracle, add_oracle
from mipnet.errors import EmbeddingError
from mipnet.network import Network
from mipnet.network.layers import Affine, Flatten, Sigmoid, Tanh


def smooth(shape=(3,)):
    rng = np.random.default_rng(0)
    layers = [Affine(rng.normal(size=(4, 3)), rng.normal(size=4)), Tanh()]
    layers += [Affine(rng.normal(size=(2, 4)), rng.normal(size=2)), Sigmoid()]
    return Network.sequential([Flatten(), *layers] if len(shape) > 1 else layers, shape)


@pytest.mark.parametrize("shape", [(3,), (1, 3)])
def test_values_and_derivatives_are_the_networks(shape):
    net = smooth(shape)
    oracle = NetworkOracle(net)
    for point in np.random.default_rng(1).normal(size=(5, 3)):
        oracle.set_input_values(point)
        assert oracle.evaluate_outputs() == pytest.approx(net(point))
        step = 1e-6 * np.eye(3)
        expected = [(net(point + s) - net(point - s)) / 2e-6 for s in step]
        found = oracle.evaluate_jacobian_outputs()
        assert found.toarray() == pytest.approx(np.transpose(expected), abs=1e-8)
        assert found.nnz == 6


def test_the_structure_is_the_same_at_every_point(make_net):
    oracle = NetworkOracle(make_net(3, 4, 2))
    sizes = set()
    for point in ([0, 0, 0], [5, -5, 5], [-9, -9, -9]):
        oracle.set_input_values(point)
        sizes.add(oracle.evaluate_jacobian_outputs().nnz)
    assert sizes == {6}


def test_a_model_holds_it_and_its_links():
    net = smooth()
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2))
    block = add_oracle(m, net, [m.x[0], m.x[0] * m.x[1], 0.5])
    assert block.parent_block() is m
    assert sorted(block.outputs) == [0, 1]
    assert len(block.links) == 3
    m.x[0].value, m.x[1].value = 2.0, -1.0
    for i, value in enumerate((2.0, -2.0, 0.5)):
        block.box.inputs[f"x{i}"].value = value
    assert all(abs(pyo.value(c.body) - c.ub) < 1e-12 for c in block.links.values())
    with pytest.raises(EmbeddingError, match="3 inputs"):
        add_oracle(m, net, m.x)
    m.obj = pyo.Objective(expr=block.outputs[0])
    with pytest.raises(EmbeddingError):
        solve(m)
