"""Masks on, before and behind grouped and depthwise convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_cases import COUNTS, fewer, machine, no_dearer

from mipnet.errors import MaskError, QueryError
from mipnet.hardware import (
    ElementMask,
    Gemm,
    NMMask,
    TileMask,
    conv,
    cost,
    extract,
    prune_tiles,
    staircase,
    sweep,
    weight_matrices,
    with_matrices,
)
from mipnet.network import Affine, Flatten, Network, ReLU
from mipnet.network.layers import BatchNorm, Clip, Conv
from mipnet.pruning import LayerMask

seeds = st.integers(0, 2**32 - 1)


def channels(*kept: int, width: int) -> LayerMask:
    return LayerMask(np.array(kept, dtype=int), width, unit="channel")


def inverted_bottleneck(kept: Any = slice(None), seed: int = 0) -> Network:
    """MobileNet's block: expand, depthwise, project; with some of its inner channels."""
    rng = np.random.default_rng(seed)
    expand, depth = rng.normal(size=(8, 3, 1, 1)), rng.normal(size=(8, 1, 3, 3))
    project, norm = rng.normal(size=(4, 8, 1, 1)), rng.random((4, 8)) + 0.1
    inner = len(expand[kept])
    return Network.sequential(
        [
            Conv(expand[kept], np.zeros(inner)),
            BatchNorm(*norm[:, kept]),
            Clip(0, 6),
            Conv(depth[kept], np.zeros(inner), padding=1, groups=inner),
            ReLU(),
            Conv(project[:, kept], np.zeros(4)),
            ReLU(),
            Flatten(),
            Affine(rng.normal(size=(2, 100)), np.zeros(2)),
        ],
        (3, 5, 5),
    )


def test_grouped_convolutions_are_repetitions() -> None:
    rng = np.random.default_rng(0)
    net = Network.sequential(
        [Conv(rng.normal(size=(6, 2, 3)), np.zeros(6), groups=3), Flatten()], (6, 10)
    )
    (gemm,) = extract(net).rows
    assert (gemm.m, gemm.k, gemm.n, gemm.count, gemm.outputs) == (8, 6, 2, 3, None)
    assert list(weight_matrices(net)) == ["conv0[0]", "conv0[1]", "conv0[2]"]
    assert cost(net, array=4).cycles == 3 * cost((8, 6, 2), array=4).cycles


@pytest.mark.parametrize("name", ["conv0", "conv1"])
@pytest.mark.parametrize("dataflow", ["ws", "os", "is"])
def test_channels_go_through_a_depthwise_convolution(name: str, dataflow: str) -> None:
    """A mask before it and a mask on it leave what the smaller network costs."""
    kept = [0, 2, 3, 5, 6]
    options: Any = {"array": 4, "dataflow": dataflow, "batch": 3, "bandwidth": 2.0}
    found = cost(inverted_bottleneck(), {name: channels(*kept, width=8)}, **options)
    small = cost(inverted_bottleneck(kept), **options)
    assert found.after == small.after
    assert found.energy == pytest.approx(small.energy)
    assert [layer.size for layer in found.layers] == [layer.size for layer in small.layers]
    other = {"conv0": "conv1", "conv1": "conv0"}[name]
    assert any(f"3 unit(s) of group '{other}' go along" in note for note in found.notes)


def test_both_sides_of_a_depthwise_convolution() -> None:
    masks = {"conv0": channels(0, 1, 2, 3, width=8), "conv1": channels(2, 3, 4, 5, width=8)}
    found = cost(inverted_bottleneck(), masks, array=4)
    assert found.after == cost(inverted_bottleneck([2, 3]), array=4).after
    gone = cost(
        inverted_bottleneck(),
        {"conv0": channels(0, width=8), "conv1": channels(1, width=8)},
        array=4,
    )
    assert [layer.size[3] for layer in gone.layers] == [0, 0, 0, 1]


def test_channels_that_something_else_reads_stay() -> None:
    """Behind the depthwise layer they are gone, before it another reader needs them."""
    gemms = [
        conv((3, 8), (1,), (9,), name="a"),
        conv((8, 8), (3,), (9,), groups=8, name="b", inputs="a"),
        conv((8, 5), (1,), (9,), name="c", inputs="a"),
        conv((8, 5), (1,), (7,), name="d", inputs="b"),
    ]
    found = cost(gemms, {"b": channels(1, 2, width=8)}, array=4)
    assert [layer.size for layer in found.layers] == [
        (9, 3, 8, 1),
        (7, 3, 1, 2),
        (9, 8, 5, 1),
        (7, 2, 5, 1),
    ]


