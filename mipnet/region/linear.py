"""Regions with linear constraints on the inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from formulations import AffineForm, Program, ProgramArrays
from mipnet.errors import RegionError
from mipnet.network.interval import weigh
from mipnet.region.base import Array, Index, Region
from mipnet.region.box import Box
from mipnet.region.rows import Rows
from mipnet.rounding import UNIT, down, gamma

#: Forms up to which every one gets its multipliers from a linear program.
_PROGRAMS = 32
#: Steps of the dual ascent.
_STEPS = 25
#: Sweeps over base and rows before a point is pulled towards the anchor.
_SWEEPS = 8
#: Linear programs solved for an anchor inside a base with curved sides, and what they may leak.
_ROUNDS, _LEAK = 60, 1e-9
#: Shares of the way to the anchor that are tried.
_SHARES = (0.0, *(2.0**-k for k in (40, 34, 28, 22, 16, 12, 8, 6, 4, 3, 2, 1)))


class Constrained(Region):
    r"""All points of a base region with ``lower <= matrix @ x <= upper``.

    Parameters
    ----------
    base : Region
    matrix : array_like, shape (m, n)
    lower, upper : array_like, shape (m,) or scalar
        Sides, infinite where absent; equal for an equation. An equation holds exactly at every
        witness, which needs coefficients that are small whole numbers (a sum of inputs, say).

    Raises
    ------
    RegionError
        When the rows are malformed, no point of the base satisfies them, or no floating-point
        number does.

    Examples
    --------
    >>> region = Constrained(Box([0.0, 0.0], [1.0, 1.0]), [[1.0, 1.0]], upper=0.5)
    >>> region.contains(np.array([0.25, 0.25])), region.contains(np.array([0.5, 0.25]))
    (True, False)
    >>> region.minimise(np.array([[[-1.0, -2.0]]])).round(9).tolist()
    [[-1.0]]
    """

    def __init__(
        self,
        base: Region,
        matrix: npt.ArrayLike,
        lower: npt.ArrayLike = -np.inf,
        upper: npt.ArrayLike = np.inf,
    ) -> None:
        rows = Rows.checked(matrix, lower, upper, base.n_inputs)
        if isinstance(base, Constrained):
            base, rows = base.base, base.rows.stack(rows)
        self.base, self.rows = base, rows
        self.exact_encoding = base.exact_encoding
        self._refuse_hopeless()
        self.lower, self.upper = rows.tighten(base.lower, base.upper)
        self._program = Program()
        self._inputs = base.encode(self._program)
        self._first = self._program.n_rows
        self._add_rows(self._program, self._inputs)
        self._anchor = self._inside()
        self._arrays = self._program.freeze()
        self.centre = base.centre if self.contains(base.centre) else self._anchor

    def _refuse_hopeless(self) -> None:
        """Name a row that no point of the base satisfies."""
        least = self.base.minimise(self.rows.matrix[None])[0]
        most = -self.base.minimise(-self.rows.matrix[None])[0]
        for i in np.flatnonzero((least > self.rows.upper) | (most < self.rows.lower)):
            msg = f"the region is empty: row {i} has values from {least[i]:.6g} to {most[i]:.6g} "
            msg += f"on the base, outside its sides {self.rows.lower[i]} and {self.rows.upper[i]}"
            raise RegionError(msg)

    # ------------------------------------------------------------------ a point well inside

    def _inside(self) -> Array:
        """Return a point as far from all sides as possible, exactly inside."""
        found, room = self._deepest()
        point = self.base.project(found[None])[0]
        rows = self.rows
        if room < _LEAK:
            # No room: the sides that are met become equations.
            value = rows.matrix @ point
            at_upper = rows.upper - value <= 1e-7 * (1.0 + np.abs(value))
            at_lower = value - rows.lower <= 1e-7 * (1.0 + np.abs(value))
            low = np.where(at_upper, rows.upper, rows.lower)
            rows = Rows(rows.matrix, low, np.where(at_lower & ~at_upper, rows.lower, rows.upper))
        candidates = [point, np.round(point, 9)]
        if rows.equations.any():
            candidates += [rows.solve(c, self.base.lower, self.base.upper) for c in candidates]
        for candidate in candidates:
            if candidate is not None and self.contains(candidate):
                return candidate
        msg = "no floating-point number was found that satisfies all rows exactly; give equations "
        msg += "whole coefficients, or their sides some distance"
        raise RegionError(msg)

    def _deepest(self) -> tuple[Array, float]:
        """Point with the largest slack in all sides, relative to their ranges, and that slack."""
        for _ in range(_ROUNDS):
            arrays = self._program.freeze()
            found = milp(
                np.append(np.zeros(arrays.n_columns), -1.0),
                constraints=self._slackened(arrays),
                bounds=Bounds(np.append(arrays.lower, 0.0), np.append(arrays.upper, 0.5)),
                integrality=np.append(arrays.integer, False),
            )
            if found.x is None:
                what = "no point of the base satisfies all rows together"
                msg = f"the region is empty: {what}" if found.status == 2 else str(found.message)
                raise RegionError(msg)
            point = np.asarray(found.x[self._inputs])
            forms, sides = self.base.cuts(self._inputs, point[None])
            outside = np.flatnonzero(forms.evaluate(found.x[:-1]) > sides + _LEAK)
            if not outside.size:
                break
            self._program.add_rows(forms.select(outside), lower=-np.inf, upper=sides[outside])
        return point, float(found.x[-1])

    def _slackened(self, arrays: ProgramArrays) -> LinearConstraint:
        """Rows and input bounds, each side moved inwards by a multiple of the last column."""
        span = np.asarray(abs(arrays.matrix) @ (arrays.upper - arrays.lower))
        open_ = arrays.row_lower < arrays.row_upper
        last = np.zeros(arrays.n_columns)
        if arrays.integer.any():
            # Sides that say which inputs stay where they are have no inside.
            own = np.arange(arrays.n_rows) - self._first
            open_ &= (own >= 0) & (own < len(self.rows.matrix))
        else:
            last[self._inputs] = (arrays.upper - arrays.lower)[self._inputs]
        slack, eye = sp.csr_array(np.where(open_, span, 0.0)[:, None]), sp.eye_array(last.size)
        column = sp.csr_array(last[:, None])
        matrix = sp.block_array(
            [
                [arrays.matrix, slack],
                [-arrays.matrix, slack],
                [eye, column],
                [-eye, column],
            ],
            format="csr",
        )
        upper = np.concatenate([arrays.row_upper, -arrays.row_lower, arrays.upper, -arrays.lower])
        return LinearConstraint(matrix, -np.inf, upper)

    # ------------------------------------------------------------------ proofs

    def minimise(
        self, coefficients: Array, lower: Array | None = None, upper: Array | None = None
    ) -> Array:
        r"""Lower bounds over base and rows, by weak duality.

        For any multipliers :math:`y`

        .. math::

            \min_{x \in B} (a - A^T y) \cdot x + \sum_i (y_i^+ l_i - y_i^- u_i)

        is valid, whatever the base :math:`B`. Few forms get their multipliers from linear
        programs over the encoded base, many from a dual ascent; never below the bound of the
        base alone.
        """
        lo = self.lower[None] if lower is None else lower
        hi = self.upper[None] if upper is None else upper
        batch = max(len(coefficients), len(lo))
        a = np.broadcast_to(coefficients, (batch, *coefficients.shape[1:]))
        best = self.base.minimise(a, lo, hi)
        with np.errstate(over="ignore", invalid="ignore"):
            for multipliers in self._multipliers(a, lo, hi, whole=lower is None):
                best = np.fmax(best, self._lagrangian(a, multipliers, lo, hi))
        return np.asarray(best)

    def _lagrangian(self, a: Array, y: Array, lo: Array, hi: Array) -> Array:
        """Bound of some multipliers, shape (batch, targets, m), rounded down."""
        rows, m = self.rows, y.shape[-1]
        reduced = a - y @ rows.matrix
        sides = np.where(y > 0.0, rows.lower, np.where(y < 0.0, rows.upper, 0.0))
        terms = y * sides
        least = self.base.minimise(reduced, lo, hi)
        size = np.maximum(np.abs(lo), np.abs(hi))
        error = weigh(np.abs(a) + np.abs(y) @ np.abs(rows.matrix), size)
        error = gamma(m + 8) * (error + np.abs(terms).sum(axis=-1))
        value = least + terms.sum(axis=-1)
        return down(value, error + 4.0 * UNIT * (np.abs(value) + np.abs(least)))

    def _multipliers(self, a: Array, lo: Array, hi: Array, *, whole: bool) -> Iterator[Array]:
        """Multipliers worth evaluating, shape (batch, targets, m) each."""
        yield self._ascended(a, lo, hi, whole=whole)
        if a.shape[0] * a.shape[1] <= _PROGRAMS:
            program = _Duals(self._arrays, self._inputs, self._first, self.rows)
            boxes = [np.broadcast_to(end, (len(a), lo.shape[-1])) for end in (lo, hi)]
            found = [
                [program(form, low, high) for form in forms]
                for forms, low, high in zip(a, *boxes, strict=True)
            ]
            yield np.array(found)

    def _ascended(self, a: Array, lo: Array, hi: Array, *, whole: bool) -> Array:
        """Dual ascent with steps of Polyak (1969), the value at a known point as the goal."""
        rows, lengths = self.rows, self.rows.lengths
        matrix, low, high = (
            rows.matrix / lengths[:, None], rows.lower / lengths, rows.upper / lengths
        )  # fmt: skip
        y = np.zeros((*a.shape[:2], len(matrix)))
        best, best_y = np.full(a.shape[:2], -np.inf), y
        goal = weigh(a, np.clip(self._anchor, lo, hi))
        slack = 1e-3 * weigh(np.abs(a), hi - lo)
        pace = np.ones(a.shape[:2])
        for _ in range(_STEPS):
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

    def _add_rows(self, program: Program, columns: Index) -> None:
        forms = AffineForm.of_columns(columns).affine(self.rows.matrix, np.zeros(1))
        program.add_rows(forms, lower=self.rows.lower, upper=self.rows.upper)

    def encode(self, program: Program) -> Index:
        """Append the base, then the rows as they are: their entries are floats."""
        columns = self.base.encode(program)
        self._add_rows(program, columns)
        return columns

    def cuts(self, columns: Index, points: Array) -> tuple[AffineForm, Array]:
        """Cuts of the base."""
        return self.base.cuts(columns, points)

    # ------------------------------------------------------------------ witnesses

    def ascent(self, gradient: Array) -> Array:
        """Take the steps of the base."""
        return self.base.ascent(gradient)

    def contains(self, point: Array) -> bool:
        """See :meth:`Region.contains`; the rows hold in rational arithmetic."""
        return self.base.contains(point) and self.rows.hold(point)

    def project(self, points: Array) -> Array:
        """Project to base and rows in turn, then go towards a point inside as far as needed."""
        current = self.base.project(points)
        for _ in range(_SWEEPS):
            wrong = np.flatnonzero(~self.rows.certain(current))
            if not wrong.size:
                return current
            current[wrong] = self.base.project(self.rows.sweep(current[wrong]))
        wrong = np.flatnonzero(~self.rows.certain(current))
        if wrong.size:
            current[wrong] = self._pulled(current[wrong])
        return current

    def _pulled(self, points: Array) -> Array:
        """Points moved towards the anchor until they are inside."""
        lower, upper = self.base.lower, self.base.upper
        flat = self.rows.flatten(points, lower, upper)
        # The anchor is in the box, so what a point is outside by is a share of the way to it.
        outside = np.abs(flat - np.clip(flat, lower, upper))
        way = np.abs(flat - self._anchor)
        share = (outside / np.where(way > 0.0, way, 1.0)).max(axis=-1)
        share = np.maximum(share, self.rows.share(flat, self._anchor))
        moved = flat + share[:, None] * (self._anchor - flat)
        if not self.rows.equations.any():
            moved = self.base.project(moved)
            doubtful = np.flatnonzero(~self.rows.certain(moved))
        else:
            doubtful = np.arange(len(moved))
        for i in doubtful:
            moved[i] = self._walked(moved[i])
        return moved

    def _walked(self, point: Array) -> Array:
        """First point inside on the way to the anchor."""
        for share in _SHARES:
            mixed = point + share * (self._anchor - point)
            near: Array | None = self.base.project(mixed[None])[0]
            if self.rows.equations.any():
                near = self.rows.solve(mixed, self.base.lower, self.base.upper)
            if near is not None and self.contains(near):
                return near
        return self._anchor

    def describe(self) -> dict[str, Any]:
        """Kind, number of rows and inputs, and the base."""
        return {
            "kind": "constrained",
            "rows": len(self.rows.matrix),
            "inputs": self.n_inputs,
            "base": self.base.describe(),
        }


class _Duals:
    """Linear programs over an encoded base with rows, for the multipliers of the rows."""

    def __init__(self, arrays: ProgramArrays, inputs: Index, first: int, rows: Rows) -> None:
        self._arrays, self._inputs = arrays, inputs
        self._own = first, len(rows.matrix)
        self._up, self._down = np.isfinite(arrays.row_upper), np.isfinite(arrays.row_lower)
        parts = [arrays.matrix[self._up], -arrays.matrix[self._down]]
        self._matrix: Any = sp.csr_array(sp.vstack(parts))
        self._sides = np.concatenate([arrays.row_upper[self._up], -arrays.row_lower[self._down]])

    def __call__(self, form: Array, lower: Array, upper: Array) -> Array:
        """Multipliers of the rows for one form over a box; zero when there are none."""
        first, m = self._own
        size = float(np.abs(form).max(initial=0.0))
        if not (np.isfinite(size) and size > 0.0):
            return np.zeros(m)
        cost, low, high = np.zeros(self._arrays.n_columns), *self._ends(lower, upper)
        cost[self._inputs] = form / size
        found = linprog(
            cost, self._matrix, self._sides, bounds=np.column_stack([low, high]), method="highs"
        )
        if found.status != 0:
            return np.zeros(m)
        both = np.zeros((2, self._arrays.n_rows))
        count = int(np.count_nonzero(self._up))
        both[0, self._up] = np.minimum(found.ineqlin.marginals[:count], 0.0)
        both[1, self._down] = np.maximum(-found.ineqlin.marginals[count:], 0.0)
        return np.asarray(both.sum(axis=0)[first : first + m] * size)

    def _ends(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        low, high = self._arrays.lower.copy(), self._arrays.upper.copy()
        low[self._inputs] = lower
        high[self._inputs] = upper
        return low, high
