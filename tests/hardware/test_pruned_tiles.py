"""Tiles of pruning masks are costed like the zeros they leave."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_cases import COUNTS

from mipnet.errors import MaskError
from mipnet.hardware import TileMask, cost, load_masks, pack, save_masks, weight_matrices
from mipnet.network import Affine, Flatten, Layer, Network, ReLU
from mipnet.network.layers import Conv
from mipnet.pruning import LayerMask, Mask, prune


def dense(*widths: int, seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    layers: list[Layer] = []
    for n_in, n_out in pairwise(widths):
        layers += [Affine(rng.normal(size=(n_out, n_in)), rng.normal(size=n_out)), ReLU()]
    return Network.sequential(layers[:-1])


def image(seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    layers = [
        *(Conv(rng.normal(size=(6, 2, 3, 3)), rng.normal(size=6)), ReLU()),
        *(Conv(rng.normal(size=(5, 6, 2, 2)), rng.normal(size=5)), ReLU(), Flatten()),
        Affine(rng.normal(size=(3, 20)), rng.normal(size=3)),
    ]
    return Network.sequential(layers, (2, 5, 5))


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.9])
def test_full_tiles_cost_one_fold_each(rate: float) -> None:
    net = dense(32, 24, 16, 8)
    found = prune(net, "sasp", None, tile=8, rate=rate)
    total = 4 * 3 + 3 * 2
    gone = int(rate * total) + 1
    costs = cost(net, found.mask, array=8, batch=20)
    # The last layer, of 2 tiles, competes with none. A fold is 8 loads, 20 + 8 + 8 - 2 steps.
    fold = 8 + 20 + 8 + 8 - 2
    assert costs.before.compute_cycles == (total + 2) * fold
    assert costs.cycles == (total + 2 - gone) * fold
    assert costs.after.active_macs == 20 * 64 * (total + 2 - gone)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 99),
    tile=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    rate=st.sampled_from([0.0, 0.3, 0.6, 0.95]),
    flow=st.sampled_from(["ws", "os", "is"]),
    conv=st.booleans(),
)
def test_they_cost_what_their_zeros_do(
    seed: int, tile: tuple[int, int], rate: float, flow: str, conv: bool
) -> None:
    net = image(seed) if conv else dense(13, 11, 7, 3, seed=seed)
    found = prune(net, "sasp", None, tile=tile, rate=rate)
    zeros = weight_matrices(found.masked)
    read = {name: TileMask.from_weights(zeros[name], tile) for name in found.mask.layers}
    one, other = (cost(net, m, array=tile, dataflow=flow, batch=3) for m in (found.mask, read))
    assert [getattr(one.after, n) for n in COUNTS] == [getattr(other.after, n) for n in COUNTS]
    assert one.notes == other.notes


def test_bare_shapes_and_files(tmp_path: Path) -> None:
    units = LayerMask([0, 3], 4, "tile", tile=(2, 4))
    wanted = {"a": TileMask(np.eye(2, dtype=bool), (2, 4), (3, 8))}
    gemm = {"a": (5, 3, 8)}
    costs = [cost(gemm, m, array=(2, 4)).cycles for m in ({"a": units}, wanted)]
    assert costs[0] == costs[1] < cost(gemm, array=(2, 4)).cycles
    net = dense(9, 8, 4)
    mask = prune(net, "sasp", None, tile=4, rate=0.4).mask
    for number, kept in enumerate((mask.layers, {"affine0": units})):
        save_masks(kept, tmp_path / f"{number}.safetensors")
        read = load_masks(tmp_path / f"{number}.safetensors")
        for name, layer in kept.items():
            (again,) = read[name]
            for field in ("unit", "width", "tile", "shape"):
                assert getattr(again, field) == getattr(layer, field)
            assert again.kept.tolist() == layer.kept.tolist()
    mask.save(tmp_path / "mask.safetensors")
    again = load_masks(tmp_path / "mask.safetensors")
    assert cost(net, again, array=4).cycles == cost(net, mask, array=4).cycles


def test_on_another_array_the_folds_count_that_are_empty() -> None:
    net = dense(12, 16, 12, 4)
    mask = prune(net, "sasp", None, tile=4, rate=0.7).mask
    for array in ((2, 2), (3, 5), (8, 8)):
        read = {n: TileMask.from_units(m).retile(array) for n, m in mask.layers.items()}
        one, other = (cost(net, m, array=array, batch=3) for m in (mask, read))
        assert [getattr(one.after, n) for n in COUNTS] == [getattr(other.after, n) for n in COUNTS]
        assert one.cycles <= one.before.cycles
    assert cost(net, mask, array=(2, 2)).cycles < cost(net, array=(2, 2)).cycles


def test_packing_reads_their_zeros() -> None:
    net = dense(12, 16, 4)
    units = prune(net, "sasp", None, tile=(3, 2), rate=0.5).mask.layers["affine0"]
    direct = pack(TileMask.from_units(units), 4)
    assert pack(units, 4).tiles_before == direct.tiles_before
    assert direct.tiles == math.prod((3, 4))


def test_tiles_that_do_not_fit_are_refused() -> None:
    net = dense(9, 8, 4)
    mask = prune(net, "sasp", None, tile=4, rate=0.4).mask
    with pytest.raises(MaskError, match="made for model"):
        cost(dense(9, 8, 4, seed=1), mask, array=4)
    layer = mask.layers["affine0"]
    with pytest.raises(MaskError, match=r"'a': the mask is 9x8, the weights are 9x9"):
        cost({"a": (2, 9, 9)}, {"a": layer}, array=4)
    bare = replace(layer, shape=None)
    with pytest.raises(MaskError, match="'a': a 12x9 matrix has 9 tiles of 4x4, the mask has 6"):
        cost({"a": (2, 12, 9)}, {"a": bare}, array=4)
    with pytest.raises(MaskError, match="give the weights"):
        TileMask.from_units(bare)
    with pytest.raises(MaskError, match="'neuron' are no tiles"):
        TileMask.from_units(LayerMask([0], 2))
    with pytest.raises(MaskError, match="two weight masks"):
        cost({"a": (2, 9, 8)}, {"a": (layer, TileMask.from_units(layer))}, array=4)


def test_neurons_and_tiles_of_one_layer() -> None:
    net = dense(8, 8, 4)
    neurons = Mask.from_kept(net, {"affine0": [0, 1, 2, 5]}).layers["affine0"]
    tiles = LayerMask([0, 1], 4, "tile", tile=(4, 2))
    wanted = TileMask([[True, True], [False, False]], (4, 2), (8, 4))
    pairs = [{"affine0": (neurons, weights)} for weights in (tiles, wanted)]
    with pytest.raises(MaskError, match="a 8x8 matrix has 8 tiles"):
        cost(net, pairs[0], array=(4, 2))
    fitted = {"affine0": (neurons, replace(tiles, shape=(4, 8)))}
    one, other = (cost(net, m, array=(4, 2)).cycles for m in (fitted, pairs[1]))
    assert one == other
