import sys

import numpy as np
import pytest
from hypothesis import given, settings
from pruning_cases import integer_inputs, masked_networks, mlp, networks

from mipnet.errors import MaskError
from mipnet.network import INPUT, Affine, Flatten, Network, Node, ReLU
from mipnet.pruning import Mask, apply, compact, prunable_layers
from mipnet.pruning.agreement import check_agreement, sample_inputs

quick = settings(deadline=None, max_examples=150)


def reference(network, mask, x):
    """Definition of a masked network: readers see the constant in place of the unit."""
    groups = prunable_layers(network)
    owner = {c: name for name in mask.layers for c in (name, *groups[name].path)}
    values = {INPUT: x}
    for node in network.nodes:
        h = values[node.inputs[0]]
        if isinstance(node.layer, Affine) and node.inputs[0] in owner:
            layer = mask.layers[owner[node.inputs[0]]]
            h = h.copy()
            h[:, layer.removed] = 0.0 if layer.compensation is None else layer.compensation
        values[node.name] = node.layer.forward(h)
    return values[network.output]


@quick
@given(masked_networks())
def test_masked_network_replaces_removed_units_by_their_constant(case):
    network, mask = case
    x = integer_inputs(network)
    masked = apply(network, mask)
    assert masked.shapes == network.shapes
    np.testing.assert_array_equal(masked(x), reference(network, mask, x))
    for name, layer in mask.layers.items():
        weight, bias = masked.by_name[name].layer.parameters
        assert not weight[layer.removed].any()
        assert not bias[layer.removed].any()


@quick
@given(masked_networks())
def test_compacted_network_equals_the_masked_one_exactly(case):
    network, mask = case
    before = network.fingerprint
    x = integer_inputs(network, seed=1)
    small = compact(network, mask)
    np.testing.assert_array_equal(small(x), apply(network, mask)(x))
    assert network.fingerprint == before
    assert small.input_shape == network.input_shape
    assert small.shapes[small.output] == network.shapes[network.output]
    assert set(small.by_name) <= set(network.by_name)
    for name, layer in mask.layers.items():
        assert small.shapes.get(name, (0,))[0] <= len(layer.kept)


@quick
@given(networks())
def test_no_constant_and_no_dead_unit_is_left(network):
    small = compact(network)
    for name, group in prunable_layers(small).items():
        assert small.by_name[name].layer.weight.any(axis=1).all()
        used = [small.by_name[reader].layer.weight.any(axis=0) for reader in group.readers]
        assert np.any(used, axis=0).all()
    assert compact(small).shapes == small.shapes


@settings(deadline=None, max_examples=40)
@given(masked_networks())
def test_removing_everything_leaves_the_constant_at_any_point(case):
    network, _ = case
    groups = prunable_layers(network)
    if not groups:
        return
    mask = Mask.from_kept(network, {key: [] for key in groups})
    small = compact(network, mask)
    assert not prunable_layers(small)
    assert not any(n.layer.weight.any() for n in small.nodes if isinstance(n.layer, Affine))
    x = integer_inputs(network)
    np.testing.assert_array_equal(small(x), apply(network, mask)(x))
    assert small.output == network.output


def test_constants_fold_through_layers():
    # Unit 1 is the constant relu(2); it makes unit 0 of the next layer the constant 5 + 3 * 2.
    net = Network.sequential(
        [
            Affine([[1.0], [0.0]], [0.0, 2.0]),
            ReLU(),
            Affine([[0.0, 3.0], [1.0, 1.0]], [5.0, 0.0]),
            ReLU(),
            Affine([[10.0, 1.0]], [1.0]),
        ]
    )
    small = compact(net)
    assert [n.name for n in small.nodes] == [n.name for n in net.nodes]
    first, second, last = (small.by_name[f"affine{i}"].layer for i in range(3))
    assert first.weight.tolist() == [[1.0]]
    assert (second.weight.tolist(), second.bias.tolist()) == ([[1.0]], [2.0])
    assert (last.weight.tolist(), last.bias.tolist()) == ([[1.0]], [111.0])


def test_negative_constants_are_cut_off_by_a_relu_only():
    layers = [Affine([[0.0], [1.0]], [-2.0, 0.0]), ReLU(), Affine([[3.0, 1.0]], [1.0])]
    assert compact(Network.sequential(layers)).by_name["affine1"].layer.bias.tolist() == [1.0]
    bare = compact(Network.sequential([layers[0], layers[2]]))
    assert bare.by_name["affine1"].layer.bias.tolist() == [-5.0]


def test_compensation_moves_into_the_next_bias():
    net = Network.sequential(
        [
            Affine(np.eye(3), np.zeros(3)),
            ReLU(),
            Affine([[1.0, -2.0, 0.5], [0.0, 1.0, 2.0]], [1, 1]),
        ]
    )
    mask = Mask.from_kept(net, {"affine0": [0, 1]}, compensation={"affine0": [2.05]})
    small = compact(net, mask)
    # An, Zhao, Yu, Tang, Wang (AAAI 2024): B0 = W ((1 - M) * mean), on top of the bias.
    np.testing.assert_allclose(small.by_name["affine1"].layer.bias, [1 + 1.025, 1 + 4.1])
    assert small.by_name["affine1"].layer.weight.tolist() == [[1.0, -2.0], [0.0, 1.0]]


