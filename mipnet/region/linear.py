"""Regions with linear constraints on the inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from formulations import AffineForm, Program
from mipnet.errors import RegionError
from mipnet.network.interval import weigh
from mipnet.region.base import Array, Index, Region
from mipnet.region.multipliers import Multipliers, Scaled
from mipnet.region.rows import Rows
from mipnet.rounding import UNIT, down, gamma

if TYPE_CHECKING:
    from scipy.optimize import LinearConstraint

#: Sweeps over base and rows before a point is pulled towards the anchor.
_SWEEPS = 10
#: Linear programs solved for an anchor inside a base with curved sides, and what they may leak.
_ROUNDS, _LEAK = 60, 1e-9
#: Distance from the sides, relative to the ranges of the rows, with which the centre of the base is
#: well inside, and with which any point is well enough.
_COMFORT, _ENOUGH = 1e-2, 1e-4
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
    >>> from mipnet.region import Box
    >>> region = Constrained(Box([0.0, 0.0], [1.0, 1.0]), [[1.0, 1.0]], upper=0.5)
    >>> region.contains(np.array([0.25, 0.25])), region.contains(np.array([0.5, 0.25]))
    (True, False)
    >>> region.minimise(np.array([[[-1.0, -2.0]]])).round(9).tolist()
    [[-1.0]]
    """

    base: Region
    rows: Rows

    def __init__(
        self,
        base: Region,
        matrix: npt.ArrayLike,
        lower: npt.ArrayLike = -np.inf,
        upper: npt.ArrayLike = np.inf,
    ) -> None:
        rows = Rows.checked(matrix, lower, upper, base.n_inputs)
        if isinstance(base, Constrained):
            rows = base.rows.stack(rows)
            base = base.base
        self.base, self.rows = base, rows
        self.exact_encoding = base.exact_encoding
        self._refuse_hopeless()
        self.lower, self.upper = rows.tighten(base.lower, base.upper)
        self._program = Program()
        self._inputs = base.encode(self._program)
        first = self._program.n_rows
        self._own = slice(first, first + len(rows.matrix))
        self._add_rows(self._program, self._inputs)
        self._convex = not self._program.freeze().integer.any()
        self._anchor = self._inside()
        scaled = Scaled.of(self._program.freeze())
        self._multipliers = Multipliers(base, rows, self._anchor, scaled, self._inputs, self._own)
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
        """Return a point well away from all sides where there is one, exactly inside."""
        if self._comfortable(self.base.centre, _COMFORT):
            return self.base.centre
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
                return np.asarray(candidate)
        msg = "no floating-point number was found that satisfies all rows exactly; give equations "
        msg += "whole coefficients, or their sides some distance"
        raise RegionError(msg)

    def _comfortable(self, point: Array, share: float) -> bool:
        """Whether a point has some distance from the sides of all rows."""
        rows = self.rows
        value = rows.matrix @ point
        span = np.abs(rows.matrix) @ (self.base.upper - self.base.lower)
        slack = np.minimum(rows.upper - value, value - rows.lower)
        return bool(np.all(slack > share * span)) and self.contains(point)

    def _deepest(self) -> tuple[Array, float]:
        """Point with the largest slack in all sides, relative to their ranges, and that slack."""
        # Imported on use: it takes a good part of the time of a short command.
        from scipy import optimize

        for _ in range(_ROUNDS):
            scaled = Scaled.of(self._program.freeze())
            found: Any = optimize.milp(
                np.append(np.zeros(scaled.width.size), -1.0),
                constraints=self._slackened(scaled),
                bounds=optimize.Bounds(np.append(scaled.lower, 0.0), np.append(scaled.upper, 0.5)),
                integrality=np.append(scaled.integer, False),
            )
            if found.x is None:
                what = "no point of the base satisfies all rows together"
                msg = f"the region is empty: {what}" if found.status == 2 else str(found.message)
                raise RegionError(msg)
            values, room = scaled.origin + scaled.width * found.x[:-1], float(found.x[-1])
            point = values[self._inputs]
            if self._comfortable(self.base.project(point[None])[0], _ENOUGH):
                break
            forms, sides = self.base.cuts(self._inputs, point[None])
            outside = np.flatnonzero(forms.evaluate(values) > sides + _LEAK)
            if not outside.size:
                break
            self._program.add_rows(forms.select(outside), lower=-np.inf, upper=sides[outside])
        return point, room

    def _slackened(self, scaled: Scaled) -> LinearConstraint:
        """Rows and input bounds, each side moved inwards by a multiple of the last column."""
        from scipy import optimize

        slack, last = np.where(scaled.open, 1.0, 0.0), np.zeros(scaled.width.size)
        if self._convex:
            last[self._inputs] = 1.0
        else:
            # Sides that say which inputs stay where they are have no inside.
            slack[: self._own.start] = slack[self._own.stop :] = 0.0
        column, eye = sp.csr_array(slack[:, None]), sp.eye_array(last.size)
        bound = sp.csr_array(last[:, None])
        blocks = [[scaled.matrix, column], [-scaled.matrix, column], [eye, bound], [-eye, bound]]
        matrix: Any = sp.block_array(blocks, format="csr")
        sides = [scaled.row_upper, -scaled.row_lower, scaled.upper, -scaled.lower]
        return optimize.LinearConstraint(matrix, -np.inf, np.concatenate(sides))

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
        """Nearly the Euclidean projection, then towards a point inside as far as needed."""
        found = self.base.project(points)
        wrong = np.flatnonzero(~self.rows.certain(found))
        if wrong.size:
            near = self._alternated(points[wrong], found[wrong])
            outside = np.flatnonzero(~self.rows.certain(near))
            near[outside] = self._pulled(near[outside])
            found[wrong] = near
        return found

    def _alternated(self, points: Array, start: Array) -> Array:
        """Do some sweeps of the algorithm of Dykstra (JASA 1983), ending in the base.

        Without its corrections, plain alternating projections, where the base is not convex.
        """
        width = self.base.upper - self.base.lower
        far = self.base.lower - width, self.base.upper + width
        current = np.clip(np.where(np.isnan(points), start, points), *far)
        shift, shifts = np.zeros_like(current), np.zeros((len(current), len(self.rows.matrix)))
        for _ in range(_SWEEPS):
            inside = self.base.project(current - shift)
            if self._convex:
                shift = inside - (current - shift)
            else:
                shifts = np.zeros_like(shifts)
            current, shifts = self.rows.sweep(inside, shifts)
        return self.base.project(current)

    def _pulled(self, points: Array) -> Array:
        """Points moved towards the anchor until they are inside."""
        lower, upper = self.base.lower, self.base.upper
        flat = self.rows.flatten(points, lower, upper)
        # The anchor is in the box, so what a point is outside by is a share of the way to it.
        outside = np.abs(flat - np.clip(flat, lower, upper))
        way = np.abs(flat - self._anchor)
        share = (outside / np.where(way > 0.0, way, 1.0)).max(axis=-1)
        share = np.maximum(share, self.rows.share(flat, self._anchor))
        moved = np.asarray(flat + share[:, None] * (self._anchor - flat))
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
                return np.asarray(near)
        return self._anchor

    def describe(self) -> dict[str, Any]:
        """Kind, number of rows and inputs, and the base."""
        return {
            "kind": "constrained",
            "rows": len(self.rows.matrix),
            "inputs": self.n_inputs,
            "base": self.base.describe(),
        }
