"""``mipnet bench``: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import mipnet.bench
from mipnet.bench.provenance import node
from mipnet.bench.runner.supervisor import supervisor
from mipnet.bench.runner.worker import Report
from mipnet.cli import bench_views, main
from mipnet.network.readers import load, save_npz

PLAN = """
[plan]
name = "small"
[networks.tiny]
file = "tiny.npz"
data = "diabetes"
[[masks]]
method = "random"
keep = 0.5
[[problems]]
kind = "maximize"
[solve]
seeds = [0, 1]
bounds = "crown"
[limits]
time = 5
"""


def run(*arguments: object) -> click.testing.Result:
    return CliRunner().invoke(main, ["bench", *map(str, arguments)])


@pytest.fixture(scope="module", autouse=True)
def _kept() -> Iterator[None]:
    """Keep the process cells are forked from over all runs: it takes a second to start."""
    watcher = supervisor()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watcher, "close", lambda: None)
        yield
    watcher.close()


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import numpy as np

    folder = tmp_path_factory.mktemp("plan")
    rng = np.random.default_rng(0)
    network = load(
        ([rng.normal(size=(6, 10)), rng.normal(size=(1, 6))], [rng.normal(size=6), np.zeros(1)])
    )
    save_npz(network, folder / "tiny.npz")
    (folder / "small.toml").write_text(PLAN, encoding="utf-8")
    return folder / "small.toml"


@pytest.fixture(scope="module")
def done(plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("done") / "r"
    result = run("run", plan, "--results", folder)
    assert result.exit_code == 0, result.output
    return folder


def test_group_explains_itself() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert all(name in result.output for name in ("run", "status", "tail", "collect", "compare"))
    for name in ("run", "status", "tail", "collect", "compare"):
        assert run(name, "--help").exit_code == 0


def test_dry_run_does_nothing(plan: Path, tmp_path: Path) -> None:
    result = run("run", plan, "--results", tmp_path / "r", "--dry-run")
    assert result.exit_code == 0
    assert "cells: 4 = 2 networks (dense and pruned) x 1 questions x 2 ways" in result.stdout
    assert "solve         4, of which 4 to do" in result.stdout
    assert "at most 20 s" in result.stdout
    assert not (tmp_path / "r").exists()
    plain = json.loads(run("run", plan, "--results", tmp_path / "r", "--dry-run", "--json").stdout)
    assert plain["tasks"] == {"network": 1, "mask": 1, "cost": 0, "solve": 4}
    assert plain["most_seconds"] == 20.0


def test_run_status_collect(plan: Path, done: Path, tmp_path: Path) -> None:
    again = run("run", plan, "--results", done)
    assert "cells: 4 optimal; 0 missing" in again.stdout
    assert "6 task(s) were done before" in again.stdout
    state = run("status", done)
    assert "plan small" in state.stdout
    assert "solve         4: 4 optimal; 0 missing" in state.stdout
    plain = json.loads(run("status", done, "--json").stdout)
    assert plain["done"]["solve"] == {"optimal": 4}
    tables = run("collect", done, "-o", tmp_path / "t", "--csv")
    assert tables.exit_code == 0
    assert f"{tmp_path / 't' / 'cells'}.parquet: 4 rows" in tables.stdout
    assert len(mipnet.bench.load(tmp_path / "t").cells) == 4
    assert (tmp_path / "t" / "cells.csv").read_text(encoding="utf-8").startswith("cell,pair,")


def test_logs_are_followed(done: Path, tmp_path: Path) -> None:
    copy = tmp_path / "r"
    for name in ("plan.json", "running/one.json", "logs/one.log"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
    (copy / "plan.json").write_bytes((done / "plan.json").read_bytes())
    mark = {"name": "solve this", "pid": os.getpid(), "node": node(), "started": "now"}
    (copy / "running" / "one.json").write_text(json.dumps(mark), encoding="utf-8")
    (copy / "logs" / "one.log").write_text("first\nsecond\nhalf", encoding="utf-8")
    seen = []
    for name, line in mipnet.bench.follow(copy, patience=0.0):
        seen.append((name, line))
        if len(seen) == 2:
            # The rest of the line, and then the cell ends.
            with (copy / "logs" / "one.log").open("a", encoding="utf-8") as stream:
                stream.write(" of it\n")
            (copy / "running" / "one.json").unlink()
    assert [line for _, line in seen] == ["first", "second", "half of it"]
    assert {name for name, _ in seen} == {"solve this"}
    assert run("tail", tmp_path).exit_code == 2


def test_shards_of_the_command_line(plan: Path, tmp_path: Path) -> None:
    for part in ("1/2", "2/2"):
        assert run("run", plan, "--results", tmp_path, "--shard", part, "--quiet").exit_code == 0
    assert "4 optimal; 0 missing" in run("status", tmp_path).stdout
    for wrong in ("3/2", "0/2", "half"):
        result = run("run", plan, "--results", tmp_path, "--shard", wrong)
        assert result.exit_code == 2


def test_compare_with_itself(done: Path) -> None:
    result = run("compare", done, done)
    assert result.exit_code == 0
    assert "B is not slower" in result.stdout
    plain = json.loads(run("compare", done, done, "--json").stdout)
    assert plain["whole"]["ratio"]["ratio"] == 1.0
    assert plain["ok"] is True
    assert run("compare", done, done, "--metric", "speed").exit_code == 2


def test_slower_run_ends_with_1(done: Path, tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    for path in done.rglob("*.json"):
        target = slow / path.relative_to(done)
        target.parent.mkdir(parents=True, exist_ok=True)
        record = json.loads(path.read_text(encoding="utf-8"))
        if path.parent.name == "cells":
            record["result"]["total_s"] *= 3.0
        target.write_text(json.dumps(record), encoding="utf-8")
    result = run("compare", done, slow, "--shift", "0")
    assert result.exit_code == 1
    assert "B is slower than the threshold" in result.stdout
    assert run("compare", done, slow, "--shift", "0", "--threshold", "4").exit_code == 0


def test_faults_of_a_plan_keep_their_lines(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[plan]\nnmae = 1\n[networks.a]\nfile = 'x'\n")
    result = run("run", tmp_path / "bad.toml")
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert lines[0] == "Error: bad.toml: 2 faults:"
    assert lines[1].startswith("  line 2: [plan]: unknown key 'nmae'")
    assert lines[2].startswith("  line 4: [networks.a]: file 'x' does not exist")


def test_folders_without_results(tmp_path: Path, plan: Path) -> None:
    for arguments in (("status", tmp_path), ("collect", tmp_path), ("compare", tmp_path, tmp_path)):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "Error: " in result.stderr
    (tmp_path / "something").touch()
    result = run("run", plan, "--results", tmp_path)
    assert result.exit_code == 2
    assert "not empty and no results folder" in result.stderr


def test_plain_progress_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """A line when a stage begins and at the end, not one for every cell."""
    with bench_views.progress(False) as show:
        assert show is not None
        for done in range(51):
            show("artefacts" if done < 3 else "cells", done, 50, Report("i", "solve", "n"))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("]")[0] for line in lines] == ["[0/50", "[3/50", "[50/50"]
    assert "left" in lines[1]


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from rich.console import Console

    stream = io.StringIO()
    terminal = Console(file=stream, force_terminal=True, width=100)
    monkeypatch.setattr(bench_views, "console", lambda **options: terminal)
    with bench_views.progress(False) as show:
        assert show is not None
        show("cells", 1, 4, None)
        show("cells", 2, 4, Report("i", "solve", "n", "killed", "why"))
    text = stream.getvalue()
    assert "2/4" in text
    assert "left" in text
    assert "1 failed" in text


def test_help_needs_no_heavy_package() -> None:
    import subprocess

    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from mipnet.cli import main\n"
        "assert CliRunner().invoke(main, ['bench', 'run', '--help']).exit_code == 0\n"
        "heavy = {'torch', 'numpy', 'scipy', 'pyomo', 'highspy', 'joblib', 'pandas', 'pyarrow'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
