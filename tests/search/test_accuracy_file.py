"""The file of robust_accuracy: resuming, torn lines, other files, kill -9."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mipnet.errors import QueryError
from mipnet.network import Affine
from mipnet.search import accuracy, find_adversarial, robust_accuracy
from tests.search.accuracy_cases import NET, RADIUS, WHOLE, Calls, X, Y, ask, unresolved


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    counter = Calls()
    monkeypatch.setattr(accuracy, "find_adversarial", counter)
    return counter


def test_nothing_is_asked_twice(tmp_path: Path, calls: Calls) -> None:
    path = tmp_path / "r"
    first = ask(results=path)
    assert len(calls.points) == 13
    lines = path.read_bytes()
    again = ask(results=path)
    assert again == first == WHOLE
    assert all(s.resumed for s in again.samples)
    assert len(calls.points) == 13
    assert path.read_bytes() == lines
    more = robust_accuracy(
        NET, [*X, [0.0, 0.5, 0.0]], [*Y, 0], radius=RADIUS, lower=-1, upper=1, results=path
    )
    assert len(calls.points) == 13 + (more.samples[-1].status != "misclassified")
    shuffled = robust_accuracy(
        NET, X[::-1], Y[::-1], radius=RADIUS, lower=[-1.0] * 3, upper=1.0, results=path
    )
    assert [s.status for s in shuffled.samples] == [s.status for s in WHOLE.samples][::-1]
    assert [s.index for s in shuffled.samples] == list(range(14))
    assert all(s.resumed for s in shuffled.samples)


@pytest.mark.parametrize(
    "change",
    [
        {"radius": 0.2500001},
        {"norm": "l1"},
        {"lower": -2.0},
        {"upper": None},
        {"bounds": "crown"},
        {"formulation": "ideal"},
        {"restarts": 3},
        {"seed": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_file_of_another_question_is_refused(
    tmp_path: Path, calls: Calls, change: dict[str, Any]
) -> None:
    path = tmp_path / "r"
    ask(results=path)
    before, asked = path.read_bytes(), len(calls.points)
    with pytest.raises(QueryError, match=f"another question: {next(iter(change))} .*, not "):
        ask(results=path, **change)
    assert (path.read_bytes(), len(calls.points)) == (before, asked)


def test_the_file_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r"
    ask(results=path)
    nudged = NET.with_layers(
        {"affine1": Affine(NET.by_name["affine1"].layer.parameters[0], [0.1] * 3)}
    )
    given = {"radius": RADIUS, "lower": -1.0, "upper": 1.0, "results": path}
    for other, named in ((nudged, "network"), (replace(NET, dtype="float32"), "dtype")):
        with pytest.raises(QueryError, match=f"another question: .*{named} '"):
            robust_accuracy(other, X[:2], Y[:2], **given)


def test_another_label_is_asked_anew(tmp_path: Path) -> None:
    path = tmp_path / "r"
    ask(results=path)
    given = {"radius": RADIUS, "lower": -1.0, "upper": 1.0, "results": path}
    wrong = robust_accuracy(NET, X[:2], (Y[:2] + 1) % 3, **given)
    assert wrong.counts["misclassified"] == 2
    assert not any(s.resumed for s in wrong.samples)


def test_an_answer_moved_to_another_sample_is_asked_anew(tmp_path: Path, calls: Calls) -> None:
    """Keys exchanged between a robust sample and a misclassified one."""
    path = tmp_path / "r"
    ask(results=path)
    head, *lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[3]["key"], lines[0]["key"] = lines[0]["key"], lines[3]["key"]
    path.write_text("".join(json.dumps(line) + "\n" for line in [head, *lines]))
    before = len(calls.points)
    assert ask(results=path) == WHOLE
    assert len(calls.points) == before + 1


def test_undecided_samples_get_more_time_but_not_the_same_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Calls(then=unresolved)
    monkeypatch.setattr(accuracy, "find_adversarial", late)
    path = tmp_path / "r"
    assert ask(results=path, time_limit=1.0).counts["unresolved"] == 13
    assert ask(results=path, time_limit=0.5).counts["unresolved"] == 13
    assert ask(results=path, time_limit=1.0).counts["unresolved"] == 13
    assert len(late.points) == 13
    monkeypatch.setattr(accuracy, "find_adversarial", find_adversarial)
    assert ask(results=path, time_limit=60.0) == WHOLE
    assert ask(results=path) == WHOLE
    assert ask(results=path, time_limit=1.0) == WHOLE


def test_a_torn_last_line_is_set_aside_and_redone(tmp_path: Path, calls: Calls) -> None:
    path, torn = tmp_path / "r", tmp_path / "r.torn"
    ask(results=path)
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    for size in (last + 1, last + 40, len(whole) - 1):
        path.write_bytes(whole[:size])
        torn.unlink(missing_ok=True)
        before = len(calls.points)
        assert ask(results=path) == WHOLE
        assert len(calls.points) == before + 1
        assert torn.read_bytes() == whole[last:size] + b"\n"
        assert path.read_bytes().startswith(whole[:last])
        assert [json.loads(line) for line in path.read_bytes().splitlines()]
    torn.unlink()
    path.write_bytes(whole)
    ask(results=path)
    assert not torn.exists()


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "{}",
        "[]",
        "null",
        '{"key": "0", "sample": {"status": "fine"}}',
        '{"key": "0", "sample": {"format": 1, "index": 0, "label": 0, "status": "fine"}}',
        '{"key": "0", "sample": {"format": 1, "index": 0, "label": "0"}}',
        '{"sample": {"format": 1, "index": 0, "label": 0, "status": "misclassified"}}',
        '{"key": "0", "sample": {"format": 1, "index": 0, "label": 0, "status": "robust"}}',
    ],
)
def test_other_damage_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "r"
    ask(results=path)
    lines = path.read_text().splitlines()
    lines[4] = line
    path.write_text("\n".join(lines) + "\n")
    before = path.read_bytes()
    with pytest.raises(QueryError, match="line 5"):
        ask(results=path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "{}",
        "null",
        '{"format": "other", "version": 2}',
        '{"format": "mipnet.robust_accuracy", "version": 1}',
        '{"format": "mipnet.robust_accuracy", "version": 2, "asked": 1}',
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "r"
    path.write_text(line + "\n")
    with pytest.raises(QueryError, match="line 1 is no answer"):
        ask(results=path)
    assert path.read_text() == line + "\n"


@pytest.mark.parametrize("size", [0, 1, 30])
def test_a_torn_first_line_begins_a_new_file(tmp_path: Path, size: int) -> None:
    path = tmp_path / "r"
    ask(results=path, total_time=0.0)
    path.write_bytes(path.read_bytes()[:size])
    assert ask(results=path) == WHOLE
    assert len(path.read_text().splitlines()) == 15
    assert (tmp_path / "r.torn").exists() == bool(size)


RESUMED = """
import sys, time
import numpy as np
from mipnet.search import accuracy
from tests.search.accuracy_cases import NET, RADIUS, X, Y
asked = accuracy.find_adversarial
def slowly(*given, **keywords):
    time.sleep(0.05)
    return asked(*given, **keywords)
