"""Rules shared by elementwise layers with one kink, at zero."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from formulations import AffineForm, Formulation, Program
from formulations.hinge import hinge_rows
from mipnet.network.interval import Interval
from mipnet.network.layers.base import Array, Flags, Floats, Shape
from mipnet.network.layers.elementwise import Bracket, Elementwise
from mipnet.rounding import UNIT, down, up


class Hinge(Elementwise):
    """``y = left x`` below zero, ``right x`` above it."""

    @abstractmethod
    def sides(self, shape: Shape) -> tuple[Floats, Floats]:
        """Slopes ``left`` and ``right``, broadcastable to an item of that shape."""

    @property
    def hinged(self) -> bool:
        """True."""
        return True

    def forward(self, *values: Floats) -> Floats:
        """See :meth:`Layer.forward`."""
        (x,) = values
        left, right = self.sides(x.shape[1:])
        return np.asarray(np.where(x > 0.0, right * x, left * x), dtype=x.dtype)

    def derivative(self, x: Array) -> Array:
        """See :meth:`Elementwise.derivative`; at zero that of the left side."""
        left, right = self.sides(x.shape[1:])
        return np.where(x > 0.0, right, left).astype(np.float64)

    def unstable(self, box: Interval) -> Flags:
        """See :meth:`Layer.unstable`."""
        left, right = self.sides(box.lower.shape[1:])
        return np.asarray((box.lower < 0.0) & (box.upper > 0.0) & (left != right))

    def inactive(self, box: Interval) -> Flags:
        """See :meth:`Layer.inactive`."""
        left, right = self.sides(box.lower.shape[1:])
        off = (box.upper <= 0.0) & (left == 0.0)
        return np.asarray(off | ((box.lower >= 0.0) & (right == 0.0)))

    def interval(self, *values: Interval) -> Interval:
        """Range over the ends and, between them, the kink."""
        (box,) = values
        left, right = self.sides(box.lower.shape[1:])
        ends = [_product(np.where(x > 0.0, right, left), x) for x in (box.lower, box.upper)]
        inside = (box.lower < 0.0) & (box.upper > 0.0)
        least = np.minimum(ends[0][0], ends[1][0])
        most = np.maximum(ends[0][1], ends[1][1])
        return Interval(
            np.where(inside, np.minimum(least, 0.0), least),
            np.where(inside, np.maximum(most, 0.0), most),
        )

    def bracket(self, lower: Array, upper: Array) -> Bracket:
        """CROWN lines (Zhang et al., NeurIPS 2018, section 3.3), for any two slopes.

        On one side of an unstable convex (concave) hinge the chord, rounded until it lies beyond
        both ends; on the other any slope between the two through the kink, the one of the longer
        side by itself.
        """
        left, right = (
            np.broadcast_to(np.asarray(s, dtype=np.float64), lower.shape)
            for s in self.sides(lower.shape[1:])
        )
        on = lower >= 0.0
        stable, longer = on | (upper <= 0.0), upper > -lower
        slope = np.where(on, right, left)
        width = np.where(stable, 1.0, upper - lower)
        chord = np.where(stable, slope, (right * upper - left * lower) / width)
        chord = np.clip(chord, np.minimum(left, right), np.maximum(left, right))
        most = np.maximum(_gap(left, chord, lower, np.inf), _gap(right, chord, upper, np.inf))
        least = np.minimum(_gap(left, chord, lower, -np.inf), _gap(right, chord, upper, -np.inf))
        # Of the two, the one of the larger slope comes first where the graph is concave.
        nearer = np.where(longer, right, left)
        convex, concave = ~stable & (left <= right), ~stable & (left > right)
        fall = np.where(convex, left, chord)
        other = np.where(convex, right, chord)
        under = np.where(concave, np.minimum(least, 0.0), 0.0)
        return Bracket(
            rise=np.where(concave, nearer, chord),
            above=np.where(convex, np.maximum(most, 0.0), 0.0),
            fall=fall,
            below=under,
            other=other,
            under=under,
            start=(convex & longer).astype(np.float64),
        )

    def encode(
        self,
        program: Program,
        *forms: AffineForm,
        bounds: tuple[Interval, ...],
        formulation: Formulation,
    ) -> AffineForm:
        """By phase: nothing, a linear row, or the formulation's rows."""
        (box,) = bounds
        left, right = (
            np.asarray(np.broadcast_to(s, box.lower.shape).reshape(-1), dtype=np.float64)
            for s in self.sides(box.lower.shape[1:])
        )
        lower, upper = box.lower.reshape(-1), box.upper.reshape(-1)
        sides = {"left": left, "right": right}
        return hinge_rows(program, forms[0], lower, upper, **sides, chosen=formulation)


def _product(slope: Floats, x: Array) -> tuple[Array, Array]:
    """Lower and upper bound of a product; exact where the slope is 0, 1 or -1."""
    value = np.asarray(slope * x, dtype=np.float64)
    plain = np.isin(slope, (-1.0, 0.0, 1.0)) | (x == 0.0)
    error = 2.0 * UNIT * np.abs(value)
    return np.where(plain, value, down(value, error)), np.where(plain, value, up(value, error))


def _gap(slope: Array, chord: Array, x: Array, side: float) -> Array:
    """Distance ``(slope - chord) x`` of graph and chord at an end, rounded to one side."""
    gap, error = (slope - chord) * x, 4.0 * UNIT * (np.abs(slope) + np.abs(chord)) * np.abs(x)
    return up(gap, error) if side > 0.0 else down(gap, error)
