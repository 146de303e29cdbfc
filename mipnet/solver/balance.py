"""Columns and rows of extreme size in units of powers of two, so that absolute tolerances fit.

HiGHS holds every row to an absolute tolerance. A row whose terms reach 1e11 cannot be held to 1e-9
in float64, and one whose terms never exceed 1e-9 is satisfied by anything.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from formulations import ProgramArrays
from formulations.scaling import units

Array = npt.NDArray[np.float64]

#: Rows whose largest entry exceeds this are divided down to 1.
_LARGE = 2.0**7


def balance(arrays: ProgramArrays) -> tuple[ProgramArrays, Array]:
    """Return an equivalent program of moderate columns and rows, and the unit of each column.

    Multiplications are by powers of two, hence exact. Integer and unbounded columns stay as they
    are, and a program of moderate size is returned itself.

    Parameters
    ----------
    arrays : ProgramArrays

    Returns
    -------
    arrays : ProgramArrays
    unit : array, shape (n_columns,)
        A column value of the balanced program times its unit is the value in the original.
    """
    bounded = np.isfinite(arrays.lower) & np.isfinite(arrays.upper) & ~arrays.integer
    low, high = (np.where(bounded, side, 1.0) for side in (arrays.lower, arrays.upper))
    unit = units(low, high)
    matrix = arrays.matrix
    entries = matrix.data * unit[matrix.indices]
    counts = np.diff(matrix.indptr)
    filled = counts > 0
    largest = np.ones(arrays.n_rows)
    largest[filled] = np.maximum.reduceat(np.abs(entries), matrix.indptr[:-1][filled])
    extreme = np.isfinite(largest) & (largest > _LARGE)
    factor = np.where(extreme, np.exp2(-np.ceil(np.log2(np.where(extreme, largest, 1.0)))), 1.0)
    if (unit == 1.0).all() and (factor == 1.0).all():
        return arrays, unit
    scaled = sp.csr_array(
        (entries * np.repeat(factor, counts), matrix.indices, matrix.indptr), shape=matrix.shape
    )
    return (
        replace(
            arrays,
            lower=arrays.lower / unit,
            upper=arrays.upper / unit,
            cost=arrays.cost * unit,
            matrix=scaled,
            row_lower=arrays.row_lower * factor,
            row_upper=arrays.row_upper * factor,
        ),
        unit,
    )
