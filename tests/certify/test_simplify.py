from dataclasses import replace

import numpy as np
import pytest
from graph_cases import graphs
from hypothesis import given, settings
from pruning_cases import mlp, networks

from mipnet.certify import simplify
from mipnet.errors import QueryError
from mipnet.network import INPUT, Affine, Flatten, Network, Node, ReLU
from mipnet.network.layers import Add, AvgPool, Clip, Conv, Identity, MaxPool, Scale, Tanh
from mipnet.pruning import units_of
from mipnet.region import Box


def same(network, found, lower, upper):
    """Equal at random points of the region; returns how far apart they may be, relative."""
    x = np.random.default_rng(0).uniform(lower, upper, (200, *network.input_shape))
    x[0], x[1] = lower, upper
    scale = 1.0 + np.abs(network(x)).max()
    apart = np.abs(found.network(x) - network(x)).max()
    assert apart <= min(found.certificate.difference, 1e-9 * scale) + 1e-12 * scale
    assert found.certificate.fingerprint == network.fingerprint
    assert found.certificate.simplified == found.network.fingerprint
    return found.certificate.difference / scale


@settings(deadline=None, max_examples=60)
@given(networks())
def test_simplified_chains_are_the_same_over_the_region(network):
    found = simplify(network, (0.5, 2.0))
    assert same(network, found, 0.5, 2.0) <= 1e-8
    assert units_of(found.network).count <= units_of(network).count


@settings(deadline=None, max_examples=40)
@given(graphs())
def test_simplified_graphs_are_the_same_over_the_region(network):
    same(network, simplify(network, (0.0, 0.5)), 0.0, 0.5)


def test_inactive_units_go_and_their_share_is_counted():
    net = mlp(4, 30, 20, 2, seed=1)
    lower, upper = np.zeros(4), np.full(4, 0.1)
    found = simplify(net, (lower, upper))
    assert same(net, found, lower, upper) <= 1e-10
    assert found.certificate.inactive >= 5
    assert units_of(found.network).count < units_of(net).count - 5
    outside = np.full(4, -3.0)
    assert np.abs(found.network(outside) - net(outside)).max() > 1e-3


def test_dependent_active_units_are_merged():
    rng = np.random.default_rng(2)
    # Twelve units over three inputs, all active, and two that are not.
    weight = np.vstack([rng.normal(size=(12, 3)), [[1.0, -1.0, 0.5], [-1.0, 0.5, 1.0]]])
    bias = np.concatenate([np.full(12, 9.0), [0.0, 0.1]])
    layers = [Affine(weight, bias), ReLU(), Affine(rng.normal(size=(5, 14)), rng.normal(size=5)),
              ReLU(), Affine(rng.normal(size=(1, 5)), [0.0])]  # fmt: skip
    net = Network.sequential(layers, 3)
    found = simplify(net, Box(-np.ones(3), np.ones(3)))
    assert same(net, found, -1.0, 1.0) <= 1e-10
    assert found.certificate.merged >= 9
    assert found.network.shapes["affine0"] == (5,)


def test_a_layer_of_active_units_joins_its_reader():
    rng = np.random.default_rng(3)
    second = rng.normal(size=(8, 3))
    # The second layer is centred, so that nothing is known of its signs.
    layers = [Affine(rng.normal(size=(3, 3)), np.full(3, 9.0)), ReLU(),
              Affine(second, -second @ np.full(3, 9.0)), ReLU(),
              Affine(rng.normal(size=(2, 8)), [0.0, 0.0])]  # fmt: skip
    net = Network.sequential(layers, 3)
    found = simplify(net, Box(-np.ones(3), np.ones(3)))
    assert same(net, found, -1.0, 1.0) <= 1e-10
    assert found.certificate.collapsed == 1
    assert [n.name for n in found.network.nodes] == ["affine1", "relu1", "affine2"]


def test_what_cannot_be_proven_within_the_tolerance_is_not_done():
    rng = np.random.default_rng(3)
    net = Network.sequential(
        [Affine(rng.normal(size=(9, 3)), np.full(9, 9.0)), ReLU(),
         Affine(rng.normal(size=(2, 9)), np.zeros(2))]
    )  # fmt: skip
    found = simplify(net, (-1.0, 1.0), tolerance=0.0)
    assert (found.certificate.merged, found.certificate.collapsed) == (0, 0)
    assert found.network.fingerprint == net.fingerprint
    with pytest.raises(QueryError, match="tolerance"):
        simplify(net, (-1.0, 1.0), tolerance=-1.0)


