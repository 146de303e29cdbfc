"""Intervals and one-sided linear forms: what the bound rules of layers work on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mipnet.rounding import UNIT

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """Elementwise bounds, batch first.

    Attributes
    ----------
    lower, upper : array, shape (batch, *shape)
        Valid, outward-rounded bounds.
    """

    lower: Array
    upper: Array

    @property
    def magnitude(self) -> Array:
        """Largest absolute value in the interval, shape (batch, *shape)."""
        return np.maximum(np.abs(self.lower), np.abs(self.upper))

    def intersect(self, other: Interval) -> Interval:
        """Both bounds at once."""
        return Interval(np.maximum(self.lower, other.lower), np.minimum(self.upper, other.upper))

    def reshape(self, shape: tuple[int, ...]) -> Interval:
        """Return the same bounds, each item of the batch in another shape."""
        batch = self.lower.shape[0]
        return Interval(self.lower.reshape(batch, *shape), self.upper.reshape(batch, *shape))


@dataclass(frozen=True)
class LinearForm:
    r"""Lower linear forms ``target >= coefficients . h + constant - error``.

    Attributes
    ----------
    coefficients : array, shape (batch, targets, *shape)
        Coefficients over the value ``h`` of one node.
    constant, error : array, shape (batch, targets)
        Constant, and a bound on everything rounding took away so far.
    """

    coefficients: Array
    constant: Array
    error: Array

    def merge(self, other: LinearForm, size: Array) -> LinearForm:
        """Sum of two forms over the same node, whose values are at most ``size`` in absolute."""
        coefficients = self.coefficients + other.coefficients
        constant = self.constant + other.constant
        error = (
            self.error
            + other.error
            + 2.0 * UNIT * (np.abs(constant) + weigh(np.abs(coefficients), size))
        )
        return LinearForm(coefficients, constant, error)


@dataclass(frozen=True)
class Lines:
    r"""Linear bounds of a node over the input: ``lower.x + c <= h <= upper.x + d``, up to errors.

    Attributes
    ----------
    lower, upper : array, shape (batch, n, n_inputs)
        Coefficients over the flat input.
    lower_constant, upper_constant, error : array, shape (batch, n)
        Constants, and a bound on everything rounding took away so far.
    """

    lower: Array
    upper: Array
    lower_constant: Array
    upper_constant: Array
    error: Array

    def select(self, rows: npt.NDArray[np.intp]) -> Lines:
        """Lines of the chosen elements, in the given order."""
        return Lines(
            self.lower[:, rows],
            self.upper[:, rows],
            self.lower_constant[:, rows],
            self.upper_constant[:, rows],
            self.error[:, rows],
        )

    def scaled(self, factor: float) -> Lines:
        """Lines of the multiples; the rounding of the products is left to the caller."""
        lower, upper = self.lower * factor, self.upper * factor
        low, high = self.lower_constant * factor, self.upper_constant * factor
        error = self.error * abs(factor)
        if factor >= 0.0:
            return Lines(lower, upper, low, high, error)
        return Lines(upper, lower, high, low, error)

    def loosened(self, error: Array) -> Lines:
        """Return the lines with a larger error term."""
        return replace(self, error=self.error + error)

    def size(self, inputs: Array) -> Array:
        """Largest absolute value of any term of a line, for inputs of at most that size."""
        coefficients = np.maximum(np.abs(self.lower), np.abs(self.upper))
        constants = np.maximum(np.abs(self.lower_constant), np.abs(self.upper_constant))
        return weigh(coefficients, inputs) + constants


def weigh(coefficients: Array, values: Array) -> Array:
    """Dot products of coefficients (batch, targets, *shape) and values (batch, *shape)."""
    batch, targets = coefficients.shape[:2]
    size = math.prod(coefficients.shape[2:])
    flat = coefficients.reshape(batch, targets, size)
    vectors = values.reshape(values.shape[0], size)
    if values.shape[0] == 1:
        return np.asarray(flat @ vectors[0])
    return np.asarray(np.einsum("btn,bn->bt", flat, vectors))


def shape_carrier(values: Array) -> Array:
    """Array without entries that tells the item shape of ``values``, shape (batch, 0, *shape)."""
    return np.empty((values.shape[0], 0, *values.shape[1:]))


def item_shape(carrier: Array) -> tuple[int, ...]:
    """Item shape told by :func:`shape_carrier`."""
    return carrier.shape[2:]