accuracy.find_adversarial = slowly
accuracy.robust_accuracy(NET, X, Y, radius=RADIUS, lower=-1, upper=1, results=sys.argv[1])
"""


def test_a_killed_run_is_resumed(tmp_path: Path, calls: Calls) -> None:
    path = tmp_path / "r"
    command = [sys.executable, "-c", RESUMED, str(path)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as run:
        until = time.monotonic() + 60.0
        while time.monotonic() < until and run.poll() is None:
            if path.exists() and path.read_bytes().count(b"\n") > 5:
                break
            time.sleep(0.005)
        run.kill()
    kept = path.read_bytes().count(b"\n") - 1
    assert 5 <= kept < 14
    assert ask(results=path) == WHOLE
    assert len(calls.points) <= 14 - kept
    assert path.read_bytes().count(b"\n") == 15


def altered(path: Path, change: Any) -> None:
    head, *lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        change(line["sample"])
    path.write_text("".join(json.dumps(line) + "\n" for line in [head, *lines]))


def test_a_status_that_its_verdict_denies_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r"
    ask(results=path)
    altered(path, lambda sample: sample.update(status="robust"))
    with pytest.raises(QueryError, match=r"the verdict (says|is missing)"):
        ask(results=path)


def test_a_witness_that_is_none_is_asked_anew(tmp_path: Path, calls: Calls) -> None:
    path = tmp_path / "r"
    ask(results=path)
    witnesses = WHOLE.counts["witness"]
    for change in (
        lambda v: v.update(point=X[0].tolist()),
        lambda v: v.update(point=[5.0, 5.0, 5.0]),
        lambda v: v.update(point=None),
    ):
        altered(path, lambda s, f=change: f(s["verdict"]) if s["status"] == "witness" else None)
        before = len(calls.points)
        assert ask(results=path) == WHOLE
        assert len(calls.points) == before + witnesses
