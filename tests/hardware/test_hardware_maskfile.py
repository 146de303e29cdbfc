"""Mask files: out and in, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import mipnet
from mipnet.errors import MaskError
from mipnet.hardware import ElementMask, NMMask, TileMask, load_masks, save_masks
from mipnet.network import Affine, Network, ReLU
from mipnet.pruning import LayerMask


def test_round_trip(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    masks = {
        "up": (
            LayerMask(np.array([0, 2]), 4, unit="head"),
            TileMask(rng.random((2, 3)) < 0.5, (8, 4), (16, 10), tile_map="indices"),
        ),
        "down": NMMask(2, 4),
        "out": ElementMask(rng.random((5, 6)) < 0.5, compressed=True),
    }
    save_masks(masks, tmp_path / "m.safetensors")
    found = load_masks(tmp_path / "m.safetensors")
    heads, tiles = found["up"]
    assert (heads.kept.tolist(), heads.width, heads.unit) == ([0, 2], 4, "head")
    assert (tiles.tile, tiles.shape, tiles.tile_map) == ((8, 4), (16, 10), "indices")
    np.testing.assert_array_equal(tiles.keep, masks["up"][1].keep)
    assert found["down"] == (NMMask(2, 4),)
    np.testing.assert_array_equal(found["out"][0].keep, masks["out"].keep)
    assert found["out"][0].compressed


def test_masks_of_mipnet_are_read(tmp_path: Path) -> None:
    net = Network.sequential(
        [Affine(np.ones((3, 2)), np.zeros(3)), ReLU(), Affine(np.ones((1, 3)), np.zeros(1))]
    )
    mipnet.Mask.from_kept(net, {"affine0": [0, 2]}).save(tmp_path / "m.safetensors")
    found = load_masks(tmp_path / "m.safetensors")
    assert isinstance(found, mipnet.Mask)
    assert found.layers["affine0"].kept.tolist() == [0, 2]


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h | {"version": 9},
        lambda h: h | {"masks": [{"name": "a", "kind": "waves"}]},
        lambda h: h | {"masks": [{"name": "a", "kind": "tiles"}]},
        lambda h: {"masks": []},
        lambda h: h | {"masks": [{"name": "a", "kind": "n:m", "n": 5, "m": 4}]},
    ],
)
def test_damaged_files(tmp_path: Path, change) -> None:
    header = {"version": 1, "masks": [{"name": "a", "kind": "n:m", "n": 1, "m": 4}]}
    path = tmp_path / "m.safetensors"
    arrays = {"x": np.zeros(1)}
    save_file(arrays, path, {"mipnet.hardware.mask": json.dumps(header)})
    assert load_masks(path) == {"a": (NMMask(1, 4),)}
    save_file(arrays, path, {"mipnet.hardware.mask": json.dumps(change(header))})
    with pytest.raises(MaskError, match="cannot read masks"):
        load_masks(path)


def test_other_files(tmp_path: Path) -> None:
    save_file({"x": np.zeros(1)}, tmp_path / "plain.safetensors")
    (tmp_path / "text.safetensors").write_text("no")
    for name in ("plain", "text"):
        with pytest.raises(MaskError):
            load_masks(tmp_path / f"{name}.safetensors")
    with pytest.raises(FileNotFoundError):
        load_masks(tmp_path / "absent.safetensors")
    with pytest.raises(MaskError, match="no mask"):
        save_masks({"a": np.ones(3)}, tmp_path / "m.safetensors")


def test_a_folder_is_no_file_of_masks(tmp_path):
    with pytest.raises(MaskError, match="cannot read masks"):
        load_masks(tmp_path)
