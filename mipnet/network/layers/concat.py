"""Several arrays joined along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from formulations import AffineForm, Formulation, Program
from mipnet.errors import NetworkError
from mipnet.network.interval import Interval, LinearForm, Lines, item_shape, shape_carrier
from mipnet.network.layers.base import Array, Floats, Layer, Relaxation, Shape, register_layer


@register_layer("Concat")
@dataclass(frozen=True, eq=False)
class Concat(Layer):
    """Items of several nodes one after the other. Exact: nothing is rounded.

    Parameters
    ----------
    arity : int
        Number of inputs.
    axis : int
        Axis of the item, without the batch axis; negative ones count from the end.

    Raises
    ------
    NetworkError
        When the items differ in another axis, or have no such axis.
    """

    arity: int = 2
    axis: int = 0

    def __post_init__(self) -> None:
        if self.arity < 1:
            msg = f"Concat: needs at least one input, not {self.arity}"
            raise NetworkError(msg)

    @property
    def attributes(self) -> tuple[object, ...]:
        """The axis."""
        return self.arity, self.axis

    def output_shape(self, *shapes: Shape) -> Shape:
        """See :meth:`Layer.output_shape`."""
        axes = len(shapes[0])
        fits = -axes <= self.axis < axes and all(len(s) == axes for s in shapes)
        at = self.axis % axes if fits else 0
        if not fits or len({(*s[:at], *s[at + 1 :]) for s in shapes}) > 1:
            msg = f"Concat: items of shapes {shapes} do not join along axis {self.axis}"
            raise NetworkError(msg)
        return (*shapes[0][:at], sum(s[at] for s in shapes), *shapes[0][at + 1 :])

    def forward(self, *values: Floats) -> Floats:
        """See :meth:`Layer.forward`."""
        return self._join(values)

    def gradient(self, gradient: Array, *values: Array) -> tuple[Array, ...]:
        """See :meth:`Layer.gradient`."""
        return tuple(self._split(gradient, [v.shape[1:] for v in values]))

    def interval(self, *values: Interval) -> Interval:
        """Exact."""
        return Interval(
            self._join([v.lower for v in values]), self._join([v.upper for v in values])
        )

    def relax(self, *values: Interval) -> Relaxation:
        """Nothing is lost; empty arrays tell the shapes of the inputs."""
        return tuple(shape_carrier(v.lower) for v in values)

    def backward(
        self, form: LinearForm, relaxation: Relaxation, slopes: Array | None = None
    ) -> tuple[LinearForm, ...]:
        """Exact; the first input takes the constant along."""
        del slopes
        a, zero = form.coefficients, np.zeros_like(form.constant)
        flat = a.reshape(a.shape[0] * a.shape[1], *a.shape[2:])
        shapes = [item_shape(carrier) for carrier in relaxation]
        parts = [
            part.reshape(*a.shape[:2], *shape)
            for part, shape in zip(self._split(flat, shapes), shapes, strict=True)
        ]
        first = LinearForm(parts[0], form.constant, form.error)
        return (first, *(LinearForm(part, zero, zero) for part in parts[1:]))

    def lines(self, relaxation: Relaxation, inputs: Array, *values: Lines) -> Lines:
        """Join the lines of the inputs."""
        del inputs
        order = self._order([item_shape(carrier) for carrier in relaxation])
        names = ("lower", "upper", "lower_constant", "upper_constant", "error")
        joined = (np.concatenate([getattr(v, n) for v in values], axis=1) for n in names)
        return Lines(*joined).select(order)

    def encode(
        self,
        program: Program,
        *forms: AffineForm,
        bounds: tuple[Interval, ...],
        formulation: Formulation,
    ) -> AffineForm:
        """Join the forms of the inputs: no row, no column."""
        del program, formulation
        return forms[0].stack(*forms[1:]).select(self._order([b.lower.shape[1:] for b in bounds]))

    def _join(self, items: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        return np.concatenate(items, axis=self.axis + 1 if self.axis >= 0 else self.axis)

    def _split(self, items: Array, shapes: Sequence[Shape]) -> list[Array]:
        ends = np.cumsum([s[self.axis] for s in shapes])[:-1].tolist()
        return np.split(items, ends, axis=self.axis + 1 if self.axis >= 0 else self.axis)

    def _order(self, shapes: Sequence[Shape]) -> npt.NDArray[np.intp]:
        """Flat element, counted through all inputs, that every flat output element is."""
        ends = np.cumsum([0, *(int(np.prod(s)) for s in shapes)])
        numbers = [
            np.arange(first, first + int(np.prod(s))).reshape(1, *s)
            for first, s in zip(ends.tolist(), shapes, strict=False)
        ]
        return self._join(numbers).reshape(-1)