def emptied(seed, shift, front, behind):
    """Residual network whose inner layer is inactive over the unit box."""
    rng = np.random.default_rng(seed)

    def conv(n_out, n_in, bias):
        return Conv(rng.normal(size=(n_out, n_in, 3, 3)), np.full(n_out, bias), padding=1)

    nodes = [
        Node("stem", conv(3, 1, 0.1), (INPUT,)),
        Node("relu", front, ("stem",)),
        Node("one", conv(4, 3, -500.0), ("relu",)),
        Node("inner", ReLU(), ("one",)),
        Node("two", conv(3, 4, shift), ("inner",)),
        Node("sum", Add((1.0, -1.0)), ("relu", "two")),
        Node("last", behind, ("sum",)),
        Node("flat", Flatten(), ("last",)),
        Node("top", Affine(rng.normal(size=(2, 48)), np.ones(2)), ("flat",)),
    ]
    return Network(tuple(nodes), (1, 4, 4))


@pytest.mark.parametrize("shift", [0.0, 0.7])
@pytest.mark.parametrize("front", [ReLU(), Tanh(), Identity()])
@pytest.mark.parametrize("behind", [ReLU(), Identity(), MaxPool((1, 1))])
def test_a_branch_that_is_inactive_goes_with_a_proof(shift, front, behind):
    net = emptied(3, shift, front, behind)
    found = simplify(net, (0.0, 1.0))
    assert {"one", "inner", "two"}.isdisjoint(found.network.by_name)
    assert found.certificate.inactive == 4
    assert same(net, found, 0.0, 1.0) <= 1e-11


def test_a_layer_that_is_inactive_as_a_whole_leaves_a_constant_and_a_proof():
    rng = np.random.default_rng(0)
    layers = [
        Conv(rng.normal(size=(3, 1, 3, 3)), np.full(3, -50.0), padding=1),
        *(ReLU(), Flatten(), Affine(rng.normal(size=(2, 48)), np.ones(2))),
    ]
    net = Network.sequential(layers, (1, 4, 4))
    found = simplify(net, (0.0, 1.0))
    assert found.certificate.inactive == 3
    assert found.certificate.difference == 0.0
    assert same(net, found, 0.0, 1.0) == 0.0
    # The same in front of a convolution that keeps the shape: a map that is one constant.
    layers[2:] = [Conv(rng.normal(size=(2, 3, 3, 3)), np.ones(2), padding=1), ReLU()]
    net = Network.sequential(layers, (1, 4, 4))
    assert same(net, simplify(net, (0.0, 1.0)), 0.0, 1.0) == 0.0


def test_a_channel_that_is_another_constant_at_every_place_stays():
    rng = np.random.default_rng(0)
    conv = Conv([[[[1.0]]], [[[-2.0]]], [[[3.0]]]], [-0.5, -9.0, -1.0])
    for shift, left in ((rng.normal(size=(3, 2, 2)), 3), (np.full((3, 2, 2), 0.5), 2)):
        reader = Affine(rng.normal(size=(2, 12)), [0.0, 0.0])
        net = Network.sequential(
            [conv, ReLU(), Scale(np.ones((3, 2, 2)), shift), Flatten(), reader], (1, 2, 2)
        )
        found = simplify(net, (0.0, 1.0))
        assert same(net, found, 0.0, 1.0) <= 1e-12
        assert found.network.shapes["conv0"][0] == left


def _images(*tail, bias, seed=4):
    """Twelve active channels that combine three, and two others, then a tail of layers."""
    rng = np.random.default_rng(seed)
    basis = rng.normal(size=(3, 2, 3, 3))
    mix = np.vstack([np.eye(3), rng.normal(size=(9, 3))])
    kernels = np.concatenate([np.tensordot(mix, basis, 1), rng.normal(size=(2, 2, 3, 3))])
    shift = mix @ np.full(3, bias) if bias else np.full(12, 150.0)
    shift = np.concatenate([shift, [0.0, 0.1]])
    return Network.sequential([Conv(kernels, shift, padding=1), *tail], (2, 6, 6))


