"""Multipliers of linear rows: any are valid in a dual bound, these make it tight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linprog

from formulations import ProgramArrays
from mipnet.network.interval import weigh
from mipnet.region.base import Array, Index, Region
from mipnet.region.box import Box
from mipnet.region.rows import Rows

#: Forms up to which every one gets its multipliers from a linear program.
PROGRAMS = 32
#: Steps of the dual ascent.
STEPS = 25


@dataclass(eq=False)
class Multipliers:
    """Finds multipliers of rows over a base region.

    Parameters
    ----------
    base : Region
    rows : Rows
    anchor : array, shape (n,)
        A point of the base that satisfies the rows.
    arrays : ProgramArrays
        The base and the rows, encoded.
    inputs : array of int32, shape (n,)
        Input columns of ``arrays``.
    own : slice
        Where ``arrays`` has the rows.
    """

    base: Region
    rows: Rows
    anchor: Array
    arrays: ProgramArrays
    inputs: Index
    own: slice
    # Sparse; the stubs of scipy know dense arrays only.
    _matrix: Any = field(init=False, repr=False)
    _sides: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        arrays = self.arrays
        self._up, self._down = np.isfinite(arrays.row_upper), np.isfinite(arrays.row_lower)
        parts = [arrays.matrix[self._up], -arrays.matrix[self._down]]
        self._matrix = sp.csr_array(sp.vstack(parts))
        self._sides = np.concatenate([arrays.row_upper[self._up], -arrays.row_lower[self._down]])

    def __call__(self, a: Array, lower: Array, upper: Array, *, whole: bool) -> Iterator[Array]:
        """Multipliers worth evaluating, shape (batch, targets, m) each.

        Parameters
        ----------
        a : array, shape (batch, targets, n)
            Forms to be minimised.
        lower, upper : array, shape (batch or 1, n)
            Boxes to intersect base and rows with.
        whole : bool
            Whether the boxes hold all of the region.
        """
        yield self.ascend(a, lower, upper, whole=whole)
        if a.shape[0] * a.shape[1] <= PROGRAMS:
            ends = [np.broadcast_to(end, (len(a), lower.shape[-1])) for end in (lower, upper)]
            found = [
                [self.solve(form, low, high) for form in forms]
                for forms, low, high in zip(a, *ends, strict=True)
            ]
            yield np.array(found).reshape(*a.shape[:2], -1)

    def ascend(self, a: Array, lo: Array, hi: Array, *, whole: bool) -> Array:
        """Dual ascent with steps of Polyak (1969), the value at a known point as the goal."""
        rows, lengths = self.rows, self.rows.lengths
        matrix, low, high = (
            rows.matrix / lengths[:, None], rows.lower / lengths, rows.upper / lengths
        )  # fmt: skip
        y = np.zeros((*a.shape[:2], len(matrix)))
        best, best_y = np.full(a.shape[:2], -np.inf), y
        goal = weigh(a, np.clip(self.anchor, lo, hi))
        slack = 1e-3 * weigh(np.abs(a), hi - lo)
        pace = np.ones(a.shape[:2])
        for _ in range(STEPS):
            reduced = a - y @ matrix
            x = self._minimiser(reduced, lo, hi, whole=whole)
            value = np.einsum("btn,btn->bt", reduced, x)
            with np.errstate(invalid="ignore"):
                sides = np.where(y > 0.0, low, np.where(y < 0.0, high, 0.0))
            value = value + (y * sides).sum(axis=-1)
            better = value > best
            best, best_y = np.where(better, value, best), np.where(better[..., None], y, best_y)
            pace = np.where(better, pace, 0.7 * pace)
            activity = x @ matrix.T
            side = np.where(y > 0.0, low, np.where(y < 0.0, high, np.clip(activity, low, high)))
            slope = side - activity
            steepness = np.square(slope).sum(axis=-1)
            length = pace * np.maximum(goal - value, slack)
            length = length / np.where(steepness > 0.0, steepness, np.inf)
            moved = y + length[..., None] * slope
            # The slope changes where a multiplier changes sign: stop there first.
            moved = np.where(y * moved < 0.0, 0.0, moved)
            moved = np.where(np.isinf(low), np.minimum(moved, 0.0), moved)
            y = np.where(np.isinf(high), np.maximum(moved, 0.0), moved)
        return best_y / lengths

    def _minimiser(self, form: Array, lo: Array, hi: Array, *, whole: bool) -> Array:
        """Point where forms (batch, targets, n) are least on the base, or on boxes of it."""
        if whole and not isinstance(self.base, Box):
            flat = form.reshape(-1, form.shape[-1])
            return (self.base.centre + self.base.ascent(-flat)).reshape(form.shape)
        return np.where(form > 0.0, lo[:, None], hi[:, None])

    def solve(self, form: Array, lower: Array, upper: Array) -> Array:
        """Multipliers for one form over one box by a linear program; zero when it has none."""
        none = np.zeros(len(self.rows.matrix))
        size = float(np.abs(form).max(initial=0.0))
        if not (np.isfinite(size) and size > 0.0):
            return none
        cost = np.zeros(self.arrays.n_columns)
        cost[self.inputs] = form / size
        bounds: Any = np.column_stack([self.arrays.lower, self.arrays.upper])
        bounds[self.inputs] = np.column_stack([lower, upper])
        found = linprog(cost, self._matrix, self._sides, bounds=bounds, method="highs")
        if found.status != 0:
            return none
        marginals, count = found.ineqlin.marginals, int(np.count_nonzero(self._up))
        duals = np.zeros(self.arrays.n_rows)
        duals[self._up] += np.minimum(marginals[:count], 0.0)
        duals[self._down] -= np.minimum(marginals[count:], 0.0)
        return np.asarray(duals[self.own] * size)
