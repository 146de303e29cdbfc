"""l1 balls in boxes: exact minima, exact membership, and an encoding that covers the set."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from formulations import Program
from mipnet.region import L1Ball

SEEDS = st.integers(0, 2**32 - 1)
WHERE = ("inside", "face", "corner")


def exact(values: np.ndarray) -> list[Fraction]:
    return [Fraction(v) for v in np.asarray(values).tolist()]


def random_ball(rng: np.random.Generator, n: int) -> L1Ball:
    """Centre inside, on faces or at a corner of the box; radius from nothing to all of it."""
    scale = 10.0 ** rng.uniform(-4, 4)
    centre = rng.normal(size=n) * 10.0 ** rng.uniform(-3, 3)
    room = scale * np.abs(rng.normal(size=(2, n))) * (rng.random((2, n)) > 0.3)
    radius = float(room.sum() * rng.choice([0.0, 0.1, 0.5, 1.0, 3.0]))
    return L1Ball(centre, radius, centre - room[0], centre + room[1])


def exact_minimum(
    a: np.ndarray, region: L1Ball, lower: np.ndarray, upper: np.ndarray
) -> Fraction | None:
    """Greedy fill in rational arithmetic; None when box and ball do not meet."""
    low, high, slopes = exact(lower), exact(upper), exact(a)
    centre, left = exact(region.centre), Fraction(region.radius)
    start = [min(max(c, lo), up) for c, lo, up in zip(centre, low, high, strict=True)]
    left -= sum(abs(s - c) for s, c in zip(start, centre, strict=True))
    if left < 0:
        return None
    total = sum((g * s for g, s in zip(slopes, start, strict=True)), Fraction(0))
    for i in sorted(range(len(slopes)), key=lambda i: -abs(slopes[i])):
        room = start[i] - low[i] if slopes[i] > 0 else high[i] - start[i]
        spent = min(room, left)
        left, total = left - spent, total - abs(slopes[i]) * spent
    return total


def by_linprog(a: np.ndarray, region: L1Ball, lower: np.ndarray, upper: np.ndarray) -> float:
    """The same minimum by an LP over ``(x - centre) / scale`` and its absolute value."""
    n, c = a.size, region.centre
    scale = max(float(np.maximum(upper - c, c - lower).max()), 1e-300)
    eye = np.eye(n)
    rows = np.vstack(
        [np.hstack([eye, -eye]), np.hstack([-eye, -eye]), np.repeat([0.0, 1.0], n)[None]]
    )
    sides = np.concatenate([np.zeros(2 * n), [region.radius / scale]])
    box = [*zip((lower - c) / scale, (upper - c) / scale, strict=True), *[(0, None)] * n]
    found = linprog(np.concatenate([a, np.zeros(n)]), A_ub=rows, b_ub=sides, bounds=box)
    assert found.status == 0
    return float(found.fun * scale + a @ c)


def size_of(a: np.ndarray, region: L1Ball, lower: np.ndarray, upper: np.ndarray) -> float:
    reach = np.maximum(np.abs(lower), np.abs(upper)) + np.abs(region.centre)
    return float(np.abs(a) @ reach) + 1e-290


@given(SEEDS)
def test_minimum_is_exact_and_never_above(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 7))
    region = random_ball(rng, n)
    a = rng.normal(size=(1, 3, n)) * 10.0 ** rng.uniform(-3, 3) * (rng.random((1, 3, n)) > 0.2)
    a[0, 2] = np.sign(a[0, 2])  # ties
    found = region.minimise(a)
    for t in range(3):
        truth = exact_minimum(a[0, t], region, region.lower, region.upper)
        size = size_of(a[0, t], region, region.lower, region.upper)
        assert Fraction(found[0, t]) <= truth
        assert float(truth - Fraction(found[0, t])) <= 1e-12 * size


@pytest.mark.parametrize("seed", range(25))
def test_minimum_agrees_with_linprog(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 7))
    centre = rng.normal(size=n)
    region = L1Ball(centre, float(rng.uniform(0, 3)), centre - 1.0, centre + rng.uniform(size=n))
    a = rng.normal(size=(1, 1, n))
    expected = by_linprog(a[0, 0], region, region.lower, region.upper)
    assert region.minimise(a)[0, 0] == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(SEEDS)
def test_minimum_over_sub_boxes(seed: int) -> None:
    """Several boxes at once, most of them without the centre, some that miss the ball."""
    rng = np.random.default_rng(seed)
    n, batch = int(rng.integers(1, 6)), int(rng.integers(1, 5))
    region = random_ball(rng, n)
    ends = np.sort(rng.random((2, batch, n)), axis=0)
    lower, upper = np.sort(region.lower + ends * (region.upper - region.lower), axis=0)
    a = rng.normal(size=(batch, 2, n)) * (rng.random((batch, 2, n)) > 0.2)
    found = region.minimise(a, lower, upper)
    shared = region.minimise(a[:1], lower, upper)
    assert found.shape == shared.shape == (batch, 2)
    for b in range(batch):
        for t in range(2):
            for slopes, value in ((a[b, t], found[b, t]), (a[0, t], shared[b, t])):
                truth = exact_minimum(slopes, region, lower[b], upper[b])
                if truth is not None:
                    size = size_of(slopes, region, lower[b], upper[b])
                    assert Fraction(value) <= truth
                    assert float(truth - Fraction(value)) <= 1e-12 * size


def test_sub_box_far_from_the_centre_by_hand() -> None:
    region = L1Ball([0.0, 0.0], 3.0, [-9.0, -9.0], [9.0, 9.0])
    lower, upper = np.array([[2.0, -9.0]]), np.array([[9.0, 9.0]])
    a = np.array([[[1.0, 0.5], [-1.0, 0.5], [-1.0, -2.0]]])
    # One unit of radius is left after reaching x0 = 2.
    assert region.minimise(a, lower, upper) == pytest.approx(np.array([[1.5, -3.0, -4.0]]))


@given(SEEDS)
def test_points_are_inside_exactly_and_in_floating_point(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    region = random_ball(rng, n)
    away = region.centre + rng.normal(size=(4, n)) * 10.0 ** rng.uniform(-5, 6)
    ascended = region.project(region.centre + region.ascent(rng.normal(size=(4, n))))
    for p in (*region.project(away), *region.sample(rng, 3), *ascended, region.centre):
        assert region.contains(p)
        assert np.abs(p - region.centre).sum() <= region.radius
        steps = [abs(x - c) for x, c in zip(exact(p), exact(region.centre), strict=True)]
        assert sum(steps) <= Fraction(region.radius)
        assert np.all((region.lower <= p) & (p <= region.upper))


@given(SEEDS)
def test_membership_is_decided_exactly(seed: int) -> None:
    """Points within a few units in the last place of the boundary, on both sides."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 5))
    centre = rng.normal(size=n)
    region = L1Ball(centre, 1.0, centre - 2.0, centre + 2.0)
    p = centre + rng.dirichlet(np.ones(n)) * rng.choice([-1.0, 1.0], size=n)
    for _ in range(int(rng.integers(0, 4))):
        i = rng.integers(n)
        p[i] = np.nextafter(p[i], rng.choice([-9.0, 9.0]))
    steps = [abs(x - c) for x, c in zip(exact(p), exact(centre), strict=True)]
    inside = sum(steps) <= 1
    # A point inside whose float64 distance rounds above the radius may be left out.
    assert region.contains(p) == (inside and float(np.abs(p - centre).sum()) <= 1.0)


