"""Coefficients a solver drops or misreads: lifted, moved soundly, or refused by name."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from formulations import ProgramArrays
from mipnet.errors import CoefficientError, MipnetError
from mipnet.solver import Status, prepare, solve
from mipnet.solver.coefficients import LARGE, SMALL

SEEDS = st.integers(0, 2**32 - 1)


def arrays_of(
    matrix: np.ndarray, low: np.ndarray, high: np.ndarray, sides: tuple[np.ndarray, np.ndarray]
) -> ProgramArrays:
    n = matrix.shape[1]
    return ProgramArrays(low, high, np.ones(n), np.zeros(n, bool), sp.csr_array(matrix), *sides)


def base() -> ProgramArrays:
    return arrays_of(
        np.array([[1.0, 2.0], [3.0, -1.0]]), np.zeros(2), np.ones(2), (np.zeros(2), np.ones(2))
    )


def with_entry(value: float) -> ProgramArrays:
    arrays = base()
    matrix = arrays.matrix.copy()
    matrix.data[3] = value
    return replace(arrays, matrix=matrix)


def test_ordinary_programs_pass_untouched() -> None:
    arrays = base()
    prepared = prepare(arrays)
    assert prepared.arrays is arrays
    assert (prepared.scaled_rows, prepared.moved_entries, prepared.widening) == (0, 0, 0.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_entries_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(CoefficientError, match="NaN or infinite"):
        prepare(with_entry(bad))
    with pytest.raises(CoefficientError, match="NaN or infinite"):
        prepare(replace(base(), cost=np.array([1.0, bad])))


@pytest.mark.parametrize("name", ["lower", "upper", "row_lower", "row_upper"])
def test_nan_sides_are_refused(name: str) -> None:
    with pytest.raises(MipnetError):
        solve(replace(base(), **{name: np.array([0.5, np.nan])}))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_offsets_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(MipnetError):
        solve(replace(base(), offset=bad))


@pytest.mark.parametrize("huge", [LARGE, -1e17])
def test_huge_entries_are_named(huge: float) -> None:
    with pytest.raises(CoefficientError, match=r"row 1, column 1: coefficient .* at least 1e\+15"):
        prepare(with_entry(huge))


def test_huge_costs_are_refused_or_solved() -> None:
    try:
        solution = solve(replace(base(), cost=np.array([1e21, 1.0])))
    except MipnetError:
        return
    assert solution.status is not Status.OPTIMAL or solution.objective == pytest.approx(0.0)


def test_small_entry_of_an_unbounded_column_is_named() -> None:
    arrays = replace(with_entry(1e-17), upper=np.array([1.0, np.inf]))
    matrix = arrays.matrix.copy()
    matrix.data[2] = 3e6
    with pytest.raises(CoefficientError, match=r"row 1, column 1.*unbounded; set the weight"):
        prepare(replace(arrays, matrix=matrix))


@pytest.mark.parametrize("size", [1e-10, 1e-13])
def test_rows_of_small_entries_are_scaled_exactly(size: float) -> None:
    arrays = arrays_of(
        np.array([[size, 2 * size]]),
        np.zeros(2),
        np.ones(2),
        (np.array([size]), np.array([np.inf])),
    )
    prepared = prepare(arrays)
    assert (prepared.scaled_rows, prepared.moved_entries, prepared.widening) == (1, 0, 0.0)
    factor = prepared.arrays.matrix.data / arrays.matrix.data
    assert np.log2(factor[0]) == np.round(np.log2(factor[0]))
    assert factor[0] == factor[1] == prepared.arrays.row_lower[0] / size
    assert np.abs(prepared.arrays.matrix.data).min() > SMALL
    # x0 + 2 x1 >= 1 on the unit square: least x0 + x1 is 1/2, whatever the scale of the row.
    solution = solve(arrays)
    assert (solution.status, solution.relaxed) == (Status.OPTIMAL, 0.0)
    assert solution.objective == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("size", [1e-10, 1e-13, 1e-300])
def test_small_entries_next_to_large_ones_widen_the_row(size: float) -> None:
    """x0 + size x1 >= 1e8 ... : the small term may still help, so the row gives way by it."""
    arrays = arrays_of(
        np.array([[1e6, size]]),
        np.zeros(2),
        np.array([1.0, 1e3]),
        (np.array([1e6]), np.array([np.inf])),
    )
    prepared = prepare(arrays)
    assert prepared.moved_entries == 1
    assert prepared.widening >= 1e3 * size
    assert prepared.arrays.matrix.nnz == 1
    factor = prepared.arrays.matrix.data[0] / 1e6
    kept = Fraction(prepared.arrays.row_lower[0]) / Fraction(factor)
    assert kept <= Fraction(1e6) - Fraction(1e3) * Fraction(size) + Fraction(1e-9)
    solution = solve(arrays)
    assert 0.0 <= solution.relaxed <= prepared.widening
    assert solution.bound <= 1.0


@given(SEEDS)
def test_the_prepared_program_covers_the_original(seed: int) -> None:
    """Every point of the original satisfies the prepared rows, in rational arithmetic."""
    rng = np.random.default_rng(seed)
    m, n = (int(v) for v in rng.integers(1, 5, size=2))
    matrix = rng.choice([-1.0, 1.0], size=(m, n)) * 10.0 ** rng.uniform(-16, 8, size=(m, n))
    matrix[rng.random((m, n)) < 0.2] = 0.0
    point = rng.normal(size=n)
    exact = [
        sum((Fraction(a) * Fraction(x) for a, x in zip(row, point, strict=True)), Fraction(0))
        for row in matrix
    ]
    below = np.array([np.nextafter(float(a), -np.inf) for a in exact])
    above = np.array([np.nextafter(float(a), np.inf) for a in exact])
    sides = (
        np.where(rng.random(m) < 0.3, -np.inf, below),
        np.where(rng.random(m) < 0.3, np.inf, above),
    )
    reach = np.abs(rng.normal(size=(2, n))) * 10.0 ** rng.uniform(0, 3)
    arrays = arrays_of(matrix, point - reach[0], point + reach[1], sides)
    found = prepare(arrays).arrays
    assert found.matrix.nnz == 0 or np.abs(found.matrix.data).min() > SMALL
    for i in range(m):
        part = slice(found.matrix.indptr[i], found.matrix.indptr[i + 1])
        entries = zip(found.matrix.data[part], found.matrix.indices[part], strict=True)
        activity = sum((Fraction(a) * Fraction(point[j]) for a, j in entries), Fraction(0))
        low, high = found.row_lower[i], found.row_upper[i]
        assert low == -np.inf or Fraction(low) <= activity
        assert high == np.inf or activity <= Fraction(high)
    assert arrays.matrix.nnz == np.count_nonzero(matrix)


@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize("size", [1e-6, 1e-9, 1e-10, 1e-12])
def test_tiny_costs_are_optimised_and_bounds_stay_below(size: float, integer: bool) -> None:
    """min size (x + y) with x + y >= -1e6: costs below the dual tolerance are no zeros."""
    arrays = ProgramArrays(
        np.full(2, -1e6), np.full(2, 1e6), np.full(2, size), np.array([integer, False]),
        sp.csr_array(np.array([[1.0, 1.0], [1.0, -1.0]])),
        np.array([-1e6, -1e5]), np.array([1e6, 1e5]),
    )  # fmt: skip
    truth = -1e6 * size
    solution = solve(arrays)
    assert solution.bound <= truth * (1.0 - 1e-6)
    if solution.status is Status.OPTIMAL:
        assert solution.objective == pytest.approx(truth, rel=1e-6)


@pytest.mark.parametrize("small", [1e-9, 1e-10, 1e-11])
def test_tiny_costs_beside_ordinary_ones(small: float) -> None:
    """Only a sound bound is asked for: HiGHS may leave the small term where it likes."""
    arrays = ProgramArrays(
        np.array([0.0, -1e7, -1e7]), np.array([1.0, 1e7, 1e7]), np.array([1.0, small, small]),
        np.zeros(3, bool), sp.csr_array(np.array([[0.0, 1.0, 1.0], [1.0, 1.0, -1.0]])),
        np.array([-1e7, -1e6]), np.array([1e7, 1e6]),
    )  # fmt: skip
    assert solve(arrays).bound <= -1e7 * small + 1e-9


@pytest.mark.parametrize("large", [1e5, 1e9, 1e13])
@pytest.mark.parametrize("seed", range(2))
def test_a_large_cost_swallows_no_ordinary_one(seed: int, large: float) -> None:
    """A binary nobody wants at a price of ``large`` leaves a knapsack of values near 100."""
    rng = np.random.default_rng(seed)
    weight = rng.integers(10, 60, size=(5, 12)).astype(float)
    value = weight.sum(axis=0) + rng.integers(-10, 10, size=12)
    plain = ProgramArrays(
        np.zeros(12), np.ones(12), -value, np.ones(12, bool), sp.csr_array(weight),
        np.full(5, -np.inf), weight.sum(axis=1) / 2,
    )  # fmt: skip
    dear = replace(
        plain,
        lower=np.zeros(13), upper=np.ones(13), cost=np.append(-value, large),
        integer=np.ones(13, bool), matrix=sp.csr_array(np.hstack([weight, np.zeros((5, 1))])),
    )  # fmt: skip
    expected, solution = solve(plain), solve(dear)
    assert solution.status is Status.OPTIMAL
    assert solution.objective == pytest.approx(expected.objective, abs=1e-6)
    assert solution.bound <= expected.objective + 1e-6


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_scaled_objectives_scale_their_optimum(size: float) -> None:
    arrays = base()
    arrays = replace(arrays, cost=size * np.array([-1.0, -1.0]), offset=size)
    solution = solve(arrays)
    # x0 + 2 x1 <= 1, 0 <= 3 x0 - x1 <= 1: best at x = (3/7, 2/7).
    assert solution.objective / size == pytest.approx(1.0 - 5.0 / 7.0, abs=1e-9)
    assert solution.bound / size == pytest.approx(1.0 - 5.0 / 7.0, abs=1e-9)
