"""SASP's tile pruning and the instruction counts of its framework."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mipnet.errors import MaskError, QueryError
from mipnet.hardware import TileMask, prune_tiles, sweep, tile_scores
from mipnet.hardware.ticsat import BLOCKS, instructions, tile_instructions

WEIGHTS = np.array([[1, 1, 5, 5], [1, 1, 5, 5], [2, 2, 3, 3], [2, 2, 3, 3]], float)


def test_the_case_of_the_card() -> None:
    assert tile_scores(WEIGHTS, 2).tolist() == [[1.0, 5.0], [2.0, 3.0]]
    assert prune_tiles({"w": WEIGHTS}, 2, 0.25)["w"].keep.tolist() == [[False, True], [False, True]]
    exact = prune_tiles({"w": WEIGHTS}, 2, 0.25, ties="exact")["w"]
    assert exact.keep.tolist() == [[False, True], [True, True]]


def test_one_threshold_for_all_matrices() -> None:
    masks = prune_tiles({"a": WEIGHTS, "b": 10 * WEIGHTS}, 2, 0.5, ties="exact")
    assert masks["a"].kept_tiles == 0
    assert masks["b"].keep.all()


def test_ends_of_the_rate_and_ties() -> None:
    for ties in ("sasp", "exact"):
        assert prune_tiles({"w": WEIGHTS}, 2, 0.0, ties=ties)["w"].keep.all()
        assert prune_tiles({"w": WEIGHTS}, 2, 1, ties=ties)["w"].kept_tiles == 0
    same = np.ones((6, 6))
    assert prune_tiles({"w": same}, 2, 0.1)["w"].kept_tiles == 0
    assert prune_tiles({"w": same}, 2, 0.4, ties="exact")["w"].kept_tiles == 6


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (WEIGHTS, "mapping of names.*not as ndarray"),
        ([WEIGHTS], "mapping of names.*not as list"),
        ({}, "no weight matrix"),
        ({"up": WEIGHTS[0]}, r"weights of 'up' must be a matrix"),
        ({"up": [[1.0, np.nan]]}, "weights of 'up': 1 values are NaN"),
        ({"up": [[1.0], [2.0, 3.0]]}, "weights of 'up': cannot be made a matrix"),
    ],
)
def test_weights_that_are_no_named_matrices(weights: object, said: str) -> None:
    with pytest.raises(MaskError, match=said):
        prune_tiles(weights, 2, 0.5)
    with pytest.raises(MaskError, match=said):
        sweep((4, 4, 4), arrays=[2], rates=[0.5], weights=weights)


def test_cut_off_tiles_count_what_is_there() -> None:
    scores = tile_scores(np.full((5, 5), -2.0), (4, 3))
    assert scores.tolist() == [[2.0, 2.0], [2.0, 2.0]]


@given(
    seed=st.integers(0, 2**32 - 1),
    rate=st.floats(0.0, 1.0, exclude_max=True),
    ties=st.sampled_from(["sasp", "exact"]),
)
def test_shares(seed: int, rate: float, ties: str) -> None:
    rng = np.random.default_rng(seed)
    weights = {name: rng.normal(size=tuple(rng.integers(1, 30, 2))) for name in "ab"}
    masks = prune_tiles(weights, 4, rate, ties=ties)
    total = sum(mask.keep.size for mask in masks.values())
    gone = total - sum(mask.kept_tiles for mask in masks.values())
    assert gone == (0 if rate == 0 else int(rate * total) + (ties == "sasp"))
    kept = [s[m.keep] for s, m in ((tile_scores(weights[n], 4), m) for n, m in masks.items())]
    lost = [s[~m.keep] for s, m in ((tile_scores(weights[n], 4), m) for n, m in masks.items())]
    if gone and gone < total:
        assert np.concatenate(lost).max() <= np.concatenate(kept).min()


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan"), "half", True])
def test_bad_rates(rate: object) -> None:
    with pytest.raises(MaskError, match="between 0 and 1"):
        prune_tiles({"w": WEIGHTS}, 2, rate)


def test_nothing_to_prune() -> None:
    with pytest.raises(MaskError):
        prune_tiles({}, 2, 0.5)
    with pytest.raises(QueryError):
        prune_tiles({"w": WEIGHTS}, 2, 0.5, ties="random")


#: Model, types, side, load, stream, queue, feed-forward tiles, feed-forward and block
#: instructions, ratio of the block at 20 % of the feed-forward tiles.
TICSAT = """
librispeech fp32 4 16 134 405 131072 72744960 113664000 0.872
librispeech fp32 8 64 142 1001 32768 39550976 61798400 0.872
librispeech fp32 16 256 158 2385 8192 22929408 35827200 0.872
librispeech fp32 32 1024 190 5921 2048 14612480 22832000 0.872
librispeech fp32_int8 4 4 134 405 131072 71172096 111206400 0.872
librispeech fp32_int8 8 16 142 1001 32768 37978112 59340800 0.872
librispeech fp32_int8 16 64 158 2385 8192 21356544 33369600 0.872
librispeech fp32_int8 32 256 190 5921 2048 13039616 20374400 0.872
libritrans fp32 4 16 134 405 65536 36372480 47738880 0.848
libritrans fp32 32 1024 190 5921 1024 7306240 9589440 0.848
libritrans fp32_int8 4 4 134 405 65536 35586048 46706688 0.848
libritrans fp32_int8 32 256 190 5921 1024 6519808 8557248 0.848
"""


@pytest.mark.parametrize("row", TICSAT.strip().split("\n"))
def test_instruction_counts_of_the_card(row: str) -> None:
    model, types, *numbers = row.split()
    side, load, stream, queue, tiles, feed_forward, block = map(int, numbers[:7])
    one = tile_instructions(128, side, types)
    assert (one.load, one.stream, one.queue) == (load, stream, queue)
    counts = instructions(BLOCKS[model], side, types)
    own = sum(count for name, count in counts.items() if ".ffn." in name)
    assert own == tiles * one.total == feed_forward
    assert sum(counts.values()) == block
    assert f"{1 - 0.2 * own / block:.3f}" == numbers[7]


def test_pruned_tiles_are_skipped() -> None:
    gemm = next(g for g in BLOCKS["test_model"] if g.name == "test_model.ffn.up")
    keep = np.ones((16, 16), bool)
    keep[:4] = False
    masks = {gemm.name: TileMask(keep, (4, 4), (64, 64))}
    dense, pruned = (instructions([gemm], 4, masks=m)[gemm.name] for m in (None, masks))
    assert pruned == dense * 3 // 4
    with pytest.raises(MaskError, match="fits none"):
        instructions([gemm], 8, masks=masks)
    with pytest.raises(QueryError):
        instructions([gemm], 4, "fp8")
