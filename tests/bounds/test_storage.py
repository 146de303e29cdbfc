"""Bounds on disk: bit-exact round trips, and everything that must be refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from mipnet.bounds import Bounds, compute_bounds
from mipnet.bounds.storage import FORMAT, load_bounds, region_digest, save_bounds
from mipnet.encode import encode
from mipnet.errors import BoundsError
from mipnet.network import Affine, Interval, Network
from mipnet.region import Box, L1Ball, Region, ball
from tests.search.search_cases import random_network

NET = random_network(3, (3, 5, 4, 2), 1.5)
REGION = Box(-np.ones(3), np.ones(3))
SPECIAL = st.sampled_from([-0.0, 0.0, 5e-324, -5e-324, 1.0 + 2.0**-52, -1.7e308, 1.7e308])


def same(one: Bounds, other: Bounds) -> bool:
    return all(
        getattr(one[name], side).tobytes() == getattr(other[name], side).tobytes()
        for name in NET.shapes
        for side in ("lower", "upper")
    )


def parts(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()[FORMAT])
        return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "bounds.safetensors"
    save_bounds(compute_bounds(NET, REGION, "crown"), path, region=REGION)
    return path


@pytest.mark.parametrize("method", ["interval", "crown", "lp"])
def test_round_trip(tmp_path: Path, method: str) -> None:
    bounds = compute_bounds(NET, REGION, method)
    save_bounds(bounds, tmp_path / "b", region=REGION)
    found = load_bounds(tmp_path / "b", NET, region=REGION)
    assert same(bounds, found)
    assert dict(found.methods) == dict(bounds.methods)
    assert found.seconds == bounds.seconds
    assert found.network is NET
    assert encode(NET, REGION, found.intervals).n_binaries == bounds.n_unstable
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


@settings(max_examples=25)
@given(st.lists(st.one_of(SPECIAL, st.floats(allow_nan=False, allow_infinity=False)), min_size=9))
def test_round_trip_is_bit_exact(tmp_path_factory: pytest.TempPathFactory, values: list) -> None:
    numbers = np.resize(np.array(values), (2, 24))
    low, high = np.minimum(*numbers), np.maximum(*numbers)
    intervals = {
        name: Interval(np.resize(low, (1, *shape)), np.resize(high, (1, *shape)))
        for name, shape in NET.shapes.items()
    }
    path = tmp_path_factory.mktemp("bits") / "b"
    bounds = Bounds(NET, intervals, dict.fromkeys(intervals, "interval"))
    save_bounds(bounds, path)
    assert same(bounds, load_bounds(path, NET))


def test_the_same_network_read_twice_is_the_same(saved: Path) -> None:
    twin = random_network(3, (3, 5, 4, 2), 1.5)
    assert twin is not NET
    assert load_bounds(saved, twin).network is twin
    single = replace(twin, dtype="float32", source="elsewhere")
    assert load_bounds(saved, single).network is single


def renamed() -> Network:
    layers = [node.layer for node in NET.nodes]
    return Network.sequential(layers, names=["a", "b", "c", "d", "e"])


def nudged() -> Network:
    layer = NET.by_name["affine1"].layer
    assert isinstance(layer, Affine)
    weight = layer.weight.copy()
    weight[1, 2] = np.nextafter(weight[1, 2], np.inf)
    return NET.with_layers({"affine1": Affine(weight, layer.bias)})


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (random_network(4, (3, 5, 4, 2), 1.5), "parameters of layer 'affine0'"),
        (nudged(), "parameters of layer 'affine1'"),
        (random_network(3, (3, 6, 4, 2), 1.5), r"shape of layer 'affine0' is \[5\], not \[6\]"),
        (random_network(3, (3, 5, 2), 1.5), "layers are"),
        (renamed(), "layers are"),
        (NET.then(Affine(np.eye(2), np.zeros(2)), "goal"), "layers are"),
    ],
)
def test_another_network_is_refused(saved: Path, other: Network, named: str) -> None:
    with pytest.raises(BoundsError, match=named):
        load_bounds(saved, other)


@pytest.mark.parametrize(
    "other",
    [
        Box(-np.ones(3), [1.0, 1.0, 2.0]),
        Box(-np.ones(3), np.ones(3), (-0.5 * np.ones(3), np.ones(3))),
        ball(np.zeros(3), 1.0, "linf"),
        L1Ball(np.zeros(3), 1.0, -np.ones(3), np.ones(3)),
    ],
)
def test_another_region_is_refused(saved: Path, other: Region) -> None:
    with pytest.raises(BoundsError, match="asked for is"):
        load_bounds(saved, NET, region=other)


def test_balls_that_share_their_box_are_told_apart(tmp_path: Path) -> None:
    """An l1 ball has tighter bounds than its box, which do not hold over the box."""
    sides = -np.ones(3), np.ones(3)
    small, large = (L1Ball(np.zeros(3), r, *sides) for r in (1.0, 2.5))
    assert np.array_equal(small.lower, large.lower)
    save_bounds(compute_bounds(NET, small), tmp_path / "b", region=small)
    with pytest.raises(BoundsError, match="hold over"):
        load_bounds(tmp_path / "b", NET, region=large)
    moved = L1Ball([0.0, 0.0, 1e-9], 1.0, *sides)
    with pytest.raises(BoundsError, match="another centre or domain"):
        load_bounds(tmp_path / "b", NET, region=moved)
    assert load_bounds(tmp_path / "b", NET, region=L1Ball(np.zeros(3), 1.0, *sides))


def test_a_region_used_in_the_meantime_is_the_same() -> None:
    before = region_digest(REGION)
    REGION.minimise(np.ones((1, 1, 3)))
    assert region_digest(REGION) == before


def test_without_region_none_can_be_asked_for(tmp_path: Path) -> None:
    save_bounds(compute_bounds(NET, REGION), tmp_path / "b")
    assert load_bounds(tmp_path / "b", NET)
    with pytest.raises(BoundsError, match="no region was saved"):
        load_bounds(tmp_path / "b", NET, region=REGION)


def test_bounds_of_another_region_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(BoundsError, match="not computed over"):
        save_bounds(compute_bounds(NET, REGION), tmp_path / "b", region=Box([0.0] * 3, [1.0] * 3))
    with pytest.raises(BoundsError, match="not computed over"):
        save_bounds(compute_bounds(NET, REGION), tmp_path / "b", region=Box([0.0], [1.0]))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("low", "high"), [(np.nan, 1.0), (0.0, np.nan), (-np.inf, 1.0), (0.0, np.inf), (1.0, 0.5)]
)
def test_no_interval_is_neither_saved_nor_loaded(
    tmp_path: Path, saved: Path, low: float, high: float
) -> None:
    bounds = compute_bounds(NET, REGION)
    lower, upper = bounds["relu0"].lower.copy(), bounds["relu0"].upper.copy()
    lower[0, 3], upper[0, 3] = low, high
    wrong = replace(bounds, intervals={**bounds.intervals, "relu0": Interval(lower, upper)})
    with pytest.raises(BoundsError, match="'relu0', neuron 3"):
        save_bounds(wrong, tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()
    arrays, header = parts(saved)
    arrays["lower/relu0"], arrays["upper/relu0"] = lower, upper
    from mipnet.bounds import storage

    header["digest"] = storage._digest(arrays)
    save_file(arrays, saved, {FORMAT: json.dumps(header)})
    with pytest.raises(BoundsError, match="'relu0', neuron 3"):
        load_bounds(saved, NET)


def dropped(arrays: dict, header: dict) -> None:
    del arrays["upper/relu1"]


def flipped(arrays: dict, header: dict) -> None:
    arrays["upper/relu1"] = arrays["upper/relu1"] * (1.0 + 2.0**-50)


def single(arrays: dict, header: dict) -> None:
    arrays["upper/relu1"] = arrays["upper/relu1"].astype(np.float32)


def newer(arrays: dict, header: dict) -> None:
    header["version"] = 2


def unproven(arrays: dict, header: dict) -> None:
    del header["methods"]["relu1"]


def without(key: str) -> Callable[[dict, dict], None]:
    return lambda _, header: header.pop(key)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (dropped, "not those that were saved"),
        (flipped, "not those that were saved"),
        (single, "not those that were saved"),
        (newer, "format version 2"),
        (unproven, "damaged"),
        *((without(key), "damaged") for key in ("version", "fingerprint", "digest", "methods")),
    ],
)
def test_changed_files_are_refused(
    saved: Path, change: Callable[[dict, dict], None], named: str
) -> None:
    arrays, header = parts(saved)
    change(arrays, header)
    save_file(arrays, saved, {FORMAT: json.dumps(header)})
    with pytest.raises(BoundsError, match=named):
        load_bounds(saved, NET, region=REGION)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "b"
    save_file({"x": np.zeros(2)}, path)
    with pytest.raises(BoundsError, match="no file of bounds"):
        load_bounds(path, NET)
    path.write_bytes(b"\x80\x04 no safetensors at all")
    with pytest.raises(BoundsError, match="damaged"):
        load_bounds(path, NET)
    with pytest.raises(FileNotFoundError):
        load_bounds(tmp_path / "absent", NET)


def test_every_torn_file_is_refused(saved: Path) -> None:
    whole = saved.read_bytes()
    for size in (0, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        saved.write_bytes(whole[:size])
        with pytest.raises(BoundsError):
            load_bounds(saved, NET)


def test_a_failed_write_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_bounds(compute_bounds(NET, REGION, "interval"), saved)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]
