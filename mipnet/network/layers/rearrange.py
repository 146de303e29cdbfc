"""Rules shared by layers that only move or select elements: nothing is ever rounded."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from formulations import AffineForm, Formulation, Program
from mipnet.network.interval import Interval, LinearForm, Lines, item_shape, shape_carrier
from mipnet.network.layers.base import Array, Floats, Layer, Relaxation, Shape


class Rearrange(Layer):
    """Selection of elements, none of them twice."""

    @abstractmethod
    def pick(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Output items of input items, (n, *shape) to (n, *output_shape)."""

    @abstractmethod
    def put(self, y: Array, shape: Shape) -> Array:
        """Input items that hold ``y`` where it came from, and 0 elsewhere."""

    def index(self, shape: Shape) -> npt.NDArray[np.intp]:
        """Flat input element that every flat output element is."""
        return self.pick(np.arange(int(np.prod(shape))).reshape(1, *shape)).reshape(-1)

    def forward(self, *values: Floats) -> Floats:
        """See :meth:`Layer.forward`."""
        return self.pick(values[0])

    def gradient(self, gradient: Array, *values: Array) -> tuple[Array, ...]:
        """See :meth:`Layer.gradient`."""
        return (self.put(gradient, values[0].shape[1:]),)

    def interval(self, *values: Interval) -> Interval:
        """Exact."""
        return Interval(self.pick(values[0].lower), self.pick(values[0].upper))

    def relax(self, *values: Interval) -> Relaxation:
        """Nothing is lost; an empty array tells the shape of the input."""
        return (shape_carrier(values[0].lower),)

    def backward(
        self, form: LinearForm, relaxation: Relaxation, slopes: Array | None = None
    ) -> tuple[LinearForm, ...]:
        """Exact."""
        del slopes
        a, shape = form.coefficients, item_shape(relaxation[0])
        flat = self.put(a.reshape(a.shape[0] * a.shape[1], *a.shape[2:]), shape)
        return (LinearForm(flat.reshape(*a.shape[:2], *shape), form.constant, form.error),)

    def lines(self, relaxation: Relaxation, inputs: Array, *values: Lines) -> Lines:
        """Select lines."""
        del inputs
        order = self._order(item_shape(relaxation[0]))
        return values[0] if order is None else values[0].select(order)

    def encode(
        self,
        program: Program,
        *forms: AffineForm,
        bounds: tuple[Interval, ...],
        formulation: Formulation,
    ) -> AffineForm:
        """Select forms: no row, no column."""
        del program, formulation
        order = self._order(bounds[0].lower.shape[1:])
        return forms[0] if order is None else forms[0].select(order)

    def _order(self, shape: Shape) -> npt.NDArray[np.intp] | None:
        """:meth:`index`; None when every element stays where it is."""
        index = self.index(shape)
        size = int(np.prod(shape))
        return None if index.size == size and bool((index == np.arange(size)).all()) else index
