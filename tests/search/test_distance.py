"""Exact distances, and programs that minimise them."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mipnet.bounds import compute_bounds
from mipnet.encode import encode
from mipnet.region import Box
from mipnet.search.distance import DistanceModel, distance, reach
from tests.search.distance_cases import NORMS, case, exact

FINITE = st.floats(-1e6, 1e6, allow_nan=False)


@pytest.mark.parametrize("norm", NORMS)
@given(data=st.data())
@settings(max_examples=30)
def test_distance_is_exact_and_rounded_up(norm: str, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 6))
    point, centre = (np.array(data.draw(st.lists(FINITE, min_size=n, max_size=n))) for _ in "ab")
    found, truth = distance(norm, point, centre), exact(point, centre, norm)
    power = 2 if norm == "l2" else 1
    assert Fraction(found) ** power >= truth
    if truth:
        assert Fraction(math.nextafter(math.nextafter(found, 0.0), 0.0)) ** power < truth
    else:
        assert found == 0.0


@pytest.mark.parametrize("scale", [5e-324, 1e-200, 1e-160, 1e150])
def test_distance_at_the_ends_of_the_floats(scale: float) -> None:
    step = np.array([scale, -scale, scale, scale])
    assert distance("l2", step, np.zeros(4)) == 2.0 * scale
    assert distance("l1", step, np.zeros(4)) == 4.0 * scale
    assert distance("linf", step, np.zeros(4)) == scale


@pytest.mark.parametrize("norm", NORMS)
def test_reach_is_the_distance_of_the_furthest_corner(norm: str) -> None:
    low, high, x = np.array([-1.0, 0.0, 2.0]), np.array([3.0, 0.5, 2.0]), np.array([0.0, 0.4, 2.0])
    corners = np.array([[a, b, 2.0] for a in (-1.0, 3.0) for b in (0.0, 0.5)])
    assert reach(norm, x, low, high) == max(distance(norm, c, x) for c in corners)


@pytest.mark.parametrize("norm", ["linf", "l1", "l2"])
def test_distance_model_admits_every_point_at_its_distance(norm: str) -> None:
    net, x = case(1)
    box = Box(np.full(4, -1.0), np.full(4, 1.0))
    bounds = compute_bounds(net, box)
    radius = reach(norm, x, box.lower, box.upper)
    model = DistanceModel(encode(net, box, bounds.intervals), norm, x, radius)
    if norm == "l2":
        model.touch(np.array([0.3, 0.0, -0.2, 0.1]))
    arrays = model.program.freeze(model.objective)
    rng = np.random.default_rng(0)
    for point in [*rng.uniform(-1.0, 1.0, (20, 4)), x, box.lower, box.upper]:
        full = model.complete(point)
        assert arrays.violation(full) < 1e-12
        length = distance(norm, point, x)
        assert arrays.objective(full) == pytest.approx(model.cutoff(length), abs=1e-12)
        assert model.measure(model.relative(point)) == pytest.approx(model.cutoff(length))
        # The value of a point at that distance never counts as proof that there is none.
        assert model.proven(model.cutoff(length)) < length or length == 0.0


def test_proof_of_a_model_is_monotone_and_capped() -> None:
    net, x = case(1)
    box = Box(np.full(4, -1.0), np.full(4, 1.0))
    model = DistanceModel(encode(net, box, compute_bounds(net, box).intervals), "linf", x, 2.0)
    proven = [model.proven(b) for b in (-math.inf, 0.0, 1e-7, 0.1, 0.5, 0.999, 1.0, math.inf)]
    assert proven[:3] == [-1.0] * 3
    assert proven[-1] == proven[-2] < 2.0
    assert all(a <= b for a, b in pairwise(proven))
