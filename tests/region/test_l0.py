"""l0 balls in boxes: minima by enumeration of supports, forced moves, membership, binaries."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from formulations import Program
from mipnet.errors import RegionError
from mipnet.region import L0Ball, ball
from mipnet.region.base import EMPTY
from mipnet.search.attack import ascend, start_points
from tests.region.region_cases import exact, worst_row
from tests.search.search_cases import random_network

SEEDS = st.integers(0, 2**32 - 1)


def random_ball(rng: np.random.Generator, n: int) -> L0Ball:
    """Centre inside, on faces or at a corner of the box; from no change to more than all."""
    scale = 10.0 ** rng.uniform(-4, 4)
    centre = rng.normal(size=n) * 10.0 ** rng.uniform(-3, 3)
    room = scale * np.abs(rng.normal(size=(2, n))) * (rng.random((2, n)) > 0.3)
    return L0Ball(centre, int(rng.integers(0, n + 2)), centre - room[0], centre + room[1])


def exact_minimum(
    a: np.ndarray, region: L0Ball, lower: np.ndarray, upper: np.ndarray
) -> Fraction | None:
    """Minimum over box and ball in rational arithmetic, support by support; None when empty."""
    low, high, g, c = exact(lower), exact(upper), exact(a), exact(region.centre)
    n, best = a.size, None
    for support in combinations(range(n), min(region.radius, n)):
        if not all(low[i] <= c[i] <= high[i] for i in range(n) if i not in support):
            continue
        ends = [(low[i] if g[i] > 0 else high[i]) if i in support else c[i] for i in range(n)]
        value = sum((p * x for p, x in zip(g, ends, strict=True)), Fraction(0))
        best = value if best is None else min(best, value)
    return best


def check_minimum(
    value: float, a: np.ndarray, region: L0Ball, lower: np.ndarray, upper: np.ndarray
) -> None:
    truth = exact_minimum(a, region, lower, upper)
    if truth is None:
        assert value == EMPTY
        return
    size = float(np.abs(a) @ (np.maximum(np.abs(lower), np.abs(upper)) + np.abs(region.centre)))
    assert Fraction(value) <= truth
    assert float(truth - Fraction(value)) <= 1e-13 * size + 1e-290


@given(SEEDS)
def test_minimum_is_exact_and_never_above(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 7))
    region = random_ball(rng, n)
    a = rng.normal(size=(1, 3, n)) * 10.0 ** rng.uniform(-3, 3) * (rng.random((1, 3, n)) > 0.2)
    a[0, 2] = np.sign(a[0, 2])  # ties
    found = region.minimise(a)
    for t in range(3):
        check_minimum(float(found[0, t]), a[0, t], region, region.lower, region.upper)


@given(SEEDS)
def test_minimum_over_sub_boxes(seed: int) -> None:
    """Boxes that leave the centre out force moves; those that force too many are empty."""
    rng = np.random.default_rng(seed)
    n, batch = int(rng.integers(1, 6)), int(rng.integers(1, 5))
    region = random_ball(rng, n)
    ends = np.sort(rng.random((2, batch, n)), axis=0)
    lower, upper = np.sort(region.lower + ends * (region.upper - region.lower), axis=0)
    whole = rng.random((batch, n)) < 0.6
    lower, upper = np.where(whole, region.lower, lower), np.where(whole, region.upper, upper)
    a = rng.normal(size=(batch, 2, n)) * (rng.random((batch, 2, n)) > 0.2)
    found = region.minimise(a, lower, upper)
    shared = region.minimise(a[:1], lower, upper)
    assert found.shape == shared.shape == (batch, 2)
    for b, t in product(range(batch), range(2)):
        check_minimum(float(found[b, t]), a[b, t], region, lower[b], upper[b])
        check_minimum(float(shared[b, t]), a[0, t], region, lower[b], upper[b])


def test_forced_moves_by_hand() -> None:
    region = L0Ball([0.0, 0.0, 0.0], 2, [-1.0] * 3, [1.0] * 3)
    a = np.array([[[1.0, 2.0, 3.0]]])
    lower = np.array([[-1.0, -1.0, -1.0], [0.5, -1.0, -1.0], [0.5, 0.5, -1.0], [0.5, 0.5, 0.5]])
    found = region.minimise(a, lower, np.ones((4, 3)))[:, 0]
    # All free: inputs 1 and 2. Input 0 forced to 0.5: one move left, input 2.
    assert found == pytest.approx([-5.0, -2.5, 1.5, EMPTY])


@given(SEEDS)
def test_points_are_inside(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    region = random_ball(rng, n)
    away = region.centre + rng.normal(size=(4, n)) * 10.0 ** rng.uniform(-5, 6)
    away[0, 0] = rng.choice([np.nan, np.inf, -np.inf, 1e308])
    ascended = region.centre + region.ascent(rng.normal(size=(4, n)))
    for p in (*region.project(away), *region.sample(rng, 3), *region.project(ascended)):
        assert region.contains(p)
        assert np.count_nonzero(p != region.centre) <= region.radius
        assert np.all((region.lower <= p) & (p <= region.upper))
    assert region.contains(region.centre)


@pytest.mark.parametrize("seed", range(20))
def test_projection_is_the_nearest_point(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 7))
    region = random_ball(rng, n)
    scale = float((region.upper - region.lower).max())
    goal = region.centre + rng.normal(size=n) * scale
    reached = np.linalg.norm(region.project(goal[None])[0] - goal)
    for support in combinations(range(n), min(region.radius, n)):
        other = region.centre.copy()
        chosen = list(support)
        other[chosen] = np.clip(goal, region.lower, region.upper)[chosen]
        assert reached <= np.linalg.norm(other - goal) * (1.0 + 1e-12)


def test_projection_keeps_the_moves_that_pay() -> None:
    region = L0Ball([0.0, 0.0, 0.0], 1, [-1.0] * 3, [1.0] * 3)
    found = region.project(np.array([[0.5, -0.9, 0.1], [7.0, 0.9, 0.0], [0.0, 0.0, 0.0]]))
    assert found.tolist() == [[0.0, -0.9, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]


@given(SEEDS)
def test_ascent_reaches_the_best_linear_value(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    region = random_ball(rng, n)
    gradient = rng.normal(size=(2, n)) * (rng.random((2, n)) > 0.2)
    reached = (gradient * (region.centre + region.ascent(gradient))).sum(axis=-1)
    best = -region.minimise(-gradient[None])[0]
    reach = np.abs(region.lower) + np.abs(region.upper) + np.abs(region.centre)
    assert np.all(np.abs(reached - best) <= 1e-12 * np.abs(gradient) @ reach + 1e-290)


def test_contains_counts_exactly() -> None:
    region = L0Ball([0.3, 0.3, 0.3], 1, [0.0] * 3, [1.0] * 3)
    assert region.contains(np.array([0.3, 1.0, 0.3]))
    assert not region.contains(np.array([0.3, 1.0, np.nextafter(0.3, 1.0)]))
    assert not region.contains(np.array([0.3, np.nextafter(1.0, 2.0), 0.3]))
    assert not region.contains(np.array([0.3, np.nan, 0.3]))
    assert not region.contains(np.array([0.3]))


def _by_milp(program: Program, columns: np.ndarray, a: np.ndarray) -> float:
    arrays = program.freeze()
    cost = np.zeros(arrays.n_columns)
    cost[columns] = a
    rows = LinearConstraint(arrays.matrix.toarray(), arrays.row_lower, arrays.row_upper)
    found = milp(
        cost,
        constraints=rows if arrays.n_rows else (),
        bounds=Bounds(arrays.lower, arrays.upper),
        integrality=arrays.integer,
    )
    assert found.status == 0
    return float(found.fun)


@pytest.mark.parametrize("where", ["inside", "face", "corner"])
@pytest.mark.parametrize("seed", range(12))
def test_encoding_holds_the_region_and_no_more(where: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    centre = rng.normal(size=n)
    share = 0.4 if where == "inside" else 0.0
    lower = centre - np.where((rng.random(n) > 0.5) | (where == "corner"), share, 0.7)
    upper = centre + rng.uniform(0.3, 1.0, n) * (rng.random(n) > 0.2)
    region = L0Ball(centre, int(rng.integers(0, n + 1)), lower, upper)
    program = Program()
    columns = region.encode(program)
    for p in (*region.sample(rng, 10), centre):
        assert worst_row(program, exact(program.complete(columns, p))) == 0
    a = rng.normal(size=n)
    truth = exact_minimum(a, region, region.lower, region.upper)
    assert truth is not None
    assert _by_milp(program, columns, a) == pytest.approx(float(truth), abs=1e-7)


def test_binaries_only_for_inputs_that_can_move() -> None:
    lower, upper = [0.0, 0.2, 0.0, 0.5], [1.0, 0.2, 0.5, 1.0]
    for radius, binaries in ((0, 0), (1, 3), (2, 3), (3, 0), (9, 0)):
        program = Program()
        L0Ball([0.5, 0.2, 0.5, 0.5], radius, lower, upper).encode(program)
        assert program.freeze().n_binaries == binaries


def test_encoding_far_from_the_origin_cuts_no_point_off() -> None:
    rng = np.random.default_rng(0)
    centre = rng.uniform(1.0, 9.0, size=5) * 1e9
    region = L0Ball(centre, 2, centre - 0.1, centre + 1.0 / 3.0)
    program = Program()
    columns = region.encode(program)
    ends = [region.lower, region.upper, centre + np.array([1.0, 0.0, 0.0, 0.0, -1.0])]
    for p in region.project(np.stack(ends)):
        assert region.contains(p)
        assert worst_row(program, exact(program.complete(columns, p))) == 0


@pytest.mark.parametrize("seed", range(6))
def test_attack_stays_inside_and_finds_something(seed: int) -> None:
    """Projected ascent needs no convexity."""
    net = random_network(seed, (6, 8, 1), 1.5)
    rng = np.random.default_rng(seed)
    region = L0Ball(rng.uniform(-1.0, 1.0, 6), 2, [-2.0] * 6, [2.0] * 6)
    starts = start_points(region, rng, 6)
    points, values = ascend(net, region, np.ones((6, 1, 1)), np.zeros((6, 1)), starts)
    assert all(region.contains(p) for p in points)
    assert np.all(values >= net(region.project(starts))[:, 0] - 1e-12)
    assert values.max() > net(region.centre)[0]


@pytest.mark.parametrize("radius", [-1, 0.5, 1.5, np.nan, np.inf])
def test_bad_radius_is_named(radius: float) -> None:
    with pytest.raises(RegionError, match="radius"):
        ball([0.5, 0.5], radius, "l0", 0.0, 1.0)


@pytest.mark.parametrize("domain", [{}, {"lower": 0.0}, {"upper": 1.0}])
def test_a_domain_is_needed(domain: dict[str, float]) -> None:
    with pytest.raises(RegionError, match="domain: give lower and upper"):
        ball([0.5, 0.5], 1, "l0", **domain)


def test_describe() -> None:
    region = ball([0.0, 0.0], 1.0, "l0", -1.0, 1.0)
    assert isinstance(region, L0Ball)
    assert region.exact_encoding
    assert region.describe() == {"kind": "l0", "radius": 1, "inputs": 2}
