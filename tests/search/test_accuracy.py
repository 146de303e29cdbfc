"""robust_accuracy: agreement with single questions, resuming, torn files, interrupts."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mipnet.errors import MissingPackageError, QueryError, RegionError
from mipnet.network import Affine, Network
from mipnet.search import Verdict, accuracy, find_adversarial
from mipnet.search.accuracy import robust_accuracy
from mipnet.search.accuracy_result import RobustAccuracy
from tests.search.search_cases import random_network

NET = random_network(3, (3, 6, 3), 1.5)
RNG = np.random.default_rng(7)
X = RNG.uniform(-1.0, 1.0, (14, 3))
Y = np.argmax(NET(X), axis=1)
Y[3] = (Y[3] + 1) % 3
RADIUS = 0.25


def ask(**keywords: Any) -> RobustAccuracy:
    given = {"radius": RADIUS, "lower": -1.0, "upper": 1.0, "progress": False}
    return robust_accuracy(NET, X, Y, **{**given, **keywords})


WHOLE = ask()


class Calls:
    """Stands in for find_adversarial: counts, and ends differently when told to."""

    def __init__(self, then: Any = None, after: int = 0) -> None:
        self.points: list[list[float]] = []
        self.then, self.after = then, after

    def __call__(self, network: Network, x: np.ndarray, label: int, **keywords: Any) -> Verdict:
        self.points.append(x.tolist())
        if self.then is not None and len(self.points) > self.after:
            return self.then()  # type: ignore[no-any-return]
        return find_adversarial(network, x, label, **keywords)


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
    assert len((tmp_path / "r").read_text().splitlines()) == 14
    assert ask(results=tmp_path / "r") == WHOLE


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
        {"formulation": "other"},
        {"restarts": 3},
        {"seed": 1},
    ],
)
def test_another_question_is_asked_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    path = tmp_path / "r"
    ask(results=path)
    counter = Calls(then=lambda: WHOLE.samples[0].verdict)
    monkeypatch.setattr(accuracy, "find_adversarial", counter)
    changed = ask(results=path, **change)
    assert len(counter.points) == 13
    assert not any(s.resumed for s in changed.samples)


def test_another_network_or_label_is_asked_anew(tmp_path: Path, calls: Calls) -> None:
    path = tmp_path / "r"
    given = {"radius": RADIUS, "lower": -1.0, "upper": 1.0, "results": path}
    robust_accuracy(NET, X[:2], Y[:2], **given)
    nudged = NET.with_layers(
        {"affine1": Affine(NET.by_name["affine1"].layer.parameters[0], [0.1] * 3)}
    )
    robust_accuracy(nudged, X[:2], np.argmax(nudged(X[:2]), axis=1), **given)
    assert len(calls.points) == 4
    wrong = robust_accuracy(NET, X[:2], (Y[:2] + 1) % 3, **given)
    assert wrong.counts["misclassified"] == 2
    assert not any(s.resumed for s in wrong.samples)


def unresolved(reason: str = "time limit reached") -> Verdict:
    return Verdict("unresolved", int(Y[0]), None, (), {}, reason=reason)


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
        '{"format": "other", "version": 1}',
        '{"format": "mipnet.robust_accuracy", "version": 2}',
        '{"format": "mipnet.robust_accuracy", "version": 1, "sample": {"status": "fine"}}',
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


def altered(path: Path, change: Any) -> None:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        change(line["sample"])
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_status_that_its_verdict_denies_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r"
    ask(results=path)
    altered(path, lambda sample: sample.update(status="robust"))
    with pytest.raises(QueryError, match="the verdict says"):
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


def test_no_time_leaves_everything_open(tmp_path: Path) -> None:
    path = tmp_path / "r"
    found = ask(total_time=0.0, results=path)
    assert found.counts["unresolved"] == 14
    assert (found.reason, found.clean) == ("time limit reached", None)
    assert (found.certified, found.attacked) == (0.0, 1.0)
    assert "not known" in str(found)
    assert path.read_bytes() == b""


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
    assert len(path.read_text().splitlines()) == 6
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
