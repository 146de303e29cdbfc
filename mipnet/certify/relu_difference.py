"""The difference of two rectified values, bounded by the difference of what they rectify."""

from __future__ import annotations

import numpy as np

from formulations import AffineForm, Formulation, Program
from mipnet.certify.pair_difference import written_twice
from mipnet.network.interval import Interval, LinearForm, Lines
from mipnet.network.layers.base import Array, Flags, Floats, Relaxation, Shape
from mipnet.network.layers.elementwise import Bracket, Elementwise
from mipnet.network.layers.relu import ReLU
from mipnet.rounding import UNIT, down, up


class ReluDifference(Elementwise):
    r"""``D = relu(y + d) - relu(y)`` of the inputs ``d``, ``y`` and ``y + d``.

    Two rectifiers that are relaxed one by one lose what ``y`` and ``y + d`` have in common. Here
    ``D`` is held between lines in ``d`` (Paulsen, Wang, Wang, ReluDiff, ICSE 2020, section 4, as
    lines instead of intervals):

    - always :math:`\min(d, 0) \le D \le \max(d, 0)`,
    - :math:`D \ge d` where ``y`` is active, and then :math:`D = \max(d, -y) \le \max(d, -l)`,
    - :math:`D \le d` where ``y + d`` is active, and then
      :math:`D = \min(d, y + d) \ge \min(d, l')`,
    - :math:`D \ge 0` where ``y`` is inactive, :math:`D \le 0` where ``y + d`` is.
    """

    kind = "ReluDifference"
    arity = 3

    def idle(self, before: Interval, after: Interval) -> Flags:
        """Elements of ``d`` that make no difference: both are inactive."""
        return np.asarray((before.upper <= 0.0) & (after.upper <= 0.0))

    @property
    def nonlinear(self) -> bool:
        """False: it is relaxed by the bounds of three inputs."""
        return False

    def output_shape(self, *shapes: Shape) -> Shape:
        """See :meth:`Layer.output_shape`."""
        return shapes[0]

    def forward(self, *values: Floats) -> Floats:
        """See :meth:`Layer.forward`."""
        return np.asarray(np.maximum(values[2], 0) - np.maximum(values[1], 0))

    def derivative(self, x: Array) -> Array:
        """Return that by ``d`` where ``y + d`` is ``x``."""
        return np.asarray(x > 0.0, dtype=np.float64)

    def bracket(self, lower: Array, upper: Array) -> Bracket:
        """Return the lines for any ``y``."""
        free = Interval(np.full_like(lower, -np.inf), np.full_like(upper, np.inf))
        return self._bracket(Interval(lower, upper), free, free)

    def interval(self, *values: Interval) -> Interval:
        """Monotone in ``d``; never further apart than the two values are."""
        d, before, after = values
        low, high = self._sides(*values)
        on, off = np.maximum(after.upper, 0.0), np.maximum(before.lower, 0.0)
        least, most = np.maximum(after.lower, 0.0), np.maximum(before.upper, 0.0)
        apart = Interval(down(least - most, UNIT * (least + most)), up(on - off, UNIT * (on + off)))
        whole = Interval(np.minimum(d.lower, low), np.maximum(d.upper, high))
        # A constant side is the side itself.
        lower = np.where(self._flat_below(before), low, whole.lower)
        upper = np.where(self._flat_above(after), high, whole.upper)
        still = self._flat_below(before) & self._flat_above(after) & (low == high)
        apart = Interval(np.where(still, low, apart.lower), np.where(still, high, apart.upper))
        return Interval(lower, upper).intersect(apart)

    def relax(self, *values: Interval) -> Relaxation:
        """Lines in ``d``, as for every elementwise layer."""
        b, size = self._bracket(*values), values[0].magnitude
        zero = np.zeros_like(b.fall)
        return b.rise, b.above, b.start, b.fall, b.below, zero, zero, zero, size

    def backward(
        self, form: LinearForm, relaxation: Relaxation, slopes: Array | None = None
    ) -> tuple[LinearForm, ...]:
        """Lines in ``d`` alone; nothing is left to the other two."""
        (first,) = super().backward(form, relaxation, slopes)
        zero = np.zeros_like(form.constant)
        rest = LinearForm(np.zeros_like(form.coefficients), zero, zero)
        return first, rest, rest

    def lines(self, relaxation: Relaxation, inputs: Array, *values: Lines) -> Lines:
        """Follow the lines in ``d``."""
        return super().lines(relaxation, inputs, values[0])

    def encode(
        self,
        program: Program,
        *forms: AffineForm,
        bounds: tuple[Interval, ...],
        formulation: Formulation,
    ) -> AffineForm:
        """Write both rectifiers, and subtract."""
        return written_twice(ReLU(), program, forms, bounds, formulation)

    def _sides(self, d: Interval, before: Interval, after: Interval) -> tuple[Array, Array]:
        """Return ``c`` and ``e``: ``min(d, c)`` or ``c`` below, ``max(d, e)`` or ``e`` above."""
        del d
        low = np.where(before.lower >= 0.0, np.inf, np.maximum(after.lower, 0.0))
        low = np.where(self._flat_below(before), np.maximum(after.lower, 0.0), low)
        high = np.where(after.lower >= 0.0, -np.inf, -np.maximum(before.lower, 0.0))
        high = np.where(self._flat_above(after), -np.maximum(before.lower, 0.0), high)
        return low, high

    @staticmethod
    def _flat_below(before: Interval) -> Flags:
        return np.asarray(before.upper <= 0.0)

    @staticmethod
    def _flat_above(after: Interval) -> Flags:
        return np.asarray(after.upper <= 0.0)

    def _bracket(self, d: Interval, before: Interval, after: Interval) -> Bracket:
        low, high = self._sides(d, before, after)
        # Above: the chord of max(d, high), which is convex; below: that of min(d, low), concave.
        rise, above = _chord(d, np.maximum(d.lower, high), np.maximum(d.upper, high), above=True)
        fall, below = _chord(d, np.minimum(d.lower, low), np.minimum(d.upper, low), above=False)
        flat = self._flat_above(after)
        rise, above = np.where(flat, 0.0, rise), np.where(flat, high, above)
        flat = self._flat_below(before)
        fall, below = np.where(flat, 0.0, fall), np.where(flat, low, below)
        return Bracket(rise, above, fall, below, fall, below, np.zeros_like(fall))


def _chord(d: Interval, first: Array, last: Array, *, above: bool) -> tuple[Array, Array]:
    """Line on one side of the values at both ends of an interval, rounding included."""
    width = d.upper - d.lower
    slope = np.clip((last - first) / np.where(width > 0.0, width, 1.0), 0.0, 1.0)
    # Where the function is d itself, or constant, the line is exact.
    slope = np.where((first == d.lower) & (last == d.upper), 1.0, slope)
    slope = np.where(first == last, 0.0, slope)
    exact = (slope == 1.0) & (first == d.lower) & (last == d.upper)
    ends = [(value, slope * end) for value, end in ((first, d.lower), (last, d.upper))]
    if above:
        offset = np.maximum(*(up(v - p, 4.0 * UNIT * (abs(v) + abs(p))) for v, p in ends))
    else:
        offset = np.minimum(*(down(v - p, 4.0 * UNIT * (abs(v) + abs(p))) for v, p in ends))
    offset = np.where(exact, 0.0, np.where(slope == 0.0, last if above else first, offset))
    return slope, offset
