"""GEMMs of networks and of plain shapes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import mipnet
from mipnet.errors import MaskError, QueryError, UnsupportedError
from mipnet.hardware import (
    Gemm,
    NMMask,
    TileMask,
    Workload,
    attention,
    conv,
    cost,
    dense,
    extract,
    transformer_block,
    weight_matrices,
    with_matrices,
)
from mipnet.hardware.extract import CARRIERS, MIXERS, RULES
from mipnet.network import Affine, Flatten, Network, Node, ReLU
from mipnet.network.layers import Add, BatchNorm, Conv, MaxPool, Softmax
from mipnet.network.layers.base import LAYERS
from mipnet.pruning import LayerMask


def mlp(*widths: int, seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    layers: list[Any] = []
    for n_in, n_out in pairwise(widths):
        layers += [Affine(rng.normal(size=(n_out, n_in)), rng.normal(size=n_out)), ReLU()]
    return Network.sequential(layers[:-1])


def triples(workload: Workload) -> list[tuple[int, int, int]]:
    return [(g.m, g.k, g.n) for g in workload.rows]


def test_affine_layers_of_a_network() -> None:
    net = mlp(20, 30, 10)
    work = extract(net)
    assert triples(work) == [(1, 20, 30), (1, 30, 10)]
    assert work.names == ("affine0", "affine1")
    assert [(g.inputs, g.outputs) for g in work.rows] == [(None, "affine0"), ("affine0", None)]
    assert cost(net, batch=7, array=4).layers[0].size == (7, 20, 30, 1)


def test_masks_of_networks() -> None:
    net = mlp(20, 30, 25, 10)
    mask = mipnet.Mask.from_kept(net, {"affine0": np.arange(11), "affine1": np.arange(3, 25)})
    found = cost(net, mask, array=8, batch=4)
    assert [layer.size[:3] for layer in found.layers] == [(4, 20, 11), (4, 11, 22), (4, 22, 10)]
    small = mipnet.compact(net, mask)
    assert cost(small, array=8, batch=4).cycles == found.cycles
    assert found.packings["affine1"].tiles_before == 4 * 4
    other = mlp(20, 30, 25, 10, seed=1)
    with pytest.raises(MaskError, match="made for model"):
        cost(other, mask)
    with pytest.raises(MaskError, match="no unit group 'affine2'"):
        cost(net, {"affine2": LayerMask(np.arange(5), 10)})


def test_anything_that_loads_is_a_network() -> None:
    weights = [np.ones((3, 2)), np.ones((1, 3))]
    found = cost((weights, [np.zeros(3), np.zeros(1)]), array=2)
    assert [layer.size for layer in found.layers] == [(1, 2, 3, 1), (1, 3, 1, 1)]


def test_weights_out_and_in() -> None:
    net = mlp(4, 6, 3)
    found = weight_matrices(net)
    assert found["affine0"].shape == (4, 6)
    found["affine1"] = np.zeros((6, 3))
    assert not with_matrices(net, found).by_name["affine1"].layer.weight.any()
    with pytest.raises(QueryError, match="affine9"):
        with_matrices(net, {"affine9": np.zeros((6, 3))})
    zeros = TileMask.from_weights(found["affine1"], 2)
    assert cost(net, {"affine1": zeros}, array=2).layers[1].after.cycles == 0


def test_flattened_inputs_have_no_group() -> None:
    rng = np.random.default_rng(0)
    net = Network.sequential([Flatten(), Affine(rng.normal(size=(3, 4)), np.zeros(3))], (1, 2, 2))
    assert [(g.k, g.inputs, g.outputs) for g in extract(net).rows] == [(4, None, None)]


def test_layers_without_a_rule_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, "Affine")
    with pytest.raises(UnsupportedError, match="no GEMM rule") as caught:
        extract(mlp(2, 3, 1))
    assert len(caught.value.operations) == 2


def test_a_rule_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two products of one layer get names of their own and no units."""
    from mipnet.hardware import register_gemm

    with pytest.raises(TypeError, match="Affine"):
        register_gemm("Affine")(lambda layer, source, target: ())
    low_rank = (Gemm("", 1, 2, 1, outputs=""), Gemm("", 1, 1, 3, outputs=""))
    monkeypatch.setitem(RULES, "Affine", lambda layer, source, target: low_rank)
    work = extract(mlp(2, 3))
    assert work.names == ("affine0.0", "affine0.1")
    assert [g.outputs for g in work.rows] == [None, None]


