"""Boxes, and l-infinity balls within a box."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from formulations import Program
from mipnet.errors import RegionError
from mipnet.network.interval import weigh
from mipnet.region.base import (
    Array,
    Index,
    Region,
    ball_box,
    centre_in_box,
    checked_radius,
    finite_box,
)
from mipnet.rounding import down, gamma


class Box(Region):
    """All ``x`` with ``lower <= x <= upper``.

    Parameters
    ----------
    lower, upper : array_like, shape (n,)
    inner : tuple of two array_like, shape (n,), optional
        Bounds of a box within, for ends that are no floats: proofs cover ``lower`` to ``upper``,
        witnesses stay within ``inner``. The same box when absent.

    Raises
    ------
    RegionError
        When a bound is missing or not finite, a box is empty, or the inner one is not inside.
    """

    def __init__(
        self,
        lower: npt.ArrayLike,
        upper: npt.ArrayLike,
        inner: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    ) -> None:
        self.lower, self.upper = finite_box(lower, upper)
        self.inner_lower, self.inner_upper = self.lower, self.upper
        if inner is not None:
            self.inner_lower, self.inner_upper = finite_box(*inner)
            nested = self.inner_lower.shape == self.lower.shape and np.all(
                (self.lower <= self.inner_lower) & (self.inner_upper <= self.upper)
            )
            if not nested:
                msg = "the inner box does not lie within lower and upper"
                raise RegionError(msg)
        self.centre = np.clip(0.5 * self.lower + 0.5 * self.upper, self.lower, self.upper)

    def minimise(
        self, coefficients: Array, lower: Array | None = None, upper: Array | None = None
    ) -> Array:
        """See :meth:`Region.minimise`; every coordinate at its better end."""
        lo = self.lower[None] if lower is None else lower
        up = self.upper[None] if upper is None else upper
        return minimise_over_box(coefficients, lo, up)

    def ascent(self, gradient: Array) -> Array:
        """Sign of the gradient times the width of the box."""
        return np.sign(gradient) * (self.inner_upper - self.inner_lower)

    def project(self, points: Array) -> Array:
        """Clip to the box."""
        known = np.where(np.isnan(points), self.centre, points)
        return np.clip(known, self.inner_lower, self.inner_upper)

    def contains(self, point: Array) -> bool:
        """See :meth:`Region.contains`."""
        return point.shape == self.lower.shape and bool(
            np.all((self.inner_lower <= point) & (point <= self.inner_upper))
        )

    def encode(self, program: Program) -> Index:
        """Bounded columns."""
        return program.add_columns(self.lower, self.upper)

    def describe(self) -> dict[str, Any]:
        """Kind and number of inputs."""
        return {"kind": "box", "inputs": self.n_inputs}


class LinfBall(Box):
    """All ``x`` of a domain with ``|x_i - centre_i| <= radius`` for every ``i``.

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
        outer, inner = ball_box(self.centre, self.radius, *domain)
        self.lower, self.upper = finite_box(outer.lower, outer.upper)
        self.inner_lower, self.inner_upper = inner.lower, inner.upper

    def describe(self) -> dict[str, Any]:
        """Kind, radius and number of inputs."""
        return {"kind": "linf", "radius": self.radius, "inputs": self.n_inputs}


def minimise_over_box(coefficients: Array, lower: Array, upper: Array) -> Array:
    """Lower bounds of linear forms over boxes, rounded down.

    Parameters
    ----------
    coefficients : array, shape (batch, targets, n)
    lower, upper : array, shape (batch, n)
    """
    positive = np.maximum(coefficients, 0.0)
    negative = coefficients - positive
    value = weigh(positive, lower) + weigh(negative, upper)
    size = np.maximum(np.abs(lower), np.abs(upper))
    error = gamma(2 * lower.shape[-1] + 2) * weigh(positive - negative, size)
    return down(value, error)
