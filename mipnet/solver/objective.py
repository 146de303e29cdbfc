"""Objectives the solver's absolute tolerances would swallow, made visible to it.

A cost below the dual tolerance (1e-7 by default) is zero to HiGHS, yet over a wide column it can
decide the optimum.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from formulations import ProgramArrays

Array = npt.NDArray[np.float64]

#: Cost below which the objective becomes a row.
_TINY = 1e-6


def objective_factor(cost: Array) -> float:
    """Power of two that lifts the largest cost to about 1, when it is far below.

    A large cost stays as it is: shrinking it would push the others below the tolerances.
    """
    largest = float(np.abs(cost).max(initial=0.0))
    if largest == 0.0 or largest >= 2.0**-7:
        return 1.0
    return float(2.0 ** -round(math.log2(largest)))


def scale_objective(arrays: ProgramArrays, factor: float) -> ProgramArrays:
    """Return the program with its objective multiplied by ``factor``.

    Where tiny costs stand beside ordinary ones, the whole objective becomes one more column, tied
    to the others by a row: a row has no entry too small to count, as costs have.
    """
    cost, offset = arrays.cost * factor, arrays.offset * factor
    used = np.abs(cost[cost != 0.0])
    if not used.size or float(used.min()) >= _TINY:
        return replace(arrays, cost=cost, offset=offset)
    # Powers of two lift the smallest entry to 1e-6 where the row allows it: exact.
    lift = 2.0 ** max(0, math.ceil(math.log2(min(1e-6 / float(used.min()), 2.0**30))))
    row = sp.csr_array(np.append(cost * lift, -lift)[None])
    wide = sp.csr_array(sp.hstack([arrays.matrix, sp.csr_array((arrays.n_rows, 1))]))
    matrix = sp.csr_array(sp.vstack([wide, row]))
    matrix.sort_indices()
    side = -offset * lift
    return replace(
        arrays,
        lower=np.append(arrays.lower, -np.inf),
        upper=np.append(arrays.upper, np.inf),
        cost=np.append(np.zeros(arrays.n_columns), 1.0),
        integer=np.append(arrays.integer, False),
        matrix=matrix,
        row_lower=np.append(arrays.row_lower, side),
        row_upper=np.append(arrays.row_upper, side),
        offset=0.0,
    )