def test_layers_beside_the_array_are_said() -> None:
    """Every kind of layer either has a rule or is known to need none."""
    assert set(LAYERS) <= {*RULES, *CARRIERS, *MIXERS}
    rng = np.random.default_rng(0)
    net = Network.sequential(
        [
            Conv(rng.normal(size=(2, 1, 3)), np.zeros(2)),
            ReLU(),
            MaxPool((2,)),
            ReLU(),
            Flatten(),
            Affine(np.ones((3, 6)), np.zeros(3)),
            Softmax(),
        ],
        (1, 8),
    )
    found = cost(net, array=4)
    assert list(found.workload.beside.values()) == ["ReLU", "MaxPool", "ReLU", "Flatten", "Softmax"]
    said = (
        "beside the array, without a GEMM and at no cost: 2 ReLU, 1 MaxPool, 1 Flatten, 1 Softmax"
    )
    assert said in found.notes
    assert said in str(cost(net, array=4, batch=3))
    assert not any("beside" in note for note in cost((4, 4, 4)).notes)


def test_nothing_to_run() -> None:
    with pytest.raises(QueryError, match="nothing runs on the array"):
        cost(Network.sequential([ReLU()], 3))
    assert "ReLU" in CARRIERS


@pytest.mark.parametrize(
    "shapes",
    [
        (4, 5, 6),
        [(4, 5, 6)],
        np.array([4, 5, 6]),
        np.array([[4, 5, 6]], dtype=np.uint8),
        {"a": (4, 5, 6)},
        [Gemm("a", 4, 5, 6)],
        Gemm("a", 4, 5, 6),
        iter([(4, 5, 6)]),
        [np.array([4, 5, 6])],
        Workload.bare([[4, 5, 6]]),
    ],
)
def test_ways_to_give_shapes(shapes: object) -> None:
    assert cost(shapes, array=4).cycles == 4 * (12 + 4 - 2)


