"""l1 balls within a box."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from formulations import AffineForm, Program
from mipnet.region.base import (
    Array,
    Floats,
    Index,
    Region,
    ball_box,
    centre_in_box,
    checked_radius,
    finite_box,
    pull_in,
)
from mipnet.region.box import minimise_over_box
from mipnet.rounding import INFLATE, TINY, UNIT, down, gamma

#: Share of the radius witnesses stay away from the boundary, so that a sum of differences
#: computed in any order in float64 does not exceed the radius.
_INSIDE = 1.0 - 2.0**-40


#: Coordinates tried first when the steepest ones are picked: so many, and so many times as many as
#: use up the radius at the mean width of the box.
_FEW, _TIMES = 8, 4.0
#: Steepness lost by directions without room.
_HOPELESS = 1e30


class L1Ball(Region):
    """All ``x`` of a domain with ``sum |x_i - centre_i| <= radius``.

    Parameters
    ----------
    centre : array_like, shape (n,)
    radius : float
    lower, upper : array_like, shape (n,)
        The domain; must hold the centre.
    """

    def __init__(
        self, centre: npt.ArrayLike, radius: float, lower: npt.ArrayLike, upper: npt.ArrayLike
    ) -> None:
        domain = finite_box(lower, upper)
        self.radius = checked_radius(radius)
        self.centre = centre_in_box(centre, *domain)
        self._domain = domain
        # Points further away than this project as if they were here.
        width = 2.0 * (self.radius + np.max(domain[1] - domain[0]))
        self._far_ends = self.centre - width, self.centre + width
        outer, inner = ball_box(self.centre, self.radius, *domain)
        self.lower, self.upper = finite_box(outer.lower, outer.upper)
        self.inner_lower, self.inner_upper = inner.lower, inner.upper

    def minimise(
        self, coefficients: Array, lower: Array | None = None, upper: Array | None = None
    ) -> Array:
        r"""Exact minimum over box and ball, rounded down.

        For any multiplier :math:`\lambda \ge 0` the Lagrangian bound

        .. math:: \sum_i \min_{l_i \le x_i \le u_i} (a_i x_i + \lambda |x_i - c_i|) - \lambda r

        is valid; the greedy fill (spend the radius on the largest :math:`|a_i|` first) gives the
        multiplier at which it equals the minimum, so the bound is exact and yet sound in
        floating point whatever rounding does to the multiplier.
        """
        lo = self.lower[None] if lower is None else lower
        up = self.upper[None] if upper is None else upper
        a = coefficients
        start = np.clip(self.centre, lo, up)
        budget = self.radius - np.abs(start - self.centre).sum(axis=-1)
        room = np.where(a > 0.0, (start - lo)[:, None], (up - start)[:, None])
        multiplier = _greedy_multiplier(np.abs(a), room, budget)
        # Candidates of the inner minimum: both ends and the (clipped) centre.
        shift = multiplier[..., None]
        at_start = a * start[:, None] + shift * np.abs(start - self.centre)[:, None]
        end = np.where(a > 0.0, lo[:, None], up[:, None])
        at_end = a * end + shift * np.abs(end - self.centre)
        value = np.minimum(at_start, at_end).sum(axis=-1)
        size = np.maximum(np.abs(lo), np.abs(up)) + np.abs(self.centre)
        error = gamma(a.shape[-1] + 6) * (
            ((np.abs(a) + shift) @ size[..., None])[..., 0] + multiplier * self.radius
        )
        ball = down(value - multiplier * self.radius, error * INFLATE + 4.0 * UNIT * np.abs(value))
        return np.asarray(np.maximum(ball, minimise_over_box(a, lo, up)))

    def ascent(self, gradient: Array) -> Array:
        """Spend the radius on the coordinates of largest slope that still have room."""
        order, steps = self._spend(gradient)
        step = np.zeros_like(gradient)
        np.put_along_axis(step, order, steps, axis=-1)
        return np.asarray(step)

    def minimiser(self, forms: Floats) -> Floats:
        """See :meth:`Region.minimiser`; the greedy fill stays inside within rounding.

        In the precision of the forms.
        """
        order, steps = self._spend(-forms)
        centre = self.centre.astype(forms.dtype)
        points = np.repeat(centre[None], len(forms), axis=0)
        np.put_along_axis(points, order, centre[order] + steps, axis=-1)
        return points

    def _spend(self, gradient: Floats) -> tuple[npt.NDArray[np.intp], Floats]:
        """Coordinates to move along a gradient, and by how much, shape (batch, count)."""
        room = self.inner_upper - self.centre, self.centre - self.inner_lower
        rise, fall = (part.astype(gradient.dtype) for part in room)
        # By arithmetic: choosing by masks without a pattern takes several times as long. Values
        # that differ are picked faster than many zeros, so slopes without room stay negative.
        useful = gradient - np.where(rise > 0.0, 0.0, _HOPELESS).astype(gradient.dtype)
        other = -gradient
        other -= np.where(fall > 0.0, 0.0, _HOPELESS).astype(gradient.dtype)
        np.maximum(useful, other, out=useful)
        count = min(useful.shape[-1], _likely(self.radius, rise, fall))
        while True:
            order = _largest(useful, count)
            slope = np.take_along_axis(gradient, order, axis=-1)
            left = np.where(slope > 0.0, rise[order], fall[order])
            before = np.cumsum(left, axis=-1) - left
            if count == useful.shape[-1] or (before[:, -1] + left[:, -1] >= self.radius).all():
                break
            count = min(4 * count, useful.shape[-1])
        spent = np.clip(gradient.dtype.type(self.radius) - before, 0.0, left)
        return order, spent * np.sign(slope)

    def project(self, points: Array) -> Array:
        """Euclidean projection onto box and ball: a soft threshold, cut off at the box."""
        known = np.where(np.isnan(points), self.centre, points)
        difference = np.clip(known, *self._far_ends) - self.centre
        rising = difference > 0.0
        room = np.where(rising, self._domain[1] - self.centre, self.centre - self._domain[0])
        size, radius = np.abs(difference), self.radius * _INSIDE
        far = np.minimum(size, room).sum(axis=-1) > radius
        if far.any():
            size[far] = np.maximum(size[far] - _soft_threshold(size[far], room[far], radius), 0.0)
        moved = np.sign(difference) * np.minimum(size, room)
        inside = np.clip(self.centre + moved, self.inner_lower, self.inner_upper)
        distance = np.abs(inside - self.centre).sum(axis=-1)
        return pull_in(self, inside, np.flatnonzero(distance > self.radius * (1.0 - 2.0**-42)))

    def contains(self, point: Array) -> bool:
        """See :meth:`Region.contains`; the sum of exact differences is rounded once, correctly."""
        if point.shape != self.lower.shape:
            return False
        if not np.all((self.inner_lower <= point) & (point <= self.inner_upper)):
            return False
        high, low = np.maximum(point, self.centre), np.minimum(point, self.centre)
        difference = high - low
        part = high - difference
        # Two-sum remainder of high - low: the exact difference is difference + rest.
        rest = (high - (difference + part)) + (part - low)
        total = math.fsum([*difference.tolist(), *rest.tolist(), -self.radius])
        return total <= 0.0 and float(np.abs(point - self.centre).sum()) <= self.radius

    def encode(self, program: Program) -> Index:
        """Bounded columns, and one budget row over the absolute deviations.

        A coordinate with room on one side only needs no extra column: its deviation is linear.
        """
        x = program.add_columns(self.lower, self.upper)
        forms = AffineForm.of_columns(x).shift(-self.centre)
        rises, falls = self.upper > self.centre, self.lower < self.centre
        both = np.flatnonzero(rises & falls)
        parts = [forms.select(np.flatnonzero(rises & ~falls))]
        parts.append(-forms.select(np.flatnonzero(falls & ~rises)))
        if both.size:
            free = forms.select(both)
            room_up = np.nextafter(self.upper - self.centre, np.inf)[both]
            room_down = np.nextafter(self.centre - self.lower, np.inf)[both]
            rise = program.add_columns(np.zeros(both.size), room_up)
            fall = program.add_columns(np.zeros(both.size), room_down)
            plus, minus = AffineForm.of_columns(rise), AffineForm.of_columns(fall)
            program.add_rows(free - plus + minus, lower=0.0, upper=0.0)
            program.define(rise, free, "positive_part")
            program.define(fall, free, "negative_part")
            parts += [plus, minus]
        budget = parts[0].stack(*parts[1:])
        if budget.size:
            # The constants of the one-sided deviations are summed into the side of the row.
            size = float(np.abs(budget.constant).sum()) + self.radius
            limit = self.radius + gamma(budget.size + 4) * size + TINY
            program.add_rows(budget.sum(), lower=-np.inf, upper=limit)
        return x

    def describe(self) -> dict[str, Any]:
        """Kind, radius and number of inputs."""
        return {"kind": "l1", "radius": self.radius, "inputs": self.n_inputs}


def _soft_threshold(size: Array, room: Array, radius: float) -> Array:
    """Threshold ``t`` with ``sum(clip(size - t, 0, room)) = radius``, shape (batch, 1).

    The sum is piecewise linear in ``t`` with breaks at ``size`` and ``size - room``; it exceeds
    ``radius`` at ``t = 0``.
    """
    breaks = np.concatenate([size, size - room], axis=-1)
    order = np.argsort(-breaks, axis=-1)
    falling = np.take_along_axis(breaks, order, axis=-1)
    # Going down from the largest break: entries that grow with a falling threshold.
    growing = np.cumsum(np.where(order < size.shape[-1], 1.0, -1.0), axis=-1)[..., :-1]
    reached = np.cumsum(growing * -np.diff(falling, axis=-1), axis=-1)
    segment = np.argmax(reached >= radius, axis=-1)[..., None]
    start = np.take_along_axis(falling, segment + 1, axis=-1)
    surplus = np.take_along_axis(reached, segment, axis=-1) - radius
    gained = surplus / np.maximum(np.take_along_axis(growing, segment, axis=-1), 1.0)
    return np.asarray(start + gained)


def _leading(gain: Array, room: Array, budget: Array | float) -> npt.NDArray[np.intp]:
    """Coordinates of largest gain, falling, as many as any item needs to use up its budget.

    Few coordinates use up a small ball: picking them is several times cheaper than sorting all.

    Parameters
    ----------
    gain, room : array, shape (..., n)
    budget : float or array that broadcasts to shape (...)
    """
    n, count = gain.shape[-1], _likely(float(np.max(budget, initial=0.0)), room)
    # A coordinate without room is of no use, however steep.
    useful = gain * (room > 0.0)
    while count < n:
        order = _largest(useful, count)
        if (np.take_along_axis(room, order, axis=-1).sum(axis=-1) >= budget).all():
            return order
        count *= 4
    return np.argsort(-useful, axis=-1)


def _likely(budget: float, *rooms: Floats) -> int:
    """How many of the steepest coordinates use up a budget, likely."""
    most = rooms[0] if len(rooms) == 1 else np.maximum(*rooms)
    share = budget * most.size / max(float(most.sum()), 1e-300)
    return int(min(_FEW + _TIMES * max(share, 0.0), most.shape[-1]))


def _largest(values: Floats, count: int) -> npt.NDArray[np.intp]:
    """Places of the largest values, falling, shape (..., count)."""
    first = values.shape[-1] - count
    if not first:
        return np.asarray(np.argsort(-values, axis=-1))
    order = np.argpartition(values, first, axis=-1)[..., first:]
    rank = np.argsort(-np.take_along_axis(values, order, axis=-1), axis=-1)
    return np.asarray(np.take_along_axis(order, rank, axis=-1))


def _greedy_multiplier(gain: Array, room: Array, budget: Array) -> Array:
    """Marginal gain of the last unit of budget, shape (batch, targets); 0 when budget is left."""
    order = _leading(gain, room, budget[:, None])
    filled = np.cumsum(np.take_along_axis(room, order, axis=-1), axis=-1)
    reached = filled >= budget[:, None, None]
    first = np.argmax(reached, axis=-1)
    gains = np.take_along_axis(gain, order, axis=-1)
    marginal = np.take_along_axis(gains, first[..., None], axis=-1)[..., 0]
    return np.where(reached.any(axis=-1), marginal, 0.0)
