import numpy as np
import pytest
from pruning_cases import mlp

from mipnet.certify import drop_near_zeros, near_zeros
from mipnet.errors import QueryError
from mipnet.network import Affine


def spoiled(size=1e-10, seed=0):
    net = mlp(4, 12, 8, 2, seed=seed)
    rng = np.random.default_rng(seed)
    layers = {}
    for node in net.nodes:
        if node.layer.parameters:
            weight = node.layer.weight.copy()
            weight[rng.random(weight.shape) < 0.2] = size
            weight[0, 0] = 0.0
            layers[node.name] = Affine(weight, node.layer.bias)
    return net.with_layers(layers)


def test_near_zeros_are_counted_by_layer():
    net = spoiled()
    for row in near_zeros(net):
        weight = net.by_name[row.layer].layer.weight
        assert row.near_zeros == (weight == 1e-10).sum() > 0
        assert (row.zeros, row.weights, row.largest) == ((weight == 0).sum(), weight.size, 1e-10)
    assert all(row.near_zeros == 0 for row in near_zeros(net, 1e-11))


@pytest.mark.parametrize("size", [1e-10, 1e-3])
def test_dropping_costs_no_more_than_is_proven(size):
    net = spoiled(size)
    found = drop_near_zeros(net, (-1.0, 1.0), size)
    assert found.count == sum(row.near_zeros for row in near_zeros(net, size))
    assert not any(row.near_zeros for row in near_zeros(found.network, size))
    x = np.random.default_rng(1).uniform(-1, 1, (500, 4))
    seen = np.abs(found.network(x) - net(x)).max()
    assert seen <= found.difference.largest + 1e-13
    assert 0.0 < found.difference.largest < 3e3 * size


def test_thresholds_are_numbers_from_zero_on():
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(QueryError, match="threshold"):
            near_zeros(spoiled(), bad)
