"""robust_accuracy: agreement with single questions, resuming, torn files, interrupts."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mipnet.errors import MissingPackageError, QueryError, RegionError, SolverError
from mipnet.network import Network
from mipnet.search import Verdict, accuracy, find_adversarial
from mipnet.search.accuracy import robust_accuracy
from tests.search.accuracy_cases import NET, RADIUS, WHOLE, Calls, X, Y, ask, unresolved
from tests.search.search_cases import random_network


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    counter = Calls()
    monkeypatch.setattr(accuracy, "find_adversarial", counter)
    return counter


def test_every_sample_agrees_with_its_own_question() -> None:
    for i, sample in enumerate(WHOLE.samples):
        assert (sample.index, sample.label) == (i, Y[i])
        if i == 3:
            assert (sample.status, sample.verdict) == ("misclassified", None)
            continue
        verdict = find_adversarial(NET, X[i], int(Y[i]), radius=RADIUS, lower=-1.0, upper=1.0)
        assert sample.status == verdict.status
        assert sample.verdict == verdict
    counts = WHOLE.counts
    assert {name for name, count in counts.items() if count} >= {
        "misclassified",
        "robust",
        "witness",
    }
    assert sum(counts.values()) == len(X)
    assert WHOLE.clean == 13 / 14
    assert WHOLE.certified == counts["robust"] / 14
    assert WHOLE.attacked == (13 - counts["witness"]) / 14
    assert 0.0 < WHOLE.certified <= WHOLE.attacked < WHOLE.clean
    assert (WHOLE.reason, WHOLE.fingerprint) == ("", NET.fingerprint)
    assert WHOLE.clocks.total > 0.0


def test_jobs_give_the_same_answers(tmp_path: Path) -> None:
    twin = ask(jobs=2, results=tmp_path / "r")
    assert twin == WHOLE
    assert len((tmp_path / "r").read_text().splitlines()) == 15
    assert ask(results=tmp_path / "r") == WHOLE


def test_no_time_leaves_everything_open(tmp_path: Path) -> None:
    path = tmp_path / "r"
    found = ask(total_time=0.0, results=path)
    assert found.counts["unresolved"] == 14
    assert (found.reason, found.clean) == ("time limit reached", None)
    assert (found.certified, found.attacked) == (0.0, 1.0)
    assert "not known" in str(found)
    assert len(path.read_text().splitlines()) == 1


def test_total_time_limits_what_a_sample_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float | None] = []

    def record(network: Network, x: np.ndarray, label: int, **keywords: Any) -> Verdict:
        limits.append(keywords["time_limit"])
        return find_adversarial(network, x, label, **keywords)

    monkeypatch.setattr(accuracy, "find_adversarial", record)
    ask(total_time=50.0)
    ask(total_time=50.0, time_limit=5.0)
    ask()
    assert all(limit is not None and 0.0 < limit <= 50.0 for limit in limits[:13])
    assert sorted(limits[:13], reverse=True) == limits[:13]  # type: ignore[type-var]
    assert limits[13:26] == [5.0] * 13
    assert limits[26:] == [None] * 13


def test_an_error_of_the_solver_leaves_its_sample_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Verdict:
        msg = "HiGHS refused the model"
        raise SolverError(msg)

    path = tmp_path / "r"
    monkeypatch.setattr(accuracy, "find_adversarial", Calls(broken, after=5))
    found = ask(results=path)
    assert found.samples[:6] == WHOLE.samples[:6]
    assert {(s.status, s.reason) for s in found.samples[6:]} == {
        ("unresolved", "HiGHS refused the model")
    }
    assert (found.clean, found.counts["unresolved"]) == (13 / 14, 8)
    assert ask(results=path) == found


def test_a_worker_that_dies_leaves_the_rest_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy, "examine", dies)
    found = ask(jobs=2)
    assert found.reason == "a worker process died"
    assert found.counts["unresolved"] >= 10
    for sample, known in zip(found.samples, WHOLE.samples, strict=True):
        assert sample == known or (sample.status, sample.reason) == ("unresolved", found.reason)


def dies(task: accuracy.Task) -> Any:
    if task.index == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return WHOLE.samples[task.index]


def stop() -> Verdict:
    raise KeyboardInterrupt


@pytest.mark.parametrize("then", [stop, lambda: unresolved("interrupted")])
def test_interrupt_returns_what_is_known_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: Any
) -> None:
    path = tmp_path / "r"
    monkeypatch.setattr(accuracy, "find_adversarial", Calls(then, after=5))
    found = ask(results=path)
    assert found.reason == "interrupted"
    assert len(path.read_text().splitlines()) == 7
    assert found.samples[:6] == WHOLE.samples[:6]
    assert {s.status for s in found.samples[6:]} == {"unresolved"}
    assert {s.reason for s in found.samples[6:]} == {"interrupted"}
    rest = Calls()
    monkeypatch.setattr(accuracy, "find_adversarial", rest)
    assert ask(results=path) == WHOLE
    assert len(rest.points) == 8


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [
        ({"y": Y[:5]}, QueryError, "14 samples"),
        ({"y": Y.astype(float)}, QueryError, "integers"),
        ({"y": np.where(Y[2] == Y, 3, Y)}, QueryError, "out of range"),
        ({"y": -Y - 1}, QueryError, "sample 0"),
        ({"X": np.zeros((0, 3)), "y": np.zeros(0, int)}, QueryError, "no samples"),
        ({"X": np.where(X[5, 1] == X, np.nan, X)}, RegionError, "sample 5"),
        ({"lower": 0.0}, RegionError, "sample 1"),
        ({"norm": "l7"}, RegionError, "l7"),
        ({"radius": -1.0}, RegionError, "radius"),
        ({"jobs": 0}, QueryError, "jobs"),
        ({"jobs": -2}, QueryError, "jobs"),
        ({"time_limit": math.nan}, QueryError, "time_limit"),
        ({"total_time": -1.0}, QueryError, "total_time"),
        ({"network": random_network(0, (3, 4, 1))}, QueryError, "one output"),
    ],
)
def test_bad_questions(
    tmp_path: Path, change: dict[str, Any], error: type[Exception], named: str
) -> None:
    given = {"network": NET, "X": X, "y": Y, "radius": 0.1, "lower": -1.0, "upper": 1.0}
    with pytest.raises(error, match=named):
        robust_accuracy(**{**given, **change, "results": tmp_path / "r"})
    assert not (tmp_path / "r").exists()


def test_a_file_that_cannot_be_written_is_found_before_anything_is_asked(
    tmp_path: Path, calls: Calls
) -> None:
    with pytest.raises(OSError, match="absent"):
        ask(results=tmp_path / "absent" / "r")
    assert not calls.points


def test_one_sample_and_the_own_domain_of_a_network() -> None:
    bounded = NET.with_input_bounds(-np.ones(3), np.ones(3))
    found = robust_accuracy(bounded, X[0], Y[0], radius=RADIUS)
    assert len(found.samples) == 1
    assert found.samples[0] == WHOLE.samples[0]
    assert found.samples[0].verdict is not None


def test_plain_data_is_strict_json() -> None:
    for found in (WHOLE, ask(total_time=0.0)):
        plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
        assert plain["counts"] == found.counts
        assert len(plain["samples"]) == 14
        assert (plain["certified"], plain["clean"]) == (found.certified, found.clean)


def test_table() -> None:
    pytest.importorskip("pandas")
    table = WHOLE.to_frame()
    assert table.shape[0] == 14
    assert table["status"].value_counts().to_dict() == {k: v for k, v in WHOLE.counts.items() if v}
    assert table["predicted"].tolist() == np.argmax(NET(X), axis=1).tolist()
    assert ask(total_time=0.0).to_frame()["predicted"].isna().all()


def test_table_without_pandas_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackageError, match="pandas"):
        WHOLE.to_frame()


def test_bar_only_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(progress=True) == WHOLE
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    monkeypatch.setenv("TERM", "xterm")
    assert ask(progress=False) == WHOLE
    assert capsys.readouterr() == ("", "")
    assert ask(progress=True) == WHOLE
    out, err = capsys.readouterr()
    assert out == ""
    assert "14/14" in err
