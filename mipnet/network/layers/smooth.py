"""Rules shared by smooth elementwise layers: certified lines, and pieces with a certified band."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from formulations import AffineForm, Formula, Formulation, Program
from formulations.blocks import Part, assemble
from formulations.piecewise import Pieces, piecewise_rows
from mipnet.errors import BoundsError, NetworkError
from mipnet.network.interval import Interval
from mipnet.network.layers.base import Array, Flags, Floats
from mipnet.network.layers.curve import Curve
from mipnet.network.layers.elementwise import Bracket, Elementwise
from mipnet.rounding import UNIT

#: Error of a layer where the user gives none.
ERROR = 0.01
#: Part of the error that pieces are laid out for; the certificate has to fit into the rest.
_SHARE = 0.97
#: Points of the grid that pieces end at, for a piece of the smallest length; and how far out, in
#: units of the curve's scale, the grid goes.
_POINTS, _DENSE = 16, 32.0
#: Least error of the pieces: about a thousand pieces.
LEAST = 1e-6


class Smooth(Elementwise, Curve):
    """``y = f(x)`` for every element, written in programs as pieces of straight lines.

    The program holds ``y`` within a band between two piecewise-linear functions that are nowhere
    further apart than ``error``. The band is certified to hold ``f`` itself: what is proven about
    the program is proven about the network, and the price of a wide band is a gap between bound
    and value.

    Attributes
    ----------
    error : float
        Width of the band: the largest difference of ``y`` and ``f(x)``.
    """

    error: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "error", float(self.error))
        if not (math.isfinite(self.error) and self.error >= LEAST):
            msg = f"{self.kind}: the error of the pieces must be at least {LEAST}, "
            msg += f"not {self.error}"
            raise NetworkError(msg)

    @property
    def attributes(self) -> tuple[object, ...]:
        """The error."""
        return (self.error,)

    @property
    def band(self) -> float:
        """See :attr:`Layer.band`: the error."""
        return self.error

    def forward(self, *values: Floats) -> Floats:
        """See :meth:`Layer.forward`."""
        return np.asarray(self.value(values[0]))

    def unstable(self, box: Interval) -> Flags:
        """Mark every input that is not constant."""
        return box.upper > box.lower

    def inactive(self, box: Interval) -> Flags:
        """Mark constant inputs."""
        return ~self.unstable(box)

    def interval(self, *values: Interval) -> Interval:
        """Range over the ends and the lowest point."""
        return Interval(*self.enclosure(values[0].lower, values[0].upper))

    def bracket(self, lower: Array, upper: Array) -> Bracket:
        """Lines nearest to the curve in the middle of the interval, moved until certified."""
        low, high = lower.reshape(-1), upper.reshape(-1)
        fall, rise = self.hull(low, high)
        parts = rise, self.above(rise, low, high), fall, self.below(fall, low, high)
        rise, above, fall, below = (p.reshape(lower.shape) for p in parts)
        return Bracket(rise, above, fall, below, fall, below, np.zeros(lower.shape))

    def encode(
        self,
        program: Program,
        *forms: AffineForm,
        bounds: tuple[Interval, ...],
        formulation: Formulation,
    ) -> AffineForm:
        """Pieces within the bounds of each element, in the incremental form, with their band.

        An expression where the formulation is one of expressions.
        """
        (box,) = bounds
        lower, upper = box.lower.reshape(-1), box.upper.reshape(-1)
        parts: list[Part] = []
        for rows, how in formulation.split(np.arange(lower.size)):
            form, low, high = forms[0].select(rows), lower[rows], upper[rows]
            if how.closed:
                ends = self.enclosure(low, high)
                y = program.express(form, *ends, Formula(self.value, self.symbolic))
            else:
                pieces = self.pieces(low, high)
                y = piecewise_rows(program, form, pieces, integer=how.exact, value=self.value)
            parts.append((rows, y))
        return assemble(parts)

    @property
    def expressible(self) -> bool:
        """Whether :meth:`symbolic` has a form in elementary functions."""
        return True

    @abstractmethod
    def symbolic(self, x: Any, functions: Any) -> Any:
        """Return the curve as an expression in ``x``.

        Parameters
        ----------
        x : number or expression
        functions : object
            Has ``exp``, ``log`` and ``tanh`` for such expressions.
        """

    def pieces(self, lower: Array, upper: Array) -> Pieces:
        """Pieces of every element between its bounds, with certified values around the curve.

        Parameters
        ----------
        lower, upper : array, shape (n,)

        Returns
        -------
        Pieces
            Lower and upper values are nowhere further apart than the error.
        """
        points = self.breakpoints(float(lower.min(initial=0.0)), float(upper.max(initial=0.0)))
        width = np.diff(points, append=np.inf)
        first = np.searchsorted(points, lower, side="right")
        end = np.searchsorted(points, upper, side="left")
        # A breakpoint next to an end of the bounds would make a sliver.
        first += points[first % points.size] - lower < 1e-3 * width[first % points.size]
        end -= upper - points[end - 1] < 1e-3 * width[end - 2]
        count = np.maximum(end - first, 0) + 1
        owner = np.repeat(np.arange(lower.size), count)
        starts = np.cumsum(count) - count
        place = np.arange(owner.size) - starts[owner]
        inner = points[np.minimum(first[owner] + place, points.size - 1)]
        last = place == count[owner] - 1
        right = np.where(last, upper[owner], inner)
        left = np.where(place == 0, lower[owner], np.concatenate([[0.0], right[:-1]]))
        return self._certified(owner, left, right)

    def _certified(self, owner: npt.NDArray[np.intp], left: Array, right: Array) -> Pieces:
        """Chords of the pieces, moved apart until they hold the curve; continuous."""
        width = right - left
        rise = np.asarray(self.value(right)) - np.asarray(self.value(left))
        slope = np.where(width > 0.0, rise / np.where(width > 0.0, width, 1.0), 0.0)
        below, above = self.below(slope, left, right), self.above(slope, left, right)
        ends = slope[:, None] * np.stack([left, right], axis=1)
        slack = 8.0 * UNIT * (np.abs(ends) + np.abs(below)[:, None] + np.abs(above)[:, None])
        low, high = ends + below[:, None] - slack, ends + above[:, None] + slack
        # Where two pieces of an element meet, the wider value counts for both.
        inner = np.flatnonzero(np.diff(owner) == 0)
        low[inner, 1] = low[inner + 1, 0] = np.minimum(low[inner, 1], low[inner + 1, 0])
        high[inner, 1] = high[inner + 1, 0] = np.maximum(high[inner, 1], high[inner + 1, 0])
        return Pieces(owner, left, right, low, high)

    def breakpoints(self, lower: float, upper: float) -> Array:
        """Lay out pieces over at least ``[lower, upper]`` so that the band keeps to the error.

        Kept for the next time; ranges are widened to powers of two so that few are asked for.
        """
        low, high = (-_power(-min(lower, -1.0)), _power(max(upper, 1.0)))
        known: dict[tuple[float, float], Array] = self.__dict__.setdefault("_breakpoints", {})
        if (low, high) not in known:
            known[low, high] = self._laid_out(low, high)
        return known[low, high]

    def _laid_out(self, low: float, high: float) -> Array:
        share = _SHARE
        while share > 0.5:
            points = np.unique(self._greedy(low, high, share * self.error))
            pieces = self._certified(np.zeros(len(points) - 1, int), points[:-1], points[1:])
            if (pieces.high - pieces.low).max() <= self.error:
                return points
            share *= 0.9
        msg = f"{self.kind}: inputs between {low:.6g} and {high:.6g} are too large for pieces with "
        msg += f"an error of {self.error:.3g}; raise it, or give tighter input bounds"
        raise BoundsError(msg)

    def _greedy(self, low: float, high: float, gap: float) -> list[float]:
        """Longest pieces, from left to right in every part, whose chord is off by ``gap`` at most.

        Where a convex and a concave part meet the errors of the two pieces add up, so that each
        has half of it there.
        """
        found, begin = [low, high], -np.inf
        signs = [0, *(sign for _, sign in self.parts), 0]
        for k, (end, sign) in enumerate(self.parts):
            first, last = max(low, begin), min(high, end)
            if first < last:
                found += [first, last]
                halves = tuple(
                    edge == limit and sign * other < 0
                    for edge, limit, other in ((first, begin, signs[k]), (last, end, signs[k + 2]))
                )
                if sign:
                    found += self._steps(first, last, gap, halves)
            begin = end
        return found

    def _steps(
        self, first: float, last: float, gap: float, halves: tuple[bool, ...]
    ) -> list[float]:
        """Return the ends of the pieces inside one part."""
        x = self._grid(first, last, gap)
        y, at, end = np.asarray(self.value(x)), 0, x.size - 1
        steps: list[float] = []
        while True:
            allowed = 0.5 * gap if at == 0 and halves[0] else gap
            reach, step = at + 1, 1
            # Gallop, then halve.
            while reach < end and self._gap(x, y, at, min(reach + step, end)) <= allowed:
                reach, step = min(reach + step, end), 2 * step
            fail = min(reach + step, end + 1)
            while fail - reach > 1:
                middle = (reach + fail) // 2
                fits = self._gap(x, y, at, middle) <= allowed
                reach, fail = (middle, fail) if fits else (reach, middle)
            if reach == end and halves[1] and self._gap(x, y, at, end) > 0.5 * gap:
                # The last piece meets one that bends the other way: cut it in two.
                reach = (at + end) // 2
            if reach >= end:
                return steps
            at = reach
            steps.append(float(x[at]))

    def _grid(self, first: float, last: float, gap: float) -> Array:
        """Points much denser than pieces, where the curve bends."""
        reach, spacing = _DENSE * self.scale, math.sqrt(8.0 * gap / self.curvature) / _POINTS
        low, high = min(max(first, -reach), last), max(min(last, reach), first)
        dense = np.linspace(low, high, 2 + math.ceil((high - low) / spacing))
        return np.unique(np.concatenate([[first], dense, [last]]))

    @staticmethod
    def _gap(x: Array, y: Array, i: int, j: int) -> float:
        """Largest distance of chord and curve between two points of a grid."""
        chord = y[i] + (y[j] - y[i]) * ((x[i : j + 1] - x[i]) / (x[j] - x[i]))
        return float(np.abs(chord - y[i : j + 1]).max())


def _power(value: float) -> float:
    """Least power of two that is at least as large."""
    return float(2.0 ** math.ceil(math.log2(value)))
