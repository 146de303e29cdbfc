"""Weighted sums of nodes: residual connections, differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from formulations import AffineForm, Formulation, Program
from mipnet.errors import NetworkError
from mipnet.network.interval import Interval, LinearForm, Lines, weigh
from mipnet.network.layers.base import Array, Floats, Layer, Relaxation, Shape, register_layer
from mipnet.rounding import UNIT, down, gamma, up


@register_layer("Add")
@dataclass(frozen=True, eq=False)
class Add(Layer):
    """Elementwise ``scales[0] x0 + scales[1] x1 + ...`` of nodes of one shape.

    Parameters
    ----------
    scales : sequence of float
        One finite factor for each input: (1, 1) is a sum, (1, -1) a difference.

    Raises
    ------
    NetworkError
        When a factor is not finite, or the shapes differ (they are not broadcast).
    """

    scales: Sequence[float] = (1.0, 1.0)
    arity: int = field(init=False, default=2)

    def __post_init__(self) -> None:
        scales = tuple(float(s) for s in self.scales)
        if not scales or not np.isfinite(scales).all():
            msg = f"Add: needs finite factors, one for each input, not {scales}"
            raise NetworkError(msg)
        object.__setattr__(self, "scales", scales)
        object.__setattr__(self, "arity", len(scales))

    @property
    def attributes(self) -> tuple[object, ...]:
        """The factors."""
        return (tuple(self.scales),)

    def output_shape(self, *shapes: Shape) -> Shape:
        """See :meth:`Layer.output_shape`."""
        if len(set(shapes)) != 1:
            msg = f"Add: inputs of shapes {shapes} differ; expand the smaller one before the sum"
            raise NetworkError(msg)
        return shapes[0]

    def forward(self, *values: Floats) -> Floats:
        """See :meth:`Layer.forward`."""
        total = _scaled(values[0], self.scales[0])
        for value, scale in zip(values[1:], self.scales[1:], strict=True):
            total = total + _scaled(value, scale)
        return total

    def gradient(self, gradient: Array, *values: Array) -> tuple[Array, ...]:
        """See :meth:`Layer.gradient`."""
        del values
        return tuple(_scaled(gradient, scale) for scale in self.scales)

    def interval(self, *values: Interval) -> Interval:
        """Sum of the intervals, moved outward by its rounding error."""
        sides = [
            (_scaled(v.lower, s), _scaled(v.upper, s)) if s >= 0.0
            else (_scaled(v.upper, s), _scaled(v.lower, s))
            for v, s in zip(values, self.scales, strict=True)
        ]  # fmt: skip
        lower, upper = (np.sum([side[i] for side in sides], axis=0) for i in (0, 1))
        (size,) = self.relax(*values)
        error = gamma(self.arity + 1) * size
        # Zeros add up to zero exactly.
        rounded = size > 0.0
        return Interval(
            np.where(rounded, down(lower, error), lower),
            np.where(rounded, up(upper, error), upper),
        )

    def relax(self, *values: Interval) -> Relaxation:
        """Largest sum of absolute terms, which scales the rounding error."""
        sizes = (_scaled(v.magnitude, abs(s)) for v, s in zip(values, self.scales, strict=True))
        return (np.sum(list(sizes), axis=0),)

    def backward(
        self, form: LinearForm, relaxation: Relaxation, slopes: Array | None = None
    ) -> tuple[LinearForm, ...]:
        """Exact but for the products with the factors; the first input takes the constant."""
        del slopes
        a, zero = form.coefficients, np.zeros_like(form.constant)
        error = form.error + gamma(1) * weigh(np.abs(a), relaxation[0])
        first = LinearForm(_scaled(a, self.scales[0]), form.constant, error)
        return (first, *(LinearForm(_scaled(a, s), zero, zero) for s in self.scales[1:]))

    def lines(self, relaxation: Relaxation, inputs: Array, *values: Lines) -> Lines:
        """Add the lines; a negative factor swaps the two."""
        del relaxation
        parts = [v.scaled(s) for v, s in zip(values, self.scales, strict=True)]
        names = ("lower", "upper", "lower_constant", "upper_constant", "error")
        total = Lines(*(np.sum([getattr(p, n) for p in parts], axis=0) for n in names))
        size = np.sum([p.size(inputs) for p in parts], axis=0)
        return total.loosened(2.0 * UNIT * (self.arity + 2) * size)

    def encode(
        self,
        program: Program,
        *forms: AffineForm,
        bounds: tuple[Interval, ...],
        formulation: Formulation,
    ) -> AffineForm:
        """Sum of the forms: no row, no column."""
        del program, bounds, formulation
        scaled = [
            form if scale == 1.0 else form.scale(np.full(form.size, scale))
            for form, scale in zip(forms, self.scales, strict=True)
        ]
        total = scaled[0]
        for form in scaled[1:]:
            total = total + form
        return total


def _scaled(values: npt.NDArray[Any], factor: float) -> npt.NDArray[Any]:
    return values if factor == 1.0 else values * np.asarray(factor, dtype=values.dtype)
