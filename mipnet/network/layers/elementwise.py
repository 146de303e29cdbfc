"""Rules shared by elementwise nonlinear layers: two lines around the graph over an interval."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from mipnet.network.interval import Interval, LinearForm, Lines, weigh
from mipnet.network.layers.base import Array, Layer, Relaxation, Shape
from mipnet.rounding import UNIT, gamma


@dataclass(frozen=True)
class Bracket:
    """Lines around the graph of a function over intervals, arrays of one shape (batch, *shape).

    Attributes
    ----------
    rise, above : array
        Upper line ``rise x + above``.
    fall, below : array
        A lower line ``fall x + below``.
    other, under : array
        Another one, ``other x + under``; the same where there is no choice. Every mixture of the
        two is a lower line.
    start : array
        Share of the other line in the mixture that is taken by itself, in [0, 1].
    """

    rise: Array
    above: Array
    fall: Array
    below: Array
    other: Array
    under: Array
    start: Array


class Elementwise(Layer):
    """``y = f(x)`` for every element."""

    @property
    def nonlinear(self) -> bool:
        """True: which piece of ``f`` matters follows from the bounds."""
        return True

    @abstractmethod
    def derivative(self, x: Array) -> Array:
        """Return the derivative of ``f``; any of the one-sided ones at a kink."""

    @abstractmethod
    def bracket(self, lower: Array, upper: Array) -> Bracket:
        """Sound lines around the graph over ``[lower, upper]``, shape (batch, *shape)."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """See :meth:`Layer.output_shape`."""
        return shapes[0]

    def gradient(self, gradient: Array, *values: Array) -> tuple[Array, ...]:
        """See :meth:`Layer.gradient`."""
        return (gradient * self.derivative(values[0]),)

    def relax(self, *values: Interval) -> Relaxation:
        """Lines of :meth:`bracket`.

        Returns
        -------
        rise, above, start, fall, below, turn, lift, noise, size : arrays, shape (batch, *shape)
            The lower line at slope ``s`` is ``(fall + s turn) x + below + s lift``, computed with
            an error of at most ``noise``; ``size`` is the largest ``|x|``.
        """
        (box,) = values
        b = self.bracket(box.lower, box.upper)
        turn, lift, size = b.other - b.fall, b.under - b.below, box.magnitude
        steep = np.abs(b.fall) + np.abs(b.other)
        noise = 8.0 * UNIT * (steep * size + np.abs(b.below) + np.abs(b.under))
        noise = np.where((turn == 0.0) & (lift == 0.0), 0.0, noise)
        return b.rise, b.above, b.start, b.fall, b.below, turn, lift, noise, size

    def start(self, relaxation: Relaxation) -> Array | None:
        """See :meth:`Layer.start`; None where no element has a choice."""
        _, _, start, _, _, turn, lift, _, _ = relaxation
        return start if turn.any() or lift.any() else None

    def gain(self, relaxation: Relaxation, *values: Array) -> Array:
        """See :meth:`Layer.gain`."""
        turn, lift = relaxation[5][:, None], relaxation[6][:, None]
        return np.asarray(turn * values[0] + lift)

    def backward(
        self, form: LinearForm, relaxation: Relaxation, slopes: Array | None = None
    ) -> tuple[LinearForm, ...]:
        """Upper lines where a coefficient is negative, lower lines where it is positive."""
        rise, above, _, _, _, _, _, noise, size = relaxation
        fall, below = _lower(relaxation, slopes)
        a = form.coefficients
        negative = np.minimum(a, 0.0)
        positive = a - negative
        coefficients = negative * rise[:, None] + positive * fall
        shift = weigh(negative, above) + _total(positive * below)
        constant = form.constant + shift
        terms = weigh(-negative, np.abs(above)) + _total(positive * np.abs(below))
        error = (
            form.error
            + weigh(np.abs(a), noise)
            + 2.0 * UNIT * (weigh(np.abs(coefficients), size) + np.abs(constant))
            + gamma(above[0].size + 2) * terms
        )
        return (LinearForm(coefficients, constant, error),)

    def follow(
        self,
        coefficients: Array,
        relaxation: Relaxation,
        slopes: Array | None,
        *values: Array,
    ) -> Array:
        """Upper line where the coefficient is negative, lower line where it is positive."""
        rise, above = relaxation[0][:, None], relaxation[1][:, None]
        fall, below = _lower(relaxation, slopes)
        (x,) = values
        return np.where(coefficients < 0.0, rise * x + above, fall * x + below)

    def lines(self, relaxation: Relaxation, inputs: Array, *values: Lines) -> Lines:
        """Follow the lines; one of negative slope takes the other side's."""
        (x,) = values
        batch = x.error.shape[0]
        flat = tuple(array.reshape(batch, -1) for array in relaxation)
        rise, above, noise = flat[0], flat[1], flat[7]
        fall, below = (part[:, 0] for part in _lower(flat, None))
        up, down = np.maximum(rise, 0.0), np.minimum(rise, 0.0)
        least, most = np.maximum(fall, 0.0), np.minimum(fall, 0.0)
        upper = x.upper * up[..., None] + x.lower * down[..., None]
        lower = x.lower * least[..., None] + x.upper * most[..., None]
        upper_constant = x.upper_constant * up + x.lower_constant * down + above
        lower_constant = x.lower_constant * least + x.upper_constant * most + below
        steep = np.maximum(np.abs(rise), np.abs(fall))
        size = steep * x.size(inputs) + np.maximum(np.abs(above), np.abs(below))
        error = steep * x.error + noise + 8.0 * UNIT * size
        return Lines(lower, upper, lower_constant, upper_constant, error)


def _lower(relaxation: Relaxation, slopes: Array | None) -> tuple[Array, Array]:
    """Slopes and intercepts of the lower lines, with an axis of targets."""
    _, _, start, fall, below, turn, lift, _, _ = (array[:, None] for array in relaxation)
    share = start if slopes is None else np.clip(slopes, 0.0, 1.0)
    return fall + share * turn, below + share * lift


def _total(values: Array) -> Array:
    """Sum over the elements of values (batch, targets, *shape)."""
    return np.asarray(values.reshape(*values.shape[:2], -1).sum(axis=-1))
