"""Broken solvers and wrong bounds: questions stay open, and no answer is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any
from unittest.mock import patch

import highspy
import numpy as np
import pytest

import mipnet
from mipnet.bounds import Bounds, cascade, first_bounds
from mipnet.network import Interval, Network
from mipnet.search import (
    Verdict,
    certified_radius,
    clause_mip,
    closing,
    decide,
    find_adversarial,
    maximize,
    minimal_distortion,
    minimize,
    nearest_program,
    optimize,
    radius_search,
    robust_accuracy,
    top_k,
    verify,
)
from mipnet.search.vnnlib import parse_property
from mipnet.solver import Solution, Status
from tests.fuzz import nets, questions
from tests.search.fault_cases import BREAKDOWNS, DEATHS, LIES, Lie, solver
from tests.search.search_cases import random_network
from tests.search.verify_cases import declared

#: Answers that claim something, whether of proofs or of optima.
CLAIMS = {"robust", "unsat", "optimal", "none", "complete"}
RADIUS = 0.3


def solved(verdict: Any) -> bool:
    return bool(verdict.status == "robust" and any(c.method == "mip" for c in verdict.clauses))


@cache
def hard() -> Network:
    """A robust classifier that attack and interval bounds leave to the MIP."""
    for seed in range(200):
        net = random_network(seed, (10, 8, 8, 3), 1.5)
        if solved(find_adversarial(net, np.zeros(10), radius=RADIUS, bounds="interval")):
            return net
    pytest.fail("no such case among the seeds")


def asks() -> dict[str, Callable[[], Any]]:
    """The same question in every way it can be asked; interval bounds leave it to the solver."""
    net, x = hard(), np.zeros(10)
    label = int(np.argmax(net(x)))
    given: dict[str, Any] = {"bounds": "interval", "restarts": 2}
    box = "".join(f"(assert (and (>= X_{i} -0.3) (<= X_{i} 0.3)))" for i in range(10))
    wrong = " ".join(f"(>= Y_{k} Y_{label})" for k in range(3) if k != label)
    prop = parse_property(f"{declared(10, 3)}{box}(assert (or {wrong}))")
    row, ends = np.eye(3)[label], (x - RADIUS, x + RADIUS)
    within = {"max_radius": RADIUS, "lower": -1.0, "upper": 1.0}
    return {
        "find_adversarial": lambda: find_adversarial(net, x, radius=RADIUS, **given),
        "top_k": lambda: find_adversarial(net, x, radius=RADIUS, top_k=2, **given),
        "verify": lambda: verify(net, prop, **given),
        "minimal_distortion": lambda: minimal_distortion(net, x, **within, **given),
        "certified_radius": lambda: certified_radius(net, x, method="exact", **within, **given),
        "robust_accuracy": lambda: robust_accuracy(
            net, x[None], [label], radius=RADIUS, progress=False, **given
        ).samples[0],
        "minimize": lambda: minimize(net, row, ends, **given),
        "maximize": lambda: maximize(net, row, ends, **given),
    }


NAMES = [
    *("find_adversarial", "verify", "minimal_distortion", "certified_radius", "robust_accuracy"),
    *("minimize", "maximize"),
]


@cache
def truth(name: str) -> str:
    status: str = asks()[name]().status
    return status


@pytest.mark.parametrize("name", NAMES)
def test_a_sound_solver_decides(name: str) -> None:
    assert truth(name) in CLAIMS


def stays_open(name: str, lies: dict[str, Lie]) -> Any:
    ask = asks()[name]
    with solver(lies):
        found = ask()
    if found.status == "optimal" and "run" not in lies:
        # A run that says it was cut short, and whose figures are those of a whole one.
        assert found.bound == pytest.approx(ask().value, abs=1e-5)
        return found
    assert found.status not in CLAIMS
    assert getattr(found, "reason", "") or getattr(found, "message", "")
    return found


@pytest.mark.parametrize("fault", BREAKDOWNS)
@pytest.mark.parametrize("name", NAMES)
def test_a_solver_that_breaks_down_proves_nothing(name: str, fault: str) -> None:
    stays_open(name, BREAKDOWNS[fault])


@pytest.mark.parametrize("fault", DEATHS)
@pytest.mark.parametrize("name", NAMES)
def test_a_solver_that_dies_proves_nothing(name: str, fault: str) -> None:
    stays_open(name, DEATHS[fault])


@pytest.mark.parametrize("fault", [*DEATHS, "returns an error"])
def test_a_solver_that_dies_while_bounds_are_tightened_costs_tightness_only(
    monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(cascade, "_FEW", 0)
    with solver({**DEATHS, **BREAKDOWNS}[fault]):
        verdict = find_adversarial(hard(), np.zeros(10), radius=RADIUS)
    assert verdict.status == "robust" or verdict.reason


@pytest.mark.parametrize("fault", [*BREAKDOWNS, *LIES])
def test_no_answer_is_wrong_whatever_the_solver_does(fault: str) -> None:
    """Questions of the fuzz, with the exact answers beside them."""

    def loose(seed: int) -> nets.Net:
        return replace(nets.make(seed), tame=False)

    with patch.object(questions, "_net", loose), solver({**BREAKDOWNS, **LIES}[fault]):
        for seed in range(30, 55):
            questions.check(seed)


# --- a wrong answer of the solver as a whole ------------------------------------------------------


def answer(status: Status, bound: float = -np.inf, objective: float | None = None) -> Solution:
    return Solution(status, objective, bound, None, 0, 0.0, "x", "prove", "")


WRONG = {
    "infeasible": lambda limits: answer(Status.INFEASIBLE, np.inf),
    "no bound": lambda limits: answer(Status.OPTIMAL),
    "no number": lambda limits: answer(Status.OPTIMAL, np.nan, np.nan),
    "weak bound": lambda limits: answer(Status.OPTIMAL, -1e-12, 0.0),
    "node limit": lambda limits: answer(Status.NODE_LIMIT, 0.0),
    "iteration limit": lambda limits: answer(Status.ITERATION_LIMIT, 0.0),
    "unbounded": lambda limits: answer(Status.UNBOUNDED),
}


@pytest.mark.parametrize("fault", WRONG)
@pytest.mark.parametrize("name", ["find_adversarial", "verify", "robust_accuracy"])
def test_a_wrong_status_decides_nothing(
    monkeypatch: pytest.MonkeyPatch, name: str, fault: str
) -> None:
    monkeypatch.setattr(clause_mip, "solve", lambda *_, limits=None, **__: WRONG[fault](limits))
    assert asks()[name]().status in {"unresolved", "unknown"}


@pytest.mark.parametrize("fault", ["no bound", "no number", "node limit", "unbounded"])
@pytest.mark.parametrize("name", ["minimize", "maximize"])
def test_a_wrong_status_is_no_optimum(
    monkeypatch: pytest.MonkeyPatch, name: str, fault: str
) -> None:
    monkeypatch.setattr(optimize, "solve", lambda *_, limits=None, **__: WRONG[fault](limits))
    assert asks()[name]().status != "optimal"


@pytest.mark.parametrize("fault", ["no bound", "no number", "weak bound", "unbounded"])
@pytest.mark.parametrize("name", ["minimal_distortion", "certified_radius"])
def test_a_wrong_status_is_no_distance(
    monkeypatch: pytest.MonkeyPatch, name: str, fault: str
) -> None:
    for module in (clause_mip, nearest_program):
        monkeypatch.setattr(module, "solve", lambda *_, limits=None, **__: WRONG[fault](limits))
    assert asks()[name]().status not in CLAIMS


def test_a_proof_against_a_known_point_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The solver excludes everything, and the attack has been where it says nothing is."""
    net, x = random_network(4, (10, 8, 8, 3), 1.5), np.zeros(10)
    assert find_adversarial(net, x, radius=1.0).status == "witness"
    monkeypatch.setattr(decide.Decision, "confirm", lambda *_: False)
    for status, bound in ((Status.CUTOFF, 1e-3), (Status.OPTIMAL, 5.0), (Status.OPTIMAL, np.inf)):
        wrong = answer(status, bound, bound)
        monkeypatch.setattr(clause_mip, "solve", lambda *_, wrong=wrong, **__: wrong)
        verdict = find_adversarial(net, x, radius=1.0, bounds="interval")
        assert verdict.status == "unresolved"
        assert "point that exists" in verdict.reason


