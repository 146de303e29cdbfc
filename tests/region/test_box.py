"""Boxes and l-infinity balls: exact rounding, sound minima, and refusal of malformed sets."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from formulations import Program
from mipnet.errors import RegionError
from mipnet.region import Box, LinfBall, ball
from tests.core_cases import wild

SEEDS = st.integers(0, 2**32 - 1)
FINITE = st.floats(-1e9, 1e9)
NORMS = ("l1", "linf")


def exact(values: np.ndarray) -> list[Fraction]:
    return [Fraction(v) for v in np.asarray(values).tolist()]


@given(FINITE, st.floats(0.0, 1e6), FINITE, FINITE)
def test_linf_ball_is_rounded_on_both_sides_exactly(
    centre: float, radius: float, one: float, other: float
) -> None:
    """The outer box holds the ball and its float neighbour does not; the same for the inner."""
    low, high = min(one, other, centre), max(one, other, centre)
    region = LinfBall([centre], radius, [low], [high])
    c, r = Fraction(centre), Fraction(radius)
    least, most = max(c - r, Fraction(low)), min(c + r, Fraction(high))
    for outer, inner, truth, away in (
        (region.lower[0], region.inner_lower[0], least, -np.inf),
        (region.upper[0], region.inner_upper[0], most, np.inf),
    ):
        sign = 1 if away > 0 else -1
        assert sign * Fraction(outer) >= sign * truth >= sign * Fraction(inner)
        assert sign * Fraction(np.nextafter(outer, -away)) < sign * truth or outer == inner
        assert sign * Fraction(np.nextafter(inner, away)) > sign * truth or outer == inner


def test_neighbouring_floats_decide_membership() -> None:
    region = LinfBall([0.1], 0.2, [-9.0], [9.0])
    edge = Fraction(0.1) + Fraction(0.2)
    below = 0.1 + 0.2
    below = below if Fraction(below) <= edge else np.nextafter(below, 0.0)
    assert region.contains(np.array([below]))
    assert not region.contains(np.array([np.nextafter(below, 1.0)]))


@given(SEEDS)
def test_box_minimum_is_below_the_exact_one_and_tight(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, batch, targets = (int(v) for v in rng.integers(1, 6, size=3))
    a = wild(rng, batch, targets, n, spread=(-9, 6))
    ends = np.sort(wild(rng, 2, batch, n, spread=(-9, 6)), axis=0)
    lower, upper = ends
    region = Box(lower.min(axis=0), upper.max(axis=0))
    found = region.minimise(a, lower, upper)
    assert found.shape == (batch, targets)
    for b in range(batch):
        for t in range(targets):
            truth = sum(
                c * (lo if c > 0 else up)
                for c, lo, up in zip(exact(a[b, t]), exact(lower[b]), exact(upper[b]), strict=True)
            )
            size = float(np.abs(a[b, t]) @ np.maximum(np.abs(lower[b]), np.abs(upper[b])))
            assert Fraction(found[b, t]) <= truth
            assert float(truth - Fraction(found[b, t])) <= 1e-13 * size + 1e-300
    own = region.minimise(a)
    assert np.all(own <= found + 1e-12 * (1.0 + np.abs(found)))


@given(SEEDS)
def test_points_of_linf_balls_are_inside(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 8))
    centre, radius = wild(rng, n, spread=(-6, 6)), float(abs(wild(rng, 1, spread=(-6, 3))[0]))
    half = np.abs(wild(rng, n, spread=(-6, 6)))
    region = LinfBall(centre, radius, centre - half, centre + half)
    away = centre + rng.normal(size=(4, n)) * 10.0 ** rng.uniform(-6, 6)
    ascended = region.project(centre + region.ascent(rng.normal(size=(4, n))))
    for p in (*region.project(away), *region.sample(rng, 3), *ascended):
        assert region.contains(p)
        assert np.abs(p - centre).max() <= radius
        steps = [abs(a - b) for a, b in zip(exact(p), exact(centre), strict=True)]
        assert max(steps) <= Fraction(radius)
        assert np.all((centre - half <= p) & (p <= centre + half))


def test_projection_is_the_nearest_point() -> None:
    region = Box([0.0, -1.0], [1.0, 1.0])
    assert region.project(np.array([[2.0, 0.5], [-3.0, -3.0]])).tolist() == [[1.0, 0.5], [0, -1]]


def test_ascent_crosses_the_box_in_the_direction_of_the_gradient() -> None:
    region = Box([0.0, -1.0, 0.0], [1.0, 3.0, 0.0])
    assert region.ascent(np.array([[2.0, -0.1, 1.0]])).tolist() == [[1.0, -4.0, 0.0]]
    assert region.ascent(np.zeros((1, 3))).tolist() == [[0.0, 0.0, 0.0]]


def test_contains_has_no_tolerance() -> None:
    region = Box([0.0], [1.0])
    assert region.contains(np.array([1.0]))
    assert not region.contains(np.array([np.nextafter(1.0, 2.0)]))
    assert not region.contains(np.array([np.nan]))


def test_encode_and_describe() -> None:
    program = Program()
    columns = Box([0.0, -1.0], [1.0, 2.0]).encode(program)
    arrays = program.freeze()
    assert columns.tolist() == [0, 1]
    assert (arrays.lower.tolist(), arrays.upper.tolist()) == ([0.0, -1.0], [1.0, 2.0])
    assert Box([0.0], [1.0]).describe() == {"kind": "box", "inputs": 1}
    assert LinfBall([0.0], 0.5, [-1.0], [1.0]).describe()["radius"] == 0.5


def test_zero_radius_and_flat_boxes_are_points() -> None:
    region = LinfBall([0.3, 0.7], 0.0, [0.0, 0.0], [1.0, 1.0])
    assert region.lower.tolist() == region.upper.tolist() == [0.3, 0.7]
    assert Box([0.3], [0.3]).contains(np.array([0.3]))


def test_regions_do_not_share_memory_with_their_arguments() -> None:
    lower = np.zeros(2)
    region = Box(lower, np.ones(2))
    lower[0] = 9.0
    assert region.lower.tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="read-only"):
        region.lower[0] = 1.0


@pytest.mark.parametrize(
    ("lower", "upper", "message"),
    [
        ([0.0, -np.inf], [1.0, 1.0], r"no finite bounds, first input 1 \[-inf, 1.0\]"),
        ([0.0, np.nan], [1.0, 1.0], "no finite bounds, first input 1"),
        ([0.0, 2.0], [1.0, 1.0], "box is empty.*first input 1"),
        ([0.0], [1.0, 1.0], "one value for each input; got 1, 2"),
        ([], [], "one value for each input"),
        (None, None, "finite bounds"),
    ],
)
def test_bad_boxes_are_refused(lower: object, upper: object, message: str) -> None:
    with pytest.raises(RegionError, match=message):
        Box(lower, upper)  # type: ignore[arg-type]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("domain", [(0.0, 1.0), None])
@pytest.mark.parametrize("radius", [-1.0, np.nan, np.inf])
def test_bad_radius_is_named(norm: str, domain: tuple[float, float] | None, radius: float) -> None:
    with pytest.raises(RegionError, match="radius"):
        ball([0.5, 0.5], radius, norm, *(domain or ()))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    ("centre", "lower", "upper", "message"),
    [
        ([2.0, 0.0], 0.0, 1.0, r"outside the domain at input 0: 2.0 not in \[0.0, 1.0\]"),
        ([0.0, np.nan], 0.0, 1.0, "NaN or infinite at input 1"),
        ([0.0, np.inf], None, None, "NaN or infinite at input 1"),
        ([0.0, 0.0], [0.0, 0.0, 0.0], 1.0, "3 values for 2 inputs"),
        ([0.0, 0.0], 1.0, 0.0, "empty"),
        ([0.0, 0.0], -np.inf, 1.0, "finite"),
    ],
)
def test_bad_balls_are_refused(norm, centre, lower, upper, message) -> None:
    with pytest.raises(RegionError, match=message):
        ball(centre, 0.5, norm, lower, upper)


@pytest.mark.parametrize("norm", NORMS)
def test_centre_of_another_size_is_refused(norm: str) -> None:
    with pytest.raises(RegionError, match="centre has 1 values, the domain 2"):
        type(ball([0.0], 1.0, norm))([0.0], 1.0, [0.0, 0.0], [1.0, 1.0])


def test_unknown_norm_lists_the_known_ones() -> None:
    with pytest.raises(RegionError, match=r"'l9'.*l1.*linf"):
        ball([0.0], 1.0, "l9")


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("radius", [0.0, 0.1, 1e-20, 7.3])
def test_ball_without_a_domain_is_the_whole_ball(norm: str, radius: float) -> None:
    centre = np.array([0.3, -1e6, 0.0])
    region = ball(centre, radius, norm)
    for lo, up, c in zip(exact(region.lower), exact(region.upper), exact(centre), strict=True):
        assert lo <= c - Fraction(radius)
        assert up >= c + Fraction(radius)
    assert region.contains(centre)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_broken_points_are_projected_inside_or_refused(norm: str, bad: float) -> None:
    region = ball([0.5, 0.5], 0.25, norm, 0.0, 1.0)
    with np.errstate(invalid="ignore"):
        try:
            found = region.project(np.array([[0.5, bad], [0.4, 0.6]]))
        except RegionError:
            return
    assert region.contains(found[0])
    assert region.contains(found[1])


@pytest.mark.parametrize("norm", NORMS)
def test_points_of_another_size_are_refused_or_outside(norm: str) -> None:
    region = ball([0.5, 0.5, 0.5], 0.25, norm, 0.0, 1.0)
    try:
        inside = region.contains(np.array([0.5]))
    except RegionError:
        return
    assert not inside
