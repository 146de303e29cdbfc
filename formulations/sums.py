"""Weighted columns of forms, and bounds of their partial sums that no rounding makes wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from formulations.expression import AffineForm
from formulations.program import Program

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

#: Bound on the relative error of one operation on float64.
_UNIT = 2.0**-53


@dataclass(frozen=True, eq=False)
class Terms:
    """Terms ``weight * column`` of forms, one after the other.

    Attributes
    ----------
    row : array of int, shape (k,)
        Form of each term, ascending.
    column : array of int32, shape (k,)
    weight : array, shape (k,)
    low, high : array, shape (k,)
        Bounds of each term from those of its column, rounded outwards.
    """

    row: Index
    column: npt.NDArray[np.int32]
    weight: Array
    low: Array
    high: Array

    def bounds(self, part: Index, count: int) -> tuple[Array, Array]:
        """Bounds of the sums over ``count`` parts, ``part`` being that of each term."""
        return -add_up(-self.low, part, count), add_up(self.high, part, count)


def terms_of(program: Program, form: AffineForm) -> Terms:
    """Terms of forms over the columns of a program.

    Parameters
    ----------
    program : Program
    form : AffineForm, n rows
    """
    c = form.coefficients
    row = np.repeat(np.arange(form.size), np.diff(c.indptr))
    lower, upper = program.bounds()
    ends = np.stack([c.data * lower[c.indices], c.data * upper[c.indices]])
    low, high = ends.min(axis=0), ends.max(axis=0)
    # Products with zero are exact.
    exact = np.stack([lower[c.indices], upper[c.indices]]) == 0.0
    low = np.where((low == 0.0) & exact.any(axis=0), 0.0, np.nextafter(low, -np.inf))
    high = np.where((high == 0.0) & exact.any(axis=0), 0.0, np.nextafter(high, np.inf))
    return Terms(row, c.indices.astype(np.int32), c.data, low, high)


def add_up(values: Array, part: Index, count: int) -> Array:
    """Add up the values of each part, rounded up: never below the exact sums.

    Parameters
    ----------
    values : array, shape (k,)
    part : array of int, shape (k,)
        Between 0 and ``count - 1``.
    count : int

    Returns
    -------
    array, shape (count,)

    Examples
    --------
    >>> sums = add_up(np.full(10, 0.1), np.zeros(10, int), 1)
    >>> from fractions import Fraction
    >>> bool(Fraction(sums[0]) >= 10 * Fraction(0.1)), round(float(sums[0]), 12)
    (True, 1.0)
    """
    total = np.bincount(part, weights=values, minlength=count)
    size = np.bincount(part, weights=np.abs(values), minlength=count)
    terms = np.bincount(part, minlength=count)
    # n additions are off by (n - 1) units of the sum of sizes, which is itself off by as much.
    error = 2.0 * (terms + 2) * _UNIT * size
    return np.asarray(np.where(size > 0.0, np.nextafter(total + error, np.inf), 0.0))
