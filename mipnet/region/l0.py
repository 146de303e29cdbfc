"""l0 balls within a box: few inputs may change, each as far as the box allows."""

from __future__ import annotations

from dataclasses import dataclass
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
    centre_in_box,
    checked_radius,
    finite_box,
)
from mipnet.region.box import minimise_over_box
from mipnet.rounding import down, gamma


class L0Ball(Region):
    """All ``x`` of a domain that differ from the centre in at most ``radius`` coordinates.

    Parameters
    ----------
    centre : array_like, shape (n,)
    radius : int
        Number of coordinates that may change; a float must be whole.
    lower, upper : array_like, shape (n,)
        The domain; must hold the centre.

    Raises
    ------
    RegionError
        When the radius is no whole number >= 0, the domain is not finite, or the centre is not in
        it.
    """

    def __init__(
        self, centre: npt.ArrayLike, radius: float, lower: npt.ArrayLike, upper: npt.ArrayLike
    ) -> None:
        domain = finite_box(lower, upper)
        if checked_radius(radius) != int(radius):
            msg = f"the radius of an l0 ball counts inputs; it must be a whole number, not {radius}"
            raise RegionError(msg)
        self.radius = int(radius)
        self.centre = centre_in_box(centre, *domain)
        self._moves = min(self.radius, self.centre.size)
        self.lower, self.upper = domain if self.radius else (self.centre, self.centre)
        # Points further away than this project as if they were here.
        width = 2.0 * np.max(domain[1] - domain[0])
        self._far_ends = self.centre - width, self.centre + width

    def minimise(
        self, coefficients: Array, lower: Array | None = None, upper: Array | None = None
    ) -> Array:
        """Exact minimum, rounded down: the largest gains, one for each coordinate that may change.

        Where a box leaves the centre out at some coordinate, that coordinate has to change.
        """
        lo = self.lower[None] if lower is None else lower
        hi = self.upper[None] if upper is None else upper
        start = np.clip(self.centre, lo, hi)
        left = np.asarray(self._moves - np.count_nonzero(start != self.centre, axis=-1))
        # A forced coordinate moves on from the end of the box to the better one for nothing.
        free = start == self.centre
        end = np.where(coefficients > 0.0, lo[:, None], hi[:, None])
        gain = np.abs(coefficients) * np.abs(end - start[:, None])
        forced = np.where(free[:, None], 0.0, gain).sum(axis=-1)
        chosen = self._largest(np.where(free[:, None], gain, 0.0), left)
        value = weigh(coefficients, start) - forced - chosen
        size = np.maximum(np.abs(lo), np.abs(hi)) + np.abs(start)
        error = gamma(2 * lo.shape[-1] + 8) * weigh(np.abs(coefficients), size)
        bound = np.maximum(down(value, error), minimise_over_box(coefficients, lo, hi))
        return np.asarray(np.where(left[:, None] < 0, EMPTY, bound))

    @staticmethod
    def _largest(gain: Array, count: npt.NDArray[np.intp]) -> Array:
        """Sum of the ``count`` largest gains of every item, shape (batch, targets)."""
        n = gain.shape[-1]
        most = min(max(int(count.max()), 0), n)
        if most == 0:
            return np.zeros(gain.shape[:2])
        top = np.partition(gain, n - most, axis=-1)[..., n - most :] if most < n else gain
        if np.any(count < most):
            # Boxes that force some coordinates leave fewer to choose.
            top = -np.sort(-top, axis=-1)
            top = np.where(np.arange(most) < count[:, None, None], top, 0.0)
        return np.asarray(top.sum(axis=-1))

    def ascent(self, gradient: Array) -> Array:
        """Move the coordinates of largest gain to their better end."""
        room = np.where(gradient > 0.0, self.upper, self.lower) - self.centre
        moved = self._most(np.abs(gradient * room)) & (gradient != 0.0)
        return np.asarray(np.where(moved, room, 0.0))

    def _most(self, gain: Array) -> npt.NDArray[np.bool_]:
        """Mark the largest gains of every item, shape (batch, n), as many as may move."""
        n = gain.shape[-1]
        if self._moves == n:
            return np.ones(gain.shape, dtype=bool)
        marked = np.zeros(gain.shape, dtype=bool)
        if self._moves:
            chosen = np.argpartition(gain, n - self._moves, axis=-1)[..., n - self._moves :]
            np.put_along_axis(marked, chosen, True, axis=-1)
        return marked

    def project(self, points: Array) -> Array:
        """Nearest point: the moves that pay most are kept, cut off at the box."""
        known = np.where(np.isnan(points), self.centre, points)
        inside = np.clip(known, self.lower, self.upper)
        step = np.abs(np.clip(known, *self._far_ends) - self.centre)
        move = np.abs(inside - self.centre)
        # What a move takes off the squared distance.
        kept = self._most(move * (2.0 * step - move))
        return np.asarray(np.where(kept, inside, self.centre))

    def contains(self, point: Array) -> bool:
        """See :meth:`Region.contains`."""
        return (
            point.shape == self.lower.shape
            and bool(np.all((self.lower <= point) & (point <= self.upper)))
            and int(np.count_nonzero(point != self.centre)) <= self.radius
        )

    def encode(self, program: Program) -> Index:
        """Bounded columns, and a binary for every coordinate that may change.

        With ``s = 0`` the rows ``(lower - centre) s <= x - centre <= (upper - centre) s`` hold the
        coordinate at the centre; at most ``radius`` binaries are 1.
        """
        x = program.add_columns(self.lower, self.upper)
        rises, falls = self.upper > self.centre, self.lower < self.centre
        moves = np.flatnonzero(rises | falls)
        if moves.size <= self.radius:
            return x
        zero, one = np.zeros(moves.size), np.ones(moves.size)
        columns = program.add_columns(zero, one, integer=True)
        s = AffineForm.of_columns(columns)
        step = AffineForm.of_columns(x).shift(-self.centre).select(moves)
        for sign, way, room in (
            (step, rises[moves], self.upper - self.centre),
            (-step, falls[moves], self.centre - self.lower),
        ):
            rows = np.flatnonzero(way)
            most = s.scale(np.nextafter(room, np.inf)[moves])
            program.add_rows((sign - most).select(rows), lower=-np.inf, upper=0.0)
        program.add_rows(s.sum(), lower=-np.inf, upper=float(self.radius))
        program.define(columns, _Distances(step.coefficients, step.constant), "step")
        return x

    def describe(self) -> dict[str, Any]:
        """Kind, radius and number of inputs."""
        return {"kind": "l0", "radius": self.radius, "inputs": self.n_inputs}


@dataclass(frozen=True)
class _Distances(AffineForm):
    """Absolute values of affine forms, to complete the columns that say which inputs change."""

    def evaluate(self, values: Array) -> Array:
        """Absolute values at a column vector."""
        return np.abs(super().evaluate(values))
