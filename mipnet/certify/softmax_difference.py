"""The difference of two vectors of probabilities, bounded by the differences of their scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mipnet.certify.pair_difference import PairDifference
from mipnet.network.interval import Interval, LinearForm, Lines, weigh
from mipnet.network.layers import LogSoftmax, Softmax
from mipnet.network.layers.base import Array, Flags, Relaxation
from mipnet.rounding import UNIT, down, gamma, up


@dataclass(frozen=True, eq=False)
class SoftmaxDifference(PairDifference):
    r"""``D = softmax(y + d) - softmax(y)``, or the same of LogSoftmax.

    Along the way from ``y`` to ``y + d`` the derivative of a probability is
    :math:`p_i \sum_{j \ne i} p_j (d_i - d_j)`, and :math:`p_i (1 - p_i) \le 1/4`; that of its
    logarithm is :math:`\sum_{j \ne i} p_j (d_i - d_j)`. So ``D`` is no further from 0 than a
    quarter of the largest :math:`d_i - d_j`, or than all of it.

    Parameters
    ----------
    inner : Softmax or LogSoftmax
    """

    inner: Softmax | LogSoftmax

    kind = "SoftmaxDifference"

    def idle(self, before: Interval, after: Interval) -> Flags:
        """See :meth:`PairDifference.idle`: none."""
        del after
        return np.zeros(before.lower.shape, bool)

    def interval(self, *values: Interval) -> Interval:
        """Within the difference of the ranges, too."""
        low, high = self._ends(values[0])
        return Interval(low, high).intersect(self.apart(*values[1:]))

    def carried(self, *values: Interval) -> Relaxation:
        """Both ends, which depend on the bounds of ``d`` alone."""
        low, high = self._ends(values[0])
        return low, high, *(np.zeros_like(low) for _ in range(7))

    def carry(self, form: LinearForm, carried: Relaxation) -> LinearForm:
        """See :meth:`PairDifference.carry`."""
        a, (low, high) = form.coefficients, carried[:2]
        least = weigh(np.maximum(a, 0.0), low) + weigh(np.minimum(a, 0.0), high)
        constant = form.constant + least
        size = weigh(np.abs(a), np.maximum(np.abs(low), np.abs(high)))
        error = form.error + gamma(2 * low[0].size + 4) * size + 2.0 * UNIT * np.abs(constant)
        return LinearForm(np.zeros_like(a), constant, error)

    def carry_lines(self, carried: Relaxation, inputs: Array, d: Lines) -> Lines:
        """See :meth:`PairDifference.carry_lines`."""
        del inputs
        low, high = (end.reshape(len(end), -1) for end in carried[:2])
        flat = np.zeros_like(d.lower)
        return Lines(flat, flat, low, high, np.zeros_like(low))

    def gap(self, carried: Relaxation, d: Interval) -> Array:
        """See :meth:`PairDifference.gap`."""
        del d
        return np.asarray(carried[1] - carried[0])

    def _ends(self, d: Interval) -> tuple[Array, Array]:
        axis = self.inner.axis if self.inner.axis < 0 else self.inner.axis + 1
        least = d.lower.min(axis=axis, keepdims=True)
        most = d.upper.max(axis=axis, keepdims=True)
        factor = 0.25 if isinstance(self.inner, Softmax) else 1.0
        size = 2.0 * UNIT * (np.abs(d.lower) + np.abs(d.upper) + np.abs(least) + np.abs(most))
        low, high = down(d.lower - most, size), up(d.upper - least, size)
        # A quarter is exact but where it underflows, which rounding outward covers.
        return np.minimum(down(factor * low), 0.0), np.maximum(up(factor * high), 0.0)
