"""The difference of two largest elements, bounded by the differences of what they are taken of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mipnet.certify.pair_difference import PairDifference
from mipnet.network.interval import Interval, LinearForm, Lines
from mipnet.network.layers.base import Array, Flags, Relaxation
from mipnet.network.layers.maximum import Maximum


@dataclass(frozen=True, eq=False)
class MaxDifference(PairDifference):
    r"""``D = max(y + d) - max(y)`` over windows, of the inputs ``d``, ``y`` and ``y + d``.

    The largest element of ``y + d`` exceeds that of ``y`` by its own difference at most, and the
    largest element of ``y`` is left behind by its own difference at least:
    :math:`-\max_i(-d_i) \le D \le \max_i d_i`, over the elements that may be the largest before
    and after.

    Parameters
    ----------
    inner : Maximum
    """

    inner: Maximum

    kind = "MaxDifference"

    def idle(self, before: Interval, after: Interval) -> Flags:
        """See :meth:`PairDifference.idle`: what is never the largest."""
        return np.asarray(self.inner.inactive(before) & self.inner.inactive(after))

    def interval(self, *values: Interval) -> Interval:
        """Largest differences, within the difference of the ranges."""
        above, below = (self.inner.interval(box) for box in self._boxes(*values))
        return Interval(-below.upper, above.upper).intersect(self.apart(*values[1:]))

    def carried(self, *values: Interval) -> Relaxation:
        """Upper lines of the largest of ``d`` and of ``-d``; see :meth:`Maximum.relax`."""
        above, below = (self.inner.relax(box)[:4] for box in self._boxes(*values))
        return *above, *below, values[0].magnitude

    def carry(self, form: LinearForm, carried: Relaxation) -> LinearForm:
        """Upper lines for ``d`` where a coefficient is negative, for ``-d`` where positive."""
        above, below, size = _sides(carried)
        negative = np.minimum(form.coefficients, 0.0)
        positive, zero = form.coefficients - negative, np.zeros_like(form.constant)
        (one,) = self.inner.backward(LinearForm(negative, form.constant, form.error), above)
        (two,) = self.inner.backward(LinearForm(-positive, zero, zero), below)
        return one.merge(LinearForm(-two.coefficients, two.constant, two.error), size)

    def carry_lines(self, carried: Relaxation, inputs: Array, d: Lines) -> Lines:
        """See :meth:`PairDifference.carry_lines`."""
        above, below, _ = _sides(carried)
        high = self.inner.lines(above, inputs, d)
        low = self.inner.lines(below, inputs, d.scaled(-1.0)).scaled(-1.0)
        error = high.error + low.error
        return Lines(low.lower, high.upper, low.lower_constant, high.upper_constant, error)

    def gap(self, carried: Relaxation, d: Interval) -> Array:
        """See :meth:`PairDifference.gap`."""
        above, below, _ = _sides(carried)
        middle = (0.5 * d.lower + 0.5 * d.upper)[:, None]
        upward = -np.ones((len(middle), 1, *self.output_shape(middle.shape[2:])))
        high = self.inner.follow(upward, above, None, middle)
        low = self.inner.follow(upward, below, None, -middle)
        return np.asarray((high + low)[:, 0])

    def _boxes(self, d: Interval, before: Interval, after: Interval) -> tuple[Interval, Interval]:
        """Bounds of ``d`` and of ``-d``, minus infinity like padding for what cannot be largest."""
        gone, lost = self.inner.inactive(after), self.inner.inactive(before)
        return (
            Interval(np.where(gone, -np.inf, d.lower), np.where(gone, -np.inf, d.upper)),
            Interval(np.where(lost, -np.inf, -d.upper), np.where(lost, -np.inf, -d.lower)),
        )


def _sides(carried: Relaxation) -> tuple[Relaxation, Relaxation, Array]:
    """Relaxations of the largest of ``d`` and of ``-d``, and the size of ``d``."""
    size = carried[8]
    return (*carried[:4], size), (*carried[4:8], size), size