def test_channels_of_a_grouped_convolution() -> None:
    """Blocks shrink by what each of them loses: three shapes out of four blocks."""
    before = conv((3, 16), (1,), (9,), name="a")
    grouped = conv((16, 8), (3,), (9,), groups=4, name="b", inputs="a")
    after = conv((8, 5), (1,), (7,), name="c", inputs="b")
    masks = {
        "a": channels(0, 1, 2, 3, 4, 5, 8, 9, 12, 13, 14, 15, width=16),
        "b": channels(0, 1, 2, 3, 4, 6, 7, width=8),
    }
    found = cost([before, grouped, after], masks, array=4)
    layer = found.layers[1]
    assert layer.parts == ((7, 12, 2, 2), (7, 6, 2, 1), (7, 6, 1, 1))
    assert layer.size == (7, 12, 2, 4)
    assert layer.after.macs == 7 * (2 * 24 + 12 + 6)
    assert found.layers[2].size == (7, 7, 5, 1)
    assert "7 x 12 x 2, 2 times + 7 x 6 x 2 + 1 other shapes" in found._repr_html_()
    plain = found.to_dict()["layers"][1]["parts"]
    assert plain[2] == {"m": 7, "k": 6, "n": 1, "count": 1}
    assert found.to_frame().loc["b", ["k", "n", "count"]].tolist() == [12, 2, 4]


