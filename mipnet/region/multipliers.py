"""Multipliers of linear rows: any are valid in a dual bound, these make it tight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from formulations import ProgramArrays
from mipnet.network.interval import weigh
from mipnet.region.base import Array, Index, Region
from mipnet.region.box import Box
from mipnet.region.rows import Rows

#: Forms up to which every one gets its multipliers from a linear program, and forms times columns.
PROGRAMS, PROGRAM_SIZE = 32, 4096
#: Steps of the dual ascent.
STEPS = 25


@dataclass(frozen=True, eq=False)
class Scaled:
    """A program in units of the widths of its columns and the ranges of its rows.

    The column ``v`` becomes ``(v - origin) / width``, so that no entry is lost to the absolute
    tolerances of a solver; integer columns stay as they are.

    Attributes
    ----------
    matrix : scipy.sparse.csr_array, shape (n_rows, n_columns)
    row_lower, row_upper, span : array, shape (n_rows,)
        Sides, and what a row was divided by.
    lower, upper, origin, width : array, shape (n_columns,)
    integer : array of bool, shape (n_columns,)
    """

    matrix: Any
    row_lower: Array
    row_upper: Array
    span: Array
    lower: Array
    upper: Array
    origin: Array
    width: Array
    integer: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, arrays: ProgramArrays) -> Scaled:
        """Scale a program with finite column bounds."""
        width = arrays.upper - arrays.lower
        width = np.where(arrays.integer | (width == 0.0), 1.0, width)
        origin = np.where(arrays.integer, 0.0, arrays.lower)
        span = np.asarray(abs(arrays.matrix) @ width)
        span = np.where(span > 0.0, span, 1.0)
        matrix = sp.diags_array(1.0 / span) @ arrays.matrix @ sp.diags_array(width)
        shift = arrays.matrix @ origin
        return cls(
            sp.csr_array(matrix),
            (arrays.row_lower - shift) / span,
            (arrays.row_upper - shift) / span,
            span,
            (arrays.lower - origin) / width,
            (arrays.upper - origin) / width,
            origin,
            width,
            arrays.integer,
        )

    @property
    def open(self) -> npt.NDArray[np.bool_]:
        """Rows that are no equations, shape (n_rows,)."""
        return self.row_lower < self.row_upper


@dataclass(eq=False)
class Multipliers:
    """Finds multipliers of rows over a base region.

    Parameters
    ----------
    base : Region
    rows : Rows
    anchor : array, shape (n,)
        A point of the base that satisfies the rows.
    scaled : Scaled
        The base and the rows, encoded.
    inputs : array of int32, shape (n,)
        Its input columns.
    own : slice
        Where it has the rows.
    """

    base: Region
    rows: Rows
    anchor: Array
    scaled: Scaled
    inputs: Index
    own: slice
    _matrix: Any = field(init=False, repr=False)
    _sides: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        scaled = self.scaled
        self._up, self._down = np.isfinite(scaled.row_upper), np.isfinite(scaled.row_lower)
        self._matrix = sp.vstack([scaled.matrix[self._up], -scaled.matrix[self._down]])
        self._sides = np.concatenate([scaled.row_upper[self._up], -scaled.row_lower[self._down]])

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
        count = a.shape[0] * a.shape[1]
        if count <= PROGRAMS and count * self.scaled.width.size <= PROGRAM_SIZE:
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
        none, scaled, inputs = np.zeros(len(self.rows.matrix)), self.scaled, self.inputs
        origin, width = scaled.origin[inputs], scaled.width[inputs]
        size = float(np.abs(form * width).max(initial=0.0))
        if not (np.isfinite(size) and size > 0.0):
            return none
        cost = np.zeros(scaled.width.size)
        cost[inputs] = form * width / size
        # The stubs of scipy know neither sparse rows nor arrays of bounds.
        bounds: Any = np.column_stack([scaled.lower, scaled.upper])
        bounds[inputs, 0], bounds[inputs, 1] = (lower - origin) / width, (upper - origin) / width
        # Imported on use: it takes a good part of the time of a short command.
        from scipy.optimize import linprog

        found = linprog(cost, self._matrix, self._sides, bounds=bounds, method="highs")
        if found.status != 0:
            return none
        marginals, count = found.ineqlin.marginals, int(np.count_nonzero(self._up))
        duals = np.zeros(scaled.span.size)
        duals[self._up] += np.minimum(marginals[:count], 0.0)
        duals[self._down] -= np.minimum(marginals[count:], 0.0)
        return np.asarray((duals * size / scaled.span)[self.own])
