"""l2 balls in boxes: sound and tight minima, exact membership, rows around the ball and cuts."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from formulations import Program
from mipnet.errors import RegionError
from mipnet.region import L1Ball, L2Ball, ball
from mipnet.region.base import EMPTY
from tests.region.region_cases import both_sides, dot, exact, worst_row

SEEDS = st.integers(0, 2**32 - 1)
MODEST = settings(deadline=None, max_examples=60)


def random_ball(rng: np.random.Generator, n: int) -> L2Ball:
    """Centre inside, on faces or at a corner of the box; radius from nothing to all of it."""
    scale = 10.0 ** rng.uniform(-4, 4)
    centre = rng.normal(size=n) * 10.0 ** rng.uniform(-3, 3)
    room = scale * np.abs(rng.normal(size=(2, n))) * (rng.random((2, n)) > 0.3)
    radius = float(np.sqrt((room**2).sum()) * rng.choice([0.0, 0.01, 0.1, 0.5, 0.9, 3.0]))
    return L2Ball(centre, radius, centre - room[0], centre + room[1])


def root(square: Fraction) -> tuple[Fraction, Fraction]:
    """The root of a rational number between two rationals 2**-400 apart, relative to its size."""
    shift = 400 + max(0, square.denominator.bit_length() - square.numerator.bit_length())
    floor = math.isqrt((square.numerator << (2 * shift)) // square.denominator)
    return Fraction(floor, 1 << shift), Fraction(floor + 1, 1 << shift)


def exact_minimum(
    a: np.ndarray, region: L2Ball, lower: np.ndarray, upper: np.ndarray
) -> tuple[Fraction, Fraction] | None:
    """Minimum over box and ball between two rationals; None when they do not meet.

    At the minimiser every coordinate is at an end of the box or on the ray of ``-a``, cut to what
    is left of the radius: enumerate all ways.
    """
    low, high, g, c = exact(lower), exact(upper), exact(a), exact(region.centre)
    best = None
    for ways in product("lfu", repeat=a.size):
        ends = {i: low[i] if w == "l" else high[i] for i, w in enumerate(ways) if w != "f"}
        free = [i for i, w in enumerate(ways) if w == "f"]
        left = Fraction(region.radius) ** 2 - sum((ends[i] - c[i]) ** 2 for i in ends)
        slope = sum((g[i] ** 2 for i in free), Fraction(0))
        if left < 0 or (slope == 0 and not all(low[i] <= c[i] <= high[i] for i in free)):
            continue
        # x_i = c_i - g_i sqrt(left / slope) has to lie in the box: compare squares with signs.
        if slope and not all(
            _signed(low[i] - c[i]) <= -_signed(g[i]) * left / slope <= _signed(high[i] - c[i])
            for i in free
        ):
            continue
        fixed = sum((g[i] * v for i, v in ends.items()), Fraction(0))
        fixed += sum((g[i] * c[i] for i in free), Fraction(0))
        below, above = root(left * slope)
        value = fixed - above, fixed - below
        best = value if best is None else min(best, value)
    return best


def _signed(v: Fraction) -> Fraction:
    return v * abs(v)


def size_of(a: np.ndarray, region: L2Ball, lower: np.ndarray, upper: np.ndarray) -> float:
    reach = np.maximum(np.abs(lower), np.abs(upper)) + np.abs(region.centre)
    return float(np.abs(a) @ reach) + 1e-290


def check_minimum(
    value: float, a: np.ndarray, region: L2Ball, lower: np.ndarray, upper: np.ndarray
) -> None:
    truth = exact_minimum(a, region, lower, upper)
    if truth is None:
        return
    assert Fraction(value) <= truth[1]
    assert float(truth[1] - Fraction(value)) <= 1e-11 * size_of(a, region, lower, upper)


@MODEST
@given(SEEDS)
def test_minimum_is_tight_and_never_above(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 5))
    region = random_ball(rng, n)
    a = rng.normal(size=(1, 3, n)) * 10.0 ** rng.uniform(-3, 3) * (rng.random((1, 3, n)) > 0.2)
    a[0, 2] = np.sign(a[0, 2])  # ties
    found = region.minimise(a)
    for t in range(3):
        check_minimum(float(found[0, t]), a[0, t], region, region.lower, region.upper)


@MODEST
@given(SEEDS)
def test_minimum_over_sub_boxes(seed: int) -> None:
    """Several boxes at once, most of them without the centre, some that miss the ball."""
    rng = np.random.default_rng(seed)
    n, batch = int(rng.integers(1, 4)), int(rng.integers(1, 5))
    region = random_ball(rng, n)
    ends = np.sort(rng.random((2, batch, n)), axis=0)
    lower, upper = np.sort(region.lower + ends * (region.upper - region.lower), axis=0)
    a = rng.normal(size=(batch, 2, n)) * (rng.random((batch, 2, n)) > 0.2)
    found = region.minimise(a, lower, upper)
    shared = region.minimise(a[:1], lower, upper)
    assert found.shape == shared.shape == (batch, 2)
    for b, t in product(range(batch), range(2)):
        check_minimum(float(found[b, t]), a[b, t], region, lower[b], upper[b])
        check_minimum(float(shared[b, t]), a[0, t], region, lower[b], upper[b])


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e9, 3.7e-3])
def test_whole_numbers_reach_the_bound_exactly(scale: float) -> None:
    """With (2, 3, 6) of length 7 the minimum is a rational number: a.c - 7 r."""
    region = L2Ball([0.1, 0.2, 0.3], 0.7 * scale, [-1e10] * 3, [1e10] * 3)
    a = np.array([[[2.0, -3.0, 6.0], [-6.0, 2.0, 3.0]]])
    found = region.minimise(a)[0]
    for value, form in zip(found, a[0], strict=True):
        truth = dot(form, region.centre) - 7 * Fraction(region.radius)
        assert Fraction(value) <= truth
        assert float(truth - Fraction(value)) <= 1e-13 * (7 * region.radius + 2.5)


def test_box_that_misses_the_ball_is_noticed() -> None:
    region = L2Ball([0.0, 0.0], 1.0, [-9.0, -9.0], [9.0, 9.0])
    corners = np.array([[0.70, 0.70], [0.71, 0.71], [5.0, 5.0]])
    found = region.minimise(np.array([[[1.0, 2.0]]]), corners, corners + 1.0)[:, 0]
    assert found[0] == pytest.approx(2.1, abs=1e-9)
    assert found[1:].tolist() == [EMPTY, EMPTY]


def test_sub_box_far_from_the_centre_by_hand() -> None:
    region = L2Ball([0.0, 0.0], 5.0, [-9.0, -9.0], [9.0, 9.0])
    lower, upper = np.array([[3.0, -9.0]]), np.array([[9.0, 9.0]])
    a = np.array([[[1.0, 0.0], [0.0, 1.0], [4.0, 1.0], [-3.0, -4.0]]])
    expected = np.array([[3.0, -4.0, 8.0, -25.0]])
    assert region.minimise(a, lower, upper) == pytest.approx(expected, rel=1e-12)


@MODEST
@given(SEEDS)
def test_points_are_inside_exactly_and_in_floating_point(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    region = random_ball(rng, n)
    away = region.centre + rng.normal(size=(4, n)) * 10.0 ** rng.uniform(-5, 6)
    away[0, 0] = rng.choice([np.nan, np.inf, -np.inf])
    ascended = region.project(region.centre + region.ascent(rng.normal(size=(4, n))))
    for p in (*region.project(away), *region.sample(rng, 3), *ascended, region.centre):
        assert region.contains(p)
        assert np.linalg.norm(p - region.centre) <= region.radius
        squares = [(x - c) ** 2 for x, c in zip(exact(p), exact(region.centre), strict=True)]
        assert sum(squares) <= Fraction(region.radius) ** 2
        assert np.all((region.lower <= p) & (p <= region.upper))


@given(SEEDS)
def test_membership_is_decided_exactly(seed: int) -> None:
    """Points within a few units in the last place of the boundary, on both sides."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 5))
    centre = rng.normal(size=n)
    region = L2Ball(centre, 1.0, centre - 2.0, centre + 2.0)
    way = rng.normal(size=n)
    p = centre + way / np.linalg.norm(way)
    for _ in range(int(rng.integers(0, 4))):
        i = rng.integers(n)
        p[i] = np.nextafter(p[i], rng.choice([-9.0, 9.0]))
    inside = sum((x - c) ** 2 for x, c in zip(exact(p), exact(centre), strict=True)) <= 1
    # A point inside whose float64 distance rounds above the radius may be left out.
    assert region.contains(p) == (inside and float(np.linalg.norm(p - centre)) <= 1.0)


