"""The rectified linear unit ``y = max(0, x)``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from formulations import AffineForm, Formulation, Program, relu_rows
from mipnet.network.interval import Interval, LinearForm, Lines, weigh
from mipnet.network.layers.base import Array, Floats, Layer, Relaxation, Shape, register_layer
from mipnet.rounding import UNIT, gamma, up


@register_layer("ReLU")
@dataclass(frozen=True, eq=False)
class ReLU(Layer):
    """Elementwise ``max(0, x)``."""

    @property
    def nonlinear(self) -> bool:
        """True: the phase of each neuron follows from its bounds."""
        return True

    @property
    def hinged(self) -> bool:
        """True."""
        return True

    def start(self, relaxation: Relaxation) -> Array | None:
        """See :meth:`Layer.start`."""
        return relaxation[2]

    def gain(self, relaxation: Relaxation, *values: Array) -> Array:
        """See :meth:`Layer.gain`."""
        del relaxation
        return values[0]

    def output_shape(self, *shapes: Shape) -> Shape:
        """See :meth:`Layer.output_shape`."""
        return shapes[0]

    def forward(self, *values: Floats) -> Floats:
        """See :meth:`Layer.forward`."""
        return np.maximum(values[0], 0)

    def gradient(self, gradient: Array, *values: Array) -> tuple[Array, ...]:
        """See :meth:`Layer.gradient`; the derivative at 0 is taken as 0."""
        return (gradient * (values[0] > 0.0),)

    def interval(self, *values: Interval) -> Interval:
        """Exact: monotone."""
        return Interval(np.maximum(values[0].lower, 0.0), np.maximum(values[0].upper, 0.0))

    def relax(self, *values: Interval) -> Relaxation:
        """CROWN relaxation (Zhang et al., NeurIPS 2018, section 3.3).

        Unstable neurons get the upper line ``s x + t`` with ``s = U/(U-L)`` and ``t`` rounded up
        until the line lies above both ends, and a lower line ``c x`` with ``c = 1`` where
        ``U > -L``, else 0.

        Returns
        -------
        rise, intercept, fall, free, size : arrays, shape (batch, *shape)
            ``s``, ``t`` and ``c``; 1 where ``c`` may be chosen freely in [0, 1]; largest ``|x|``.
        """
        lower, upper = values[0].lower, values[0].upper
        on = lower >= 0.0
        unstable = ~on & (upper > 0.0)
        width = np.where(unstable, upper - lower, 1.0)
        rise = np.where(unstable, np.minimum(upper / width, 1.0), on)
        # Any slope is sound when the intercept covers both ends of the interval.
        at_lower = up(-(rise * lower), UNIT * np.abs(lower))
        at_upper = up(upper - rise * upper, 4.0 * UNIT * np.abs(upper))
        intercept = np.where(unstable, np.maximum(at_lower, at_upper), 0.0)
        fall = np.where(unstable, upper > -lower, rise)
        return rise, intercept, fall, unstable.astype(np.float64), values[0].magnitude

    def backward(
        self, form: LinearForm, relaxation: Relaxation, slopes: Array | None = None
    ) -> tuple[LinearForm, ...]:
        """Upper lines where a coefficient is negative, lower lines where it is positive.

        Parameters
        ----------
        form : LinearForm
        relaxation : tuple of array
        slopes : array broadcastable to (batch, targets, *shape), optional
            Lower slopes of the unstable neurons.
        """
        rise, intercept, fall, free, size = relaxation
        lower_slope = fall[:, None]
        if slopes is not None:
            lower_slope = np.where(free[:, None] > 0.0, np.clip(slopes, 0.0, 1.0), lower_slope)
        a = form.coefficients
        negative = np.minimum(a, 0.0)
        coefficients = negative * rise[:, None] + (a - negative) * lower_slope
        shift = weigh(negative, intercept)
        constant = form.constant + shift
        error = (
            form.error
            + 2.0 * UNIT * (weigh(np.abs(coefficients), size) + np.abs(constant))
            + gamma(intercept[0].size) * np.abs(shift)
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
        rise, intercept, fall, free, _ = (array[:, None] for array in relaxation)
        lower_slope = fall if slopes is None else np.where(free > 0.0, slopes, fall)
        (x,) = values
        return np.where(coefficients < 0.0, rise * x + intercept, lower_slope * x)

    def lines(self, relaxation: Relaxation, inputs: Array, *values: Lines) -> Lines:
        """Both lines have slopes of at least 0, so each side follows its own."""
        (x,) = values
        batch = relaxation[0].shape[0]
        rise, intercept, fall = (array.reshape(batch, -1) for array in relaxation[:3])
        upper_constant = x.upper_constant * rise + intercept
        return Lines(
            x.lower * fall[..., None],
            x.upper * rise[..., None],
            x.lower_constant * fall,
            upper_constant,
            x.error + 4.0 * UNIT * (x.size(inputs) + np.abs(upper_constant)),
        )

    def encode(
        self,
        program: Program,
        *forms: AffineForm,
        bounds: tuple[Interval, ...],
        formulation: Formulation,
    ) -> AffineForm:
        """By phase: nothing, a linear row, or the formulation's rows."""
        lower, upper = bounds[0].lower.reshape(-1), bounds[0].upper.reshape(-1)
        return relu_rows(program, forms[0], lower, upper, formulation)
