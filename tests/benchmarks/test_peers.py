"""The comparison judges runs by what the network itself says."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import peers
import pytest
from _peer_tools import TOOLS, Problem, finite, installed, run
from peers import Run, contradictions, gap, mean_ratio, middle, ratio

import mipnet

LIMIT, CLOSED = 10.0, 1e-4


def record(**changes: Any) -> dict[str, Any]:
    plain = {"net": "n", "tool": "mipnet", "seed": 0, "status": "optimal", "seconds": 1.0}
    return {**plain, "value": 2.0, "claimed": 2.0, "bound": 2.0, **changes}


def judged(**changes: Any) -> Run:
    return Run.of(record(**changes), LIMIT, CLOSED)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    sizes = (3, 6, 5, 2)
    arrays = {}
    for k, (n, m) in enumerate(pairwise(sizes)):
        arrays[f"W{k}"], arrays[f"b{k}"] = rng.normal(size=(m, n)), rng.normal(size=m)
    path = tmp_path / "tiny.npz"
    np.savez(path, lb=-np.ones(3), ub=np.ones(3), c=np.array([1.0, -0.5]), **arrays)
    return path


def test_shuffling_keeps_the_function(net: Path) -> None:
    problem = Problem.read(net)
    points = np.random.default_rng(0).uniform(-1, 1, (20, 3))
    network = mipnet.load(net)
    for seed in range(3):
        other = problem.shuffled(seed)
        moved = not np.array_equal(other.weights[0], problem.weights[0])
        assert moved == (seed > 0)
        for x in points:
            assert other.value(x) == pytest.approx(float(problem.objective @ network(x)), abs=1e-12)


@pytest.mark.parametrize("tool", TOOLS)
def test_every_installed_tool_finds_the_optimum(tool: str, net: Path) -> None:
    missing = [n for n, v in installed(list(TOOLS[tool].packages)).items() if v is None]
    if missing:
        pytest.skip(f"not installed: {missing}")
    problem = Problem.read(net)
    best = mipnet.minimize(mipnet.load(net), problem.objective, time_limit=30.0)
    for seed in range(2):
        answer = run({"file": str(net), "tool": tool, "seed": seed, "limit": 30.0})
        assert answer["value"] == pytest.approx(best.value, abs=1e-5)
        assert answer["bound"] == pytest.approx(best.value, abs=1e-5)
        assert answer["claimed"] == pytest.approx(best.value, abs=1e-5)
        assert answer["seconds"] > 0.0


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -1e20])
def test_what_stands_for_no_value_is_none(value: float | None) -> None:
    assert finite(value) is None


def test_outcomes() -> None:
    assert judged().outcome == "decided"
    assert judged(bound=2.0 - 1e-4).outcome == "decided"
    # Closed to less than asked for, whatever the tool says.
    assert judged(bound=1.9).outcome == "failed"
    assert judged(bound=1.9, seconds=10.2, status="time_limit").outcome == "limit"
    assert judged(value=None, seconds=10.2, status="time_limit").outcome == "limit"
    # The right answer, but too late.
    assert judged(seconds=12.5).outcome == "limit"
    assert judged(seconds=11.5).outcome == "decided"
    lost = {"net": "n", "tool": "omlt", "seed": 0, "detail": "gone"}
    assert Run.of({**lost, "status": "error"}, LIMIT, CLOSED).outcome == "failed"
    killed = Run.of({**lost, "status": "killed"}, LIMIT, CLOSED)
    assert (killed.outcome, killed.seconds) == ("limit", LIMIT)


def test_gaps_are_relative() -> None:
    assert gap(2.0, 1.0) == pytest.approx(0.5)
    assert gap(-0.02, -0.03) == pytest.approx(0.5)
    assert gap(1.0, 1.5) == 0.0
    assert gap(None, 1.0) is None
    assert gap(1.0, None) is None


def test_a_bound_above_a_point_anyone_reached_is_wrong() -> None:
    honest = judged()
    assert list(contradictions([honest, judged(tool="omlt", bound=2.0 + 1e-9)])) == []
    found = list(contradictions([honest, judged(tool="omlt", value=3.0, claimed=3.0, bound=3.0)]))
    assert len(found) == 1
    assert "omlt" in found[0]
    # The bound of an undecided run counts as well.
    late = judged(tool="omlt", seconds=10.5, value=5.0, bound=2.5, status="time_limit")
    assert len(list(contradictions([honest, late]))) == 1
    # Another net is another problem.
    assert list(contradictions([honest, judged(net="m", value=3.0, claimed=3.0, bound=3.0)])) == []


def test_a_value_the_network_does_not_give_is_wrong() -> None:
    found = list(contradictions([judged(value=2.0, claimed=1.9)]))
    assert len(found) == 1
    assert "its point gives 2.0" in found[0]


def test_medians_and_ratios_mark_what_is_only_a_bound() -> None:
    open_ = {"bound": 0.0, "status": "time_limit", "seconds": 10.0}
    three = [judged(seed=0, seconds=1.0), judged(seed=1, seconds=4.0), judged(seed=2, **open_)]
    middle_run = middle(three)
    assert middle_run is not None
    assert (middle_run.seconds, middle_run.outcome) == (4.0, "decided")
    assert middle([]) is None
    failed = judged(bound=0.0)
    assert middle([judged(), failed, failed]) is None
    ours, theirs, at_limit = judged(seconds=2.0), judged(seconds=6.0), judged(**open_)
    assert ratio(theirs, ours) == "3"
    assert ratio(at_limit, ours) == ">5"
    assert ratio(ours, at_limit) == "<0.2"
    assert ratio(at_limit, at_limit) == "-"
    assert ratio(None, ours) == "-"


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_first_ratio_is_over_runs_both_decided() -> None:
    open_ = {"bound": 0.0, "status": "time_limit", "seconds": 10.0}
    runs = [judged(seconds=1.0), judged(net="m", seconds=1.0)]
    runs += [judged(tool="omlt", seconds=7.0), judged(net="m", tool="omlt", **open_)]
    row = cells(peers.summary(runs).splitlines()[2])
    assert row[1:] == ["1/2", "7", "2/2", f">{np.sqrt(8 * 11) - 1:.3g}", "2/2"]
    # Where mipnet is the one that is undecided the second figure is an upper bound.
    runs[1] = judged(net="m", **open_)
    runs[3] = judged(net="m", tool="omlt", seconds=3.0)
    row = cells(peers.summary(runs).splitlines()[2])
    assert row[1:3] == ["1/2", "7"]
    assert row[4].startswith("<")
    assert row[5] == "1/2"
    # A run that failed counts in neither.
    runs[3] = judged(net="m", tool="omlt", bound=0.0)
    assert cells(peers.summary(runs).splitlines()[2])[1:] == ["1/2", "7", "1/2", "7", "1/2"]


def test_the_mean_ratio_is_a_ratio_of_shifted_means() -> None:
    pairs = [(judged(seconds=7.0), judged(seconds=1.0)), (judged(seconds=1.0), judged(seconds=1.0))]
    assert mean_ratio(pairs) == f"{np.sqrt(8 * 2) - 1:.3g}"
    assert mean_ratio([]) == "-"


def script(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(peers.__file__), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_script_runs_and_resumes(net: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    options = ["--root", net.parent, "--nets", "tiny", "--tools", "mipnet", "--seeds", 1]
    options += ["--limit", 20, "--output", output]
    done = script(*options)
    assert done.returncode == 0, done.stderr
    assert "| tiny | mipnet | 1/1" in done.stdout
    # The same file, with a second seed that claims too high a bound.
    false = json.loads(output.read_text(encoding="utf-8").splitlines()[1])
    false |= {"seed": 1, "bound": false["value"] + 1.0}
    with output.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(false) + "\n")
    done = script(*options, "--resume", "--seeds", 2)
    assert done.returncode == 1, done.stderr
    assert "WRONG tiny mipnet seed 1" in done.stdout
    assert "[1/" not in done.stderr


def test_a_tool_that_is_missing_is_left_out(net: Path, tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n', encoding="utf-8")
    bare.chmod(0o755)
    done = script(
        *("--root", net.parent, "--nets", "tiny", "--tools", "omlt", "--python", bare),
        *("--output", tmp_path / "out.jsonl"),
    )
    assert done.returncode == 0, done.stderr
    assert "omlt: left out" in done.stdout


def test_a_missing_net_is_named(tmp_path: Path) -> None:
    done = script("--root", tmp_path, "--nets", "gone")
    assert done.returncode == 2
    assert "gone.npz" in done.stderr