@pytest.mark.parametrize("radius", [0.0, 1e-300, 1e-150, 1e-20])
def test_tiny_radii(radius: float) -> None:
    region = L2Ball([0.0, 0.3], radius, [-1.0, -1.0], [1.0, 1.0])
    inside, outside = np.array([radius, 0.3]), np.array([np.nextafter(radius, 1.0), 0.3])
    assert region.contains(inside)
    assert not region.contains(outside)
    assert all(region.contains(p) for p in region.project(np.array([[9.0, 9.0], [0.0, 0.3]])))
    found = region.minimise(np.array([[[1.0, 0.0], [3.0, 4.0]]]))[0]
    assert Fraction(found[0]) <= -Fraction(radius)
    assert found[1] == pytest.approx(1.2)


def test_projection_is_the_nearest_point() -> None:
    region = L2Ball([0.0, 0.0], 1.0, [-9.0, -0.5], [9.0, 9.0])
    found = region.project(np.array([[2.0, 0.0], [3.0, 4.0], [0.25, -0.25], [1.0, -3.0]]))
    expected = [[1.0, 0.0], [0.6, 0.8], [0.25, -0.25], [np.sqrt(0.75), -0.5]]
    assert found == pytest.approx(np.array(expected), abs=1e-9)
    assert found[2].tolist() == [0.25, -0.25]


