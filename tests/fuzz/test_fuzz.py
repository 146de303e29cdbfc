"""Thousands of random networks, regions and objectives: no answer contradicts the exact one."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mipnet.search import Verdict, find_adversarial
from tests import oracle
from tests.core_cases import dense
from tests.fuzz import exact, knobs, nets, questions, sets
from tests.fuzz.__main__ import main
from tests.fuzz.questions import Outcome
from tests.fuzz.runner import Failure, run

TOTAL, CHUNK = 2000, 100


@cache
def chunk(first: int) -> tuple[list[Outcome], list[Failure]]:
    return run(range(first, first + CHUNK))


@pytest.mark.parametrize("first", range(0, TOTAL, CHUNK))
def test_no_answer_is_wrong(first: int) -> None:
    outcomes, failures = chunk(first)
    assert not failures, "\n".join(map(str, failures))
    assert len(outcomes) == CHUNK


def test_everything_is_asked_and_answered() -> None:
    found = [o for first in range(0, TOTAL, CHUNK) for o in chunk(first)[0]]
    ends = Counter((o.kind, o.status) for o in found)
    for kind in ("untargeted", "targeted", "top_k"):
        assert min(ends[kind, status] for status in ("robust", "witness")) > 10
    assert min(ends["verify", status] for status in ("sat", "unsat")) > 10
    assert min(ends["distortion", status] for status in ("optimal", "none")) > 5
    assert min(ends[kind, "optimal"] for kind in ("minimize", "maximize")) > 50
    assert ends["radius", "complete"] > 20
    assert {o.family for o in found} == {f.__name__ for f in nets.FAMILIES}
    ways = {"attack", "crown", "alpha", "bisection", "splitting", "mip"}
    assert {m for o in found for m in o.methods} >= ways
    opened = sum(o.status in {"unresolved", "unknown", "timeout", "bounded"} for o in found)
    assert 10 < opened < 0.15 * TOTAL


# --- the fuzz can fail ----------------------------------------------------------------------------


def answers(monkeypatch: pytest.MonkeyPatch, change: Any) -> list[Failure]:
    """Failures when every verdict is changed."""

    def changed(*given: Any, **keywords: Any) -> Verdict:
        return change(find_adversarial(*given, **keywords))  # type: ignore[no-any-return]

    monkeypatch.setattr(questions, "find_adversarial", changed)
    return run(range(40))[1]


def test_a_wrong_proof_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = answers(monkeypatch, lambda v: replace(v, status="robust", point=None))
    assert len(failures) > 5
    assert "but the margin reaches" in str(failures[0])
    assert f"SEED={failures[0].seed}" in str(failures[0])


def test_a_wrong_witness_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def moved(v: Verdict) -> Verdict:
        return v if v.point is None else replace(v, point=v.point + 100.0)

    failures = answers(monkeypatch, moved)
    assert len(failures) > 5
    assert "outside" in str(failures[0])


def test_a_made_up_witness_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[np.ndarray] = []

    def centre(network: Any, x: np.ndarray, *given: Any, **keywords: Any) -> Verdict:
        asked.append(x)
        found = find_adversarial(network, x, *given, **keywords)
        return replace(found, status="witness", point=x, predicted=-1)

    monkeypatch.setattr(questions, "find_adversarial", centre)
    failures = run(range(40))[1]
    assert len(failures) > 0.5 * len(asked)


def test_a_question_left_open_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = answers(monkeypatch, lambda v: replace(v, status="unresolved", point=None))
    assert any("open at" in str(f) for f in failures)


def test_a_seed_is_one_question() -> None:
    assert [run([seed]) for seed in (5, 6)] == [([o], []) for o in run([5, 6])[0]]


# --- the exact answers ----------------------------------------------------------------------------


def test_exact_answers_import_nothing_from_the_package() -> None:
    tree = ast.parse(Path(exact.__file__).read_text())
    modules = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    modules |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert not {m for m in modules if m and m.split(".")[0] in {"mipnet", "formulations"}}


@pytest.mark.parametrize("seed", range(24))
def test_exact_optimum_agrees_with_the_other_oracle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    case = dense(rng, (2, *[(4,), (3, 3), (2, 2, 2)][seed % 3], 2))
    ball = (0.5 * case.lower + 0.5 * case.upper, 0.4) if seed % 2 else None
    truth = oracle.minimum(case.weights, case.biases, case.box, case.objective, ball)
    where = sets.InputSet("box", *case.box, case.lower, 0.0)
    if ball is not None:
        where = sets.InputSet("l1", *case.box, *ball)
    found = exact.cells(case.weights, case.biases, where.polygons()[0])
    value = -exact.largest(found, [(-case.objective).tolist()], max)
    assert float(value) == pytest.approx(truth.value, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("group", [1, 3])
@pytest.mark.parametrize("kind", sets.KINDS)
def test_polygons_hold_the_set(kind: str, group: int) -> None:
    """Sums of points of the region lie in the outer polygons, and nearly fill the inner ones."""
    if group > 1 and kind not in {"box", "linf", "l1"}:
        pytest.skip("one input each")
    rng = np.random.default_rng(3)
    for _ in range(6):
        where = sets.make(rng, kind, group)
        points = where.region().sample(rng, 300)
        assert all(where.holds(p) for p in points[:50])
        inner, outer = where.polygons()
        sums = [where.sums(p) for p in points]
        for a, b in ((1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (-1, 1), (2, -1)):
            ends = [
                max(Fraction(a * x + b * y, w) for polygon in union for x, y, w in polygon)
                for union in (inner, outer)
            ]
            assert ends[0] <= ends[1]
            seen = max(a * x + b * y for x, y in sums)
            assert seen <= ends[1]
            found = where.region().minimise(-np.repeat([a, b], group)[None, None].astype(float))
            assert -found[0, 0] >= float(ends[0]) - 1e-9 * (1.0 + abs(float(ends[0])))


def test_margins_of_several_rows_against_samples() -> None:
    rng = np.random.default_rng(8)
    for seed in range(12):
        net = nets.ordinary(np.random.default_rng(seed))
        where = sets.InputSet("box", -np.ones(2), np.ones(2), np.zeros(2), 0.0)
        n, points = net.n_outputs, rng.uniform(-1.0, 1.0, (4000, 2))
        rows = [questions.difference(n, j, 0) for j in range(1, n)]
        values = net.network(points) @ np.array(rows).T
        for k in range(1, n):
            seen = float(np.sort(values, axis=1)[:, -k].max())
            found, _ = questions.reach(net, where, [rows], lambda v, k=k: sorted(v)[-k])  # type: ignore[misc]
            assert seen - 1e-9 <= float(found) <= seen + 0.2 * (1.0 + abs(seen))


@pytest.mark.parametrize("family", nets.FAMILIES, ids=lambda f: f.__name__)
def test_network_model_and_fractions_agree(family: Any) -> None:
    rng = np.random.default_rng(1)
    for _ in range(3):
        net = family(rng)
        for point in rng.normal(size=(4, net.n_inputs)).astype(net.dtype).astype(float):
            outputs = np.array([float(v) for v in net.exact(point.tolist())])
            assert np.abs(net.network(point) - outputs).max() <= net.noise(point, "float64")
            assert np.abs(net.run(point) - outputs).max() <= net.noise(point, net.dtype)


def test_knobs_exist_and_are_put_back() -> None:
    before = [
        getattr(owner, name) for changes in knobs.KNOBS.values() for owner, name, _ in changes
    ]
    with knobs.turned(np.random.default_rng(0)):
        pass
    after = [getattr(owner, name) for changes in knobs.KNOBS.values() for owner, name, _ in changes]
    assert before == after


# --- the nightly run ------------------------------------------------------------------------------


def test_nightly_prints_seeds_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    done = CliRunner().invoke(main, ["--seed", "7", "--count", "12"])
    assert done.exit_code == 0
    assert "12 questions from seed 7, 0 failed" in done.output

    def fails(*_: object) -> None:
        msg = "made to fail"
        raise AssertionError(msg)

    monkeypatch.setattr(questions, "_untargeted", fails)
    monkeypatch.setattr(questions, "KINDS", {"untargeted": 1.0})
    done = CliRunner().invoke(main, ["--seed", "7", "--count", "2"])
    assert done.exit_code == 1
    assert "seed 8: AssertionError" in done.output
    assert "made to fail\n  replay: make fuzz SEED=8 COUNT=1" in done.output