def test_a_distance_beyond_a_known_point_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = random_network(4, (10, 8, 8, 3), 1.5), np.zeros(10)
    given = {"lower": -1.0, "upper": 1.0, "bounds": "interval"}
    exact = minimal_distortion(net, x, **given)  # type: ignore[arg-type]
    assert exact.status == "optimal"
    monkeypatch.setattr(nearest_program, "MIP_UNSTABLE", 1000)
    monkeypatch.setattr(radius_search.RadiusSearch, "bisect", lambda *_: None)
    monkeypatch.setattr(nearest_program, "solve", lambda *_, **__: answer(Status.OPTIMAL, 50.0))
    found = minimal_distortion(net, x, **given)  # type: ignore[arg-type]
    assert found.status == "bounded"
    assert found.lower <= exact.upper
    assert found.reason


# --- wrong bounds ---------------------------------------------------------------------------------


def wrong_about(where: str) -> Callable[[Bounds, Network], Bounds]:
    """Bounds that leave out what the network does: at its first layer, or at its outputs."""

    def change(sound: Bounds, network: Network) -> Bounds:
        name = network.nodes[0].name if where == "hidden" else network.output
        box = sound.intervals[name]
        away = box.upper + 1.0 + 0.1 * np.abs(box.upper) if where == "output" else box.upper
        changed = Interval(away - 1e-3, away)
        return replace(sound, intervals={**sound.intervals, name: changed})

    return change


