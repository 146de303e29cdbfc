"""Rules shared by elementwise layers that are flat, then rise in a straight line, then flat."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from formulations import AffineForm, Formulation, Program
from formulations.clip import clip_rows
from mipnet.network.interval import Interval
from mipnet.network.layers.base import Array, Flags, Floats
from mipnet.network.layers.elementwise import Bracket, Elementwise
from mipnet.rounding import UNIT, down, up


@dataclass(frozen=True)
class Line:
    """``slope x + shift`` between the values ``low`` and ``high``; the slope is positive."""

    slope: float
    shift: float
    low: float
    high: float

    @property
    def plain(self) -> bool:
        """Whether the line is the identity, which is never rounded."""
        return self.slope == 1.0 and self.shift == 0.0

    def values(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values of the line, not yet cut off."""
        return x if self.plain else self.slope * x + self.shift

    def error(self, x: Array) -> Array:
        """Bound on the rounding error of :meth:`values`."""
        if self.plain:
            return np.zeros_like(x)
        return 4.0 * UNIT * (np.abs(self.slope * x) + abs(self.shift))

    def kinks(self) -> tuple[float, float]:
        """Where the line leaves the lower value and reaches the upper one, rounded."""
        return (self.low - self.shift) / self.slope, (self.high - self.shift) / self.slope


class Ramp(Elementwise):
    """``y = min(high, max(low, slope x + shift))``."""

    @property
    @abstractmethod
    def line(self) -> Line:
        """The rising part, and where it ends."""

    def forward(self, *values: Floats) -> Floats:
        """See :meth:`Layer.forward`."""
        line, (x,) = self.line, values
        return np.asarray(np.clip(line.values(x), line.low, line.high), dtype=x.dtype)

    def derivative(self, x: Array) -> Array:
        """See :meth:`Elementwise.derivative`; 0 at the kinks."""
        line = self.line
        y = line.values(x)
        return np.where((y > line.low) & (y < line.high), line.slope, 0.0)

    def unstable(self, box: Interval) -> Flags:
        """See :meth:`Layer.unstable`."""
        t = self._before(box)
        passes = [(t.lower < v) & (t.upper > v) for v in (self.line.low, self.line.high)]
        return passes[0] | passes[1]

    def inactive(self, box: Interval) -> Flags:
        """See :meth:`Layer.inactive`."""
        t = self._before(box)
        return (t.upper <= self.line.low) | (t.lower >= self.line.high)

    def interval(self, *values: Interval) -> Interval:
        """Monotone; exact but for the rounding of the line."""
        t, line = self._before(values[0]), self.line
        return Interval(
            np.clip(t.lower, line.low, line.high), np.clip(t.upper, line.low, line.high)
        )

    def bracket(self, lower: Array, upper: Array) -> Bracket:
        """Take edges of the convex hull of the graph.

        The upper hull goes from the first point to where the graph levels off, then flat; of the
        two edges the one that is lower in the middle is taken. The lower hull is flat up to the
        first kink and then goes to the last point; any mixture of the two may be taken.
        """
        line, box = self.line, Interval(lower, upper)
        t = self._before(box)
        flat, linear = self.inactive(box), ~self.unstable(box)
        starts, ends = (t.lower < line.low) & ~flat, (t.upper > line.high) & ~flat
        first, last = line.kinks()
        first_at = np.where(starts, first, lower) if np.isfinite(first) else lower
        last_at = np.where(ends, last, upper) if np.isfinite(last) else upper
        middle = 0.5 * lower + 0.5 * upper
        f_low, f_high = (np.clip(line.values(x), line.low, line.high) for x in (lower, upper))
        points = [(x, np.clip(line.values(x), line.low, line.high)) for x in (first_at, last_at)]
        points += [(lower, f_low), (upper, f_high)]

        def slope(begin: Array, end: Array) -> Array:
            width = np.where(end > begin, end - begin, 1.0)
            found = np.where(end > begin, (f_high - f_low) / width, 0.0)
            return np.where(
                linear, np.where(flat, 0.0, line.slope), np.clip(found, 0.0, line.slope)
            )

        rise = np.where(ends & (middle >= last_at), 0.0, slope(lower, last_at))
        other = slope(first_at, upper)
        fall = np.where(starts, 0.0, other)
        above = np.max([self._gap(rise, *p, np.inf) for p in points], axis=0)
        below, under = (np.min([self._gap(k, *p, -np.inf) for p in points], axis=0)
                        for k in (fall, other))  # fmt: skip
        # Where the graph is one straight line nothing is rounded but the line itself.
        still = np.where(t.lower >= line.high, line.high, line.low)
        exact = np.where(flat, still, line.shift)
        above, below, under = (np.where(linear, exact, v) for v in (above, below, under))
        start = (starts & (middle > first_at)).astype(np.float64)
        return Bracket(rise, above, fall, below, other, under, start)

    def encode(
        self,
        program: Program,
        *forms: AffineForm,
        bounds: tuple[Interval, ...],
        formulation: Formulation,
    ) -> AffineForm:
        """By the kinks within the bounds: nothing, a linear row, the formulation's, or pieces."""
        line, t = self.line, self._before(bounds[0])
        (form,) = forms
        if not line.plain:
            size = form.size
            form = form.scale(np.full(size, line.slope)).shift(np.full(size, line.shift))
        lower, upper = t.lower.reshape(-1), t.upper.reshape(-1)
        ends = {"low": line.low, "high": line.high}
        return clip_rows(program, form, lower, upper, **ends, chosen=formulation)

    def _before(self, box: Interval) -> Interval:
        """Bounds of the line before it is cut off."""
        line = self.line
        if line.plain:
            return box
        lower, upper = line.values(box.lower), line.values(box.upper)
        return Interval(down(lower, line.error(box.lower)), up(upper, line.error(box.upper)))

    def _gap(self, slope: Array, x: Array, y: Array, side: float) -> Array:
        """Distance of the graph, at a kink or an end, from the line through zero of that slope."""
        steep = np.abs(slope) + self.line.slope
        error = 8.0 * UNIT * (np.abs(y) + steep * np.abs(x)) + self.line.error(x)
        gap = y - slope * x
        return up(gap, error) if side > 0.0 else down(gap, error)
