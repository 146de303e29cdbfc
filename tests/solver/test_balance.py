"""Programs in other units are the same programs."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp

from formulations import ProgramArrays
from mipnet.network import Affine, Network, ReLU
from mipnet.search import minimize
from mipnet.solver import Status, solve
from mipnet.solver.balance import balance
from tests.search.search_cases import random_network


def wild_program(seed: int) -> ProgramArrays:
    rng = np.random.default_rng(seed)
    n, m = 6, 5
    size = 10.0 ** rng.uniform(-9, 9, n)
    lower = np.where(rng.random(n) < 0.3, 50.0 * size, -size)
    matrix = rng.normal(size=(m, n)) / size * 10.0 ** rng.uniform(-6, 12, size=(m, 1))
    integer = np.zeros(n, bool)
    integer[0], lower[0], size[0] = True, 0.0, 1.0
    return ProgramArrays(
        lower, lower + 2.0 * size, rng.normal(size=n), integer,
        sp.csr_array(matrix), np.full(m, -np.inf), np.abs(rng.normal(size=m)) * 1e3,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(30))
def test_points_and_rows_correspond(seed: int) -> None:
    arrays = wild_program(seed)
    found = balance(arrays)
    rng = np.random.default_rng(seed)
    own = rng.uniform(found.arrays.lower, found.arrays.upper)
    point = found.original(own)
    assert found.own(point) == pytest.approx(own, rel=1e-9, abs=1e-9)
    matrix, twin = arrays.matrix.toarray(), found.arrays.matrix.toarray()
    for i in range(arrays.n_rows):
        factor = np.abs(twin[i]).max() / np.abs(matrix[i] * found.unit).max()
        assert np.frexp(factor)[0] == 0.5
        there = sum(Fraction(a) * Fraction(v) for a, v in zip(twin[i], own, strict=True))
        here = sum(
            Fraction(a) * (Fraction(v) * Fraction(u) + Fraction(s))
            for a, v, u, s in zip(matrix[i], own, found.unit, found.shift, strict=True)
        )
        slack_here = Fraction(arrays.row_upper[i]) - here
        slack_there = Fraction(found.arrays.row_upper[i]) - there
        scale = float(np.abs(matrix[i]) @ (np.abs(point) + np.abs(found.shift))) * factor
        assert abs(float(slack_here * Fraction(factor) - slack_there)) <= 1e-12 * (1.0 + scale)


def test_moderate_programs_are_left_alone() -> None:
    arrays = ProgramArrays(
        np.array([-1.0, 0.0]), np.array([1.0, 1.0]), np.ones(2), np.array([False, True]),
        sp.csr_array(np.array([[1.0, 3.0]])), np.zeros(1), np.ones(1),
    )  # fmt: skip
    assert balance(arrays).arrays is arrays


@pytest.mark.parametrize("offset", [1e3, 1e6, -1e8])
def test_columns_far_from_zero(offset: float) -> None:
    """min x + y over x + y >= 1 counted from the offset, 0 <= x, y <= 2 likewise."""
    arrays = ProgramArrays(
        np.full(2, offset), np.full(2, offset + 2.0), np.ones(2), np.array([False, False]),
        sp.csr_array(np.ones((1, 2))), np.array([2.0 * offset + 1.0]), np.array([np.inf]), 0.0,
    )  # fmt: skip
    start = np.full(2, offset + 1.0)
    for given in (None, start):
        solution = solve(arrays, start=given)
        assert solution.status is Status.OPTIMAL
        assert solution.objective == pytest.approx(2.0 * offset + 1.0, abs=1e-7)
        assert solution.bound == pytest.approx(2.0 * offset + 1.0, abs=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_boxes_far_from_the_origin_and_inputs_in_other_units(seed: int) -> None:
    """The same question asked in other units and with the inputs counted from elsewhere."""
    net = random_network(seed, (4, 8, 6, 2), 1.5)
    rng = np.random.default_rng(seed)
    unit, origin = 2.0 ** rng.integers(-18, 18, 4), np.round(rng.uniform(-1e4, 1e4, 4))
    affines = [n.layer for n in net.nodes if isinstance(n.layer, Affine)]
    weight = affines[0].weight / unit
    first = Affine(weight, affines[0].bias - weight @ (origin * unit))
    far = Network.sequential([first, ReLU(), affines[1], ReLU(), affines[2]])
    plain = minimize(net, [1.0, -0.5], (-1.0, 1.0))
    moved = minimize(far, [1.0, -0.5], ((origin - 1.0) * unit, (origin + 1.0) * unit))
    assert plain.status == moved.status == "optimal"
    assert moved.value == pytest.approx(plain.value, abs=1e-5)
