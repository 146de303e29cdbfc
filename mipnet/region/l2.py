"""l2 balls within a box."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from formulations import AffineForm, Program
from mipnet.errors import RegionError
from mipnet.network.interval import weigh
from mipnet.region.base import (
    EMPTY,
    Array,
    Index,
    Region,
    ball_box,
    centre_in_box,
    checked_radius,
    finite_box,
    pull_in,
)
from mipnet.region.box import minimise_over_box
from mipnet.rounding import UNIT, down, gamma, up

#: Share of the radius witnesses stay away from the boundary, so that a distance computed in any
#: order in float64 does not exceed the radius.
_INSIDE = 1.0 - 2.0**-40
#: Radius below which squares of steps underflow; such a ball is a point to all but proofs.
_POINT = 1e-140
#: Radius below which the tolerances of a solver are larger than the ball.
_LEAK = 1e-12
#: Steps relative to the radius below which a tangent of the square is left out.
_SLIGHT = 1e-6
#: Where the first tangents touch the squares, relative to steps of equal size in all inputs.
_FIRST = (1.0, 2.0, 4.0)
#: Newton steps of the one-dimensional search, and when to stop.
_STEPS, _CLOSE = 100, 1e-12


class L2Ball(Region):
    r"""All ``x`` of a domain with ``sum (x_i - centre_i)**2 <= radius**2``.

    Rows describe the ball from outside: a column for every square :math:`z_i \ge w_i^2`,
    :math:`w = (x - c) / r`, with :math:`\sum_i z_i \le 1`, and tangents
    :math:`z_i \ge 2 \delta w_i - \delta^2`. Tangents of single squares close in on the ball much
    faster than tangents of the ball (Vielma, Dunning, Huchette and Lubin, Math. Prog. Comp. 2017);
    the first ones, at multiples of :math:`\delta = \pm 1/\sqrt n`, include the bound
    :math:`\sum_i |w_i| \le \sqrt n` of the l1 norm.

    Parameters
    ----------
    centre : array_like, shape (n,)
    radius : float
    lower, upper : array_like, shape (n,)
        The domain; must hold the centre.
    tangents : array_like, shape (k, n), optional
        Points whose :meth:`cuts` become part of the encoding.
    """

    exact_encoding = False

    def __init__(
        self,
        centre: npt.ArrayLike,
        radius: float,
        lower: npt.ArrayLike,
        upper: npt.ArrayLike,
        tangents: npt.ArrayLike | None = None,
    ) -> None:
        domain = finite_box(lower, upper)
        self.radius = checked_radius(radius)
        self.centre = centre_in_box(centre, *domain)
        # Points further away than this project as if they were here.
        width = 2.0 * (self.radius + np.max(domain[1] - domain[0]))
        self._far_ends = self.centre - width, self.centre + width
        outer, inner = ball_box(self.centre, self.radius, *domain)
        self.lower, self.upper = finite_box(outer.lower, outer.upper)
        self.inner_lower, self.inner_upper = inner.lower, inner.upper
        self._small = self.radius < _POINT
        self._tangents = np.zeros((0, self.n_inputs))
        if tangents is not None:
            self._tangents = np.atleast_2d(np.array(tangents, dtype=np.float64))
            fits = self._tangents.shape[1:] == self.lower.shape
            if not (fits and np.isfinite(self._tangents).all()):
                msg = f"tangents must be finite points of {self.n_inputs} inputs, shape (k, n)"
                raise RegionError(msg)

    def minimise(
        self, coefficients: Array, lower: Array | None = None, upper: Array | None = None
    ) -> Array:
        r"""Minimum over box and ball, rounded down.

        For any split :math:`a = p + q`

        .. math:: \sum_i \min_{l_i \le x_i \le u_i} p_i x_i + q \cdot c - r \|q\|_2

        is valid. It equals the minimum for :math:`q = -\lambda (x^* - c)`, where
        :math:`x^* = c + \mathrm{clip}(-a / \lambda, l - c, u - c)` and :math:`\lambda` is such
        that :math:`\|x^* - c\| = r`: a one-dimensional search, whose errors cannot make the
        bound wrong.
        """
        ends = (
            self.lower[None] if lower is None else lower,
            self.upper[None] if upper is None else upper,
        )
        boxed = minimise_over_box(coefficients, *ends)
        if self._small:
            return boxed
        with np.errstate(over="ignore", invalid="ignore"):
            low, high = ((end - self.centre) / self.radius for end in ends)
            missed = _length(np.clip(0.0, low, high)) * (1.0 - gamma(low.shape[-1] + 10)) > 1.0
            part = self._ball_part(coefficients, low[:, None], high[:, None])
            bound = self._split_bound(coefficients, part, *ends)
        # A multiplier out of range proves nothing, as NaN.
        return np.asarray(np.where(missed[:, None], EMPTY, np.fmax(bound, boxed)))

    def _ball_part(self, a: Array, low: Array, high: Array) -> Array:
        """Return the part ``q`` of coefficients that the ball takes; the box takes the rest."""
        size = np.abs(a).max(axis=-1, keepdims=True, initial=0.0)
        unit = a / np.where(size > 0.0, size, 1.0)
        stretch, step = _stretch(-unit, low, high)
        inner = (low < step) & (step < high)
        held = np.isfinite(stretch)
        pull = np.where(held, size / np.where(held, stretch, 1.0), 0.0)
        # Where the box does not hold a coordinate back, the ball takes all of it.
        return np.where(held & inner, a, -step * pull)

    def _split_bound(self, a: Array, part: Array, lower: Array, upper: Array) -> Array:
        """Evaluate the bound of a split, rounded down."""
        rest, centre = a - part, self.centre[None]
        positive = np.maximum(rest, 0.0)
        negative = rest - positive
        pull = self.radius * _length(part)
        value = weigh(positive, lower) + weigh(negative, upper) + weigh(part, centre) - pull
        reach = np.maximum(np.abs(lower), np.abs(upper))
        size = weigh(positive - negative, reach) + weigh(np.abs(part), np.abs(centre)) + pull
        return down(value, gamma(a.shape[-1] + 12) * size)

    def ascent(self, gradient: Array) -> Array:
        """Along the gradient, cut off at the box, as far as the ball reaches."""
        if self._small:
            return np.zeros_like(gradient)
        size = np.abs(gradient).max(axis=-1, keepdims=True, initial=0.0)
        low, high = self._inner_steps()
        step = _stretch(gradient / np.where(size > 0.0, size, 1.0), low, high)[1]
        return step * self.radius

    def _inner_steps(self) -> tuple[Array, Array]:
        """Room for witnesses on either side of the centre, relative to the radius."""
        low, high = self.inner_lower - self.centre, self.inner_upper - self.centre
        return low / self.radius, high / self.radius

    def project(self, points: Array) -> Array:
        """Euclidean projection onto box and ball: a ray to the centre, cut off at the box."""
        if self._small:
            return np.broadcast_to(self.centre, points.shape).copy()
        known = np.where(np.isnan(points), self.centre, points)
        step = (np.clip(known, *self._far_ends) - self.centre) / self.radius
        low, high = self._inner_steps()
        far = _length(np.clip(step, low, high)) > _INSIDE
        if far.any():
            size = np.abs(step[far]).max(axis=-1, keepdims=True)
            shorter = _stretch(step[far] / size, low / _INSIDE, high / _INSIDE)[1]
            step[far] = shorter * _INSIDE
        moved = self.centre + np.clip(step, low, high) * self.radius
        # Steps that were not shortened keep their point to the last bit.
        inside = np.clip(np.where(far[:, None], moved, known), self.inner_lower, self.inner_upper)
        distance = _length((inside - self.centre) / self.radius)
        return pull_in(self, inside, np.flatnonzero(distance > 1.0 - 2.0**-42))

    def contains(self, point: Array) -> bool:
        """See :meth:`Region.contains`; in rational arithmetic where rounding could decide.

        A point whose distance as computed by :func:`numpy.linalg.norm` exceeds the radius is
        outside as well.
        """
        if point.shape != self.lower.shape:
            return False
        if not np.all((self.inner_lower <= point) & (point <= self.inner_upper)):
            return False
        with np.errstate(over="ignore"):
            distance = float(np.linalg.norm(point - self.centre))
        if distance > self.radius:
            return False
        if not self._small and distance <= self.radius * (1.0 - gamma(point.size + 10)):
            return True
        pairs = zip(point.tolist(), self.centre.tolist(), strict=True)
        squares = ((Fraction(x) - Fraction(c)) ** 2 for x, c in pairs if x != c)
        return sum(squares, Fraction(0)) <= Fraction(self.radius) ** 2

    def encode(self, program: Program) -> Index:
        """Bounded columns, a column for every square, and tangents of the squares.

        The columns of the squares follow those of the inputs.
        """
        x = program.add_columns(self.lower, self.upper)
        if self._flat:
            return x
        size = np.maximum(self.upper - self.centre, self.centre - self.lower) / self.radius
        most = up(size * size, 8.0 * UNIT * size * size)
        z = program.add_columns(np.zeros(x.size), np.minimum(most, 1.0))
        forms = AffineForm.of_columns(x).shift(-self.centre)
        squares = _Squares(forms.coefficients, forms.constant, 1.0 / self.radius)
        program.define(z, squares, "identity")
        program.add_rows(AffineForm.of_columns(z).sum(), lower=-np.inf, upper=1.0)
        equal = 1.0 / np.sqrt(self._room)
        for at in (equal * times for times in _FIRST if equal * times <= 1.0):
            for steps in (at * (self.upper > self.centre), -at * (self.lower < self.centre)):
                rows, sides = self._square_rows(x, steps)
                program.add_rows(rows, lower=-np.inf, upper=sides)
        rows, sides = self.cuts(x, self._tangents)
        program.add_rows(rows, lower=-np.inf, upper=sides)
        return x

    @property
    def _room(self) -> int:
        """Number of inputs that can move."""
        return int(np.count_nonzero(self.upper > self.lower))

    @property
    def _flat(self) -> bool:
        """Whether the box is all the encoding has: it is the region, or no larger than leaks."""
        return self.radius < _LEAK or self._room < 2

    def cuts(self, columns: Index, points: Array) -> tuple[AffineForm, Array]:
        """See :meth:`Region.cuts`; a tangent of the ball, and tangents of the squares."""
        if self._flat:
            return super().cuts(columns, points)
        parts = [part for point in points for part in self._cuts_at(columns, point)]
        if not parts:
            return super().cuts(columns, points)
        forms = parts[0][0].stack(*(form for form, _ in parts[1:]))
        return forms, np.concatenate([sides for _, sides in parts])

    def _cuts_at(self, columns: Index, point: Array) -> Iterator[tuple[AffineForm, Array]]:
        steps = (point - self.centre) / self.radius
        length = float(_length(steps))
        if not length > 0.0:
            return
        # Any direction gives a valid row; without its slight entries it is sparse.
        g = np.where(np.abs(steps) > 1e-6 * np.abs(steps).max(), steps, 0.0) / length
        reach, shift = self.radius * float(_length(g)), float(g @ self.centre)
        error = gamma(g.size + 12) * (reach + float(np.abs(g) @ np.abs(self.centre)))
        x = AffineForm.of_columns(columns)
        yield x.affine(g[None], np.zeros(1)), np.atleast_1d(up(np.array(reach + shift), error))
        yield self._square_rows(columns, steps)
        if length > 1.0:
            yield self._square_rows(columns, steps / length)

    def _square_rows(self, columns: Index, steps: Array) -> tuple[AffineForm, Array]:
        r"""Tangents of the squares at steps relative to the radius.

        With :math:`\alpha` the float next to :math:`2 \delta / r`, the tangent at
        :math:`\alpha r / 2` reads :math:`\alpha x - z \le \alpha c + (\alpha r / 2)^2`.
        """
        rows = np.flatnonzero(np.abs(steps) > _SLIGHT)
        alpha = 2.0 * steps[rows] / self.radius
        x, z = AffineForm.of_columns(columns), AffineForm.of_columns(columns + columns.size)
        square, shift = (0.5 * alpha * self.radius) ** 2, alpha * self.centre[rows]
        sides = up(square + shift, gamma(8) * (square + np.abs(shift)))
        return x.select(rows).scale(alpha) - z.select(rows), sides

    def describe(self) -> dict[str, Any]:
        """Kind, radius and number of inputs."""
        return {"kind": "l2", "radius": self.radius, "inputs": self.n_inputs}


@dataclass(frozen=True)
class _Squares(AffineForm):
    """Squares of affine forms in units of ``unit``, to complete the columns of the squares."""

    unit: float = 1.0

    def evaluate(self, values: Array) -> Array:
        """Values of the squares at a column vector."""
        return np.asarray(np.square(super().evaluate(values) * self.unit))


def _length(steps: Array) -> Array:
    """Euclidean length over the last axis, safe from overflow and underflow."""
    size = np.abs(steps).max(axis=-1, keepdims=True, initial=0.0)
    unit = np.where((size > 0.0) & np.isfinite(size), size, 1.0)
    return np.asarray(size[..., 0] * np.sqrt(np.square(steps / unit).sum(axis=-1)))


def _stretch(direction: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Scale a direction until, cut off at a box, it has length 1.

    In ``s = t**2`` the squared length is piecewise linear and increasing, so that Newton's method,
    kept within a bracket, ends after few steps.

    Parameters
    ----------
    direction : array, shape (..., n)
        Entries of at most 1 in absolute value.
    low, high : array, broadcastable to (..., n)
        The box.

    Returns
    -------
    t : array, shape (..., 1)
        Infinite where the box lies in the ball.
    step : array, shape (..., n)
        ``clip(t * direction, low, high)``; its limit where ``t`` is infinite.
    """
    near = np.clip(0.0, low, high)
    end = np.where(direction > 0.0, high, np.where(direction < 0.0, low, near))
    slope, least, most = np.square(direction), np.square(near), np.square(end)
    start = least.sum(axis=-1) + np.zeros(direction.shape[:-1])
    within = most.sum(axis=-1) <= 1.0
    # A box that misses the ball has no such scale.
    done = within | ~(start < 1.0)
    bottom, top = np.zeros_like(start), np.full_like(start, np.inf)
    s = np.maximum(1.0 - start, _CLOSE) / np.maximum(slope.sum(axis=-1), 1e-300)
    for _ in range(_STEPS):
        grown = s[..., None] * slope
        excess = np.clip(grown, least, most).sum(axis=-1) - 1.0
        done |= np.abs(excess) <= _CLOSE
        if done.all():
            break
        bottom, top = np.where(excess < 0.0, s, bottom), np.where(excess < 0.0, top, s)
        moving = np.where((least < grown) & (grown < most), slope, 0.0).sum(axis=-1)
        newton = s - excess / np.where(moving > 0.0, moving, 1.0)
        middle = np.where(
            np.isinf(top), 4.0 * s, np.where(bottom > 0.0, np.sqrt(bottom * top), 0.01 * top)
        )
        good = (moving > 0.0) & (bottom < newton) & (newton < top)
        s = np.where(done, s, np.where(good, newton, middle))
    t = np.sqrt(s)[..., None]
    step = np.where(within[..., None], end, np.clip(t * direction, low, high))
    return np.where(within[..., None], np.inf, t), step
