"""``mipnet demo``: the table, the files and the messages around the experiment."""

from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mipnet.bench import demo
from mipnet.bench.demo_records import DemoSettings
from mipnet.cli import main


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["demo", *map(str, arguments)])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("results")
    # Radii that bounds alone decide: this is about the command, not about the experiment.
    radii = ("--linf-radius", 0.005, "--l1-radius", 0.05)
    return run("--images", 2, "--epochs", 3, *radii, "--output", folder), folder


def test_table_is_whole(done: tuple[Result, Path]) -> None:
    result, folder = done
    assert result.exit_code == 0
    assert "…" not in result.stdout
    lines = result.stdout.splitlines()
    with (folder / "summary.csv").open(newline="", encoding="utf-8") as stream:
        summary = list(csv.DictReader(stream))
    assert len(summary) == 12
    header = lines[0].split()
    for line, row in zip(lines[1:13], summary, strict=True):
        cells = dict(zip(header, line.split(), strict=True))
        assert (cells["network"], cells["norm"]) == (row["network"], row["norm"])
        assert cells["certified"] == f"{float(row['certified']):.1%}"
        assert cells["accuracy"] == f"{float(row['test_accuracy']):.1%}"
        counts = [cells[name] for name in ("robust", "witness", "unres.")]
        assert counts == [row["robust"], row["witness"], row["unresolved"]]
        for name in ("attack", "bound", "build", "solve", "check", "total"):
            assert cells[name] == f"{float(row[name + '_s']):.2f}"
        assert cells["speed"] == f"{float(row['speed_ratio']):.1f}x"


def test_files_are_named(done: tuple[Result, Path]) -> None:
    result, folder = done
    assert str(folder) in result.stdout
    for name in ("results.csv", "summary.csv", "settings.json"):
        assert name in result.stdout
        assert (folder / name).is_file()
    stored = {path.name for path in (folder / "networks").iterdir()}
    for depth in (2, 4):
        assert {f"{depth}x50-dense.npz", f"{depth}x50-pruned75.npz"} <= stored
        assert f"{depth}x50-pruned50.mask.safetensors" in stored


def test_progress_goes_to_standard_error(done: tuple[Result, Path]) -> None:
    stages = done[0].stderr.splitlines()
    assert stages[0].endswith("training 2x50-dense")
    assert stages[-1].endswith("done")
    assert len(stages) == len(set(stages)) == 6 + 12 + 1


def test_narrow_terminal_gets_two_tables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    small = DemoSettings(images=1, depths=(2,), width=4, epochs=1)
    monkeypatch.setattr(
        "mipnet.bench.demo_records.DemoSettings", lambda **given: replace(small, seed=given["seed"])
    )
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    result = run("--quiet", "--output", tmp_path)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.count("norm") == 2
    assert "…" not in result.stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--images", "0"], "images"),
        (["--images", "1000"], "images"),
        (["--seed", "-1"], "seed"),
        (["--linf-radius", "nan"], "radii"),
        (["--l1-radius", "inf"], "radii"),
        (["--time-limit", "0"], "time-limit"),
        (["--output", __file__], "output"),
    ],
)
def test_bad_input_is_status_two(options: list[str], told: str, tmp_path: Path) -> None:
    output = [] if "--output" in options else ["--output", str(tmp_path / "new")]
    result = run(*options, *output)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert told in result.stderr
    assert not (tmp_path / "new").exists()


def test_without_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    result = run("--output", tmp_path, "--quiet")
    assert result.exit_code == 2
    assert "pip install 'mipnet[torch]'" in result.stderr


def test_interrupt_ends_the_demo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    right = demo.find_adversarial

    def interrupted(*args: Any, **options: Any) -> Any:
        return replace(right(*args, **options), status="unresolved", reason="interrupted")

    monkeypatch.setattr(demo, "find_adversarial", interrupted)
    result = run("--images", 1, "--epochs", 1, "--output", tmp_path)
    assert result.exit_code == 1
    assert "Aborted" in result.stderr
    assert not (tmp_path / "results.csv").exists()
