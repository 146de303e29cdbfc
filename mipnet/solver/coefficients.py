"""What the solver would drop or mistake without a word, caught before it reaches it.

HiGHS 1.15 proves wrong optima of programs whose integer columns have fractional bounds, with
presolve and without: they are rounded inward. It removes matrix entries of size
``small_matrix_value`` or less with no more than a warning, and NaN entries with none. A dropped
entry can turn a wrong program into a proof.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from formulations import ProgramArrays
from mipnet.errors import CoefficientError

#: Entries of at most this size are scaled up or moved into the row sides.
SMALL = 1e-9
#: Entries of at least this size are refused by HiGHS.
LARGE = 1e15
#: Rows are scaled up by at most this factor to lift small entries.
_MOST_SCALE = 2.0**20
#: How far beyond its bound an integer value is still taken, as solvers do.
_NEAR = 1e-6
#: Entries looked at together.
_SLICE = 1 << 16


@dataclass(frozen=True)
class Prepared:
    """A program without small entries.

    Attributes
    ----------
    arrays : ProgramArrays
    scaled_rows : int
        Rows multiplied by a power of two (exact).
    moved_entries : int
        Entries replaced by widening the sides of their row by their largest contribution.
    widening : float
        Largest total widening of one row.
    """

    arrays: ProgramArrays
    scaled_rows: int = 0
    moved_entries: int = 0
    widening: float = 0.0


def prepare(arrays: ProgramArrays) -> Prepared:
    """Return an equivalent or slightly relaxed program whose entries all reach the solver.

    Bounds of integer columns become integers, where any lies between them.
    A row with small entries is multiplied by a power of two, which is exact. Entries that stay
    small next to much larger ones are removed and the sides of the row widened by the largest
    value they can take, so that the program still covers the original.

    Raises
    ------
    CoefficientError
        When a coefficient or cost is NaN or infinite, an entry is too large for the solver, or a
        small entry belongs to an unbounded column; names row and column.
    """
    arrays = _rounded(arrays)
    matrix = arrays.matrix
    least, most = _sizes(matrix.data)
    if not (np.isfinite(most) and np.isfinite([*arrays.cost, arrays.offset]).all()):
        msg = "a coefficient, cost or offset is NaN or infinite"
        raise CoefficientError(msg)
    for name in ("lower", "upper", "row_lower", "row_upper"):
        if np.isnan(getattr(arrays, name)).any():
            where = int(np.flatnonzero(np.isnan(getattr(arrays, name)))[0])
            msg = f"{name}[{where}] is NaN"
            raise CoefficientError(msg)
    if most >= LARGE:
        row, column = _entry(matrix, int(np.abs(matrix.data).argmax()))
        msg = f"row {row}, column {column}: coefficient {most:.3g} is at least {LARGE:g}; "
        raise CoefficientError(msg + "rescale the model")
    if least > SMALL:
        return Prepared(arrays)
    return _lift(arrays)


def _rounded(arrays: ProgramArrays) -> ProgramArrays:
    """Round bounds of integer columns inward; the same arrays where there is nothing to round."""
    whole = arrays.integer
    lower, upper = np.ceil(arrays.lower[whole] - _NEAR), np.floor(arrays.upper[whole] + _NEAR)
    # Bounds without an integer between them are left as they are: they say so.
    empty = lower > upper
    lower = np.where(empty, arrays.lower[whole], lower)
    upper = np.where(empty, arrays.upper[whole], upper)
    if (lower == arrays.lower[whole]).all() and (upper == arrays.upper[whole]).all():
        return arrays
    low, high = arrays.lower.copy(), arrays.upper.copy()
    low[whole], high[whole] = lower, upper
    return replace(arrays, lower=low, upper=high)


def _sizes(data: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Least and largest absolute value; NaN when there is one. No array as long as ``data``."""
    least, most = np.inf, 0.0
    for at in range(0, data.size, _SLICE):
        part = np.abs(data[at : at + _SLICE])
        least, most = np.minimum(least, part.min()), np.maximum(most, part.max())
    return float(least), float(most)


def _lift(arrays: ProgramArrays) -> Prepared:
    matrix = arrays.matrix
    starts, counts = matrix.indptr[:-1], np.diff(matrix.indptr)
    rows = np.repeat(np.arange(arrays.n_rows), counts)
    data = np.abs(matrix.data)
    filled = counts > 0
    least = np.full(arrays.n_rows, np.inf)
    least[filled] = np.minimum.reduceat(data, starts[filled])
    most = np.zeros(arrays.n_rows)
    most[filled] = np.maximum.reduceat(data, starts[filled])
    small = least <= SMALL
    # Scale no further than keeps the largest entry moderate: a row that reaches 1e6 cannot be held
    # to a tolerance of 1e-9 in float64.
    wanted = np.where(small, 2.0 * SMALL / np.where(small, least, 1.0), 1.0)
    room = np.maximum(1.0, 2.0**10 / np.maximum(most, 1e-300))
    factor = np.exp2(np.ceil(np.log2(np.minimum(np.minimum(wanted, room), _MOST_SCALE))))
    factor = np.where(small, np.maximum(factor, 1.0), 1.0)
    values = matrix.data * factor[rows]
    drop = np.abs(values) <= SMALL
    row_lower, row_upper = arrays.row_lower * factor, arrays.row_upper * factor
    widening: npt.NDArray[np.float64] = np.zeros(arrays.n_rows)
    if drop.any():
        columns = matrix.indices[drop]
        ends = np.stack([arrays.lower[columns], arrays.upper[columns]]) * values[drop]
        if not np.isfinite(ends).all():
            entry = int(np.flatnonzero(drop)[np.flatnonzero(~np.isfinite(ends).all(axis=0))[0]])
            row, column = _entry(matrix, entry)
            msg = (
                f"row {row}, column {column}: coefficient {matrix.data[entry]:.3g} is too small "
                "for the solver and its column is unbounded; set the weight to zero or give the "
                "input bounds"
            )
            raise CoefficientError(msg)
        low, high = (
            np.bincount(rows[drop], weights=end, minlength=arrays.n_rows).astype(np.float64)
            for end in (ends.min(axis=0), ends.max(axis=0))
        )
        # Cover the rounding of the sums themselves.
        low, high = low - 1e-9 * np.abs(low), high + 1e-9 * np.abs(high)
        row_lower, row_upper = row_lower - high, row_upper - low
        widening = high - low
    kept = sp.csr_array((values, matrix.indices.copy(), matrix.indptr.copy()), shape=matrix.shape)
    kept.data[drop] = 0.0
    kept.eliminate_zeros()
    lifted = replace(arrays, matrix=kept, row_lower=row_lower, row_upper=row_upper)
    scaled = int(np.count_nonzero(factor > 1.0))
    return Prepared(lifted, scaled, int(drop.sum()), float(widening.max(initial=0.0)))


def _entry(matrix: sp.csr_array, position: int) -> tuple[int, int]:
    row = int(np.searchsorted(matrix.indptr, position, side="right")) - 1
    return row, int(matrix.indices[position])
