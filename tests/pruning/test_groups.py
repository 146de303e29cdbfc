import numpy as np
import pytest
from graph_cases import batch_norm, conv, graphs, masked_graphs
from hypothesis import given, settings

from mipnet.errors import MaskError
from mipnet.network import INPUT, Affine, Flatten, Network, Node, ReLU
from mipnet.network.layers import (
    Add,
    AvgPool,
    Concat,
    Conv,
    GlobalAvgPool,
    MaxPool,
    Reshape,
    Sigmoid,
    Slice,
    Softmax,
)
from mipnet.pruning import Mask, apply, compact, prunable_layers, prune, units_of
from mipnet.pruning.units import is_reader, obstacle

quick = settings(deadline=None, max_examples=120)
RNG = np.random.default_rng(0)


def inputs(network, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(-3, 4, (6, *network.input_shape)).astype(float)


def reference(network, mask, x):
    """Definition of a masked network: whoever reads a removed unit sees zeros."""
    units = units_of(network)
    gone = np.zeros(units.count + 1, bool)
    for name, layer in mask.layers.items():
        gone[units.layers[name][layer.removed]] = True
    values = {INPUT: x}
    for node in network.nodes:
        read = [values[name] for name in node.inputs]
        if is_reader(node):
            read = [np.where(gone[units.elements[node.inputs[0]]], 0.0, read[0])]
        values[node.name] = node.layer.forward(*read)
    return values[network.output]


@quick
@given(masked_graphs())
def test_readers_of_a_masked_graph_see_zeros(case):
    network, mask = case
    masked, x = apply(network, mask), inputs(network)
    assert masked.shapes == network.shapes
    np.testing.assert_allclose(masked(x), reference(network, mask, x), rtol=1e-12, atol=1e-9)


@quick
@given(masked_graphs())
def test_a_compacted_graph_equals_the_masked_one(case):
    network, mask = case
    small, x = compact(network, mask), inputs(network, 1)
    wanted = reference(network, mask, x)
    np.testing.assert_allclose(small(x), wanted, rtol=1e-12, atol=1e-9)
    assert small.shapes[small.output] == network.shapes[network.output]
    gone = {n: len(layer.removed) for n, layer in mask.layers.items()}
    for name, count in gone.items():
        left = small.shapes[name][0] if name in small.shapes else 0
        assert left <= network.shapes[name][0] - count


@quick
@given(graphs())
def test_no_unit_that_is_dead_everywhere_is_left(network):
    small = compact(network)
    units = units_of(small)
    used = np.zeros(units.count + 1, bool)
    for node in small.nodes:
        if is_reader(node):
            weight = node.layer.weight
            read = (weight != 0).any(axis=(0, *range(2, weight.ndim)))
            used[units.columns[node.name][read]] = True
    assert used[:-1].all()
    assert compact(small).shapes == small.shapes


@settings(deadline=None, max_examples=40)
@given(graphs())
def test_removing_everything_leaves_a_network_of_the_same_outputs(network):
    groups = prunable_layers(network)
    units = units_of(network)
    mask = Mask.from_kept(network, {n: units.layers[n] < 0 for n in groups})
    small, x = compact(network, mask), inputs(network)
    assert not prunable_layers(small)
    np.testing.assert_allclose(small(x), reference(network, mask, x), rtol=1e-12, atol=1e-9)


def chain(*parts, shape=(2, 8, 8)):
    return Network.sequential(parts, shape)


def test_channels_pass_through_normalisation_activation_and_pooling():
    net = chain(
        conv(RNG, 6, 2), batch_norm(RNG, 6), ReLU(), MaxPool((2, 2)), conv(RNG, 4, 6),
        Sigmoid(), AvgPool((2, 2)), Flatten(), Affine(RNG.normal(size=(3, 16)), np.zeros(3)),
    )  # fmt: skip
    groups = prunable_layers(net)
    first, second = groups["conv0"], groups["conv1"]
    assert (first.unit, first.width, first.simple) == ("channel", 6, True)
    assert first.path == ("batchnorm0", "relu0", "maxpool0")
    assert first.readers == ("conv1",)
    assert second.readers == ("affine0",)
    small = compact(net, Mask.from_kept(net, {"conv0": [0, 2, 5], "conv1": [3]}))
    assert small.by_name["conv1"].layer.weight.shape == (1, 3, 3, 3)
    assert small.by_name["batchnorm0"].layer.weight.shape == (3,)
    assert small.by_name["affine0"].layer.weight.shape == (3, 4)
    # Of every channel four places reach the vector.
    np.testing.assert_array_equal(
        small.by_name["affine0"].layer.weight, net.by_name["affine0"].layer.weight[:, 12:]
    )


def residual():
    nodes = (
        Node("stem", conv(RNG, 4, 2), (INPUT,)),
        Node("inner", conv(RNG, 5, 4), ("stem",)),
        Node("relu", ReLU(), ("inner",)),
        Node("outer", conv(RNG, 4, 5), ("relu",)),
        Node("sum", Add(), ("stem", "outer")),
        Node("pool", GlobalAvgPool(), ("sum",)),
        Node("flat", Flatten(), ("pool",)),
        Node("out", Affine(RNG.normal(size=(2, 4)), np.zeros(2)), ("flat",)),
    )
    return Network(nodes, (2, 6, 6))


def test_residual_partners_fall_together():
    net = residual()
    groups = prunable_layers(net)
    assert list(groups) == ["stem", "inner"]
    assert groups["stem"].partners == ("outer",)
    assert groups["stem"].readers == ("inner", "out")
    masks = [Mask.from_kept(net, {name: [1, 3]}) for name in ("stem", "outer")]
    small = [compact(net, mask) for mask in masks]
    assert small[0].fingerprint == small[1].fingerprint
    for name, shape in {"stem": (2, 2, 3, 3), "outer": (2, 5, 3, 3), "out": (2, 2)}.items():
        assert small[0].by_name[name].layer.weight.shape == shape
    with pytest.raises(MaskError, match=r"'stem' keeps channel 0, which falls together with what"):
        Mask.from_kept(net, {"stem": [0, 1, 2, 3], "outer": [1]})


def test_concatenated_layers_keep_their_own_units():
    nodes = (
        Node("a", conv(RNG, 3, 2), (INPUT,)),
        Node("b", conv(RNG, 2, 2), (INPUT,)),
        Node("joined", Concat(2, 0), ("a", "b")),
        Node("c", conv(RNG, 5, 2), (INPUT,)),
        Node("sum", Add(), ("joined", "c")),
        Node("read", conv(RNG, 1, 5), ("sum",)),
    )
    net = Network(nodes, (2, 5, 5))
    groups = prunable_layers(net)
    assert list(groups) == ["a", "b"]
    assert groups["a"].partners == groups["b"].partners == ("c",)
    small = compact(net, Mask.from_kept(net, {"b": [1]}))
    np.testing.assert_array_equal(
        small.by_name["c"].layer.weight, net.by_name["c"].layer.weight[[0, 1, 2, 4]]
    )
    # All of b gone: the concatenation has one input left.
    small = compact(net, Mask.from_kept(net, {"b": []}))
    assert small.by_name["joined"].inputs == ("a",)


def test_depthwise_and_grouped_convolutions_go_group_by_group():
    net = chain(conv(RNG, 4, 2), conv(RNG, 8, 4, groups=4), ReLU(), conv(RNG, 2, 8))
    groups = prunable_layers(net)
    assert list(groups) == ["conv0"]
    assert groups["conv0"].partners == ("conv1",)
    small = compact(net, Mask.from_kept(net, {"conv0": [0, 3]}))
    layer = small.by_name["conv1"].layer
    assert (layer.weight.shape, layer.groups) == ((4, 1, 3, 3), 2)
    pairs = chain(conv(RNG, 4, 2), conv(RNG, 6, 4, groups=2), conv(RNG, 2, 6))
    assert prunable_layers(pairs)["conv0"].ids.tolist() == [0, 0, 1, 1]
    with pytest.raises(MaskError, match="falls together"):
        Mask.from_kept(pairs, {"conv0": [0, 2, 3]})


def test_what_reaches_the_output_or_mixes_stays_and_says_why():
    nodes = (
        Node("a", conv(RNG, 2, 2), (INPUT,)),
        Node("sum", Add(), ("a", INPUT)),
        Node("b", conv(RNG, 3, 2), ("sum",)),
        Node("soft", Softmax(0), ("b",)),
        Node("c", conv(RNG, 4, 3), ("soft",)),
        Node("d", conv(RNG, 4, 4), ("c",)),
        Node("top", Add(), ("c", "d")),
    )
    net = Network(nodes, (2, 4, 4))
    assert prunable_layers(net) == {}
    assert "network input" in obstacle(net, "a")
    assert "'soft' of kind Softmax, which needs all its inputs" in obstacle(net, "b")
    assert obstacle(net, "c") == "is the output layer"
    assert obstacle(net, "d") == "falls together with a layer that is the output layer"
    with pytest.raises(MaskError, match=r"no layer with removable units.*'b' feeds layer 'soft'"):
        prune(net, "magnitude")


def test_a_part_of_a_layer_may_have_to_stay():
    nodes = (
        Node("hidden", Affine(RNG.normal(size=(4, 3)), np.zeros(4)), (INPUT,)),
        Node("first", Slice([0], [2]), ("hidden",)),
        Node("rest", Slice([2], [4]), ("hidden",)),
        Node("mixed", Affine(RNG.normal(size=(2, 2)), np.zeros(2)), ("rest",)),
        Node("sum", Add(), ("first", "mixed")),
    )
    net = Network(nodes, (3,))
    assert prunable_layers(net)["hidden"].ids.tolist() == [-1, -1, 0, 1]
    with pytest.raises(MaskError, match=r"neuron 0 cannot be removed.*removable: \[2, 3\]"):
        Mask.from_kept(net, {"hidden": [2, 3]})
    # Half of the two that can go.
    result = prune(net, "magnitude", 0.5)
    assert {0, 1} < set(result.mask.layers["hidden"].kept.tolist())
    assert result.network.shapes["hidden"] == (3,)


def test_neurons_that_become_a_channel_go_together():
    net = Network.sequential(
        [Affine(RNG.normal(size=(8, 3)), np.zeros(8)), Reshape((2, 2, 2)), conv(RNG, 2, 2)], 3
    )
    group = prunable_layers(net)["affine0"]
    assert group.ids.tolist() == [0] * 4 + [1] * 4
    assert not group.simple
    result = prune(net, "magnitude", 0.5)
    assert result.network.shapes["reshape0"] == (1, 2, 2)


def test_padding_keeps_a_constant_channel_that_is_not_zero():
    def pair(padding, bias):
        weight = np.ones((2, 1, 3, 3))
        weight[0] = 0.0
        return chain(
            Conv(weight, [bias, 0.0], padding=1), ReLU(), conv(RNG, 1, 2, padding=padding),
            shape=(1, 5, 5),
        )  # fmt: skip

    assert compact(pair(0, 2.0)).shapes["conv0"][0] == 1
    assert compact(pair(1, 2.0)).shapes["conv0"][0] == 2
    assert compact(pair(1, -2.0)).shapes["conv0"][0] == 1


def test_compensation_of_a_channel_joins_the_bias():
    net = chain(conv(RNG, 3, 2), ReLU(), conv(RNG, 2, 3, padding=0))
    mask = Mask.from_kept(net, {"conv0": [1]}, compensation={"conv0": [2.0, -1.0]})
    wanted = net.by_name["conv1"].layer
    sums = wanted.weight.sum(axis=(2, 3))
    np.testing.assert_allclose(
        compact(net, mask).by_name["conv1"].layer.bias,
        wanted.bias + 2.0 * sums[:, 0] - sums[:, 2],
    )