@pytest.mark.parametrize("case", ["conv", "flat", "mean", "padded", "padded mean"])
def test_dependent_active_channels_are_merged(case):
    rng = np.random.default_rng(5)
    last = (ReLU(), Flatten())
    tails = {
        "conv": [Conv(rng.normal(size=(4, 14, 3, 3)), rng.normal(size=4)), *last],
        "flat": [Flatten()],
        "mean": [AvgPool((2, 2)), Conv(rng.normal(size=(4, 14, 2, 2)), np.zeros(4)), *last],
        "padded": [Conv(rng.normal(size=(4, 14, 3, 3)), rng.normal(size=4), padding=1), *last],
        "padded mean": [AvgPool((3, 3), padding=1), Flatten()],
    }
    # Where zeros surround the channels, only biases that combine like the weights are made up for.
    net = _images(ReLU(), *tails[case], bias=0.0)
    width = int(np.prod(net.shapes[net.output]))
    head = Affine(rng.normal(size=(2, width)), rng.normal(size=2))
    net = Network.sequential([*(n.layer for n in net.nodes), head], (2, 6, 6))
    found = simplify(net, (-1.0, 1.0))
    assert same(net, found, -1.0, 1.0) <= 1e-9
    merged = found.certificate.merged
    assert merged >= (8 if "padded" in case else 9)
    assert found.network.shapes["conv0"][0] == 14 - merged


def test_channels_merge_without_rectifiers_and_their_biases_count_at_borders():
    rng = np.random.default_rng(6)
    tail = [Conv(rng.normal(size=(3, 14, 3, 3)), rng.normal(size=3), padding=1), Flatten(),
            Affine(rng.normal(size=(2, 108)), [0.0, 0.0])]  # fmt: skip
    for bias, left in ((2.0, 5), (0.0, 6)):
        net = _images(*tail, bias=bias)
        found = simplify(net, (-1.0, 1.0))
        assert same(net, found, -1.0, 1.0) <= 1e-9
        assert found.network.shapes["conv0"][0] == left


def test_channels_behind_maxima_stay():
    rng = np.random.default_rng(7)
    tail = [ReLU(), MaxPool((2, 2)), Flatten(), Affine(rng.normal(size=(2, 126)), [0.0, 0.0])]
    net = _images(*tail, bias=0.0)
    assert simplify(net, (-1.0, 1.0)).certificate.merged == 0


def test_a_unit_that_is_read_as_two_constants_stays():
    """The two outputs of a group, and the places of a map, may each be stuck at another value."""
    rng = np.random.default_rng(0)
    spread = Conv(np.array([[[[50.0]]], [[[-50.0]]]]), np.zeros(2), groups=1)
    layers = [
        Conv(np.ones((1, 1, 1, 1)), np.zeros(1)),
        *(spread, Clip(-0.5, 0.5), Flatten(), Affine(rng.normal(size=(2, 8)), np.ones(2))),
    ]
    net = Network.sequential(layers, (1, 2, 2))
    assert same(net, simplify(net, (1.0, 2.0)), 1.0, 2.0) <= 1e-11
    # One group: both outputs are one unit with the channel that they read.
    layers[0:2] = [Conv(np.ones((2, 1, 1, 1)), np.zeros(2)), replace(
        spread, weight=np.array([50.0, -50.0, 30.0, -30.0]).reshape(4, 1, 1, 1),
        bias=np.zeros(4), groups=2)]  # fmt: skip
    layers[-1] = Affine(rng.normal(size=(2, 16)), np.ones(2))
    net = Network.sequential(layers, (1, 2, 2))
    found = simplify(net, (1.0, 2.0))
    assert same(net, found, 1.0, 2.0) <= 1e-11
    assert found.certificate.inactive == 0
    # A channel that is stuck at both ends, from place to place.
    scale = Scale(np.array([[[9.0, -9.0], [9.0, 9.0]]]), 0.0)
    layers = [
        Conv(np.ones((1, 1, 1, 1)), np.zeros(1)),
        *(scale, Clip(-0.5, 0.5), Flatten(), Affine(rng.normal(size=(2, 4)), np.ones(2))),
    ]
    net = Network.sequential(layers, (1, 2, 2))
    found = simplify(net, (1.0, 2.0))
    assert same(net, found, 1.0, 2.0) <= 1e-11
    assert found.certificate.inactive == 0
