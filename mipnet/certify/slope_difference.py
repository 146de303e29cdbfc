"""The difference of two values of an elementwise function, bounded by its slopes in between."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mipnet.certify.pair_difference import PairDifference
from mipnet.network.interval import Interval, LinearForm, Lines
from mipnet.network.layers.base import Array, Flags, Relaxation
from mipnet.network.layers.curve import Curve
from mipnet.network.layers.elementwise import Elementwise
from mipnet.network.layers.hinge import Hinge
from mipnet.network.layers.ramp import Ramp
from mipnet.rounding import UNIT, down, up

#: Error granted to computed derivatives, and to the rounded places where they turn.
_ERROR = 2.0**-40
#: Layers whose slopes over an interval are known.
SLOPED = (Hinge, Ramp, Curve)


@dataclass(frozen=True, eq=False)
class SlopeDifference(PairDifference):
    r"""``D = f(y + d) - f(y)`` of the inputs ``d``, ``y`` and ``y + d``, element by element.

    By the mean value theorem :math:`D = s d` with a slope ``s`` of ``f`` between the two values, so
    that :math:`\min(m d, M d) \le D \le \max(m d, M d)` with the least and the largest slope
    over the hull of both. Where that is tighter, the difference of the ranges counts.

    Parameters
    ----------
    inner : Hinge, Ramp or Curve
    """

    inner: Elementwise

    kind = "SlopeDifference"

    def idle(self, before: Interval, after: Interval) -> Flags:
        """See :meth:`PairDifference.idle`: where the function is flat."""
        least, most = self._slopes(before, after)
        return np.asarray((least == 0.0) & (most == 0.0))

    def interval(self, *values: Interval) -> Interval:
        """Products of slopes and differences, within the difference of the ranges."""
        d, before, after = values
        slopes = self._slopes(before, after)
        products = np.stack([s * end for s in slopes for end in (d.lower, d.upper)])
        error = UNIT * np.abs(products)
        box = Interval(down(products, error).min(axis=0), up(products, error).max(axis=0))
        return box.intersect(self.apart(before, after))

    def carried(self, *values: Interval) -> Relaxation:
        """Lines as of every elementwise layer.

        The larger of two lines through zero is convex: above it, its chord; below the smaller one,
        which is concave, likewise.
        """
        d, before, after = values
        apart, slopes = self.apart(before, after), self._slopes(before, after)
        ends = [np.stack([s * x for s in slopes]) for x in (d.lower, d.upper)]
        middle = 0.5 * d.lower + 0.5 * d.upper
        rise, above = _chord(d, *(v.max(axis=0) for v in ends), side=1.0)
        flat = apart.upper <= rise * middle + above
        rise, above = np.where(flat, 0.0, rise), np.where(flat, apart.upper, above)
        fall, below = _chord(d, *(v.min(axis=0) for v in ends), side=-1.0)
        flat = apart.lower >= fall * middle + below
        fall, below = np.where(flat, 0.0, fall), np.where(flat, apart.lower, below)
        zero = np.zeros_like(fall)
        return rise, above, zero, fall, below, zero, zero, zero, d.magnitude

    def carry(self, form: LinearForm, carried: Relaxation) -> LinearForm:
        """See :meth:`PairDifference.carry`."""
        (found,) = Elementwise.backward(self.inner, form, carried)
        return found

    def carry_lines(self, carried: Relaxation, inputs: Array, d: Lines) -> Lines:
        """See :meth:`PairDifference.carry_lines`."""
        return Elementwise.lines(self.inner, carried, inputs, d)

    def gap(self, carried: Relaxation, d: Interval) -> Array:
        """See :meth:`PairDifference.gap`."""
        rise, above, _, fall, below, *_ = carried
        return np.asarray((rise - fall) * (0.5 * d.lower + 0.5 * d.upper) + (above - below))

    def _slopes(self, before: Interval, after: Interval) -> tuple[Array, Array]:
        lower = np.minimum(before.lower, after.lower)
        return slopes_of(self.inner, lower, np.maximum(before.upper, after.upper))


def slopes_of(layer: Elementwise, lower: Array, upper: Array) -> tuple[Array, Array]:
    """Least and largest slope of a function over intervals, shape (batch, *shape).

    Parameters
    ----------
    layer : Hinge, Ramp or Curve
    lower, upper : array, shape (batch, *shape)
    """
    if isinstance(layer, Hinge):
        left, right = (np.asarray(s, np.float64) for s in layer.sides(lower.shape[1:]))
        only = np.where(upper > 0.0, right, left)
        both = (lower < 0.0) & (upper > 0.0)
        least = np.where(both, np.minimum(left, right), only)
        return least, np.where(both, np.maximum(left, right), only)
    if isinstance(layer, Ramp):
        box = Interval(lower, upper)
        bent = layer.unstable(box)
        only = np.where(layer.inactive(box), 0.0, layer.line.slope)
        return np.where(bent, 0.0, only), np.where(bent, layer.line.slope, only)
    if not isinstance(layer, Curve):
        msg = f"slopes of {layer.kind} over an interval are not known"
        raise TypeError(msg)
    # Between the ends of its parts a derivative is monotone; at a kink both sides count.
    places = [lower, upper]
    for end, _ in layer.parts:
        if math.isfinite(end):
            near = (np.nextafter(end, -np.inf), end, np.nextafter(end, np.inf))
            places += [np.clip(x, lower, upper) for x in near]
    found = np.stack([layer.derivative(x) for x in places])
    error = _ERROR * (1.0 + np.abs(found))
    return (found - error).min(axis=0), (found + error).max(axis=0)


def _chord(d: Interval, first: Array, last: Array, *, side: float) -> tuple[Array, Array]:
    """Line on one side of the computed values at both ends of an interval."""
    width = d.upper - d.lower
    slope = np.where(width > 0.0, (last - first) / np.where(width > 0.0, width, 1.0), 0.0)
    ends = [(value, slope * end) for value, end in ((first, d.lower), (last, d.upper))]
    if side > 0.0:
        return slope, np.maximum(*(up(v - p, 4.0 * UNIT * (abs(v) + abs(p))) for v, p in ends))
    return slope, np.minimum(*(down(v - p, 4.0 * UNIT * (abs(v) + abs(p))) for v, p in ends))
