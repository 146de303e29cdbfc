"""Tile pruning by one threshold: counts of the rule, edges, 8-bit weights, cost on the array."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pruning_cases import mlp

from mipnet.errors import MaskError
from mipnet.hardware import TileMask, cost, weight_matrices
from mipnet.network import Affine, Flatten, Network, Node, ReLU
from mipnet.network.layers import Add, Conv, Softmax
from mipnet.pruning import Mask, prune
from mipnet.pruning.methods.sasp import kept_tiles, output_layers, quantise, quantised

#: Weights of the card, K x N; an Affine weight is the transpose.
CARD = np.array([[1, 1, 5, 5], [1, 1, 5, 5], [2, 2, 3, 3], [2, 2, 3, 3]], float)


def card_network():
    return Network.sequential(
        [Affine(CARD.T, np.zeros(4)), ReLU(), Affine(np.ones((1, 4)), np.zeros(1))]
    )


def test_the_case_of_the_card():
    result = prune(card_network(), "sasp", None, tile=2, rate=0.25)
    layer = result.mask.layers["affine0"]
    assert layer.scores.tolist() == [1, 5, 2, 3]
    assert layer.kept.tolist() == [1, 3]
    exact = prune(card_network(), "sasp", None, tile=2, rate=0.25, ties="exact")
    assert exact.mask.layers["affine0"].kept.tolist() == [1, 2, 3]
    asked = prune(card_network(), "sasp", 0.75, tile=2)
    assert asked.mask.layers["affine0"].kept.tolist() == [1, 2, 3]
    # Inputs 0 to 3 by outputs: tile 0 reads inputs 0, 1 for outputs 0, 1.
    np.testing.assert_array_equal(
        result.masked.nodes[0].layer.weight.T,
        [[0, 0, 5, 5], [0, 0, 5, 5], [0, 0, 3, 3], [0, 0, 3, 3]],
    )
    # Outputs 0 and 1 have lost everything: they are constant and go.
    assert result.network.shapes["affine0"] == (2,)
    assert result.report.keep_reached == 0.5


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.floats(0.0, 1.0),
    st.sampled_from([1, 2, 3, 5, (2, 4), (4, 1)]),
    st.sampled_from(["sasp", "exact"]),
)
def test_zero_tiles_are_those_of_the_arithmetic(seed, rate, tile, ties):
    net = mlp(7, 9, 6, 3, seed=seed)
    result = prune(net, "sasp", None, tile=tile, rate=rate, ties=ties)
    total = sum(layer.width for layer in result.mask.layers.values())
    rows, columns = (tile, tile) if isinstance(tile, int) else tile
    assert total == -(-7 // rows) * -(-9 // columns) + -(-9 // rows) * -(-6 // columns)
    gone = sum(layer.removed.size for layer in result.mask.layers.values())
    more = ties == "sasp" and 0 < rate < 1
    # Ties have probability 0 here.
    assert gone == int(rate * total) + more
    zeros = 0
    for name, matrix in weight_matrices(result.masked).items():
        if name in result.mask.layers:
            mask = TileMask.from_weights(matrix, (rows, columns))
            zeros += mask.keep.size - mask.kept_tiles
    assert zeros == gone
    kept = [layer.scores[layer.kept] for layer in result.mask.layers.values()]
    lost = [layer.scores[layer.removed] for layer in result.mask.layers.values()]
    if 0 < gone < total:
        assert np.concatenate(lost).max() < np.concatenate(kept).min()


def test_ties_go_together_and_ends_are_exact():
    same = {"a": np.ones((2, 3)), "b": np.full(2, 2.0)}
    assert not kept_tiles(same, 0.1)["a"].any()
    assert kept_tiles(same, 0.1)["b"].all()
    assert kept_tiles(same, 0.4, "exact")["a"].sum() == 3
    for ties in ("sasp", "exact"):
        assert all(flags.all() for flags in kept_tiles(same, 0, ties).values())
        assert not any(flags.any() for flags in kept_tiles(same, 1.0, ties).values())
    for bad in (-0.1, 1.5, float("nan"), "half", True):
        with pytest.raises(MaskError, match=r"between 0 and 1|rate must be a number"):
            prune(card_network(), "sasp", None, rate=bad)
    with pytest.raises(MaskError, match="sasp, exact"):
        prune(card_network(), "sasp", None, ties="random")


def test_cut_off_tiles_count_what_is_there():
    net = Network.sequential(
        [Affine(np.full((5, 5), -2.0), np.zeros(5)), ReLU(), Affine(np.ones((1, 5)), [0.0])]
    )
    result = prune(net, "sasp", 1.0, tile=(4, 3))
    assert result.mask.layers["affine0"].scores.tolist() == [2.0] * 4
    assert result.network.fingerprint == net.fingerprint


def convnet(seed=0):
    rng = np.random.default_rng(seed)
    layers = [
        Conv(rng.normal(size=(6, 2, 3, 3)), np.zeros(6)),
        *(ReLU(), Flatten()),
        Affine(rng.normal(size=(5, 96)), np.zeros(5)),
        ReLU(),
        Affine(rng.normal(size=(2, 5)), np.zeros(2)),
    ]
    return Network.sequential(layers, (2, 6, 6))


def test_the_output_is_spared_unless_named():
    net = convnet()
    assert set(prune(net, "sasp", 0.5, tile=2).mask.layers) == {"conv0", "affine0"}
    named = prune(net, "sasp", None, tile=2, rate=0.5, layers=("affine0", "affine1"))
    assert set(named.mask.layers) == {"affine0", "affine1"}
    with pytest.raises(MaskError, match=r"\['flatten0'\] have no tiles; .*'conv0'"):
        prune(net, "sasp", 0.5, layers=("flatten0",))
    nodes = [
        Node("a", Affine(np.eye(3), np.zeros(3)), ("input",)),
        Node("b", Affine(np.eye(3), np.zeros(3)), ("a",)),
        Node("sum", Add(), ("a", "b")),
        Node("soft", Softmax(), ("sum",)),
    ]
    assert output_layers(Network(tuple(nodes), (3,))) == {"a", "b"}


def test_a_tile_of_a_convolution_spans_channels_and_kernel():
    net = convnet()
    result = prune(net, "sasp", None, tile=(9, 2), rate=0.3, layers=("conv0",))
    weight = result.masked.by_name["conv0"].layer.weight
    # Nine inputs are one channel of the kernel: six tiles, int(1.8) + 1 of them zero.
    zero = [not weight[2 * n : 2 * n + 2, c].any() for c in range(2) for n in range(3)]
    assert sum(zero) == 2
    assert np.flatnonzero(zero).tolist() == result.mask.layers["conv0"].removed.tolist()


def test_eight_bit_weights():
    integers, scale = quantise(np.array([[1.27, -0.635, 0.0049], [0.0051, 0.0, -1.27]]))
    assert scale == pytest.approx(0.01)
    assert integers.tolist() == [[127, -64, 0], [1, 0, -127]]
    assert integers.dtype == np.int8
    assert quantise(np.zeros((2, 2)))[1] == 0.0
    net = mlp(20, 30, 20, 3)
    small = quantised(net)
    for node in net.nodes:
        if isinstance(node.layer, Affine):
            after = small.by_name[node.name].layer
            limit = np.abs(node.layer.weight).max() / 254
            assert np.abs(after.weight - node.layer.weight).max() <= limit * (1 + 1e-12)
            assert len(np.unique(after.weight)) <= 255
            np.testing.assert_array_equal(after.bias, node.layer.bias)
    assert quantised(small).fingerprint == quantised(quantised(small)).fingerprint


def test_pruned_and_quantised():
    net = mlp(20, 30, 20, 3)
    plain = prune(net, "sasp", None, tile=5, rate=0.4)
    int8 = prune(net, "sasp", None, tile=5, rate=0.4, weights="int8")
    for name, layer in plain.mask.layers.items():
        np.testing.assert_array_equal(layer.kept, int8.mask.layers[name].kept)
        before = plain.masked.by_name[name].layer.weight
        after = int8.masked.by_name[name].layer.weight
        assert not after[before == 0.0].any()
        np.testing.assert_array_equal(after, quantised(plain.masked).by_name[name].layer.weight)
    x = np.random.default_rng(0).normal(size=(50, 20))
    np.testing.assert_allclose(int8.network(x), int8.masked(x), rtol=1e-9, atol=1e-9)
    error = np.abs(int8.masked(x) - plain.masked(x)).max()
    assert 0.0 < error < 0.05 * np.abs(plain.masked(x)).max()
    with pytest.raises(MaskError, match="fp32, int8"):
        prune(net, "sasp", 0.5, weights="int4")


def test_the_mask_is_read_back_and_costed(tmp_path):
    net = mlp(32, 48, 32, 4)
    result = prune(net, "sasp", None, tile=8, rate=0.5)
    path = tmp_path / "mask.safetensors"
    result.mask.save(path)
    again = Mask.load(path)
    again.check(net)
    assert again.layers["affine0"].tile == (8, 8)
    tiles = {
        name: TileMask.from_weights(matrix, 8)
        for name, matrix in weight_matrices(result.masked).items()
        if name in result.mask.layers
    }
    # 24 + 24 tiles compete, 25 are zero; the last layer has 4 of its own, all there.
    assert sum(mask.kept_tiles for mask in tiles.values()) == 23
    dense, pruned = (
        cost(net, masks, array="8x8", dataflow="ws", batch=16).cycles for masks in (None, tiles)
    )
    assert pruned == dense * (23 + 4) // (48 + 4)