def test_a_vanished_layer_of_an_image_network_keeps_flattening_and_output_relu():
    nodes = (
        Node("aside", Flatten(), (INPUT,)),
        Node("flat", Flatten(), (INPUT,)),
        Node("hidden", Affine(np.ones((2, 4)), [1.0, -1.0]), ("flat",)),
        Node("relu", ReLU(), ("hidden",)),
        Node("out", Affine([[2.0, 3.0], [-1.0, 0.0]], [4.0, -5.0]), ("relu",)),
        Node("last", ReLU(), ("out",)),
    )
    bounds = (np.zeros((2, 2)), np.ones((2, 2)))
    net = Network(nodes, (2, 2), "float32", bounds, "here")
    small = compact(net, Mask.from_kept(net, {"hidden": []}))
    assert [n.name for n in small.nodes] == ["flat", "out", "last"]
    assert small.by_name["out"].layer.weight.shape == (2, 4)
    assert small(np.ones((2, 2))).tolist() == [4.0, 0.0]
    assert (small.dtype, small.source) == ("float32", "here")
    np.testing.assert_array_equal(small.input_bounds, net.input_bounds)


def test_dead_branches_go_and_shared_units_stay_while_a_live_reader_needs_them():
    nodes = (
        Node("trunk", Affine(np.ones((3, 2)), [1.0, 2.0, 3.0]), (INPUT,)),
        Node("side", Affine(np.ones((1, 3)), [0.0]), ("trunk",)),
        Node("relu", ReLU(), ("trunk",)),
        Node("out", Affine([[1.0, 0.0, 2.0]], [0.0]), ("relu",)),
    )
    small = compact(Network(nodes, (2,)))
    assert [n.name for n in small.nodes] == ["trunk", "relu", "out"]
    assert small.shapes["trunk"] == (2,)


def test_near_zero_weights_are_not_zero():
    net = Network.sequential([Affine([[1e-300]], [1.0]), ReLU(), Affine([[1e-300]], [0.0])])
    assert compact(net).shapes == net.shapes


def test_every_call_compares_masked_and_compacted_network(monkeypatch):
    module = sys.modules["mipnet.pruning.compact"]
    honest = module.shrink

    def wrong(network):
        found = honest(network)
        weight, bias = found.network.by_name["affine1"].layer.parameters
        bad = found.network.with_layers({"affine1": Affine(weight, bias * (1 + 1e-9))})
        return found._replace(network=bad)

    net = mlp(3, 6, 5, 2)
    mask = Mask.from_kept(net, {"affine0": [0, 3, 5]})
    compact(net, mask)
    monkeypatch.setattr(module, "shrink", wrong)
    with pytest.raises(MaskError, match="layer 'affine1', neuron 0"):
        compact(net, mask)


def test_agreement_grants_rounding_and_nothing_else():
    rng = np.random.default_rng(0)
    # Large terms that cancel: the results are small, their rounding errors are not.
    weight = rng.normal(size=(1, 40)) * 1e8
    net = Network.sequential([Affine(rng.normal(size=(40, 4)), np.ones(40)), Affine(weight, [0.0])])
    order = rng.permutation(40)
    first = net.by_name["affine0"].layer
    twin = net.with_layers(
        {
            "affine0": Affine(first.weight[order], first.bias[order]),
            "affine1": Affine(weight[:, order], [0.0]),
        }
    )
    kept = {"affine1": np.ones(1, bool)}
    small = Network.sequential(
        [Affine(weight @ first.weight, weight @ first.bias)], names=["affine1"]
    )
    assert np.abs(twin(np.ones(4)) - small(np.ones(4))).max() > 0.0
    check_agreement(net, small, kept)
    layer = small.nodes[0].layer
    off = small.with_layers({"affine1": Affine(layer.weight, layer.bias + 1e-3)})
    with pytest.raises(MaskError, match="affine1"):
        check_agreement(net, off, kept)


def test_overflow_is_refused_not_ignored():
    net = Network.sequential([Affine([[1e308], [1.0]], [0, 0]), ReLU(), Affine([[1e9, 0.0]], [0])])
    with pytest.raises(MaskError):
        compact(net)


def test_sample_stays_in_the_input_bounds():
    net = mlp(4, 2, 1).with_input_bounds([0.0, -1e308, 2.0, -np.inf], [1.0, 1e308, np.inf, 3.0])
    x = sample_inputs(net, 50)
    assert np.isfinite(x).all()
    drawn = np.delete(x, 50, axis=0)  # without the origin
    assert (drawn >= net.input_bounds[0]).all()
    assert (drawn <= net.input_bounds[1]).all()
    np.testing.assert_array_equal(x, sample_inputs(net, 50))


def test_compaction_refuses_a_mask_of_another_model():
    mask = Mask.from_kept(mlp(3, 4, 2), {"affine0": [1]})
    for act in (apply, compact):
        with pytest.raises(MaskError, match="made for model"):
            act(mlp(3, 4, 2, seed=1), mask)
