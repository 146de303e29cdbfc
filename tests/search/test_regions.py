"""Attack, bounds and MIP over l2 balls, l0 balls and linear constraints, against enumeration."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from mipnet.bounds import compute_bounds
from mipnet.clocks import Stopwatch
from mipnet.errors import RegionError
from mipnet.network import Network
from mipnet.region import Box, Constrained, L0Ball, L1Ball, L2Ball
from mipnet.search import Verdict, clause_mip, decide, find_adversarial, maximize, outer, trees
from mipnet.search.decide import Decision, Settings
from mipnet.search.goal import Stack, beats
from mipnet.solver import Solution, Status
from tests.search.region_margins import over_l0, over_l2, over_polyhedron
from tests.search.search_cases import random_network

BOX = -1.0, 1.0


def without_attack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave everything to bounds and MIP."""
    monkeypatch.setattr(Decision, "attack", lambda _: None)


def ends(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full(n, BOX[0]), np.full(n, BOX[1])


def question(seed: int) -> tuple[Network, np.ndarray, int, np.random.Generator]:
    net = random_network(seed, (2, 4, 3) if seed % 3 else (3, 3, 2, 3), scale=1.5)
    rng = np.random.default_rng(100 + seed)
    x = rng.uniform(-1.0, 1.0, net.n_inputs)
    return net, x, int(np.argmax(net(x))), rng


def difference(net: Network, target: int, label: int) -> np.ndarray:
    return np.eye(net.n_outputs)[target] - np.eye(net.n_outputs)[label]


def check(verdict: Verdict, below: float, above: float) -> None:
    """The verdict fits the largest margin, known from both sides."""
    if verdict.status == "robust":
        assert below < 0.0
        assert verdict.bound >= below - 1e-7
    elif verdict.status == "witness":
        assert above > 0.0
        assert verdict.margin is not None
        assert verdict.margin <= above + 1e-7
    else:
        assert below < 1e-5, verdict
        assert above > -1e-5, verdict


@pytest.mark.parametrize("attack", [True, False])
@pytest.mark.parametrize("seed", range(9))
def test_l2_verdict_agrees_with_enumeration(
    monkeypatch: pytest.MonkeyPatch, seed: int, attack: bool
) -> None:
    if not attack:
        without_attack(monkeypatch)
    net, x, label, rng = question(seed)
    radius = float(rng.uniform(0.05, 1.2))
    verdict = find_adversarial(net, x, label, norm="l2", radius=radius, lower=-1.0, upper=1.0)
    others = [t for t in range(3) if t != label]
    brackets = [over_l2(net, difference(net, t, label), ends(x.size), x, radius) for t in others]
    check(verdict, max(b for b, _ in brackets), max(a for _, a in brackets))
    if verdict.point is not None:
        pairs = zip(verdict.point.tolist(), x.tolist(), strict=True)
        assert sum((Fraction(a) - Fraction(b)) ** 2 for a, b in pairs) <= Fraction(radius) ** 2
        assert np.linalg.norm(verdict.point - x) <= radius


@pytest.mark.parametrize("attack", [True, False])
@pytest.mark.parametrize("seed", range(9))
def test_l0_verdict_agrees_with_enumeration(
    monkeypatch: pytest.MonkeyPatch, seed: int, attack: bool
) -> None:
    if not attack:
        without_attack(monkeypatch)
    net, x, label, rng = question(seed)
    radius = int(rng.integers(0, 3))
    verdict = find_adversarial(net, x, label, norm="l0", radius=radius, lower=-1.0, upper=1.0)
    worst = max(
        over_l0(net, difference(net, t, label), ends(x.size), x, radius)
        for t in range(3)
        if t != label
    )
    check(verdict, worst, worst)
    if verdict.point is not None:
        assert np.count_nonzero(verdict.point != x) <= radius
        assert np.abs(verdict.point).max() <= 1.0


@pytest.mark.parametrize("norm", ["l2", "l0"])
@pytest.mark.parametrize("seed", range(4))
def test_trees_agree_with_the_mip(monkeypatch: pytest.MonkeyPatch, norm: str, seed: int) -> None:
    without_attack(monkeypatch)
    monkeypatch.setattr(decide, "MIP_UNSTABLE", -1)
    monkeypatch.setattr(trees, "_NEAR", np.inf)
    net = random_network(20 + seed, (3, 10, 8, 3), 1.5)
    x = np.random.default_rng(seed).uniform(-0.5, 0.5, 3)
    statuses, methods = [], set()
    for few, bounds in ((8, "milp"), (0, "milp"), (0, "alpha")):
        for name in ("FEW_INPUTS", "SOME_INPUTS"):
            monkeypatch.setattr(trees, name, few)
        monkeypatch.setattr(trees, "SOME_INPUTS", few)
        verdict = find_adversarial(
            net,
            x,
            norm=norm,
            radius=0.6 if norm == "l2" else 1,
            lower=-1.0,
            upper=1.0,
            bounds=bounds,
        )
        statuses.append(verdict.status)
        methods |= set(verdict.methods)
    assert len(set(statuses)) == 1
    assert statuses[0] != "unresolved"
    assert methods - {"crown", "alpha", "milp"}, "no case for any engine"


@pytest.mark.parametrize("seed", range(5))
def test_l2_over_more_inputs(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """No sample beats a proof; every witness is replayed; nothing stays open."""
    without_attack(monkeypatch)
    net = random_network(seed, (12, 8, 3), 1.5)
    rng = np.random.default_rng(seed)
    x, radius = rng.uniform(-0.5, 0.5, 12), float(rng.uniform(0.3, 0.9))
    verdict = find_adversarial(net, x, norm="l2", radius=radius, lower=-1.0, upper=1.0)
    region = L2Ball(x, radius, *ends(12))
    points = region.project(x + rng.normal(size=(4000, 12)))
    flips = np.argmax(net(points), axis=1) != verdict.label
    assert verdict.status != "unresolved"
    assert verdict.status == "witness" or not flips.any()
    if verdict.point is not None:
        assert region.contains(verdict.point)


@pytest.mark.parametrize("norm", ["l2", "l0"])
def test_centre_is_all_there_is_at_radius_zero(norm: str) -> None:
    net = random_network(1, (3, 4, 3))
    x = np.array([0.1, 0.2, 0.3])
    wrong = int(np.argmin(net(x)))
    domain = {"lower": -1.0, "upper": 1.0}
    assert find_adversarial(net, x, radius=0, norm=norm, **domain).status == "robust"
    verdict = find_adversarial(net, x, wrong, radius=0, norm=norm, **domain)
    assert verdict.status == "witness"
    assert verdict.point is not None
    assert verdict.point.tolist() == x.tolist()


def test_l0_without_a_domain_is_refused() -> None:
    net = random_network(1, (3, 4, 3))
    with pytest.raises(RegionError, match="domain"):
        find_adversarial(net, np.zeros(3), radius=1, norm="l0")
    own = net.with_input_bounds(-1.0, 1.0)
    assert find_adversarial(own, np.zeros(3), radius=0, norm="l0").status == "robust"


def test_verdict_over_l2_round_trips() -> None:
    net = random_network(3, (3, 4, 3))
    verdict = find_adversarial(net, np.zeros(3), norm="l2", radius=0.1)
    assert Verdict.from_json(verdict.to_json()) == verdict
    assert verdict.region == {"kind": "l2", "radius": 0.1, "inputs": 3}


# ---------------------------------------------------------------------- cuts


def needs_cuts(monkeypatch: pytest.MonkeyPatch) -> tuple[Network, np.ndarray, float]:
    """A question whose answer is robust, but not over the polyhedron around the ball."""
    rounds: list[int] = []
    found = outer.OuterLoop.cut
    monkeypatch.setattr(outer.OuterLoop, "cut", lambda self, v: rounds.append(1) or found(self, v))
    for seed in range(40):
        net = random_network(seed, (6, 8, 6, 3), 1.5)
        x = np.random.default_rng(seed).uniform(-1.0, 1.0, 6)
        rounds.clear()
        verdict = find_adversarial(net, x, norm="l2", radius=0.8, bounds="crown")
        if verdict.status == "robust" and len(rounds) > 4:
            monkeypatch.setattr(outer.OuterLoop, "cut", found)
            return net, x, 0.8
    pytest.fail("no such case among the seeds")


def test_without_cuts_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The polyhedron around the ball reaches the clause, the ball does not."""
    net, x, radius = needs_cuts(monkeypatch)
    monkeypatch.setattr(outer.OuterLoop, "cut", lambda *_: False)
    verdict = find_adversarial(net, x, norm="l2", radius=radius, bounds="crown")
    assert verdict.status == "unresolved"
    assert verdict.reason


def test_rounds_end(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x, radius = needs_cuts(monkeypatch)
    monkeypatch.setattr(outer, "ROUNDS", 1)
    monkeypatch.setattr(outer, "LINEAR_ROUNDS", 0)
    verdict = find_adversarial(net, x, norm="l2", radius=radius, bounds="crown")
    assert verdict.status == "unresolved"
    assert "outside the region" in verdict.reason


def test_a_point_outside_the_ball_is_no_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    """A solver that always returns a corner of the box, where the class does change."""
    without_attack(monkeypatch)
    monkeypatch.setattr(outer, "ROUNDS", 3)
    net, x, radius = needs_cuts(monkeypatch)

    def corner(arrays: Any, **_: object) -> Solution:
        values = np.where(np.isfinite(arrays.upper), arrays.upper, 0.0)
        return Solution(Status.TARGET_REACHED, -1.0, -9.0, values, 0, 0.0, "x", "prove", "")

    monkeypatch.setattr(clause_mip, "solve", corner)
    verdict = find_adversarial(net, x, norm="l2", radius=radius, bounds="crown")
    assert verdict.status == "unresolved"
    assert verdict.point is None


def test_time_ends_the_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x, radius = needs_cuts(monkeypatch)

    def late(*_: object, **__: object) -> Solution:
        return Solution(Status.TIME_LIMIT, None, -np.inf, None, 0, 0.0, "x", "prove", "")

    monkeypatch.setattr(clause_mip, "solve", late)
    verdict = find_adversarial(net, x, norm="l2", radius=radius, bounds="crown")
    assert verdict.status == "unresolved"
    assert Status.TIME_LIMIT.value in verdict.reason


def test_regions_with_exact_rows_are_solved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> bool:
        pytest.fail("an exact encoding needs no cut")

    monkeypatch.setattr(outer.OuterLoop, "cut", never)
    without_attack(monkeypatch)
    net = random_network(4, (10, 8, 8, 3), 1.5)
    for norm in ("linf", "l1", "l0"):
        radius = 2 if norm == "l0" else 0.5
        found = find_adversarial(net, np.zeros(10), radius=radius, norm=norm, lower=-1.0, upper=1.0)
        assert found.status in {"robust", "witness"}


# ---------------------------------------------------------------------- linear constraints


@pytest.mark.parametrize("kind", ["box", "l1", "l0"])
@pytest.mark.parametrize("seed", range(4))
def test_maximum_over_constraints_agrees_with_enumeration(kind: str, seed: int) -> None:
    net = random_network(seed, (3, 4, 2, 2))
    rng = np.random.default_rng(seed)
    weights, centre = np.array([1.0, -1.0]), rng.uniform(-0.5, 0.5, 3)
    low, high = ends(3)
    rows = rng.normal(size=(2, 3))
    sides = rows @ centre + rng.uniform(0.1, 0.5, 2)
    base = {
        "box": lambda: Box(low, high),
        "l1": lambda: L1Ball(centre, 0.8, low, high),
        "l0": lambda: L0Ball(centre, 2, low, high),
    }[kind]()
    region = Constrained(base, rows, upper=sides)
    best = maximize(net, weights, region)
    if kind == "box":
        expected = over_polyhedron(net, weights, (low, high), rows, sides)
    elif kind == "l1":
        signs = np.array([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)], float)
        both = np.vstack([rows, signs]), np.append(sides, signs @ centre + 0.8)
        expected = over_polyhedron(net, weights, (low, high), *both)
    else:
        fixed = [np.where(np.arange(3) == i, centre, [low, high]) for i in range(3)]
        expected = max(over_polyhedron(net, weights, tuple(f), rows, sides) for f in fixed)
    assert best.status == "optimal"
    assert best.value == pytest.approx(expected, abs=1e-6)
    assert best.bound >= expected - 1e-7
    assert region.contains(best.point)


def test_best_mixture() -> None:
    """Shares that sum to one exactly."""
    net = random_network(5, (4, 4, 2, 1))
    region = Constrained(Box(np.zeros(4), np.ones(4)), np.ones((1, 4)), 1.0, 1.0)
    best = maximize(net, [1.0], region)
    rows = np.array([np.ones(4), -np.ones(4)])
    expected = over_polyhedron(net, np.ones(1), (np.zeros(4), np.ones(4)), rows, np.array([1, -1]))
    assert best.status == "optimal"
    assert best.value == pytest.approx(expected, abs=1e-6)
    assert sum((Fraction(v) for v in best.point.tolist()), Fraction(0)) == 1


@pytest.mark.parametrize("base", ["box", "l1", "l2", "l0"])
@pytest.mark.parametrize("seed", range(2))
def test_constrained_question_agrees_with_samples(base: str, seed: int) -> None:
    """Bounds hold at samples; a proof excludes them; a witness satisfies everything."""
    net = random_network(30 + seed, (4, 6, 5, 2), 1.5)
    rng = np.random.default_rng(seed)
    x, (low, high) = rng.uniform(-0.5, 0.5, 4), ends(4)
    made = {
        "box": lambda: Box(low, high),
        "l1": lambda: L1Ball(x, 1.0, low, high),
        "l2": lambda: L2Ball(x, 0.7, low, high),
        "l0": lambda: L0Ball(x, 2, low, high),
    }[base]()
    region = Constrained(made, [[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, -1.0, 0.0]], x[1] - 0.6, 0.9)
    points = np.concatenate([region.sample(rng, 300), region.centre[None]])
    assert compute_bounds(net, region, "crown").violation(points) is None
    outputs = net(points)
    for offset in (-3.0, 0.0, 3.0):
        clause = beats(1, [0], 2)
        moved = type(clause)("shifted", clause.rows, clause.offsets + offset)
        decision = Decision(net, region, Stack((moved,)), Stopwatch(30.0), Settings())
        decision.run()
        assert decision.decided(), decision.reason
        if decision.witness is None:
            assert moved.margin(outputs).max() < 0.0
        else:
            assert region.contains(decision.witness.point)
