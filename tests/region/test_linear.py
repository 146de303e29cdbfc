"""Linear constraints on regions: dual bounds, exact membership, equations, empty regions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from formulations import Program
from mipnet.errors import RegionError
from mipnet.region import Box, Constrained, L0Ball, L1Ball, L2Ball, LinfBall, Region, multipliers
from tests.region.region_cases import both_sides, dot, exact, worst_row

SEEDS = st.integers(0, 2**32 - 1)
MODEST = settings(deadline=None, max_examples=20)
BASES = ("box", "linf", "l1", "l2", "l0")


def random_base(kind: str, rng: np.random.Generator, n: int) -> Region:
    centre = rng.normal(size=n)
    lower, upper = centre - rng.random(n) - 0.1, centre + rng.random(n) + 0.1
    radius = float(rng.uniform(0.3, 1.5))
    if kind == "box":
        return Box(lower, upper)
    if kind == "l0":
        return L0Ball(centre, int(rng.integers(1, n + 1)), lower, upper)
    kinds = {"linf": LinfBall, "l1": L1Ball, "l2": L2Ball}
    return kinds[kind](centre, radius, lower, upper)


def random_region(kind: str, rng: np.random.Generator, most: int = 6) -> Constrained:
    """Rows that some point of the base satisfies with room to spare; some have one side only."""
    n, m = int(rng.integers(2, most + 1)), int(rng.integers(1, 4))
    base = random_base(kind, rng, n)
    matrix = rng.normal(size=(m, n)) * (rng.random((m, n)) > 0.2)
    value = matrix @ base.sample(rng, 1)[0]
    room = rng.uniform(0.05, 0.5, size=(2, m))
    sides = np.where(rng.random((2, m)) < 0.4, np.inf, room)
    return Constrained(base, matrix, value - sides[0], value + sides[1])


def holds(region: Constrained, point: np.ndarray) -> bool:
    """The rows in rational arithmetic."""
    sides = zip(region.rows.matrix, region.rows.lower, region.rows.upper, strict=True)
    return all(low <= dot(a, point) <= up for a, low, up in sides)


def by_linprog(a: np.ndarray, region: Region) -> float:
    """Minimum over what the region encodes, relaxed."""
    program = Program()
    columns = region.encode(program)
    arrays = program.freeze()
    cost = np.zeros(arrays.n_columns)
    cost[columns] = a
    bounds = list(zip(arrays.lower, arrays.upper, strict=True))
    found = linprog(cost, *both_sides(arrays), bounds=bounds)
    assert found.status == 0
    return float(found.fun)


@pytest.mark.parametrize("kind", ["box", "linf", "l1"])
@pytest.mark.parametrize("seed", range(12))
def test_minimum_over_polyhedra_is_that_of_an_lp(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    region = random_region(kind, rng)
    a = rng.normal(size=(1, 4, region.n_inputs))
    a[0, 3] = 0.0
    found = region.minimise(a)[0]
    for form, value in zip(a[0], found, strict=True):
        truth = by_linprog(form, region)
        assert truth - 1e-8 <= value <= truth + 1e-8
    assert np.all(found >= region.base.minimise(a)[0])


@pytest.mark.parametrize("kind", BASES)
@pytest.mark.parametrize("programs", [0, 32])
@pytest.mark.parametrize("seed", range(4))
def test_minimum_is_below_every_point(
    monkeypatch: pytest.MonkeyPatch, kind: str, programs: int, seed: int
) -> None:
    """Whatever finds the multipliers; exact values of exact points."""
    monkeypatch.setattr(multipliers, "PROGRAMS", programs)
    rng = np.random.default_rng([seed, *kind.encode()])
    region = random_region(kind, rng)
    a = rng.normal(size=(1, 5, region.n_inputs))
    found = region.minimise(a)[0]
    away = region.centre + rng.normal(size=(20, region.n_inputs))
    best = region.project(region.centre + region.ascent(-a[0]))
    points = np.concatenate([region.project(away), best])
    assert np.all(found >= region.base.minimise(a)[0])
    for form, value in zip(a[0], found, strict=True):
        assert all(Fraction(value) <= dot(form, p) for p in points)


@pytest.mark.parametrize("seed", range(10))
def test_ascent_alone_closes_most_of_the_gap(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    rng = np.random.default_rng(seed)
    region = random_region("box", rng)
    a = rng.normal(size=(1, 20, region.n_inputs))
    tight, loose = region.minimise(a), region.base.minimise(a)
    monkeypatch.setattr(multipliers, "PROGRAMS", 0)
    found = region.minimise(a)
    assert np.all(found <= tight + 1e-9)
    assert float((found - loose).sum()) >= 0.6 * float((tight - loose).sum())


@pytest.mark.parametrize("kind", BASES)
@pytest.mark.parametrize("seed", range(4))
def test_minimum_over_sub_boxes(kind: str, seed: int) -> None:
    rng = np.random.default_rng([seed, *kind.encode()])
    region = random_region(kind, rng, most=4)
    ends = np.sort(rng.random((2, 5, region.n_inputs)), axis=0)
    lower, upper = region.lower + ends * (region.upper - region.lower)
    points = np.concatenate([region.sample(rng, 60), region.centre[None]])
    lower[0], upper[0] = region.lower, region.upper
    a = rng.normal(size=(5, 2, region.n_inputs))
    found = region.minimise(a, lower, upper)
    shared = region.minimise(a[:1], lower, upper)
    assert found.shape == shared.shape == (5, 2)
    for b in range(5):
        inside = points[np.all((lower[b] <= points) & (points <= upper[b]), axis=1)]
        for t in range(2):
            assert all(Fraction(found[b, t]) <= dot(a[b, t], p) for p in inside)
            assert all(Fraction(shared[b, t]) <= dot(a[0, t], p) for p in inside)


@pytest.mark.parametrize("size", [1e-9, 1e9])
def test_sizes_far_from_one(size: float) -> None:
    region = Constrained(Box([0.0, 0.0], [size, size]), [[1.0 / size, 1.0 / size]], upper=0.5)
    found = region.minimise(np.array([[[-1.0, -2.0]]]))[0, 0]
    assert found == pytest.approx(-size, rel=1e-9)
    assert region.upper == pytest.approx([0.5 * size] * 2)


def test_rounding_of_rows_far_from_the_origin() -> None:
    """x + y <= s, with s between floats of the size of x + y: never above the exact minimum."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        far = float(rng.uniform(1.0, 2.0) * 1e9)
        region = Constrained(
            Box([far, -far], [far + 1.0, 1.0 - far]), [[1.0, 1.0]], 0.1, rng.uniform(0.3, 0.9)
        )
        found = region.minimise(np.array([[[1.0, 1.0], [-1.0, -1.0]]]))[0]
        assert Fraction(found[0]) <= Fraction(0.1)
        assert Fraction(found[1]) <= -Fraction(region.rows.upper[0])
        assert found[0] == pytest.approx(0.1, abs=1e-5)


