"""Data, training cache and judgement of the published adversarial problem."""

from __future__ import annotations

import gzip
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import cacciola
import numpy as np
import pytest
from _mnist import read_idx, read_images
from _training import Checkpoint, Recipe, checkpoint
from cacciola import PUBLISHED, contradictions, hidden, holds, report


def idx(values: np.ndarray[Any, Any]) -> bytes:
    head = struct.pack(">BBBB", 0, 0, 8, values.ndim) + struct.pack(
        f">{values.ndim}I", *values.shape
    )
    return head + values.astype(np.uint8).tobytes()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Images of 4 x 4 pixels in three classes: which row is bright."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 200), ("t10k", 60)):
        labels = rng.integers(0, 3, count)
        pixels = rng.integers(0, 80, (count, 4, 4))
        pixels[np.arange(count), labels] += 150
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pixels)))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    return tmp_path


def test_idx_files_are_read_compressed_or_not(data: Path) -> None:
    train = read_images(data, "train")
    assert train.pixels.shape == (200, 16)
    assert train.scaled.max() <= 1.0
    brightest = train.pixels.reshape(-1, 4, 4).sum(axis=2).argmax(axis=1)
    assert np.mean(brightest == train.labels) > 0.95
    assert train.digest != read_images(data, "t10k").digest


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:-1],
        lambda raw: raw + b"\0",
        lambda raw: raw[:6],
        lambda raw: b"\0\0\x0d" + raw[3:],
        lambda raw: b"PK" + raw[2:],
        lambda raw: b"",
    ],
)
def test_damaged_files_are_refused(damage: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(damage(idx(np.arange(6).reshape(2, 3))))
    with pytest.raises(ValueError, match=re.escape(str(path))):
        read_idx(path)


def test_files_that_do_not_fit_or_are_missing_are_named(data: Path) -> None:
    (data / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(7, int)))
    with pytest.raises(ValueError, match="t10k"):
        read_images(data, "t10k")
    (data / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="train-labels"):
        read_images(data, "train")


def test_checkpoints_are_kept_by_what_they_depend_on(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    train, test = read_images(data, "train"), read_images(data, "t10k")
    recipe = Recipe((6, 6), epochs=20, batch=32)
    first = checkpoint(recipe, train, test, tmp_path / "one")
    written = first.stat().st_mtime_ns
    assert checkpoint(recipe, train, test, tmp_path / "one") == first
    assert first.stat().st_mtime_ns == written
    trained = Checkpoint.read(first)
    assert [w.shape for w in trained.weights] == [(6, 16), (6, 6), (3, 6)]
    assert trained.accuracy > 0.8
    # The same recipe again gives the same network, anything else another file.
    again = Checkpoint.read(checkpoint(recipe, train, test, tmp_path / "two"))
    for a, b in zip(trained.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    others = [
        checkpoint(Recipe((6, 6), 1, 2, 32), train, test, tmp_path / "one"),
        checkpoint(Recipe((6, 6), 0, 2, 32), train, test, tmp_path / "one"),
        checkpoint(Recipe((6, 6), 0, 2, 16), train, test, tmp_path / "one"),
        checkpoint(Recipe((6, 6), 0, 2, 16), test, test, tmp_path / "one"),
    ]
    assert len({first, *others}) == 5


def test_names_of_architectures() -> None:
    assert hidden("2x50") == (50, 50)
    assert Recipe((500,) * 6).name == "6x500"
    for name in ("50", "2x", "x5", "0x5", "2x5x1", "2,5"):
        with pytest.raises(ValueError, match="architecture"):
            hidden(name)


def test_a_witness_must_lie_in_the_region_and_fool_the_whole_network() -> None:
    # The first class wins where the first input is larger.
    net = Checkpoint([np.eye(2, dtype=np.float32)], [np.zeros(2, np.float32)], 1.0, 0.0)
    x = np.array([0.6, 0.4])
    assert holds(net, x, 0.5, np.array([0.4, 0.6]), (0, 1))
    assert not holds(net, x, 0.3, np.array([0.4, 0.6]), (0, 1))
    assert not holds(net, x, 0.5, np.array([0.55, 0.45]), (0, 1))
    assert not holds(net, x, 9.0, np.array([0.6, 1.1]), (0, 1))
    # Apart in float64 only.
    assert not holds(net, x, 0.5, np.array([0.5, 0.5 + 1e-12]), (0, 1))


def answer(**changes: Any) -> dict[str, Any]:
    plain = {"net": "2x50", "seed": 0, "radius": 5.0, "status": "robust", "limit": 180.0}
    return {**plain, "seconds": 0.5, "method": "mip", "confirmed": None, **changes}


def test_contradictions_are_found() -> None:
    fooled = {"status": "witness", "confirmed": True}
    assert list(contradictions([answer(), answer(radius=20.0, **fooled)])) == []
    assert len(list(contradictions([answer(**fooled), answer(radius=20.0)]))) == 1
    assert list(contradictions([answer(**fooled), answer(radius=20.0, seed=1)])) == []
    assert len(list(contradictions([answer(status="witness", confirmed=False)]))) == 1


def test_the_report_compares_the_slowest_with_the_quickest_pruning() -> None:
    assert PUBLISHED["2x50", 5.0].target == pytest.approx(2.8333, abs=1e-3)
    assert PUBLISHED["6x500", 5.0].target == pytest.approx(39.3, abs=1e-3)
    # Unsolved runs count at the limit, as in the authors' mean.
    assert PUBLISHED["6x100", 5.0].target == pytest.approx(136.5, abs=1e-3)
    row = report([answer(), answer(seed=1, seconds=1.0)]).splitlines()[2]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[2:] == ["2/2", "robust by mip", "0.50, 1.00", "14.97", "2.833", "2.83"]
    undecided = answer(seed=1, status="unresolved", seconds=180.0)
    row = report([answer(), undecided]).splitlines()[2]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[2] == "1/2"
    assert cells[4] == "0.50, 180.00 unresolved"
    assert cells[-1] == "-"


def test_the_script_answers_and_confirms(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    command = [sys.executable, str(cacciola.__file__), "--data", str(data)]
    command += ["--cache", str(tmp_path / "cache"), "--nets", "2x6", "--seeds", "1"]
    command += ["--epochs", "30", "--image", "3", "--radii", "0.05", "8", "--limit", "20"]
    command += ["--output", str(tmp_path / "out.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| 2x6")]
    assert "robust by" in rows[1]
    assert "witness by" in rows[2]
    assert "WRONG" not in done.stdout


def test_a_bad_architecture_ends_with_a_usage_error(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cacciola.py", "--data", str(data), "--nets", "wide"])
    with pytest.raises(SystemExit) as ended:
        cacciola.main()
    assert ended.value.code == 2
    assert "'wide' is no architecture" in capsys.readouterr().err
