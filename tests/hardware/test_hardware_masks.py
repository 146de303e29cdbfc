"""What masks save: tiles, units, heads, N:M, elements; laws that hold for all of them."""

from __future__ import annotations

import numpy as np
import pytest
from fold_reference import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_cases import COUNTS, fewer, machine, no_dearer, tiles

from mipnet.errors import MaskError, QueryError
from mipnet.hardware import (
    ElementMask,
    HardwareCost,
    Machine,
    NMMask,
    TileMask,
    attention,
    conv,
    cost,
    dense,
    feed_forward,
    transformer_block,
)
from mipnet.hardware.evaluate import Shapes, evaluate_kept, evaluate_shapes
from mipnet.pruning import LayerMask

seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=120)
@given(seed=seeds)
def test_more_zero_tiles_never_cost_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, k, n = (int(v) for v in rng.integers(1, 40, 3))
    options = machine(rng)
    array = options["array"]
    some = tiles(rng, (k, n), array)
    runs = [
        cost(
            [(m, k, n)],
            None if keep is None else {"gemm0": TileMask(keep, array, (k, n))},
            **options,
        )
        for keep in (None, some, fewer(rng, some))
    ]
    no_dearer(runs[1], runs[0])
    no_dearer(runs[2], runs[1])


@settings(max_examples=80)
@given(seed=seeds)
def test_masks_that_keep_all_change_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, k, n = (int(v) for v in rng.integers(1, 40, 3))
    options = machine(rng)
    array = options["array"]
    whole = cost([(m, k, n)], **options)
    full = np.ones((-(-k // array[0]), -(-n // array[1])), bool)
    for mask in (
        TileMask(full, array, (k, n)),
        NMMask(3, 3),
        ElementMask(np.ones((k, n), bool), compressed=True),
        LayerMask(np.ones(n, bool), n),
    ):
        masked = cost([(m, k, n)], {"gemm0": mask}, **options)
        assert masked.after == whole.after
        assert masked.energy == whole.energy
        assert masked.savings.ideal == masked.savings.after_memory == 0.0


@settings(max_examples=100)
@given(seed=seeds)
def test_listed_folds_add_up_to_the_closed_forms(seed: int) -> None:
    """One by one, with no tile missing, they cost what the formulas of whole GEMMs say."""
    rng = np.random.default_rng(seed)
    sizes = [np.array([int(v)]) for v in rng.integers(1, (40, 60, 60))]
    options = machine(rng)
    array = options.pop("array")
    on = Machine(*array, **options)
    shapes = Shapes.whole(*sizes, np.array([1]), sizes[0] * sizes[1])
    shape = int(sizes[1][0]), int(sizes[2][0])
    full = TileMask(
        np.ones((-(-shape[0] // array[0]), -(-shape[1] // array[1])), bool), array, shape
    )
    sides = (np.array([side]) for side in array)
    assert (
        evaluate_kept(shapes, full, on).figures() == evaluate_shapes(shapes, *sides, on).figures()
    )


@settings(max_examples=100)
@given(seed=seeds)
def test_kept_tiles_cost_what_the_loops_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, k, n = (int(v) for v in rng.integers(1, 40, 3))
    options = machine(rng) | {"dataflow": "ws", "mode": "serial"}
    array = options.pop("array")
    keep = tiles(rng, (k, n), array)
    found = cost([(m, k, n)], {"gemm0": TileMask(keep, array, (k, n))}, array=array, **options)
    if keep.all():
        return
    expected = reference(m, k, n, Machine(*array, **options), keep)
    assert found.compute_cycles == expected.compute
    assert found.cycles == expected.total
    assert found.sram_reads == expected.inputs + expected.weights
    assert found.sram_writes == expected.sums + expected.results
    assert found.dram_reads == expected.dram_inputs + expected.dram_weights + expected.dram_sums
    assert found.dram_writes == expected.results + expected.dram_sums


def test_cycles_of_sasp() -> None:
    """Kept tiles times 2R + C + T - 2, and a bit per tile of map."""
    rng = np.random.default_rng(1)
    keep = rng.random((8, 32)) < 0.7
    found = cost({"ffn": (128, 128, 512)}, {"ffn": TileMask(keep, (16, 16), (128, 512))}, array=16)
    assert found.cycles == keep.sum() * (3 * 16 + 128 - 2)
    assert found.before.cycles == 256 * (3 * 16 + 128 - 2)
    assert found.after.index_bytes == 256 / 8
    assert found.savings.tile_quantised == pytest.approx(1 - keep.mean())
    listed = TileMask(keep, (16, 16), (128, 512), tile_map="indices")
    assert listed.map_bytes(8) == keep.sum()
    few = keep & (rng.random(keep.shape) < 0.05)
    assert TileMask(few, (16, 16), (128, 512), tile_map="indices").map_bytes(8) == few.sum() < 32


def test_a_map_never_takes_more_than_it_saves() -> None:
    keep = np.ones((32, 32), bool)
    keep[3, 4] = False
    assert TileMask(keep, (2, 2), (64, 64)).map_bytes(8) == 4 < 32 * 32 / 8


def test_slices_of_output_and_input_stationary_schedules() -> None:
    """One zero tile shortens the stream of one fold of every row (os), of every column (is)."""
    keep = np.ones((4, 3), bool)
    keep[1, 2] = False
    mask = {"gemm0": TileMask(keep, (4, 8), (16, 24))}
    shape = [(20, 16, 24)]
    for dataflow, saved in (("os", 5 * 4), ("is", 3 * 8)):
        plain = cost(shape, mask, array=(4, 8), dataflow=dataflow)
        assert plain.cycles == plain.before.cycles
        assert plain.after.active_macs == 20 * (16 * 24 - 32)
        assert any("skip" in note for note in plain.notes)
        skipped = cost(shape, mask, array=(4, 8), dataflow=dataflow, skip_slices=True)
        assert skipped.cycles == skipped.before.cycles - saved
        assert skipped.macs == plain.after.active_macs
    keep[:, 2] = False
    gone = cost(
        shape,
        mask | {"gemm0": TileMask(keep, (4, 8), (16, 24))},
        array=(4, 8),
        dataflow="os",
        skip_slices=True,
    )
    assert gone.cycles == 10 * (4 + 8 + 16 - 2)
    assert gone.dram_writes == 20 * 16


def test_a_layer_without_any_tile_is_gone() -> None:
    mask = TileMask(np.zeros((4, 4), bool), (16, 16), (64, 64))
    found = cost([(64, 64, 64), (1, 1, 1)], {"gemm0": mask}, array=16)
    assert found.layers[0].after.cycles == found.layers[0].after.dram_bytes == 0
    assert found.cycles == cost([(1, 1, 1)], array=16).cycles
    assert found.layers[0].savings.ideal == 1.0


@settings(max_examples=80)
@given(seed=seeds)
def test_macs_of_all_tiles_are_those_of_the_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, k, n = (int(v) for v in rng.integers(1, 40, 3))
    options = machine(rng)
    keep = rng.random((k, n)) < rng.random()
    mask = ElementMask(keep)
    whole, found = cost([(m, k, n)], **options), cost([(m, k, n)], {"gemm0": mask}, **options)
    assert m * int(mask.tile_counts(options["array"]).sum()) == found.after.active_macs
    assert found.after.active_macs == m * keep.sum()
    # Single zeros gate MACs; they save no cycle and no traffic.
    for name in set(COUNTS) - {"active_macs"}:
        assert getattr(found.after, name) == getattr(whole.after, name)
    gated, all_macs = found.energies[0], whole.energies[0]
    assert gated.mac.sum() == pytest.approx(all_macs.mac.sum() * keep.mean())
    assert gated.total.sum() - gated.mac.sum() == pytest.approx(
        all_macs.total.sum() - all_macs.mac.sum()
    )


@settings(max_examples=80)
@given(seed=seeds)
def test_more_zero_weights_never_cost_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, k, n = (int(v) for v in rng.integers(1, 40, 3))
    options = machine(rng)
    keep = rng.random((k, n)) < rng.random()
    less = fewer(rng, keep)
    compressed = bool(rng.random() < 0.5)
    runs = [
        cost([(m, k, n)], {"gemm0": ElementMask(flags, compressed)}, **options)
        for flags in (np.ones((k, n), bool), keep, less)
    ]
    no_dearer(runs[1], runs[0])
    no_dearer(runs[2], runs[1])


def test_compressed_weights_bring_their_index() -> None:
    keep = np.zeros((64, 64), bool)
    keep[:, ::4] = True
    found = cost([(8, 64, 64)], {"gemm0": ElementMask(keep, compressed=True)}, array=16)
    assert found.after.index_bytes == 64 * 64 / 8
    assert found.before.dram_read_bytes - found.after.dram_read_bytes == 64 * 64 * (0.75 - 0.125)
    assert found.cycles == found.before.cycles


@settings(max_examples=60)
@given(seed=seeds)
def test_sparser_patterns_never_cost_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, k, n, group = (int(v) for v in rng.integers((1, 1, 1, 2), (40, 60, 40, 9)))
    options = machine(rng)
    runs = [
        cost([(m, k, n)], {"gemm0": NMMask(kept, group)}, **options) for kept in range(group, 0, -1)
    ]
    for after, before in zip(runs[1:], runs, strict=False):
        no_dearer(after, before)


def test_two_of_four() -> None:
    mask = {"gemm0": NMMask(2, 4)}
    found = cost([(32, 128, 64)], mask, array=16, dataflow="ws")
    half = cost([(32, 64, 64)], array=16)
    assert found.cycles == half.cycles
    assert found.macs == half.macs
    # All inputs are read, half of the weights, and two bits for each of these.
    assert found.sram_reads == 32 * 128 * 4 + 64 * 64
    assert found.after.index_bytes == 64 * 64 * 2 / 8
    assert found.after.dram_read_bytes == 32 * 128 + 64 * 64 + 64 * 64 // 4
    assert NMMask(2, 4).rows(11) == 6
    plain = cost([(32, 128, 64)], mask, array=16, nm_support=False)
    assert plain.cycles == plain.before.cycles
    assert plain.after.active_macs == found.macs
    assert any("2:4" in note for note in plain.notes)


def test_patterns_are_checked_on_real_weights() -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(10, 3))
    weights[[0, 1, 4, 5, 8]] = 0.0
    assert str(NMMask.from_weights(weights, 2, 4)) == "2:4"
    weights[0, 2] = 1.0
    with pytest.raises(MaskError, match="output 2 has 3 weights on inputs 0 to 3"):
        NMMask.from_weights(weights, 2, 4)


@settings(max_examples=60)
@given(seed=seeds)
def test_fewer_units_never_cost_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    options = machine(rng)
    widths = [int(v) for v in rng.integers(1, 40, 4)]
    gemms = dense(widths, batch=int(rng.integers(1, 20)))
    some = {f"dense.{i}": rng.random(widths[i + 1]) < rng.random() for i in range(2)}
    less = {name: fewer(rng, keep) for name, keep in some.items()}
    runs = [
        cost(gemms, {name: LayerMask(keep, len(keep)) for name, keep in masks.items()}, **options)
        for masks in ({}, some, less)
    ]
    no_dearer(runs[1], runs[0])
    no_dearer(runs[2], runs[1])


def test_neurons_help_only_across_a_tile() -> None:
    """Card B3.4: at 128 columns 512 to 500 saves nothing, 512 to 384 a quarter of the folds."""

    def saving(kept: int) -> HardwareCost:
        mask = {"fc": LayerMask(np.arange(kept), 512)}
        return cost({"fc": (64, 256, 512)}, mask, array=128)

    assert saving(500).savings.tile_quantised == 0.0
    assert saving(500).savings.ideal == pytest.approx(12 / 512)
    assert saving(384).savings.tile_quantised == pytest.approx(0.25)


def test_units_shrink_their_readers() -> None:
    gemms = dense((20, 30, 10), batch=4)
    found = cost(gemms, {"dense.0": LayerMask(np.arange(12), 30)}, array=4)
    assert [layer.size for layer in found.layers] == [(4, 20, 12, 1), (4, 12, 10, 1)]
    gone = cost(gemms, {"dense.0": LayerMask(np.array([], int), 30)}, array=4)
    assert gone.cycles == gone.after.dram_bytes == gone.energy == 0


def test_heads_shrink_six_gemms_together() -> None:
    gemms = attention(32, 64, 4, d_head=16, batch=2)
    found = cost(gemms, {"attention": LayerMask(np.array([0, 2]), 4, unit="head")}, array=8)
    sizes = {layer.name.split(".")[1]: layer.size for layer in found.layers}
    assert sizes == {
        "q": (64, 64, 32, 1),
        "k": (64, 64, 32, 1),
        "v": (64, 64, 32, 1),
        "scores": (32, 16, 32, 4),
        "values": (32, 32, 16, 4),
        "out": (64, 32, 64, 1),
    }
    assert found.savings.ideal == pytest.approx(0.5)


def test_channels_shrink_convolutions() -> None:
    first = conv((3, 16), (3, 3), (8, 8), padding=1, name="c1")
    second = conv((16, 8), (3, 3), (8, 8), padding=1, name="c2", inputs="c1")
    found = cost([first, second], {"c1": LayerMask(np.arange(12), 16, unit="channel")}, array=4)
    assert [layer.size for layer in found.layers] == [(64, 27, 12, 1), (64, 108, 8, 1)]
    # The image comes from DRAM once, not as often as im2col repeats it.
    assert found.before.dram_reads == 3 * 64 + 27 * 16 + 16 * 64 + 144 * 8


def test_unit_and_tile_masks_together() -> None:
    gemms = feed_forward(8, 16, 32)
    masks = {
        "ffn": LayerMask(np.arange(16), 32),
        "ffn.up": TileMask(np.array([[True, False], [True, True]]), (8, 8), (16, 16)),
    }
    found = cost(gemms, masks, array=8)
    assert found.layers[0].after.macs == 8 * 3 * 64
    with pytest.raises(MaskError, match="16x32 before its unit masks"):
        cost(gemms, masks | {"ffn.up": TileMask(np.ones((2, 4), bool), (8, 8), (16, 32))}, array=8)


@settings(max_examples=60)
@given(seed=seeds)
def test_order_of_neurons_inside_a_tile_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    k, n, side = (int(v) for v in rng.integers((2, 2, 2), (30, 30, 7)))
    weights = rng.normal(size=(k, n)) * (rng.random((k, n)) < 0.2)
    rows = np.concatenate(
        [rng.permutation(b) for b in np.split(np.arange(k), range(side, k, side))]
    )
    columns = np.concatenate(
        [rng.permutation(b) for b in np.split(np.arange(n), range(side, n, side))]
    )
    one, two = (
        cost([(5, k, n)], {"gemm0": TileMask.from_weights(w, side)}, array=side)
        for w in (weights, weights[np.ix_(rows, columns)])
    )
    assert one.after == two.after


def test_tiles_of_another_size() -> None:
    keep = np.array([[True, False, False, False], [False, False, False, True]])
    mask = TileMask(keep, (4, 4), (8, 16))
    assert mask.retile("8x8").keep.tolist() == [[True, True]]
    assert mask.retile(2).kept_tiles == 8
    with pytest.raises(QueryError):
        mask.retile("2x")


def test_a_transformer_block_with_all_kinds_of_mask() -> None:
    block = transformer_block(32, 64, 4, 128)
    rng = np.random.default_rng(0)
    masks = {
        "block.attention": LayerMask(np.array([1, 2, 3]), 4, unit="head"),
        "block.attention.out": NMMask(2, 4),
        "block.ffn.up": TileMask(rng.random((4, 8)) < 0.5, (16, 16), (64, 128)),
        "block.ffn.down": ElementMask(rng.random((128, 64)) < 0.5),
    }
    found = cost(block, masks, array=16, bandwidth=8.0)
    assert found.cycles < found.before.cycles
    assert 0 < found.savings.tile_quantised < found.savings.ideal < 1