def test_projection_is_the_nearest_point() -> None:
    region = L1Ball([0.0, 0.0], 1.0, [-9.0, -9.0], [9.0, 9.0])
    found = region.project(np.array([[2.0, 0.0], [1.0, 1.0], [2.0, 1.5], [0.25, -0.25]]))
    expected = np.array([[1.0, 0.0], [0.5, 0.5], [0.75, 0.25], [0.25, -0.25]])
    assert found == pytest.approx(expected, abs=1e-9)


def test_projection_respects_faces() -> None:
    region = L1Ball([0.0, 0.5], 1.0, [0.0, 0.0], [1.0, 0.75])
    found = region.project(np.array([[-5.0, 9.0], [5.0, 9.0]]))
    assert found[0] == pytest.approx([0.0, 0.75], abs=1e-9)
    assert found[1] == pytest.approx([0.75, 0.75], abs=1e-9)


def test_ascent_spends_the_radius_on_the_largest_slopes() -> None:
    region = L1Ball([0.5, 0.5, 0.5], 0.75, np.zeros(3), np.ones(3))
    step = region.ascent(np.array([[1.0, -3.0, 2.0], [0.0, 0.0, 0.0]]))
    assert step == pytest.approx(np.array([[0.0, -0.5, 0.25], [0.0, 0.0, 0.0]]))


