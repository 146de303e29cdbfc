"""Linear rows over the inputs: exact membership, nearby solutions, implied boxes."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.linalg

from mipnet.errors import RegionError
from mipnet.region.base import Array
from mipnet.rounding import TINY, UNIT, down, gamma, up

#: Rows narrower than this, relative to what they range over, are met by solving, not by moving.
_NARROW = 1e-6


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows ``lower <= matrix @ x <= upper``.

    Attributes
    ----------
    matrix : array, shape (m, n)
    lower, upper : array, shape (m,)
        Infinite where absent; equal for an equation.
    """

    matrix: Array
    lower: Array
    upper: Array

    @classmethod
    def checked(
        cls, matrix: npt.ArrayLike, lower: npt.ArrayLike, upper: npt.ArrayLike, n: int
    ) -> Rows:
        """Return rows over ``n`` inputs.

        Raises
        ------
        RegionError
            When shapes do not fit, a coefficient is not finite, or the sides leave no value.
        """
        a = np.atleast_2d(np.array(matrix, dtype=np.float64))
        if a.ndim != 2 or a.shape[1] != n:
            msg = f"the rows need shape (m, {n}), one coefficient for each input; got {a.shape}"
            raise RegionError(msg)
        bad = np.argwhere(~np.isfinite(a))
        if bad.size:
            msg = f"row {bad[0][0]}: the coefficient of input {bad[0][1]} is NaN or infinite"
            raise RegionError(msg)
        sides = []
        for name, side in (("lower", lower), ("upper", upper)):
            values = np.asarray(side, dtype=np.float64).reshape(-1)
            if values.size not in (1, len(a)):
                msg = f"{name} has {values.size} values for {len(a)} rows"
                raise RegionError(msg)
            sides.append(np.broadcast_to(values, len(a)).copy())
        low, high = sides
        wrong = np.flatnonzero(~(low <= high) | (low == np.inf) | (high == -np.inf))
        if wrong.size:
            i = wrong[0]
            msg = f"row {i}: no value lies between the sides {low[i]} and {high[i]}"
            raise RegionError(msg)
        return cls(a, low, high)

    def stack(self, other: Rows) -> Rows:
        """Return these rows and others."""
        return Rows(
            np.concatenate([self.matrix, other.matrix]),
            np.concatenate([self.lower, other.lower]),
            np.concatenate([self.upper, other.upper]),
        )

    def select(self, chosen: npt.NDArray[np.bool_]) -> Rows:
        """Return the chosen rows."""
        return Rows(self.matrix[chosen], self.lower[chosen], self.upper[chosen])

    @cached_property
    def equations(self) -> npt.NDArray[np.bool_]:
        """Rows with equal sides, shape (m,)."""
        return np.asarray(self.lower == self.upper)

    @cached_property
    def lengths(self) -> Array:
        """Euclidean lengths of the rows, 1 where a row is zero; shape (m,)."""
        length = np.linalg.norm(self.matrix, axis=1)
        return np.where(length > 0.0, length, 1.0)

    def activity(self, points: Array) -> tuple[Array, Array]:
        """Values of the rows at points (batch, n), and bounds of their error; (batch, m) each."""
        error = gamma(points.shape[-1] + 4) * (np.abs(points) @ np.abs(self.matrix).T)
        return np.asarray(points @ self.matrix.T), 2.0 * error + TINY

    def certain(self, points: Array) -> npt.NDArray[np.bool_]:
        """Points that satisfy all rows whatever rounding did, shape (batch,)."""
        value, error = self.activity(points)
        inside = (value - error >= self.lower) & (value + error <= self.upper)
        return np.asarray(inside.all(axis=-1))

    def hold(self, point: Array) -> bool:
        """Whether a point satisfies all rows; rational arithmetic where rounding could decide."""
        value, error = (part[0] for part in self.activity(point[None]))
        if np.any((value + error < self.lower) | (value - error > self.upper)):
            return False
        doubtful = ~((value - error >= self.lower) & (value + error <= self.upper))
        for i in np.flatnonzero(doubtful):
            exact = _dot(self.matrix[i], point)
            if not self.lower[i] <= exact <= self.upper[i]:
                return False
        return True

    def sweep(self, points: Array, shifts: Array) -> tuple[Array, Array]:
        """Project to one row after the other, each from where its last shift began.

        Parameters
        ----------
        points : array, shape (batch, n)
        shifts : array, shape (batch, m)
            How far each row moved each point in the last sweep, along the row; zeros before the
            first.

        Returns
        -------
        points, shifts : arrays
        """
        moved, done = points.copy(), np.empty_like(shifts)
        for i, a in enumerate(self.matrix):
            back = moved - shifts[:, i, None] * a
            value = back @ a
            inside = np.clip(value, self.lower[i], self.upper[i])
            done[:, i] = (inside - value) / self.lengths[i] ** 2
            moved = back + done[:, i, None] * a
        return moved, done

    def flatten(self, points: Array, lower: Array, upper: Array) -> Array:
        """Move points to the middle of the narrow rows, along the shortest way."""
        span = np.abs(self.matrix) @ (upper - lower)
        narrow = self.upper - self.lower <= _NARROW * span
        if not narrow.any():
            return points
        middle = 0.5 * self.lower[narrow] + 0.5 * self.upper[narrow]
        missing = middle - points @ self.matrix[narrow].T
        return np.asarray(points + missing @ np.linalg.pinv(self.matrix[narrow]).T)

    def share(self, points: Array, anchor: Array) -> Array:
        """How far towards an anchor inside points must go to satisfy the rows, shape (batch,)."""
        value, error = self.activity(points)
        goal = anchor @ self.matrix.T
        with np.errstate(divide="ignore", invalid="ignore"):
            above = (value - (self.upper - error)) / (value - goal)
            below = ((self.lower + error) - value) / (goal - value)
        above = np.where(value > self.upper - error, above, 0.0)
        below = np.where(value < self.lower + error, below, 0.0)
        share = np.where(self.equations, 0.0, np.maximum(above, below)).max(axis=-1, initial=0.0)
        return np.asarray(np.where(share < 1.0, share * (1.0 + 2.0**-40), 1.0))

    def solve(self, point: Array, lower: Array, upper: Array) -> Array | None:
        """Nearby point that satisfies all equations exactly; None when no float is found.

        All inputs but as many as there are equations are rounded to a coarse grid, so that sums
        of them are exact; the others, chosen for their room in the box, follow in rational
        arithmetic. They are floats where the coefficients are small whole numbers.
        """
        rows = self.select(self.equations)
        room = np.maximum(np.minimum(point - lower, upper - point), 0.0)
        weighted = rows.matrix / rows.lengths[:, None] * room
        _, triangle, order = scipy.linalg.qr(weighted, mode="economic", pivoting=True)
        diagonal = np.abs(np.diag(triangle))
        rank = int(np.count_nonzero(diagonal > 1e-9 * diagonal.max(initial=0.0)))
        if not rank:
            return point if rows.hold(point) else None
        solved, free = order[:rank], order[rank:]
        size = float(np.maximum(np.abs(lower), np.abs(upper)).max())
        grid = 2.0 ** (np.ceil(np.log2(max(size, 1e-300))) - 46)
        found = (
            np.clip(np.round(point / grid), np.ceil(lower / grid), np.floor(upper / grid)) * grid
        )
        found = np.where(lower == upper, point, found)
        sides = [
            Fraction(side) - _dot(a[free], found[free])
            for a, side in zip(rows.matrix, rows.lower.tolist(), strict=True)
        ]
        exact = _eliminate(rows.matrix[:, solved], sides)
        if exact is None:
            return None
        found[solved] = [float(v) for v in exact]
        if any(Fraction(float(v)) != v for v in exact):
            return None
        return np.asarray(found)

    def tighten(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        """Box of the points of a box that satisfy the rows, rounded outward.

        One pass of interval propagation: every row bounds every input by the others' best ends.

        Raises
        ------
        RegionError
            When no point is left; names the input.
        """
        a = self.matrix
        ends = a * lower, a * upper
        least, most = np.minimum(*ends), np.maximum(*ends)
        size = np.maximum(np.abs(least), np.abs(most)).sum(axis=1)
        terms = gamma(a.shape[1] + 8)
        high = self.upper[:, None] - (least.sum(axis=1, keepdims=True) - least)
        high = up(high, 2.0 * terms * (size + np.abs(self.upper))[:, None])
        low = self.lower[:, None] - (most.sum(axis=1, keepdims=True) - most)
        low = down(low, 2.0 * terms * (size + np.abs(self.lower))[:, None])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            high, low = high / a, low / a
        most_x = np.where(a > 0.0, high, np.where(a < 0.0, low, np.inf)).min(axis=0, initial=np.inf)
        least_x = np.where(a > 0.0, low, np.where(a < 0.0, high, -np.inf))
        least_x = least_x.max(axis=0, initial=-np.inf)
        tight_low = np.maximum(lower, down(least_x, 2.0 * UNIT * np.abs(least_x)))
        tight_high = np.minimum(upper, up(most_x, 2.0 * UNIT * np.abs(most_x)))
        empty = np.flatnonzero(tight_low > tight_high)
        if empty.size:
            msg = f"the region is empty: the rows leave no value for input {empty[0]}"
            raise RegionError(msg)
        return tight_low, tight_high


def _dot(coefficients: Array, values: Array) -> Fraction:
    """Exact dot product: floats are whole numbers times powers of two."""
    used = np.flatnonzero((coefficients != 0.0) & (values != 0.0))
    if not used.size:
        return Fraction(0)
    (a, a_power), (v, v_power) = np.frexp(coefficients[used]), np.frexp(values[used])
    whole = [(part * 2.0**53).astype(np.int64).tolist() for part in (a, v)]
    power = a_power.astype(np.int64) + v_power - 106
    least = int(power.min())
    terms = zip(*whole, (power - least).tolist(), strict=True)
    total = sum((p * q) << shift for p, q, shift in terms)
    return Fraction(total << least) if least >= 0 else Fraction(total, 1 << -least)


def _eliminate(matrix: Array, sides: list[Fraction]) -> list[Fraction] | None:
    """Solve ``matrix @ x = sides``, full column rank, exactly; None when it has no solution."""
    rows = [[Fraction(a) for a in row] + [b] for row, b in zip(matrix.tolist(), sides, strict=True)]
    rank = matrix.shape[1]
    for k in range(rank):
        pivot = max(range(k, len(rows)), key=lambda i: abs(rows[i][k]))
        rows[k], rows[pivot] = rows[pivot], rows[k]
        if rows[k][k] == 0:
            return None
        for i, row in enumerate(rows):
            if i != k and row[k] != 0:
                factor = row[k] / rows[k][k]
                rows[i] = [v - factor * p for v, p in zip(row, rows[k], strict=True)]
    if any(row[-1] != 0 for row in rows[rank:]):
        return None
    return [rows[k][-1] / rows[k][k] for k in range(rank)]
