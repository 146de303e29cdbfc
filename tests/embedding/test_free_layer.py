import numpy as np
import pyomo.environ as pyo
import pytest

from mipnet.embedding import add_free_layer, solve
from mipnet.errors import EmbeddingError, NetworkError
from mipnet.network import Affine

DATA = np.random.default_rng(7).uniform(-1, 1, size=(4, 3))


def with_weights(net, layer, block):
    old = net.by_name[layer].layer
    weight, bias = np.empty_like(old.weight), np.empty_like(old.bias)
    for (i, j), var in block.weight.items():
        weight[i, j] = old.weight[i, j] if var.value is None else var.value
    for i, var in block.bias.items():
        bias[i] = old.bias[i] if var.value is None else var.value
    return net.with_layers({layer: Affine(weight, bias)})


@pytest.mark.parametrize("layer", ["affine0", "affine1", "affine2"])
def test_best_weights_within_a_radius(make_net, layer):
    """What the program promises is what the network with those weights gives."""
    net = make_net(3, 4, 4, 2, seed=1)
    m = pyo.ConcreteModel()
    block = add_free_layer(m, net, layer, DATA, radius=0.2)
    m.obj = pyo.Objective(expr=sum(block.outputs[r, 0] for r in range(4)), sense=pyo.maximize)
    result = solve(m, time_limit=20)
    found = with_weights(net, layer, block)
    assert found(DATA)[:, 0].sum() == pytest.approx(result.objective, abs=1e-5)
    assert found(DATA)[:, 1] == pytest.approx(
        [pyo.value(block.outputs[r, 1]) for r in range(4)], abs=1e-5
    )
    rng, old = np.random.default_rng(0), net.by_name[layer].layer
    for _ in range(200):
        moved = [p + rng.uniform(-0.2, 0.2, size=p.shape) for p in (old.weight, old.bias)]
        other = net.with_layers({layer: Affine(*moved)})
        assert other(DATA)[:, 0].sum() <= result.bound + 1e-6


def test_the_smallest_repair(make_net):
    net = make_net(3, 5, 2, seed=2)
    wrong = DATA[:1]
    label = int(net(wrong)[0].argmax())
    m = pyo.ConcreteModel()
    block = add_free_layer(m, net, "affine1", wrong, radius=3.0)
    m.swap = pyo.Constraint(expr=block.outputs[0, 1 - label] - block.outputs[0, label] >= 0.01)
    m.far = pyo.Var(bounds=(0, None))
    m.both = pyo.ConstraintList()
    for var, centre in zip(block.weight.values(), net.nodes[2].layer.weight.ravel(), strict=True):
        m.both.add(m.far >= var - centre)
        m.both.add(m.far >= centre - var)
    m.obj = pyo.Objective(expr=m.far)
    distance = solve(m).objective
    found = with_weights(net, "affine1", block)
    assert found(wrong)[0].argmax() == 1 - label
    moved = np.abs(found.nodes[2].layer.weight - net.nodes[2].layer.weight).max()
    assert moved == pytest.approx(distance, abs=1e-6)


def test_without_a_radius_it_is_the_network(make_net):
    net = make_net(3, 4, 2)
    m = pyo.ConcreteModel()
    block = add_free_layer(m, net, "affine0", DATA, radius=np.zeros((4, 4)))
    m.obj = pyo.Objective(expr=block.outputs[2, 1])
    assert solve(m).objective == pytest.approx(net(DATA)[2, 1], abs=1e-6)


def test_bad_free_layers(make_net):
    net = make_net(3, 4, 2)
    m = pyo.ConcreteModel()
    for radius in (-1.0, np.inf, np.ones(3), "wide"):
        with pytest.raises(EmbeddingError, match="radius"):
            add_free_layer(m, net, "affine0", DATA, radius=radius)
    for data in (np.full((1, 3), np.nan), np.zeros((0, 3))):
        with pytest.raises(EmbeddingError, match="3 finite inputs"):
            add_free_layer(m, net, "affine0", data, radius=1.0)
    with pytest.raises(NetworkError, match="do not fit"):
        add_free_layer(m, net, "affine0", np.zeros((2, 5)), radius=1.0)
    with pytest.raises(NetworkError, match="no Affine layer"):
        add_free_layer(m, net, "relu0", DATA, radius=1.0)
    assert not list(m.component_objects(pyo.Block))
