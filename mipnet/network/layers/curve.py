"""Certified lines and pieces around smooth functions of one variable.

A curve names the intervals on which it is convex or concave. On a concave one the line through
zero of slope ``k`` is exceeded most where the derivative is ``k``; that place is searched by
bisection, and whatever place is found, the tangents there bound the excess from above:
``f(x) <= f(p) + f'(p) (x - p)``. So no line depends on how well the search went. Values and
derivatives count with the error of the library functions that compute them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from mipnet.rounding import UNIT, down, up

Array = npt.NDArray[np.float64]

#: Error granted to computed values, relative and absolute, and to computed derivatives. The
#: library functions used here err by a few units in the last place; tests hold them against
#: arithmetic of forty digits.
_RELATIVE, _ABSOLUTE, _DERIVATIVE = 2.0**-46, 2.0**-80, 2.0**-44
#: Bisections of a search: they place the tangent within a millionth of the interval, where its
#: bound is off by a square of that.
_STEPS = 22
#: Points on either side of the middle that chords are tried between, and rounds of closing in.
_SAMPLES, _ROUNDS = 9, 3
#: Elements whose chords are compared at once.
_CHUNK = 2**12


class Curve(ABC):
    """A function of one variable that is piecewise convex or concave.

    Attributes
    ----------
    parts : tuple of (end, sign)
        Intervals from minus to plus infinity by their right ends; sign 1 where convex, -1 where
        concave, 0 where straight. Neighbours may meet in a kink.
    reach : tuple of two floats
        Bounds of all values.
    lowest : tuple (place, value) or None
        A curve that falls before ``place`` and rises behind it, and a bound below all its values;
        None where it rises throughout.
    scale, curvature : float
        Width of the curved region in units of that of the sigmoid, and about the largest second
        derivative: they set how finely the curve is looked at, nothing that is certified.
    """

    parts: ClassVar[tuple[tuple[float, int], ...]]
    reach: ClassVar[tuple[float, float]]
    lowest: ClassVar[tuple[float, float] | None] = None
    scale: ClassVar[float] = 1.0
    curvature: ClassVar[float] = 1.0

    @abstractmethod
    def value(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values, in the dtype of ``x``."""

    @abstractmethod
    def derivative(self, x: Array) -> Array:
        """Return the derivative; at a kink that of the side that is not straight."""

    def enclosure(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        """Bounds of the values over intervals."""
        ends = [self._offset(np.zeros_like(x), x) for x in (lower, upper)]
        least, most = np.minimum(ends[0][0], ends[1][0]), np.maximum(ends[0][1], ends[1][1])
        if self.lowest is not None:
            place, value = self.lowest
            least = np.where((lower <= place) & (upper >= place), value, least)
        return np.clip(least, *self.reach), np.clip(most, *self.reach)

    def above(self, slope: Array, lower: Array, upper: Array) -> Array:
        """Least ``c`` found such that ``slope x + c`` lies above the curve over intervals."""
        return self._excess(1.0, slope, lower, upper)

    def below(self, slope: Array, lower: Array, upper: Array) -> Array:
        """Largest ``c`` found such that ``slope x + c`` lies below the curve over intervals."""
        return -self._excess(-1.0, slope, lower, upper)

    def hull(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        """Slopes of the lines below and above the curve that are nearest to it in the middle.

        The edge of the convex hull there, between points of a grid, or the tangent in the middle.

        Parameters
        ----------
        lower, upper : array, shape (n,)
        """
        parts = [
            (self._edge(-1.0, *ends), self._edge(1.0, *ends))
            for first in range(0, max(1, lower.size), _CHUNK)
            if (ends := (lower[first : first + _CHUNK], upper[first : first + _CHUNK]))
        ]
        least, most = (np.concatenate(part) for part in zip(*parts, strict=True))
        return least, most

    def _edge(self, side: float, lower: Array, upper: Array) -> Array:
        """Slope of the chord that is highest (``side`` 1) or lowest in the middle.

        Its ends are searched on either side of the middle, on grids that close in on them. The
        tangent in the middle counts where no chord goes beyond the curve.
        """
        middle, rows = 0.5 * lower + 0.5 * upper, np.arange(len(lower))
        tangent, f_middle = self.derivative(middle), self.value(middle)
        # Halving distances to the middle, so that ends are found at any scale.
        halves, share = 0.5 ** np.arange(_SAMPLES), np.linspace(0.0, 1.0, _SAMPLES)
        p, q = (middle[:, None] + (end - middle)[:, None] * halves for end in (lower, upper))
        for round_ in range(_ROUNDS):
            f_p, f_q = self.value(p), self.value(q)
            run = q[:, None, :] - p[:, :, None]
            slope = (f_q[:, None, :] - f_p[:, :, None]) / np.where(run > 0.0, run, 1.0)
            height = f_p[:, :, None] + slope * (middle[:, None] - p)[:, :, None]
            pick = (side * height).reshape(len(lower), -1).argmax(axis=1)
            i, j = np.divmod(pick, _SAMPLES)
            best, reached = slope[rows, i, j], height[rows, i, j]
            if round_ < _ROUNDS - 1:
                p, q = (_closer(x, k, share) for x, k in ((p, i), (q, j)))
        # Too narrow for differences to mean anything.
        narrow = upper - lower <= 1e-6 * (1.0 + np.abs(middle))
        return np.where(narrow | (side * (reached - f_middle) <= 0.0), tangent, best)

    def _excess(self, side: float, slope: Array, lower: Array, upper: Array) -> Array:
        """Largest ``side (f(x) - slope x)`` over intervals, rounded up; arrays of shape (n,)."""
        most = np.full(lower.shape, -np.inf)
        begin = -np.inf
        for end, sign in self.parts:
            first, last = np.maximum(lower, begin), np.minimum(upper, end)
            held = np.flatnonzero(first <= last)
            k, p, q = slope[held], first[held], last[held]
            if side * sign < 0.0:
                worst = self._peak(side, k, p, q)
            else:
                worst = np.maximum(self._top(side, k, p), self._top(side, k, q))
            most[held] = np.maximum(most[held], worst)
            begin = end
        return most

    def _peak(self, side: float, slope: Array, first: Array, last: Array) -> Array:
        """:meth:`_excess` over intervals on which ``side f`` is concave."""
        p, q = first, last
        for _ in range(_STEPS):
            middle = 0.5 * p + 0.5 * q
            climbs = side * (self.derivative(middle) - slope) > 0.0
            p, q = np.where(climbs, middle, p), np.where(climbs, q, middle)
        d_p, d_q = (side * (self.derivative(x) - slope) for x in (p, q))
        top_p, top_q = self._top(side, slope, p), self._top(side, slope, q)
        error = _DERIVATIVE * (1.0 + np.abs(slope))
        # Before p, between p and q, behind q.
        slack = [
            np.maximum(error - d_p, 0.0) * (p - first),
            np.maximum(error + d_p, 0.0) * (q - p),
            np.maximum(error + d_q, 0.0) * (last - q),
        ]
        most = np.maximum(up(top_p + np.maximum(slack[0], slack[1])), up(top_q + slack[2]))
        return np.asarray(most)

    def _top(self, side: float, slope: Array, x: Array) -> Array:
        """``side (f(x) - slope x)`` at points, rounded up."""
        low, high = self._offset(slope, x)
        return high if side > 0.0 else -low

    def _offset(self, slope: Array, x: Array) -> tuple[Array, Array]:
        """Bounds of ``f(x) - slope x`` at points."""
        f, line = np.asarray(self.value(x), dtype=np.float64), slope * x
        error = _RELATIVE * np.abs(f) + _ABSOLUTE + 4.0 * UNIT * (np.abs(line) + np.abs(f))
        return down(f - line, error), up(f - line, error)


def _closer(x: Array, k: npt.NDArray[np.intp], share: Array) -> Array:
    """Grid between the neighbours of the picked point of every row."""
    rows = np.arange(len(x))
    first = x[rows, np.maximum(k - 1, 0)]
    last = x[rows, np.minimum(k + 1, x.shape[1] - 1)]
    return np.asarray(first[:, None] + (last - first)[:, None] * share)