@pytest.mark.parametrize("seed", range(10))
def test_no_sample_is_nearer_than_the_projection(seed: int) -> None:
    rng = np.random.default_rng(seed)
    region = L2Ball(np.zeros(3), 1.0, -rng.random(3), rng.random(3))
    goal = rng.normal(size=3) * 2.0
    near = region.project(goal[None])[0]
    others = region.project(near + 0.2 * rng.normal(size=(300, 3)))
    reached = np.linalg.norm(near - goal)
    assert np.all(np.linalg.norm(others - goal, axis=1) >= reached - 1e-9)


@MODEST
@given(SEEDS)
def test_ascent_reaches_the_best_linear_value(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    region = random_ball(rng, n)
    gradient = rng.normal(size=(2, n)) * (rng.random((2, n)) > 0.2)
    reached = (gradient * (region.centre + region.ascent(gradient))).sum(axis=-1)
    best = -region.minimise(-gradient[None])[0]
    size = sum(size_of(g, region, region.lower, region.upper) for g in gradient)
    assert np.all(np.abs(reached - best) <= 1e-11 * size)


def squares(region: L2Ball, program: Program, point: np.ndarray) -> list[Fraction]:
    """Rational values of all columns at a point of the ball."""
    steps = [(x - c) / Fraction(region.radius) for x, c in
             zip(exact(point), exact(region.centre), strict=True)]  # fmt: skip
    return [*exact(point), *(s * s for s in steps)][: program.n_columns]


@pytest.mark.parametrize("far", [0.0, 1e3, 1e9])
@pytest.mark.parametrize("seed", range(8))
def test_encoding_and_cuts_hold_the_region(seed: int, far: float) -> None:
    """No point of the ball violates any row, in rational arithmetic."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 7))
    centre = rng.normal(size=n) + far
    lower = centre - rng.choice([0.0, 0.4, 2.0], size=n)
    region = L2Ball(
        centre, float(rng.uniform(0.01, 1.5)), lower, centre + rng.uniform(0.3, 1.0, n),
        tangents=centre + rng.normal(size=(2, n)),
    )  # fmt: skip
    program = Program()
    columns = region.encode(program)
    forms, sides = region.cuts(columns, centre + rng.normal(size=(3, n)))
    program.add_rows(forms, lower=-np.inf, upper=sides)
    edge = region.project(centre + rng.normal(size=(10, n)) * 9.0)
    for p in (*region.sample(rng, 5), *edge, centre):
        assert worst_row(program, squares(region, program, p)) == 0
        completed = program.complete(columns, p)
        assert program.freeze().violation(completed) <= 1e-12 * (1.0 + far) / region.radius


@pytest.mark.parametrize("seed", range(8))
def test_encoding_is_within_the_l1_ball_it_implies(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 7))
    centre = rng.normal(size=n)
    region = L2Ball(centre, 1.0, centre - 3.0, centre + 3.0)
    around = L1Ball(centre, np.sqrt(n), centre - 1.0, centre + 1.0)
    program = Program()
    region.encode(program)
    arrays = program.freeze()
    a = rng.normal(size=(4, n))
    rows, sides = both_sides(arrays)
    bounds = list(zip(arrays.lower, arrays.upper, strict=True))
    for form, floor, ball_ in zip(
        a, around.minimise(a[None])[0], region.minimise(a[None])[0], strict=True
    ):
        found = linprog(np.append(form, np.zeros(n)), rows, sides, bounds=bounds)
        assert floor - 1e-7 <= found.fun <= ball_ + 1e-7


@pytest.mark.parametrize("n", [2, 8, 30])
def test_cuts_close_in_on_the_ball(n: int) -> None:
    rng = np.random.default_rng(n)
    centre = rng.normal(size=n)
    region = L2Ball(centre, 0.5, centre - rng.random(n), centre + rng.random(n))
    program, a = Program(), rng.normal(size=n)
    columns = region.encode(program)
    truth, gaps = float(region.minimise(a[None, None])[0, 0]), []
    for _ in range(12):
        arrays = program.freeze()
        found = linprog(
            np.append(a, np.zeros(n)),
            *both_sides(arrays),
            bounds=list(zip(arrays.lower, arrays.upper, strict=True)),
        )
        gaps.append(truth - found.fun)
        forms, sides = region.cuts(columns, found.x[columns][None])
        program.add_rows(forms, lower=-np.inf, upper=sides)
    assert gaps[0] > 0.0
    assert -1e-7 <= gaps[-1] <= 1e-4 * np.abs(a).sum() * region.radius


def test_cut_separates_its_point() -> None:
    region = L2Ball([0.0, 1.0], 1.0, [-9.0, -9.0], [9.0, 9.0])
    columns = np.arange(2, dtype=np.int32)
    forms, sides = region.cuts(columns, np.array([[0.9, 1.9]]))
    full = np.array([0.9, 1.9, 0.0, 0.0])
    excess = forms.evaluate(full) - sides
    assert excess[0] == pytest.approx(np.hypot(0.9, 0.9) - 1.0)
    forms, sides = region.cuts(columns, region.centre[None])
    assert forms.size == sides.size == 0


def test_radius_zero_needs_no_row() -> None:
    region = L2Ball([0.3, 0.7], 0.0, [0.0, 0.0], [1.0, 1.0])
    program = Program()
    columns = region.encode(program)
    arrays = program.freeze()
    assert arrays.lower.tolist() == arrays.upper.tolist() == [0.3, 0.7]
    assert arrays.n_rows == 0
    assert region.cuts(columns, np.ones((1, 2)))[0].size == 0
    assert region.contains(np.array([0.3, 0.7]))
    assert not region.contains(np.array([0.3, np.nextafter(0.7, 1.0)]))


def test_one_input_is_an_interval() -> None:
    region = L2Ball([0.25], 0.5, [0.0], [9.0])
    program = Program()
    region.encode(program)
    arrays = program.freeze()
    assert (arrays.lower.tolist(), arrays.upper.tolist(), arrays.n_rows) == ([0.0], [0.75], 0)


def test_large_balls_and_forms_of_zero() -> None:
    region = L2Ball([0.5, 0.5], 9.0, [0.0, 0.0], [1.0, 1.0])
    found = region.minimise(np.array([[[1.0, -2.0], [0.0, 0.0]]]))[0]
    assert found == pytest.approx([-2.0, 0.0])
    assert region.project(np.array([[5.0, -5.0]])).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("tangents", [[[1.0]], [[np.nan, 0.0]], [1.0, 2.0, 3.0]])
def test_bad_tangents_are_refused(tangents: object) -> None:
    with pytest.raises(RegionError, match="tangents"):
        L2Ball([0.0, 0.0], 1.0, [-1.0] * 2, [1.0] * 2, tangents=tangents)


def test_describe_and_register() -> None:
    region = ball([0.0, 0.0], 0.5, "l2", -1.0, 1.0)
    assert isinstance(region, L2Ball)
    assert not region.exact_encoding
    assert region.describe() == {"kind": "l2", "radius": 0.5, "inputs": 2}
