"""What the tests of several regions share: exact arithmetic over points and programs."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from formulations import Program, ProgramArrays


def exact(values: np.ndarray) -> list[Fraction]:
    """Floats as rational numbers."""
    return [Fraction(v) for v in np.asarray(values).tolist()]


def dot(a: np.ndarray, x: np.ndarray) -> Fraction:
    """Exact dot product."""
    return sum((p * q for p, q in zip(exact(a), exact(x), strict=True)), Fraction(0))


def worst_row(program: Program, full: list[Fraction]) -> Fraction:
    """Largest violation of a row or a column bound at a rational point."""
    arrays, worst = program.freeze(), Fraction(0)
    for i in range(arrays.n_rows):
        part = slice(arrays.matrix.indptr[i], arrays.matrix.indptr[i + 1])
        entries = zip(exact(arrays.matrix.data[part]), arrays.matrix.indices[part], strict=True)
        activity = sum((w * full[j] for w, j in entries), Fraction(0))
        if np.isfinite(arrays.row_upper[i]):
            worst = max(worst, activity - Fraction(arrays.row_upper[i]))
        if np.isfinite(arrays.row_lower[i]):
            worst = max(worst, Fraction(arrays.row_lower[i]) - activity)
    for value, low, up in zip(full, exact(arrays.lower), exact(arrays.upper), strict=True):
        worst = max(worst, low - value, value - up)
    return worst


def both_sides(arrays: ProgramArrays) -> tuple[np.ndarray, np.ndarray]:
    """Rows as ``A v <= b`` for scipy."""
    matrix, up, low = arrays.matrix.toarray(), arrays.row_upper, arrays.row_lower
    a = np.vstack(
        [matrix[np.isfinite(up)], -matrix[np.isfinite(low)], np.zeros((1, len(arrays.lower)))]
    )
    return a, np.concatenate([up[np.isfinite(up)], -low[np.isfinite(low)], [1.0]])
