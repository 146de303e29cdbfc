"""A verdict says what was asked, what was proven and by what, however the search ended."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from mipnet.bounds import METHODS, cascade
from mipnet.network import Affine, Network, ReLU
from mipnet.region import Box
from mipnet.search import Verdict, clause_mip, decide, find_adversarial, trees
from mipnet.solver import Solution, Status
from tests.search.fault_cases import BREAKDOWNS, solver
from tests.search.search_cases import random_network

WIDE = random_network(0, (10, 8, 8, 3), 1.5)
OPEN = random_network(4, (10, 8, 8, 3), 1.5)
SECOND = int(np.argsort(-OPEN(np.zeros(10)))[1])
NARROW = random_network(1, (3, 10, 8, 3), 1.5)
STEEP = Network.sequential(
    [Affine([[1e12], [-1e12]], [0.0, 0.0]), ReLU(), Affine(np.eye(2), [0.0, 0.1])]
)
TIE = Network.sequential([Affine([[1.0], [1.0]], [0.0, 0.0])])


def from_the_mip(patch: pytest.MonkeyPatch, **changes: Any) -> Verdict:
    for seed in range(200):
        net = random_network(seed, (10, 8, 8, 3), 1.5)
        given = {"radius": 0.3, "bounds": "interval", **changes}
        verdict = find_adversarial(net, np.zeros(10), **given)
        if any(c.method == "mip" for c in verdict.clauses):
            return verdict
    pytest.fail("no such case among the seeds")


def by_trees(patch: pytest.MonkeyPatch, few: int, method: str) -> Verdict:
    """A proof by boxes, by phases, or by the ranges of neurons these make tighter."""
    patch.setattr(decide, "MIP_UNSTABLE", -1)
    for name in ("FEW_INPUTS", "SOME_INPUTS"):
        patch.setattr(trees, name, few)
    patch.setattr(trees, "SOME_INPUTS", few)
    patch.setattr(trees, "_NEAR", np.inf)
    return proof(method, (5, 10, 16, 25, 28, 34, 37, 45), radius=0.25)


def by_linear_programs(patch: pytest.MonkeyPatch) -> Verdict:
    patch.setattr(cascade, "_FEW", 0)
    return proof("lp", range(29, 60), radius=0.3, bounds="lp")


def proof(method: str, seeds: Iterable[int], **asked: Any) -> Verdict:
    for seed in seeds:
        verdict = find_adversarial(random_network(seed, (3, 10, 8, 3), 1.5), np.zeros(3), **asked)
        others = set(verdict.methods) - {"crown", "alpha"}
        if verdict.status == "robust" and others == {method}:
            return verdict
    pytest.fail("no such case among the seeds")


def broken(patch: pytest.MonkeyPatch) -> Verdict:
    with solver(BREAKDOWNS["returns an error"]):
        return from_the_mip(patch)


def interrupted(patch: pytest.MonkeyPatch) -> Verdict:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    patch.setattr(decide, "first_bounds", stop)
    return find_adversarial(WIDE, np.zeros(10), radius=0.3)


def contradicted(patch: pytest.MonkeyPatch) -> Verdict:
    patch.setattr("mipnet.bounds.Bounds.violation", lambda *_: "layer 'x', neuron 3")
    return find_adversarial(WIDE, np.zeros(10), radius=0.3)


def out_of_time(patch: pytest.MonkeyPatch) -> Verdict:
    def late(*_: object, **__: object) -> Solution:
        return Solution(Status.TIME_LIMIT, None, -np.inf, None, 7, 0.0, "x", "prove", "")

    patch.setattr(clause_mip, "solve", late)
    return from_the_mip(patch)


#: How a search can end, and what the verdict has to say then: status, methods, part of the reason.
PATHS: dict[str, tuple[Callable[[Any], Verdict], str, set[str], str]] = {
    "attack": (
        lambda _: find_adversarial(OPEN, np.zeros(10), radius=4.0, norm="l1"),
        "witness",
        {"attack"},
        "",
    ),
    "centre": (
        lambda _: find_adversarial(
            WIDE, np.zeros(10), int(np.argmin(WIDE(np.zeros(10)))), radius=0.0
        ),
        "witness",
        {"attack"},
        "",
    ),
    "bounds": (
        lambda _: find_adversarial(WIDE, np.zeros(10), radius=1e-3),
        "robust",
        {"crown"},
        "",
    ),
    "mip": (from_the_mip, "robust", {"mip"}, ""),
    "boxes": (lambda p: by_trees(p, 8, "bisection"), "robust", {"bisection"}, ""),
    "phases": (lambda p: by_trees(p, 0, "splitting"), "robust", {"splitting"}, ""),
    "ranges": (lambda p: by_trees(p, 0, "milp"), "robust", {"milp"}, ""),
    "linear programs": (by_linear_programs, "robust", {"lp"}, ""),
    "top-k attack": (
        lambda _: find_adversarial(OPEN, np.zeros(10), SECOND, radius=1.0, top_k=2),
        "witness",
        {"attack"},
        "",
    ),
    "top-k bounds": (
        lambda _: find_adversarial(WIDE, np.zeros(10), radius=1e-3, top_k=2),
        "robust",
        {"crown"},
        "",
    ),
    "region": (
        lambda _: find_adversarial(
            NARROW, np.zeros(3), region=Box(-1e-3 * np.ones(3), np.zeros(3))
        ),
        "robust",
        {"crown"},
        "",
    ),
    "no time": (
        lambda _: find_adversarial(WIDE, np.zeros(10), radius=0.3, time_limit=0.0),
        "unresolved",
        set(),
        "time limit",
    ),
    "late": (out_of_time, "unresolved", set(), "time_limit"),
    "tie": (
        lambda _: find_adversarial(TIE, [0.5], 0, radius=0.1),
        "unresolved",
        set(),
        "tolerance",
    ),
    "steep": (
        lambda _: find_adversarial(STEEP, [0.0], 1, radius=1.0, restarts=1),
        "",
        set(),
        "",
    ),
    "error": (broken, "unresolved", set(), "error"),
    "interrupt": (interrupted, "unresolved", set(), "interrupted"),
    "contradiction": (contradicted, "unresolved", set(), "contradicted"),
}


@pytest.mark.parametrize("path", PATHS)
def test_a_verdict_says_what_it_rests_on(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    ask, status, methods, reason = PATHS[path]
    verdict = ask(monkeypatch)
    assert verdict.status == status or not status
    # What was checked.
    assert verdict.region["kind"] in {"linf", "l1", "box"}
    assert verdict.region["inputs"] >= 1
    assert re.fullmatch("[0-9a-f]{64}", verdict.region_digest)
    assert len(verdict.fingerprint) == 64
    assert verdict.dtype == "float64"
    assert verdict.clauses
    # What it rests on.
    assert verdict.tolerances["feasibility"] > 0.0
    assert verdict.tolerances["margin"] > 0.0
    assert verdict.clocks.total > 0.0
    assert set(verdict.methods) <= {"attack", *METHODS, "bisection", "splitting", "mip"}
    assert set(verdict.methods) >= methods
    solved = any(c.method in {"lp", "mip"} for c in verdict.clauses)
    assert not solved or re.fullmatch(r"HiGHS \d+\.\d+\.\d+", verdict.solver)
    # How it ended.
    assert bool(verdict.reason) == (verdict.status == "unresolved")
    assert reason in verdict.reason
    outcomes = {c.outcome for c in verdict.clauses}
    if verdict.status == "robust":
        assert outcomes == {"excluded"}
        assert verdict.bound < 0.0
        assert "none" not in {c.method for c in verdict.clauses}
    elif verdict.status == "witness":
        assert "witness" in outcomes
        assert verdict.point is not None
        assert verdict.predicted != verdict.label
        assert verdict.margin is not None
        assert verdict.margin_own is not None
        assert min(verdict.margin, verdict.margin_own) > 0.0
    else:
        assert "open" in outcomes
        assert verdict.point is None
    # And all of it in its text, its JSON and its cell.
    assert Verdict.from_json(verdict.to_json()) == verdict
    for shown in (str(verdict), verdict._repr_html_()):
        assert verdict.status in shown
        assert all(c.name in shown for c in verdict.clauses)
    assert str(verdict.label) in str(verdict)
    assert verdict.solver in verdict._repr_html_()


def test_text_names_target_and_top_k() -> None:
    label = int(np.argmax(WIDE(np.zeros(10))))
    other = (label + 1) % 3
    assert f"target {other}" in str(find_adversarial(WIDE, np.zeros(10), target=other, radius=1e-3))
    assert "top 2" in str(find_adversarial(WIDE, np.zeros(10), top_k=2, radius=1e-3))
