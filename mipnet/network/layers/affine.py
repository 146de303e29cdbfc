"""The affine layer ``y = W x + b``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from mipnet.errors import NetworkError
from mipnet.network.interval import Interval, Lines
from mipnet.network.layers.base import (
    Array,
    Floats,
    Relaxation,
    Shape,
    register_layer,
)
from mipnet.network.layers.linear import Linear, finite, recast
from mipnet.rounding import gamma


@register_layer("Affine")
@dataclass(frozen=True, eq=False)
class Affine(Linear):
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
        weight, bias = finite("Affine", "weight", self.weight), finite("Affine", "bias", self.bias)
        if weight.ndim != 2 or bias.shape != weight.shape[:1]:
            msg = (
                f"Affine: weight must have shape (n_out, n_in) and bias (n_out,); "
                f"got {weight.shape} and {bias.shape}"
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
        return recast(self, dtype, "weight", "bias")

    @cached_property
    def absolute(self) -> Array:
        """Absolute weights."""
        return np.abs(self.weight)

    def output_shape(self, *shapes: Shape) -> Shape:
        """See :meth:`Layer.output_shape`."""
        if shapes[0] != (self.weight.shape[1],):
            msg = (
                f"Affine: weight of shape {self.weight.shape} takes vectors of "
                f"{self.weight.shape[1]}, not shape {shapes[0]}"
            )
            raise NetworkError(msg)
        return (self.weight.shape[0],)

    def times(self, x: Floats, *, absolute: bool = False) -> Floats:
        """See :meth:`Linear.times`."""
        return np.asarray(x @ (self.absolute if absolute else self.weight).T)

    def adjoint(self, y: Array, shape: Shape) -> Array:
        """See :meth:`Linear.adjoint`."""
        del shape
        used = np.flatnonzero(y.any(axis=0))
        # Neurons that are inactive everywhere have no coefficient: leave their rows out.
        if 2 * used.size < y.shape[-1]:
            return np.asarray(y[:, used] @ self.weight[used])
        return np.asarray(y @ self.weight)

    def matrix(self, shape: Shape) -> Array:
        """See :meth:`Linear.matrix`."""
        del shape
        return self.weight

    def terms(self, shape: Shape) -> int:
        """See :meth:`Linear.terms`."""
        del shape
        return int(self.weight.shape[1])

    def offset(self, shape: Shape) -> Array:
        """See :meth:`Linear.offset`."""
        del shape
        return self.bias

    flat_offset = offset

    def relax(self, *values: Interval) -> Relaxation:
        """See :meth:`Linear.relax`; the shape of the input is known."""
        return (values[0].magnitude @ self.absolute.T + np.abs(self.bias),)

    def source(self, relaxation: Relaxation) -> Shape:
        """See :meth:`Linear.source`."""
        del relaxation
        return (self.weight.shape[1],)

    def lines(self, relaxation: Relaxation, inputs: Array, *values: Lines) -> Lines:
        """Positive weights take the line of their own side, negative ones the other.

        On single boxes quicker than the general rule.
        """
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