def expanded(
    gemms: list[Gemm], kept: dict[str, np.ndarray], masks: dict[str, Any]
) -> tuple[list[Gemm], dict[str, Any]]:
    """Every block as a GEMM of its own, by loops over units."""
    rows, renamed = [], {}
    for gemm in gemms:
        for b in range(gemm.blocks):
            k, n = gemm.k, gemm.n
            if gemm.inputs in kept:
                keep = kept[gemm.inputs]
                each = gemm.k * gemm.blocks // len(keep)
                k = sum(bool(keep[(b * gemm.k + x) // each]) for x in range(gemm.k))
            if gemm.outputs in kept:
                keep = kept[gemm.outputs]
                n = sum(bool(keep[b * gemm.n + x]) for x in range(gemm.n))
            if not k or not n:
                continue
            name = f"{gemm.name}-{b}"
            unique = None if gemm.unique_inputs is None else -(-gemm.unique_inputs * k // gemm.k)
            rows.append(Gemm(name, gemm.m, k, n, unique_inputs=unique))
            if f"{gemm.name}[{b}]" in masks:
                renamed[name] = masks[f"{gemm.name}[{b}]"]
    return rows, renamed


def chain(rng: np.random.Generator) -> tuple[list[Gemm], dict[str, int]]:
    """Three convolutions, the middle ones in one to four groups."""
    groups = [1, int(rng.integers(1, 5)), int(rng.integers(1, 5)), 1]
    width = [2, *(int(rng.integers(1, 3)) * groups[1] * groups[2] for _ in range(3)), 3]
    names = ["a", "b", "c", "d"]
    gemms = [
        conv(
            (width[i], width[i + 1]),
            (int(rng.integers(1, 4)),),
            (6,),
            groups=groups[i],
            name=names[i],
            inputs=names[i - 1] if i else None,
        )
        for i in range(4)
    ]
    return gemms, {name: width[i + 1] for i, name in enumerate(names)}


def alive(gemms: list[Gemm], kept: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Units that are fed and read, channel by channel, until nothing changes."""
    kept = {name: keep.copy() for name, keep in kept.items()}
    for _ in range(20):
        for gemm in gemms:
            if gemm.blocks == 1:
                continue
            source, own = kept[gemm.inputs], kept[gemm.outputs]
            wide, tall = len(own) // gemm.blocks, len(source) // gemm.blocks
            for b in range(gemm.blocks):
                ins, outs = slice(b * tall, (b + 1) * tall), slice(b * wide, (b + 1) * wide)
                if not source[ins].any():
                    own[outs] = False
                if not own[outs].any():
                    source[ins] = False
    return kept


@settings(max_examples=80)
@given(seed=seeds)
def test_blocks_cost_what_they_would_as_layers_of_their_own(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gemms, widths = chain(rng)
    options = machine(rng)
    share = rng.choice([0.3, 1.0])  # at 1 nothing goes, and every block can have a weight mask
    kept = {n: rng.random(widths[n]) < rng.random() + share for n in ("a", "b", "c")}
    masks: dict[str, Any] = {n: LayerMask(keep, len(keep)) for n, keep in kept.items()}
    left = alive(gemms, kept | {"d": np.ones(3, bool)})
    tiles = {
        f"{g.name}[{b}]": TileMask.from_weights(rng.random((g.k, g.n)) < 0.4, options["array"])
        if rng.random() < 0.5
        else ElementMask(rng.random((g.k, g.n)) < 0.5, compressed=True)
        for g in gemms
        for b in range(g.blocks)
        if g.blocks > 1 and rng.random() < 0.6
        # Unit masks change the sizes that weight masks have to have.
        if left[g.inputs].all() and left[g.outputs].all()
    }
    found = cost(gemms, masks | tiles, **options)
    rows, renamed = expanded(gemms, left, tiles)
    if not rows:
        assert found.cycles == 0
        return
    one = cost(rows, renamed, **options)
    for name in (*COUNTS, "folds", "stall_cycles", "index_bytes", "hops"):
        assert getattr(found.after, name) == getattr(one.after, name), name
    assert found.after.mapping_efficiency == pytest.approx(one.after.mapping_efficiency)
    assert [e.total.sum() for e in found.energies] == pytest.approx(
        [e.total.sum() for e in one.energies]
    )


@settings(max_examples=60)
@given(seed=seeds)
def test_fewer_channels_never_cost_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gemms, widths = chain(rng)
    options = machine(rng)
    some = {n: rng.random(widths[n]) < rng.random() + 0.3 for n in ("a", "b", "c")}
    less = {name: fewer(rng, keep) for name, keep in some.items()}
    runs = [
        cost(gemms, {name: LayerMask(keep, len(keep)) for name, keep in masks.items()}, **options)
        for masks in ({}, some, less)
    ]
    no_dearer(runs[1], runs[0])
    no_dearer(runs[2], runs[1])
    full = {name: LayerMask(np.ones(width, bool), width) for name, width in widths.items()}
    assert cost(gemms, full, **options).after == runs[0].after


def test_tile_masks_of_groups_from_weights_and_back() -> None:
    rng = np.random.default_rng(3)
    net = Network.sequential(
        [Conv(rng.normal(size=(8, 4, 3)), np.zeros(8), groups=2), Flatten()], (8, 10)
    )
    weights = weight_matrices(net)
    assert {name: w.shape for name, w in weights.items()} == {
        "conv0[0]": (12, 4),
        "conv0[1]": (12, 4),
    }
    masks = prune_tiles(weights, 4, 0.5, ties="exact")
    assert sum(mask.kept_tiles for mask in masks.values()) == 3
    pruned = with_matrices(net, {n: np.where(m.elements, weights[n], 0) for n, m in masks.items()})
    for name, matrix in weight_matrices(pruned).items():
        np.testing.assert_array_equal(matrix, np.where(masks[name].elements, weights[name], 0))
    # The second half of the outputs sees the second half of the channels through its own matrix.
    image = rng.normal(size=(8, 10))
    out = np.array(pruned(image.reshape(-1))).reshape(8, 8)
    patch = image[4:, 5:8].reshape(-1)
    np.testing.assert_allclose(out[4:, 5], patch @ weight_matrices(pruned)["conv0[1]"])
    found = cost(net, masks, array=4)
    assert found.cycles == 3 * (2 * 4 + 4 + 8 - 2)
    assert found.before.cycles == 6 * (2 * 4 + 4 + 8 - 2)
    points = sweep(net, arrays=[4], rates=[0.5], ties="exact").points
    assert points[0].cycles == found.cycles


def test_patterns_of_all_blocks_and_of_one() -> None:
    gemm = conv((8, 8), (2,), (9,), groups=2, name="g")
    every = cost(gemm, {"g": NMMask(1, 4)}, array=4)
    assert every.macs == 2 * 8 * 2 * 4
    each = {"g[0]": NMMask(1, 4), "g[1]": NMMask(1, 4)}
    assert cost(gemm, each, array=4).after == every.after
    one = cost(gemm, {"g[1]": NMMask(1, 4)}, array=4)
    assert one.macs == 8 * (8 + 2) * 4
    assert one.layers[0].parts == ((8, 8, 4, 1), (8, 8, 4, 1))


def test_packing_stays_inside_blocks() -> None:
    gemm = conv((8, 16), (1,), (9,), groups=2, name="g")
    keep = np.zeros(16, bool)
    keep[[0, 4, 9, 11, 13, 14, 15]] = True
    found = cost(gemm, {"g": LayerMask(keep, 16)}, array=4).packings["g"]
    assert (found.tiles, found.tiles_before, found.tiles_after) == (4, 4, 3)
    assert found.outputs[:2].tolist() == [0, 4]
    assert found.outputs[8:13].tolist() == [9, 11, 13, 14, 15]
    assert sorted(found.outputs) == list(range(16))


def test_staircase_of_a_depthwise_layer() -> None:
    net = inverted_bottleneck()
    stairs = staircase(net, "conv1", array=4)
    assert (np.diff(stairs.cycles) > 0).all()  # every channel is a fold of its own
    for width in (1, 5, 8):
        assert stairs.cycles[width - 1] == cost(inverted_bottleneck(range(width)), array=4).cycles


def test_blocks_divide_the_repetitions() -> None:
    twice = Gemm("g", 1, 2, 3, count=4, blocks=2, outputs="g")
    (layer,) = cost(twice, {"g": LayerMask(np.array([0, 3, 4, 5]), 6)}, array=2).layers
    assert layer.parts == ((1, 2, 1, 2), (1, 2, 3, 2))
    with pytest.raises(QueryError, match="do not divide into 3 blocks"):
        Gemm("g", 1, 2, 3, count=4, blocks=3)
    with pytest.raises(QueryError, match="blocks is 0"):
        Gemm("g", 1, 2, 3, blocks=0)
    odd = [Gemm("a", 1, 2, 5, outputs="a"), Gemm("b", 1, 3, 1, 2, inputs="a", blocks=2)]
    with pytest.raises(MaskError, match="6 is no multiple of the 5 units of group 'a'"):
        cost(odd, {"a": LayerMask(np.arange(3), 5)}, array=4)
