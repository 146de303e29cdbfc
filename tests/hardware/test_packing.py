"""Packing units into tiles, and the staircase of widths."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mipnet.errors import MaskError, QueryError
from mipnet.hardware import (
    Machine,
    TileMask,
    attention,
    cost,
    dense,
    feed_forward,
    pack,
    staircase,
)
from mipnet.pruning import LayerMask


def used(flags: np.ndarray, tile: tuple[int, int]) -> int:
    return TileMask.from_weights(flags, tile).kept_tiles


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), axes=st.sampled_from(["outputs", "inputs", "both"]))
def test_packing_is_a_permutation_and_never_worse(seed: int, axes: str) -> None:
    rng = np.random.default_rng(seed)
    flags = rng.random(tuple(rng.integers(1, 25, 2))) < rng.random() ** 2
    tile = tuple(int(v) for v in rng.integers(1, 6, 2))
    found = pack(flags, tile, axes=axes)
    assert sorted(found.inputs) == list(range(flags.shape[0]))
    assert sorted(found.outputs) == list(range(flags.shape[1]))
    if axes != "both":
        fixed = found.inputs if axes == "outputs" else found.outputs
        assert list(fixed) == list(range(len(fixed)))
    assert found.tiles_before == used(flags, tile)
    assert found.tiles_after == used(flags[np.ix_(found.inputs, found.outputs)], tile)
    assert found.lower_bound <= found.tiles_after <= found.tiles_before <= found.tiles
    assert 0.0 <= found.gain <= 1.0


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), axis=st.sampled_from([0, 1]))
def test_small_patterns_against_every_order(seed: int, axis: int) -> None:
    """Few units are packed in the best way, and it is said."""
    rng = np.random.default_rng(seed)
    flags = rng.random((6, 6)) < 0.35
    tile = tuple(int(v) for v in rng.integers(1, 5, 2))
    best = min(used(np.take(flags, order, axis), tile) for order in permutations(range(6)))
    found = pack(flags, tile, axes=("inputs", "outputs")[axis])
    assert found.lower_bound == found.tiles_after == best
    assert found.optimal


@settings(max_examples=8)
@given(seed=st.integers(0, 2**32 - 1))
def test_both_sides_against_every_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    flags = rng.random((4, 5)) < 0.4
    best = min(
        used(flags[np.ix_(rows, columns)], (2, 2))
        for rows in permutations(range(4))
        for columns in permutations(range(5))
    )
    found = pack(flags, 2, axes="both")
    assert found.lower_bound <= best <= found.tiles_after <= best + 1
    assert not found.optimal or found.tiles_after == best


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_many_units_are_grouped_nearly_as_well(seed: int) -> None:
    """The heuristic on a pattern whose best packing is known: shuffled whole tiles."""
    rng = np.random.default_rng(seed)
    keep = rng.random((6, 8)) < 0.3
    flags = np.repeat(np.repeat(keep, 4, axis=0), 4, axis=1)[:, rng.permutation(32)]
    found = pack(flags, 4)
    assert found.lower_bound <= found.tiles_after
    assert keep.sum() <= found.tiles_after <= keep.sum() + 2


def test_removed_units_pack_best_in_front() -> None:
    keep = np.zeros(64, bool)
    keep[::4] = True
    found = pack(LayerMask(keep, 64), 16, inputs=40)
    assert (found.tiles, found.tiles_before, found.tiles_after) == (12, 12, 3)
    assert found.optimal
    assert found.gain == pytest.approx(0.75)
    assert found.outputs[:16].tolist() == list(range(0, 64, 4))
    flags = np.broadcast_to(keep, (40, 64))
    assert pack(flags, 16).tiles_after == 3


def test_scattered_blocks_are_gathered() -> None:
    """Two kinds of columns in turns need every tile; sorted by kind, half of them."""
    flags = np.zeros((8, 16), bool)
    flags[:4, ::2] = flags[4:, 1::2] = True
    found = pack(flags, 4)
    assert (found.tiles_before, found.tiles_after, found.optimal) == (8, 4, True)
    mask = TileMask.from_weights(flags[:, found.outputs], 4)
    before = cost([(9, 8, 16)], {"gemm0": TileMask.from_weights(flags, 4)}, array=4).cycles
    assert cost([(9, 8, 16)], {"gemm0": mask}, array=4).cycles == before // 2
    assert pack(mask, 4).tiles_before == 4


def test_bad_packing() -> None:
    with pytest.raises(MaskError, match="axes"):
        pack(np.ones((2, 2)), 2, axes="heads")
    with pytest.raises(MaskError):
        pack(np.ones(3), 2)
    with pytest.raises(QueryError, match="inputs is 0"):
        pack(LayerMask(np.arange(2), 3), 2, inputs=0)


def test_staircase_of_one_layer() -> None:
    stairs = staircase({"fc": (64, 100, 300)}, "fc", array=(16, 128))
    assert stairs.widths.tolist() == list(range(1, 301))
    assert stairs.steps.tolist() == [128, 256, 300]
    assert stairs.best_width(129) == 256
    assert stairs.best_width(300) == 300
    assert "128, 256, 300" in str(stairs)


@pytest.mark.parametrize("dataflow", ["ws", "os", "is"])
def test_staircase_is_the_cost_of_every_width(dataflow: str) -> None:
    gemms = dense((20, 24, 18, 5), batch=6)
    stairs = staircase(gemms, "dense.1", array=(4, 8), dataflow=dataflow, bandwidth=2.0)
    assert (np.diff(stairs.cycles) >= 0).all()
    for width in (1, 7, 8, 18):
        mask = {"dense.1": LayerMask(np.arange(width), 18)}
        found = cost(gemms, mask, array=(4, 8), dataflow=dataflow, bandwidth=2.0)
        assert stairs.cycles[width - 1] == found.cycles


def test_staircases_of_blocks() -> None:
    heads = staircase(attention(16, 32, 4), "attention", array=8, batch=2)
    assert len(heads.widths) == 4
    assert heads.cycles[-1] == cost(attention(16, 32, 4), array=8, batch=2).cycles
    assert staircase(feed_forward(4, 8, 32), "ffn", array=8).steps.tolist() == [8, 16, 24, 32]


def test_bad_staircases() -> None:
    with pytest.raises(QueryError, match="'gemm0'"):
        staircase((4, 4, 4), "fc")
    with pytest.raises(QueryError, match="1 to 4 units"):
        staircase((4, 4, 4), "gemm0").best_width(5)
    for width in (0, 2.5):
        with pytest.raises(QueryError, match="width"):
            staircase((4, 4, 4), "gemm0").best_width(width)
    assert Machine(4, 4).array == "4x4"