@pytest.mark.parametrize("where", ["hidden", "output"])
@pytest.mark.parametrize("name", [*NAMES, "top_k"])
def test_bounds_that_a_known_point_contradicts_prove_nothing(
    monkeypatch: pytest.MonkeyPatch, name: str, where: str
) -> None:
    change = wrong_about(where)
    for module in (decide, closing, radius_search, top_k):
        monkeypatch.setattr(
            module,
            "first_bounds",
            lambda n, *given, **more: change(first_bounds(n, *given, **more), n),
        )
    found = asks()[name]()
    assert found.status not in CLAIMS
    assert "contradict" in (getattr(found, "reason", "") or found.message)


# --- a solver that always says the same -----------------------------------------------------------


@pytest.mark.parametrize("lie", ["kInfeasible", "kObjectiveBound"])
def test_a_solver_that_excludes_everything_proves_nothing(
    monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    """A needle: one small corner of the region holds the witness, and the attack misses it."""
    corner, x = np.array([0.777, 0.31, 0.55]), np.array([0.2, 0.8, 0.2])
    first = np.vstack([np.eye(3), -np.eye(3)]) * 100.0
    net = mipnet.load(
        (
            [first, -np.ones((1, 6)), np.array([[0.0], [1.0]])],
            [np.r_[-corner, corner] * 100.0, np.array([1.0]), np.array([0.5, 0.0])],
        )
    )

    def ask() -> Verdict:
        return find_adversarial(net, x, radius=0.7, lower=0, upper=1, bounds="interval", restarts=1)

    assert ask().status == "witness"
    monkeypatch.setattr(
        highspy.Highs, "getModelStatus", lambda _: getattr(highspy.HighsModelStatus, lie)
    )
    verdict = ask()
    assert verdict.status == "unresolved"
    assert "solver" in verdict.reason
