"""The difference that a layer makes of two values, bounded by the difference of the two."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from formulations import AffineForm, Formulation, Program
from mipnet.network.interval import Interval, LinearForm, Lines
from mipnet.network.layers.base import Array, Flags, Floats, Layer, Relaxation, Shape
from mipnet.rounding import UNIT, down, up

#: Arrays of the relaxation by lines in the difference.
_OWN = 9


def written_twice(
    inner: Layer,
    program: Program,
    forms: tuple[AffineForm, ...],
    bounds: tuple[Interval, ...],
    formulation: Formulation,
) -> AffineForm:
    """Write ``f(y)`` and ``f(y + d)`` into a program, and subtract.

    Parameters
    ----------
    inner : Layer
        The layer ``f``, of one input.
    program : Program
    forms, bounds : tuple
        Of ``d``, ``y`` and ``y + d``.
    formulation : Formulation
    """
    before, after = (
        inner.encode(program, form, bounds=(box,), formulation=formulation)
        for form, box in zip(forms[1:], bounds[1:], strict=True)
    )
    return after + before.scale(np.full(before.size, -1.0))


class PairDifference(Layer):
    """``D = f(y + d) - f(y)`` of the inputs ``d``, ``y`` and ``y + d``.

    Two values of ``f`` that are relaxed one by one lose what ``y`` and ``y + d`` have in common;
    lines in ``d`` keep it. Element by element, what is tighter is taken.

    Attributes
    ----------
    inner : Layer
        The layer ``f``, of one input.
    """

    arity = 3
    inner: Layer

    @property
    def nonlinear(self) -> bool:
        """False: it is relaxed by the bounds of three inputs."""
        return False

    @abstractmethod
    def idle(self, before: Interval, after: Interval) -> Flags:
        """Elements of ``d`` that make no difference, whatever they are."""

    @abstractmethod
    def carried(self, *values: Interval) -> Relaxation:
        """Lines in ``d``, as nine arrays."""

    @abstractmethod
    def carry(self, form: LinearForm, carried: Relaxation) -> LinearForm:
        """Lower forms over ``d`` from lower forms over the output; see :meth:`Layer.backward`."""

    @abstractmethod
    def carry_lines(self, carried: Relaxation, inputs: Array, d: Lines) -> Lines:
        """Linear bounds of the output from those of ``d``; see :meth:`Layer.lines`."""

    @abstractmethod
    def gap(self, carried: Relaxation, d: Interval) -> Array:
        """Distance of upper and lower line in the middle of the bounds of ``d``."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """See :meth:`Layer.output_shape`."""
        return self.inner.output_shape(shapes[0])

    def forward(self, *values: Floats) -> Floats:
        """See :meth:`Layer.forward`."""
        return np.asarray(self.inner.forward(values[2]) - self.inner.forward(values[1]))

    def gradient(self, gradient: Array, *values: Array) -> tuple[Array, ...]:
        """Gradients by ``y`` and ``y + d``, and none by ``d`` itself."""
        before, after = (self.inner.gradient(gradient, value)[0] for value in values[1:])
        return np.zeros_like(values[0]), -before, after

    def apart(self, before: Interval, after: Interval) -> Interval:
        """Difference of the ranges."""
        one, two = self.inner.interval(before), self.inner.interval(after)
        size = UNIT * (one.magnitude + two.magnitude)
        return Interval(down(two.lower - one.upper, size), up(two.upper - one.lower, size))

    def relax(self, *values: Interval) -> Relaxation:
        """Lines in ``d``, those of both values, and 1 where the first are the tighter ones."""
        d, *pair = values
        carried = self.carried(*values)
        each = [self.inner.relax(box) for box in pair]
        wide = sum(between(self.inner, *part) for part in zip(each, pair, strict=True))
        mine = (self.gap(carried, d) <= wide).astype(np.float64)
        return *carried, *each[0], *each[1], mine

    def backward(
        self, form: LinearForm, relaxation: Relaxation, slopes: Array | None = None
    ) -> tuple[LinearForm, ...]:
        """Forms over ``d`` for some elements, over both values for the others."""
        del slopes
        carried, before, after, mine = _parted(relaxation)
        own = np.where(mine[:, None], form.coefficients, 0.0)
        rest, zero = form.coefficients - own, np.zeros_like(form.constant)
        first = self.carry(LinearForm(own, form.constant, form.error), carried)
        (minus,) = self.inner.backward(LinearForm(-rest, zero, zero), before)
        (plus,) = self.inner.backward(LinearForm(rest, zero, zero), after)
        return first, minus, plus

    def lines(self, relaxation: Relaxation, inputs: Array, *values: Lines) -> Lines:
        """Follow the lines in ``d`` for some elements, those of both values for the others."""
        carried, before, after, mine = _parted(relaxation)
        d, one, two = values
        own = self.carry_lines(carried, inputs, d)
        minus = self.inner.lines(before, inputs, one).scaled(-1.0)
        plus = self.inner.lines(after, inputs, two)
        flat = mine.reshape(len(mine), -1)
        low, high = (
            np.where(flat, *parts)
            for parts in (
                (own.lower_constant, plus.lower_constant + minus.lower_constant),
                (own.upper_constant, plus.upper_constant + minus.upper_constant),
            )
        )
        size = plus.size(inputs) + minus.size(inputs)
        return Lines(
            np.where(flat[..., None], own.lower, plus.lower + minus.lower),
            np.where(flat[..., None], own.upper, plus.upper + minus.upper),
            low,
            high,
            np.where(flat, own.error, plus.error + minus.error + 4.0 * UNIT * size),
        )

    def encode(
        self,
        program: Program,
        *forms: AffineForm,
        bounds: tuple[Interval, ...],
        formulation: Formulation,
    ) -> AffineForm:
        """Write the layer twice, and subtract."""
        return written_twice(self.inner, program, forms, bounds, formulation)


def between(layer: Layer, relaxation: Relaxation, box: Interval) -> Array:
    """Distance of the upper and the lower lines of a layer in the middle of a box."""
    middle = (0.5 * box.lower + 0.5 * box.upper)[:, None]
    ones = np.ones((len(middle), 1, *layer.output_shape(middle.shape[2:])))
    upper, lower = (layer.follow(s * ones, relaxation, None, middle) for s in (-1.0, 1.0))
    return np.asarray((upper - lower)[:, 0])


def _parted(relaxation: Relaxation) -> tuple[Relaxation, Relaxation, Relaxation, Flags]:
    """Lines in ``d``, those of the two values, and where the first count."""
    each = (len(relaxation) - _OWN - 1) // 2
    middle = _OWN + each
    mine = np.asarray(relaxation[-1] > 0.0)
    return relaxation[:_OWN], relaxation[_OWN:middle], relaxation[middle:-1], mine
