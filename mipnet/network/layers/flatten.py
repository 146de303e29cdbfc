"""Flattening of an array into a vector, row-major."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from formulations import AffineForm, Formulation, Program
from mipnet.network.interval import Interval, LinearForm, Lines
from mipnet.network.layers.base import Array, Floats, Layer, Relaxation, Shape, register_layer


@register_layer("Flatten")
@dataclass(frozen=True, eq=False)
class Flatten(Layer):
    """Row-major flattening of everything but the batch axis."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """See :meth:`Layer.output_shape`."""
        return (int(np.prod(shapes[0])),)

    def forward(self, *values: Floats) -> Floats:
        """See :meth:`Layer.forward`."""
        return values[0].reshape(values[0].shape[0], -1)

    def gradient(self, gradient: Array, *values: Array) -> tuple[Array, ...]:
        """See :meth:`Layer.gradient`."""
        return (gradient.reshape(values[0].shape),)

    def interval(self, *values: Interval) -> Interval:
        """Exact."""
        return values[0].reshape((int(np.prod(values[0].lower.shape[1:])),))

    def relax(self, *values: Interval) -> Relaxation:
        """Nothing is lost; the bounds only tell the shape."""
        return (values[0].lower,)

    def backward(
        self, form: LinearForm, relaxation: Relaxation, slopes: Array | None = None
    ) -> tuple[LinearForm, ...]:
        """Exact."""
        del slopes
        shape = (*form.coefficients.shape[:2], *relaxation[0].shape[1:])
        return (LinearForm(form.coefficients.reshape(shape), form.constant, form.error),)

    def lines(self, relaxation: Relaxation, inputs: Array, *values: Lines) -> Lines:
        """Lines are flat already."""
        del relaxation, inputs
        return values[0]

    def encode(
        self,
        program: Program,
        *forms: AffineForm,
        bounds: tuple[Interval, ...],
        formulation: Formulation,
    ) -> AffineForm:
        """Forms are flat already."""
        del program, bounds, formulation
        return forms[0]
