"""Linear programs in sequence: duals that prove the optimum, whatever ran in between."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import linprog

from formulations import ProgramArrays
from mipnet.bounds.safe import dual_bounds
from mipnet.errors import CoefficientError
from mipnet.solver import solve
from mipnet.solver.sequence import LinearSequence


def arrays_of(seed: int, *, integer: bool = False) -> ProgramArrays:
    rng = np.random.default_rng(seed)
    m, n = 6, 5
    matrix = rng.normal(size=(m, n)) * (rng.random((m, n)) > 0.3)
    middle = matrix @ rng.uniform(-1, 1, size=n)
    return ProgramArrays(
        -np.ones(n), np.ones(n), np.zeros(n), np.full(n, integer), sp.csr_array(matrix),
        np.where(rng.random(m) > 0.3, middle - 0.3, -np.inf), middle + 0.3,
    )  # fmt: skip


def optimum(arrays: ProgramArrays, cost: np.ndarray) -> float:
    matrix = arrays.matrix.toarray()
    below = np.isfinite(arrays.row_lower)
    found = linprog(
        cost,
        A_ub=np.vstack([matrix, -matrix[below]]),
        b_ub=np.concatenate([arrays.row_upper, -arrays.row_lower[below]]),
        bounds=list(zip(arrays.lower, arrays.upper, strict=True)),
    )
    assert found.status == 0
    return float(found.fun)


@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_duals_prove_the_optimum(seed: int, integer: bool) -> None:
    arrays = arrays_of(seed, integer=integer)
    sequence = LinearSequence(arrays)
    for cost in np.random.default_rng(seed).normal(size=(6, 5)):
        duals = sequence.duals(cost)
        assert duals is not None
        (bound,) = dual_bounds(sequence.arrays, cost[None], duals[None])
        truth = optimum(arrays, cost)
        assert bound <= truth + 1e-9
        assert bound == pytest.approx(truth, abs=1e-6)


def test_solves_with_other_thread_numbers_in_between() -> None:
    arrays = arrays_of(0)
    sequence, cost = LinearSequence(arrays), np.ones(5)
    truth = optimum(arrays, cost)
    for threads in (2, 1, 2):
        assert solve(arrays, threads=threads).status.proven
        duals = sequence.duals(cost)
        assert duals is not None
        (bound,) = dual_bounds(sequence.arrays, cost[None], duals[None])
        assert bound == pytest.approx(truth, abs=1e-6)


def test_no_time_still_gives_a_sound_answer_or_none() -> None:
    arrays = arrays_of(1)
    sequence, cost = LinearSequence(arrays), np.ones(5)
    duals = sequence.duals(cost, 0.0)
    if duals is not None:
        assert dual_bounds(sequence.arrays, cost[None], duals[None])[0] <= optimum(arrays, cost)


def test_bad_coefficients_are_refused() -> None:
    arrays = arrays_of(0)
    arrays.matrix.data[0] = np.nan
    with pytest.raises(CoefficientError, match="NaN"):
        LinearSequence(arrays)