@MODEST
@given(SEEDS, st.sampled_from(BASES))
def test_points_are_inside_exactly(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    region = random_region(kind, rng)
    away = region.centre + rng.normal(size=(6, region.n_inputs)) * 10.0 ** rng.uniform(-3, 3)
    away[0, 0] = rng.choice([np.nan, np.inf])
    ascended = region.project(region.centre + region.ascent(rng.normal(size=(3, region.n_inputs))))
    for p in (*region.project(away), *region.sample(rng, 3), *ascended, region.centre):
        assert region.contains(p)
        assert region.base.contains(p)
        assert holds(region, p)
        assert np.all((region.lower <= p) & (p <= region.upper))


def test_projection_reaches_faces_and_corners() -> None:
    region = Constrained(Box([0.0, 0.0], [1.0, 1.0]), [[1.0, 1.0]], upper=1.0)
    found = region.project(np.array([[1.0, 1.0], [2.0, 0.0], [0.25, 0.25], [3.0, 1.0]]))
    assert found[:3] == pytest.approx(np.array([[0.5, 0.5], [1.0, 0.0], [0.25, 0.25]]))
    assert found[3] == pytest.approx([1.0, 0.0], abs=1e-2)
    assert found[2].tolist() == [0.25, 0.25]


@given(SEEDS)
def test_membership_is_decided_exactly(seed: int) -> None:
    """Points within a few units in the last place of a row, on both sides."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(1, 3))
    p = rng.normal(size=3)
    side = float(a[0] @ p)
    region = Constrained(Box([-9.0] * 3, [9.0] * 3), a, upper=side)
    for _ in range(int(rng.integers(0, 3))):
        i = rng.integers(3)
        p[i] = np.nextafter(p[i], rng.choice([-9.0, 9.0]))
    assert region.contains(p) == (dot(a[0], p) <= Fraction(side))


@pytest.mark.parametrize("n", [2, 5, 40])
@pytest.mark.parametrize("total", [1.0, 0.7, 1.0 / 3.0])
def test_sum_of_inputs_holds_exactly(n: int, total: float) -> None:
    """A mixture: shares that sum to a given total, in rational arithmetic."""
    rng = np.random.default_rng(n)
    region = Constrained(Box(np.zeros(n), np.ones(n)), np.ones((1, n)), total, total)
    points = region.project(rng.normal(size=(20, n)))
    for p in (*points, *region.sample(rng, 5), region.centre):
        assert sum(exact(p)) == Fraction(total)
        assert p.min() >= 0.0
        assert p.max() <= 1.0
    assert len(np.unique(points.round(6), axis=0)) > 10
    found = region.minimise(np.eye(n)[None, :2])[0]
    assert found == pytest.approx([0.0, 0.0], abs=1e-12)
    assert region.minimise(np.ones((1, 1, n)))[0, 0] == pytest.approx(total)
    outside = region.centre.copy()
    outside[0] = np.nextafter(outside[0], 1.0)
    assert not region.contains(outside)


@pytest.mark.parametrize("kind", ["l1", "l2", "linf"])
def test_equations_over_balls(kind: str) -> None:
    rng = np.random.default_rng(1)
    kinds = {"linf": LinfBall, "l1": L1Ball, "l2": L2Ball}
    centre = np.array([0.25, 0.25, 0.25, 0.25])
    base = kinds[kind](centre, 0.3, np.zeros(4), np.ones(4))
    rows = [[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 0.0, 0.0], [2.0, 0.0, 1.0, 1.0]]
    region = Constrained(base, rows, [1.0, 0.0, -np.inf], [1.0, 0.0, 1.25])
    points = region.project(rng.normal(size=(20, 4)))
    assert all(region.contains(p) and holds(region, p) for p in points)
    assert len(np.unique(points.round(6), axis=0)) > 5


def test_dependent_equations() -> None:
    rows = [[1.0, 1.0, 0.0], [2.0, 2.0, 0.0], [0.0, 1.0, 1.0]]
    region = Constrained(Box([0.0] * 3, [1.0] * 3), rows, [1.0, 2.0, 1.0], [1.0, 2.0, 1.0])
    for p in region.project(np.random.default_rng(0).normal(size=(10, 3))):
        assert holds(region, p)


def test_equations_no_float_satisfies_are_refused() -> None:
    with pytest.raises(RegionError, match="no floating-point number"):
        Constrained(Box([0.1, 0.1], [1.0, 1.0]), [[0.1, 0.7]], 1.0 / 3.0, 1.0 / 3.0)


def test_region_without_inside_is_its_point() -> None:
    region = Constrained(Box([0.0, 0.0], [1.0, 1.0]), [[1.0, 1.0]], upper=0.0)
    assert region.centre.tolist() == [0.0, 0.0]
    assert region.project(np.ones((2, 2))).tolist() == [[0.0, 0.0]] * 2
    assert region.upper == pytest.approx([0.0, 0.0], abs=1e-13)


def test_narrow_rows_leave_room_to_move() -> None:
    region = Constrained(Box([0.0] * 3, [1.0] * 3), [[0.3, 0.5, 0.7]], 0.5, 0.5 + 1e-9)
    points = region.project(np.random.default_rng(0).normal(size=(20, 3)))
    assert all(region.contains(p) for p in points)
    assert len(np.unique(points.round(6), axis=0)) > 10


@pytest.mark.parametrize("kind", BASES)
@pytest.mark.parametrize("seed", range(3))
def test_encoding_holds_the_region(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    region = random_region(kind, rng)
    program = Program()
    columns = region.encode(program)
    for p in (*region.sample(rng, 8), region.centre):
        assert program.freeze().violation(program.complete(columns, p)) <= 1e-9
    forms, sides = region.cuts(columns, region.centre[None] + 2.0)
    assert region.exact_encoding == (kind != "l2") == (forms.size == 0)
    assert sides.size == forms.size


def test_rows_are_encoded_as_they_are() -> None:
    region = Constrained(Box([0.0, 0.0], [1.0, 1.0]), [[0.1, 0.2], [0.0, 3.0]], [-np.inf, 0.3], 0.7)
    program = Program()
    columns = region.encode(program)
    arrays = program.freeze()
    assert arrays.matrix.toarray().tolist() == [[0.1, 0.2], [0.0, 3.0]]
    assert arrays.row_lower.tolist() == [-np.inf, 0.3]
    assert arrays.row_upper.tolist() == [0.7, 0.7]
    assert worst_row(program, exact(program.complete(columns, region.centre))) == 0


def test_box_follows_from_the_rows() -> None:
    region = Constrained(
        Box([-1.0, -1.0], [1.0, 1.0]), [[1.0, 0.0], [1.0, -2.0]], [-9, 0], [0.3, 9]
    )
    assert region.upper == pytest.approx([0.3, 0.5])
    assert Fraction(region.upper[0]) >= Fraction(0.3)
    assert region.lower == pytest.approx([-1.0, -1.0])
    point = np.array([0.3, -0.5])
    assert region.contains(point)


def test_constraints_upon_constraints() -> None:
    box = Box([0.0, 0.0], [1.0, 1.0])
    twice = Constrained(Constrained(box, [[1.0, 1.0]], upper=1.0), [[1.0, -1.0]], lower=0.0)
    assert twice.base is box
    assert len(twice.rows.matrix) == 2
    assert twice.minimise(np.array([[[0.0, -1.0]]]))[0, 0] == pytest.approx(-0.5)


def test_centre_of_the_base_is_kept_where_it_is_inside() -> None:
    base = L1Ball([0.2, 0.2], 0.5, [0.0, 0.0], [1.0, 1.0])
    assert Constrained(base, [[1.0, 1.0]], upper=0.5).centre.tolist() == [0.2, 0.2]
    moved = Constrained(base, [[1.0, 1.0]], lower=0.5)
    assert moved.contains(moved.centre)


def test_l0_base_whose_centre_violates_a_row() -> None:
    base = L0Ball([0.0, 0.0, 0.0], 1, [0.0] * 3, [1.0] * 3)
    region = Constrained(base, [[1.0, 2.0, 0.0]], lower=1.5)
    assert region.contains(region.centre)
    assert region.centre[[0, 2]].tolist() == [0.0, 0.0]
    assert region.minimise(np.array([[[0.0, 1.0, 0.0]]]))[0, 0] <= 0.75
    for p in region.project(np.random.default_rng(0).normal(size=(10, 3))):
        assert region.contains(p)
    with pytest.raises(RegionError, match="empty"):
        Constrained(base, [[1.0, 1.0, 1.0]], lower=1.5)


@pytest.mark.parametrize(
    ("matrix", "lower", "upper", "message"),
    [
        ([[1.0, 1.0]], 2.5, np.inf, "empty: row 0"),
        ([[1.0, 0.0], [1.0, 1.0]], [-np.inf, -np.inf], [0.5, -0.5], "empty: row 1"),
        ([[1.0, 0.0], [1.0, 0.0]], [0.6, -np.inf], [np.inf, 0.4], "empty: the rows leave no"),
        ([[1.0, 1.0], [1.0, -1.0], [1.0, 0.0]], [1.5, -0.1, 0.0], [9, 0.1, 0.6], "empty"),
        ([[0.0, 0.0]], 1.0, 2.0, "empty: row 0"),
        ([[1.0, 1.0]], 2.0, 1.0, "row 0: no value"),
        ([[1.0, 1.0]], np.nan, 1.0, "row 0: no value"),
        ([[1.0, 1.0]], np.inf, np.inf, "row 0: no value"),
        ([[1.0, np.nan]], 0.0, 1.0, "row 0: the coefficient of input 1"),
        ([[1.0, 1.0, 1.0]], 0.0, 1.0, r"shape \(m, 2\)"),
        ([[1.0, 1.0]], [0.0, 0.0], 1.0, "lower has 2 values for 1 rows"),
    ],
)
def test_bad_rows_are_refused(matrix, lower, upper, message) -> None:
    with pytest.raises(RegionError, match=message):
        Constrained(Box([0.0, 0.0], [1.0, 1.0]), matrix, lower, upper)


@pytest.mark.parametrize(("sum_", "empty"), [(1.41, False), (1.42, True)])
def test_empty_with_a_curved_base(sum_: float, empty: bool) -> None:
    base = L2Ball([0.0, 0.0], 1.0, [-9.0, -9.0], [9.0, 9.0])
    if empty:
        with pytest.raises(RegionError, match="empty: row 0"):
            Constrained(base, [[1.0, 1.0]], lower=sum_)
        return
    region = Constrained(base, [[1.0, 1.0]], lower=sum_)
    assert region.contains(region.centre)
    assert region.minimise(np.array([[[1.0, 0.0]]]))[0, 0] > 0.5


def test_no_rows_at_all() -> None:
    region = Constrained(Box([0.0], [1.0]), np.zeros((0, 1)))
    assert region.minimise(np.array([[[2.0]]]))[0, 0] == pytest.approx(0.0)
    assert region.project(np.array([[3.0]])).tolist() == [[1.0]]


def test_describe() -> None:
    region = Constrained(Box([0.0], [1.0]), [[1.0]], upper=0.5)
    base = {"kind": "box", "inputs": 1}
    assert region.describe() == {"kind": "constrained", "rows": 1, "inputs": 1, "base": base}