@given(SEEDS)
def test_ascent_reaches_the_best_linear_value(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    region = random_ball(rng, n)
    gradient = rng.normal(size=(2, n))
    reached = (gradient * (region.centre + region.ascent(gradient))).sum(axis=-1)
    best = -region.minimise(-gradient[None])[0]
    size = size_of(gradient[0], region, region.lower, region.upper) + size_of(
        gradient[1], region, region.lower, region.upper
    )
    assert np.all(np.abs(reached - best) <= 1e-12 * size)


def _worst_row(program: Program, full: np.ndarray) -> Fraction:
    """Largest violation of a row at a point, in rational arithmetic."""
    arrays, worst = program.freeze(), Fraction(0)
    values = exact(full)
    for i in range(arrays.n_rows):
        part = slice(arrays.matrix.indptr[i], arrays.matrix.indptr[i + 1])
        entries = zip(exact(arrays.matrix.data[part]), arrays.matrix.indices[part], strict=True)
        activity = sum((w * values[j] for w, j in entries), Fraction(0))
        if np.isfinite(arrays.row_upper[i]):
            worst = max(worst, activity - Fraction(arrays.row_upper[i]))
        if np.isfinite(arrays.row_lower[i]):
            worst = max(worst, Fraction(arrays.row_lower[i]) - activity)
    return worst


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("seed", range(12))
def test_encoding_holds_the_region_and_no_more(where: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    centre = rng.normal(size=n)
    share = {"inside": 0.4, "face": 0.0, "corner": 0.0}[where]
    lower = centre - np.where((rng.random(n) > 0.5) | (where == "corner"), share, 0.7)
    region = L1Ball(centre, float(rng.uniform(0.1, 1.5)), lower, centre + rng.uniform(0.3, 1.0, n))
    program = Program()
    columns = region.encode(program)
    for p in (*region.sample(rng, 10), centre):
        assert program.freeze().violation(program.complete(columns, p)) <= 1e-12
    a = rng.normal(size=n)
    arrays = program.freeze()
    cost = np.zeros(arrays.n_columns)
    cost[columns] = a
    found = linprog(
        cost,
        A_ub=None
        if not arrays.n_rows
        else np.vstack([arrays.matrix.toarray()] * 2)
        * np.repeat([1.0, -1.0], arrays.n_rows)[:, None],
        b_ub=None
        if not arrays.n_rows
        else np.nan_to_num(np.concatenate([arrays.row_upper, -arrays.row_lower]), posinf=1e9),
        bounds=list(zip(arrays.lower, arrays.upper, strict=True)),
    )
    truth = exact_minimum(a, region, region.lower, region.upper)
    assert found.fun == pytest.approx(float(truth), abs=1e-7)


@pytest.mark.parametrize("seed", range(10))
def test_encoding_far_from_the_origin_cuts_no_point_off(seed: int) -> None:
    """One-sided deviations move the centre into the side of the budget row: rounded outward."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(1.0, 9.0, size=5) * 1e9
    region = L1Ball(centre, 1e-2, centre, centre + 1.0)
    program = Program()
    columns = region.encode(program)
    for p in region.project(centre + np.abs(rng.normal(size=(6, 5)))):
        assert region.contains(p)
        assert _worst_row(program, program.complete(columns, p)) == 0


def test_radius_zero_needs_no_row() -> None:
    region = L1Ball([0.3, 0.7], 0.0, [0.0, 0.0], [1.0, 1.0])
    program = Program()
    region.encode(program)
    arrays = program.freeze()
    assert arrays.lower.tolist() == arrays.upper.tolist() == [0.3, 0.7]
    assert arrays.n_rows == 0
    assert region.contains(np.array([0.3, 0.7]))
    assert not region.contains(np.array([0.3, np.nextafter(0.7, 1.0)]))


def test_describe() -> None:
    assert L1Ball([0.0], 0.5, [-1.0], [1.0]).describe() == {
        "kind": "l1", "radius": 0.5, "inputs": 1
    }  # fmt: skip
