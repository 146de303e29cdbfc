"""Rules shared by all layers that are affine in one input, ``y = W x + b``.

Such a layer says how ``W``, ``|W|`` and the transpose of ``W`` act on arrays, and what ``W`` is as
a matrix. Rounding is bounded by the number of products in a sum (:mod:`mipnet.rounding`), whatever
the order they are added in.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from formulations import AffineForm, Formulation, Program
from mipnet.errors import NetworkError
from mipnet.network.interval import Interval, LinearForm, Lines, item_shape, shape_carrier, weigh
from mipnet.network.layers.base import Array, Floats, Layer, Relaxation, Shape, frozen
from mipnet.rounding import UNIT, down, gamma, up

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

L = TypeVar("L", bound="DataclassInstance")


class Linear(Layer):
    """Affine map of one input.

    ``W`` may be held in floating point with a relative error of two roundings for each entry (a
    weight of one third, say): the bounds cover that.
    """

    @abstractmethod
    def times(self, x: Floats, *, absolute: bool = False) -> Floats:
        """``W x``, or ``|W| x``, for every item: (n, *shape) to (n, *output_shape)."""

    @abstractmethod
    def adjoint(self, y: Array, shape: Shape) -> Array:
        """Transpose of ``W`` times every item: (n, *output_shape) to (n, *shape)."""

    @abstractmethod
    def matrix(self, shape: Shape) -> Array | sp.csr_array:
        """``W`` over flattened items, for inputs of that shape."""

    @abstractmethod
    def terms(self, shape: Shape) -> int:
        """Largest number of products that one output sums."""

    def offset(self, shape: Shape) -> Floats:
        """``b``, broadcastable to an output item of that shape."""
        del shape
        return np.zeros(())

    def forward(self, *values: Floats) -> Floats:
        """See :meth:`Layer.forward`."""
        product = self.times(values[0])
        offset = self.offset(product.shape[1:])
        return np.asarray(product + offset.astype(product.dtype, copy=False))

    def gradient(self, gradient: Array, *values: Array) -> tuple[Array, ...]:
        """See :meth:`Layer.gradient`."""
        return (self.adjoint(gradient, values[0].shape[1:]),)

    def interval(self, *values: Interval) -> Interval:
        """Midpoint-radius product, moved outward by its rounding error."""
        (box,) = values
        centre = 0.5 * box.lower + 0.5 * box.upper
        radius = np.maximum(up(box.upper - centre), up(centre - box.lower))
        middle = self.times(centre)
        offset = self.offset(middle.shape[1:])
        middle = middle + offset
        spread = self.times(radius, absolute=True)
        reach = self.times(box.magnitude, absolute=True)
        error = gamma(self.terms(box.lower.shape[1:]) + 3) * (reach + np.abs(offset) + spread)
        error += 4.0 * UNIT * np.abs(middle)
        lower, upper = down(middle - spread, error), up(middle + spread, error)
        if reach.all():
            return Interval(lower, upper)
        # Without weights, or over inputs that are all zero, nothing is rounded: a masked neuron
        # is its bias, and its phase is known. Not so where tiny products underflow.
        read = self.times((box.magnitude > 0.0).astype(np.float64), absolute=True)
        exact = read == 0.0
        return Interval(np.where(exact, offset, lower), np.where(exact, offset, upper))

    def relax(self, *values: Interval) -> Relaxation:
        """Largest size ``|W| |x| + |b|`` of every output, which scales its rounding error.

        Returns
        -------
        size : array, shape (batch, *output_shape)
        shape : array, shape (batch, 0, *shape)
            Empty; tells the shape of the input.
        """
        size = self.times(values[0].magnitude, absolute=True)
        size = size + np.abs(self.offset(size.shape[1:]))
        return np.asarray(size), shape_carrier(values[0].lower)

    def source(self, relaxation: Relaxation) -> Shape:
        """Shape of the input that a relaxation was made for."""
        return item_shape(relaxation[1])

    def backward(
        self, form: LinearForm, relaxation: Relaxation, slopes: Array | None = None
    ) -> tuple[LinearForm, ...]:
        """Exact composition; the rounding of ``A W`` is charged to the error term."""
        del slopes
        a, size, shape = form.coefficients, relaxation[0], self.source(relaxation)
        outputs = math.prod(a.shape[2:])
        constant = form.constant + weigh(a, self.flat_offset(a.shape[2:])[None])
        error = form.error + gamma(outputs + 3) * weigh(np.abs(a), size)
        error += 2.0 * UNIT * np.abs(constant)
        # One large product instead of one small product for each item of the batch.
        product = self.adjoint(a.reshape(math.prod(a.shape[:2]), *a.shape[2:]), shape)
        return (LinearForm(product.reshape(*a.shape[:2], *shape), constant, error),)

    def lines(self, relaxation: Relaxation, inputs: Array, *values: Lines) -> Lines:
        """Middle and half distance of the two lines, as for intervals."""
        (x,) = values
        shape, batch = self.source(relaxation), x.error.shape[0]

        def each(flat: Array, *, absolute: bool = False) -> Array:
            # Items are the coefficients of one network input.
            count = flat.shape[-1]
            items = np.moveaxis(flat, 1, -1).reshape(batch * count, *shape)
            image = np.asarray(self.times(items, absolute=absolute), dtype=np.float64)
            return np.moveaxis(image.reshape(batch, count, math.prod(image.shape[1:])), -1, 1)

        def one(flat: Array, *, absolute: bool = False) -> Array:
            return each(flat[..., None], absolute=absolute)[..., 0]

        offset = self.flat_offset(relaxation[0].shape[1:])
        middle = each(0.5 * (x.lower + x.upper))
        spread = each(0.5 * (x.upper - x.lower), absolute=True)
        centre = one(0.5 * (x.lower_constant + x.upper_constant)) + offset
        half = one(0.5 * (x.upper_constant - x.lower_constant), absolute=True)
        size = one(x.size(inputs), absolute=True) + np.abs(offset)
        error = one(x.error, absolute=True) + gamma(2 * self.terms(shape) + 8) * size
        return Lines(middle - spread, middle + spread, centre - half, centre + half, error)

    def encode(
        self,
        program: Program,
        *forms: AffineForm,
        bounds: tuple[Interval, ...],
        formulation: Formulation,
    ) -> AffineForm:
        """Affine forms of affine forms: no row, no column."""
        del program, formulation
        shape = bounds[0].lower.shape[1:]
        return forms[0].affine(self.matrix(shape), self.flat_offset(self.output_shape(shape)))

    def flat_offset(self, shape: Shape) -> Array:
        """``b``, one number for each element of an output item of that shape."""
        return np.asarray(np.broadcast_to(self.offset(shape), shape).reshape(-1), dtype=np.float64)


def finite(kind: str, what: str, values: npt.ArrayLike) -> Array:
    """Return a parameter as a read-only float64 array.

    Parameters
    ----------
    kind, what : str
        Layer and parameter, for the message.
    values : array_like

    Raises
    ------
    NetworkError
        When the values are no numbers, or some are NaN or infinite.
    """
    array = frozen(values)
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        where = f", first at neuron {int(bad[0][0])}" if array.ndim else ""
        msg = (
            f"{kind}: {len(bad)} {what} value(s) are NaN or infinite{where}; "
            f"retrain or repair the model"
        )
        raise NetworkError(msg)
    return array


def recast(layer: L, dtype: npt.DTypeLike, *names: str) -> L:
    """Copy of a frozen layer with the named arrays in another floating type."""
    twin = object.__new__(type(layer))
    for item in fields(layer):
        value = getattr(layer, item.name)
        changed = value.astype(dtype) if item.name in names else value
        object.__setattr__(twin, item.name, changed)
    return twin
