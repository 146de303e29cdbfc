"""Columns and rows of extreme size in units of powers of two, so that absolute tolerances fit.

HiGHS holds every row to an absolute tolerance. A row whose terms reach 1e11 cannot be held to 1e-9
in float64, one whose terms never exceed 1e-9 is satisfied by anything, and a column between 1e6 and
1e6 + 1 has few digits left to vary in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from formulations import ProgramArrays
from formulations.scaling import units

Array = npt.NDArray[np.float64]

#: Rows whose largest entry exceeds this are divided down to 1.
_LARGE = 2.0**7
#: Columns further from zero than this many widths are counted from their lower bound.
_FAR = 2.0**4


@dataclass(frozen=True)
class Balanced:
    """A program of moderate columns and rows.

    Attributes
    ----------
    arrays : ProgramArrays
    unit, shift : array, shape (n_columns,)
        A column value of the original is ``unit`` times the one here, plus ``shift``.
    """

    arrays: ProgramArrays
    unit: Array
    shift: Array

    def original(self, values: Array) -> Array:
        """Column values of the original program."""
        return values * self.unit + self.shift

    def own(self, values: Array) -> Array:
        """Column values here for those of the original program."""
        return (values - self.shift) / self.unit


def balance(arrays: ProgramArrays) -> Balanced:
    """Return an equivalent program of moderate columns and rows.

    Multiplications are by powers of two, hence exact; the sides of rows over shifted columns are
    rounded as any sum is. Integer and unbounded columns stay as they are, and a program of
    moderate size is returned itself.

    Parameters
    ----------
    arrays : ProgramArrays
    """
    bounded = np.isfinite(arrays.lower) & np.isfinite(arrays.upper) & ~arrays.integer
    low, high = (np.where(bounded, side, 0.0) for side in (arrays.lower, arrays.upper))
    far = np.maximum(np.abs(low), np.abs(high)) > _FAR * (high - low)
    shift = np.where(far, low, 0.0)
    unit = units(low - shift, high - shift)
    matrix = arrays.matrix
    entries = matrix.data * unit[matrix.indices]
    counts = np.diff(matrix.indptr)
    filled = counts > 0
    largest = np.ones(arrays.n_rows)
    largest[filled] = np.maximum.reduceat(np.abs(entries), matrix.indptr[:-1][filled])
    extreme = np.isfinite(largest) & (largest > _LARGE)
    factor = np.where(extreme, np.exp2(-np.ceil(np.log2(np.where(extreme, largest, 1.0)))), 1.0)
    if not far.any() and (unit == 1.0).all() and (factor == 1.0).all():
        return Balanced(arrays, unit, shift)
    scaled = sp.csr_array(
        (entries * np.repeat(factor, counts), matrix.indices, matrix.indptr), shape=matrix.shape
    )
    moved = np.asarray(matrix @ shift)
    balanced = replace(
        arrays,
        lower=(arrays.lower - shift) / unit,
        upper=(arrays.upper - shift) / unit,
        cost=arrays.cost * unit,
        matrix=scaled,
        row_lower=(arrays.row_lower - moved) * factor,
        row_upper=(arrays.row_upper - moved) * factor,
        offset=arrays.offset + float(arrays.cost @ shift),
    )
    return Balanced(balanced, unit, shift)