def test_shapes_and_gemms_mixed() -> None:
    found = cost([Gemm("first", 4, 5, 6, count=3), (4, 5, 6)], array=4)
    assert found.workload.names == ("first", "gemm1")
    assert found.cycles == 4 * cost((4, 5, 6), array=4).cycles


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ([], "no GEMM"),
        ([(0, 4, 4)], "'gemm0': M is 0"),
        ([(4, 4, 4), (4, -3, 4)], "'gemm1': K is -3"),
        ([(4, 4)], "three whole numbers"),
        ((4, 4), "three whole numbers"),
        ([4, 4, 4, 4], "three whole numbers"),
        ([(4, 4, 4), (4, 4)], "'gemm1'"),
        ([(4, 4.5, 4)], "K"),
        ({"a": (4, "x", 4)}, "'a'"),
        ([(4, 10**30, 4)], "64-bit"),
        ([Gemm("a", 1, 1, 1), Gemm("a", 1, 1, 1)], "two GEMMs"),
    ],
)
def test_bad_shapes(shapes: object, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        cost(shapes)


@pytest.mark.parametrize("array", ["16by16", "0x4", (4, -1), 2.5, (1, 2, 3), "", None, True])
def test_bad_arrays(array: object) -> None:
    with pytest.raises(QueryError, match="array"):
        cost((4, 4, 4), array=array)


@pytest.mark.parametrize(
    "options",
    [
        {"memory": "large"},
        {"memory": "large", "bandwidth": 1.0},
        {"dataflow": "rs"},
        {"mode": "fast"},
        {"precision": "int3"},
        {"batch": 0},
        {"bandwidth": 0},
    ],
)
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(QueryError):
        cost((4, 4, 4), **options)


def test_arrays_larger_than_the_matrix_are_costed_and_said() -> None:
    found = cost((4, 4, 4), array=128)
    assert found.cycles == 3 * 128 + 4 - 2
    assert "128x128 array is larger than the K x N operand of 1 GEMM(s)" in found.notes[0]


def test_a_dense_chain() -> None:
    gemms = dense((8, 6, 4), batch=3)
    assert [(g.m, g.k, g.n, g.inputs, g.outputs) for g in gemms] == [
        (3, 8, 6, None, "dense.0"),
        (3, 6, 4, "dense.0", None),
    ]
    with pytest.raises(QueryError):
        dense([4])


def test_convolutions_by_im2col() -> None:
    torch = pytest.importorskip("torch")
    for channels, kernel, image, options in (
        ((3, 8), (3, 3), (9, 7), {"stride": 2, "padding": 1}),
        ((4, 6), (5,), (20,), {"dilation": 2}),
        ((4, 8), (2, 3, 1), (5, 6, 4), {"groups": 2, "stride": (1, 2, 1)}),
    ):
        kind = getattr(torch.nn, f"Conv{len(kernel)}d")
        layer = kind(*channels, kernel, **options)
        out = layer(torch.zeros(2, channels[0], *image))
        g = conv(channels, kernel, image, batch=2, **options)
        assert g.m == out.numel() // channels[1]
        assert g.k * g.n * g.count == layer.weight.numel()
        macs = g.m * g.k * g.n * g.count
        assert macs == out.numel() * layer.weight[0].numel()
    assert conv((1, 1), (1,), (9,), stride=3).unique_inputs == 3
    with pytest.raises(QueryError, match="output side"):
        conv((1, 1), (9,), (3,))
    with pytest.raises(QueryError, match="entries"):
        conv((3, 4), (3, 3), (9, 9), stride=(1,))
    with pytest.raises(QueryError, match="groups"):
        conv((3, 4), (3,), (9,), groups=2)
    with pytest.raises(QueryError, match="padding is -1"):
        conv((3, 4), (3,), (9,), padding=-1)
    with pytest.raises(QueryError, match="dilation is 0"):
        conv((3, 4), (3,), (9,), dilation=0)
    with pytest.raises(QueryError, match="lists of numbers"):
        conv((3, 4), 3, 9)


def test_attention_and_transformer_blocks() -> None:
    gemms = attention(10, 24, 3, context=7, batch=2, name="x")
    assert [(g.m, g.k, g.n, g.count) for g in gemms] == [
        (20, 24, 24, 1),
        (14, 24, 24, 1),
        (14, 24, 24, 1),
        (10, 8, 7, 6),
        (10, 7, 8, 6),
        (20, 24, 24, 1),
    ]
    block = transformer_block(16, 8, 2, 32)
    macs = cost(block, array=4).macs
    assert macs == 16 * (4 * 8 * 8 + 2 * 8 * 32) + 2 * 2 * 16 * 16 * 4
    with pytest.raises(QueryError, match="multiple"):
        attention(4, 10, 3)


def test_batches_repeat_products_of_activations() -> None:
    one, four = (cost(attention(10, 24, 3), array=4, batch=b) for b in (1, 4))
    assert four.macs == 4 * one.macs
    sizes = {layer.name: layer.size for layer in four.layers}
    assert sizes["attention.q"] == (40, 24, 24, 1)
    assert sizes["attention.scores"] == (10, 8, 10, 12)


def test_batches_meet_masks() -> None:
    heads = {"attention": LayerMask(np.array([1]), 3, unit="head")}
    sizes = [x.size for x in cost(attention(10, 24, 3), heads, array=4, batch=4).layers]
    assert sizes == [x.size for x in cost(attention(10, 24, 3, batch=4), heads, array=4).layers]
    assert sizes[3] == (10, 8, 10, 4)
    found = cost((8, 64, 32), {"gemm0": NMMask(1, 4)}, array=8, batch=2)
    assert found.macs == 16 * 16 * 32
    units = cost((8, 64, 32), {"gemm0": LayerMask(np.arange(8), 32)}, array=8, batch=2)
    assert units.layers[0].size == (16, 64, 8, 1)


def test_convolutional_networks() -> None:
    rng = np.random.default_rng(0)
    net = Network.sequential(
        [
            Conv(rng.normal(size=(4, 1, 3, 3)), np.zeros(4), padding=1),
            BatchNorm(*np.ones((4, 4))),
            ReLU(),
            MaxPool((2, 2)),
            Conv(rng.normal(size=(6, 4, 3, 3)), np.zeros(6)),
            ReLU(),
            Flatten(),
            Affine(rng.normal(size=(5, 24)), np.zeros(5)),
        ],
        (1, 8, 8),
    )
    assert triples(extract(net)) == [(64, 9, 4), (4, 36, 6), (1, 24, 5)]
    assert extract(net).unique.tolist() == [64, 64, 24]
    masks = {
        "conv0": LayerMask(np.array([0, 3]), 4, unit="channel"),
        "conv1": LayerMask(np.arange(5), 6, unit="channel"),
    }
    found = cost(net, masks, array=4, batch=2)
    assert [layer.size[:3] for layer in found.layers] == [(128, 9, 2), (8, 18, 5), (2, 20, 5)]
    weights = weight_matrices(net)
    patch = rng.normal(size=36)
    kernel = net.by_name["conv1"].layer.weight
    np.testing.assert_allclose(
        patch @ weights["conv1"], (kernel * patch.reshape(4, 3, 3)).sum(axis=(1, 2, 3))
    )
    zeros = with_matrices(net, {"conv1": np.zeros((36, 6))})
    assert not zeros.by_name["conv1"].layer.weight.any()


def test_units_that_merge_stay_whole() -> None:
    """Where two branches are added, a unit of one alone cannot go."""
    rng = np.random.default_rng(0)
    layers = [Affine(rng.normal(size=(4, 4)), np.zeros(4)) for _ in range(3)]
    net = Network(
        (
            Node("a", layers[0], ("input",)),
            Node("b", layers[1], ("a",)),
            Node("sum", Add((1.0, 1.0)), ("a", "b")),
            Node("c", layers[2], ("sum",)),
        ),
        (4,),
    )
    assert [(g.inputs, g.outputs) for g in extract(net).rows] == [(None, None)] * 3
    with pytest.raises(MaskError, match="no unit group 'a'"):
        cost(net, {"a": LayerMask(np.arange(2), 4)})
