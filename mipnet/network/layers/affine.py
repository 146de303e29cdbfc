"""The affine layer ``y = W x + b``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from formulations import AffineForm, Formulation, Program
from mipnet.errors import NetworkError
from mipnet.network.interval import Interval, LinearForm, Lines, weigh
from mipnet.network.layers.base import (
    Array,
    Floats,
    Layer,
    Relaxation,
    Shape,
    frozen,
    register_layer,
)
from mipnet.rounding import UNIT, down, gamma, up


@register_layer("Affine")
@dataclass(frozen=True, eq=False)
class Affine(Layer):
    """Affine map of vectors.

    Parameters
    ----------
    weight : array, shape (n_out, n_in)
    bias : array, shape (n_out,)

    Raises
    ------
    NetworkError
        When the shapes do not fit, or a weight or bias is NaN or infinite.
    """

    weight: Array
    bias: Array

    def __post_init__(self) -> None:
        weight, bias = frozen(self.weight), frozen(self.bias)
        if weight.ndim != 2 or bias.shape != weight.shape[:1]:
            msg = (
                f"Affine: weight must have shape (n_out, n_in) and bias (n_out,); "
                f"got {weight.shape} and {bias.shape}"
            )
            raise NetworkError(msg)
        for what, values in (("weight", weight), ("bias", bias)):
            bad = np.argwhere(~np.isfinite(values))
            if bad.size:
                msg = (
                    f"Affine: {len(bad)} {what} value(s) are NaN or infinite, "
                    f"first at neuron {int(bad[0][0])}; retrain or repair the model"
                )
                raise NetworkError(msg)
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "bias", bias)

    @property
    def parameters(self) -> tuple[Array, ...]:
        """``(weight, bias)``."""
        return self.weight, self.bias

    def cast(self, dtype: npt.DTypeLike) -> Self:
        """See :meth:`Layer.cast`."""
        twin = object.__new__(type(self))
        object.__setattr__(twin, "weight", self.weight.astype(dtype))
        object.__setattr__(twin, "bias", self.bias.astype(dtype))
        return twin

    @cached_property
    def absolute(self) -> Array:
        """Absolute weights."""
        return np.abs(self.weight)

    @cached_property
    def weightless(self) -> npt.NDArray[np.bool_]:
        """Outputs without any weight, shape (n_out,)."""
        return np.asarray(~self.weight.any(axis=1))

    @cached_property
    def error_factor(self) -> float:
        """Relative rounding error of one output, see :func:`mipnet.rounding.gamma`."""
        return gamma(self.weight.shape[1] + 1)

    def output_shape(self, *shapes: Shape) -> Shape:
        """See :meth:`Layer.output_shape`."""
        if shapes[0] != (self.weight.shape[1],):
            msg = (
                f"Affine: weight of shape {self.weight.shape} takes vectors of "
                f"{self.weight.shape[1]}, not shape {shapes[0]}"
            )
            raise NetworkError(msg)
        return (self.weight.shape[0],)

    def forward(self, *values: Floats) -> Floats:
        """See :meth:`Layer.forward`."""
        return np.asarray(values[0] @ self.weight.T + self.bias)

    def gradient(self, gradient: Array, *values: Array) -> tuple[Array, ...]:
        """See :meth:`Layer.gradient`."""
        del values
        return (np.asarray(gradient @ self.weight),)

    def interval(self, *values: Interval) -> Interval:
        """Midpoint-radius product, moved outward by its rounding error."""
        box = values[0]
        centre = 0.5 * box.lower + 0.5 * box.upper
        radius = np.maximum(up(box.upper - centre), up(centre - box.lower))
        middle = centre @ self.weight.T + self.bias
        spread = radius @ self.absolute.T
        size = box.magnitude @ self.absolute.T + np.abs(self.bias)
        error = self.error_factor * (size + spread) + 4.0 * UNIT * np.abs(middle)
        # Without weights, or over inputs that are all zero, nothing is rounded: a masked neuron
        # is its bias, and its phase is known.
        exact = np.broadcast_to(self.weightless, size.shape)
        if not size.all():
            # A product of tiny numbers may underflow to zero without being zero.
            reads = (box.magnitude > 0.0).astype(float) @ (self.weight != 0.0).T.astype(float)
            exact = exact | (reads == 0.0)
        return Interval(
            np.where(exact, self.bias, down(middle - spread, error)),
            np.where(exact, self.bias, up(middle + spread, error)),
        )

    def relax(self, *values: Interval) -> Relaxation:
        """Largest size ``|W| |x| + |b|`` of every output, which scales its rounding error."""
        return (values[0].magnitude @ self.absolute.T + np.abs(self.bias),)

    def backward(
        self, form: LinearForm, relaxation: Relaxation, slopes: Array | None = None
    ) -> tuple[LinearForm, ...]:
        """Exact composition; the rounding of ``A W`` is charged to the error term."""
        del slopes
        a = form.coefficients
        constant = form.constant + a @ self.bias
        error = form.error + gamma(a.shape[-1] + 1) * weigh(np.abs(a), relaxation[0])
        error += 2.0 * UNIT * np.abs(constant)
        # One large product instead of one small product for each item of the batch.
        flat = a.reshape(math.prod(a.shape[:2]), a.shape[-1])
        used = np.flatnonzero(flat.any(axis=0))
        # Neurons that are inactive everywhere have no coefficient: leave their rows out.
        sparse = 2 * used.size < a.shape[-1]
        product = flat[:, used] @ self.weight[used] if sparse else flat @ self.weight
        return (LinearForm(product.reshape(*a.shape[:2], self.weight.shape[1]), constant, error),)

    def lines(self, relaxation: Relaxation, inputs: Array, *values: Lines) -> Lines:
        """Positive weights take the line of their own side, negative ones the other."""
        del relaxation
        (x,) = values
        positive = np.maximum(self.weight, 0.0)
        negative = self.weight - positive
        error = x.error @ self.absolute.T + gamma(2 * self.weight.shape[1] + 2) * (
            x.size(inputs) @ self.absolute.T + np.abs(self.bias)
        )
        return Lines(
            positive @ x.lower + negative @ x.upper,
            positive @ x.upper + negative @ x.lower,
            x.lower_constant @ positive.T + x.upper_constant @ negative.T + self.bias,
            x.upper_constant @ positive.T + x.lower_constant @ negative.T + self.bias,
            error,
        )

    def encode(
        self,
        program: Program,
        *forms: AffineForm,
        bounds: tuple[Interval, ...],
        formulation: Formulation,
    ) -> AffineForm:
        """Affine forms of affine forms: no row, no column."""
        del program, bounds, formulation
        return forms[0].affine(self.weight, self.bias)
