"""Logarithms of probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from formulations import AffineForm, Formulation, Program
from mipnet.errors import NetworkError
from mipnet.network.interval import Interval, LinearForm, Lines, weigh
from mipnet.network.layers.base import (
    Array,
    Flags,
    Floats,
    Layer,
    Relaxation,
    Shape,
    register_layer,
)
from mipnet.network.layers.smooth import ERROR, LEAST
from mipnet.network.layers.softplus import Softplus
from mipnet.rounding import down, gamma, up

#: Error granted to exponentials, logarithms and sums of them, for each term and relative to the
#: largest number involved.
_GRANTED = 2.0**-46


@register_layer("LogSoftmax")
@dataclass(frozen=True, eq=False)
class LogSoftmax(Layer):
    r"""``y_i = x_i - log sum_j exp x_j`` along an axis.

    Where only the order of the outputs matters :func:`mipnet.network.rewrite.same_order` leaves
    the layer out. A program that needs its values holds them within a band: the logarithm of a sum
    is built from pairs, :math:`\log(e^a + e^b) = a + \log(1 + e^{b - a})`, each a
    :class:`~mipnet.network.layers.softplus.Softplus`.

    Parameters
    ----------
    axis : int
        Axis of the item, without the batch axis; negative ones count from the end.
    error : float
        Largest error of the encoding, at least 1e-6 for each halving of the number of
        terms.
    """

    axis: int = -1
    error: float = ERROR

    def __post_init__(self) -> None:
        object.__setattr__(self, "error", float(self.error))
        if not (math.isfinite(self.error) and self.error >= LEAST):
            msg = f"{self.kind}: the error must be at least {LEAST}, not {self.error}"
            raise NetworkError(msg)

    @property
    def attributes(self) -> tuple[object, ...]:
        """``(axis, error)``."""
        return self.axis, self.error

    @property
    def nonlinear(self) -> bool:
        """True."""
        return True

    @property
    def band(self) -> float:
        """See :attr:`Layer.band`: the error."""
        return self.error

    def unstable(self, box: Interval) -> Flags:
        """Mark every input that is not constant."""
        return box.upper > box.lower

    def inactive(self, box: Interval) -> Flags:
        """Mark no input: all of them meet in the sum."""
        return np.zeros(box.lower.shape, dtype=bool)

    def output_shape(self, *shapes: Shape) -> Shape:
        """See :meth:`Layer.output_shape`."""
        if not -len(shapes[0]) <= self.axis < len(shapes[0]):
            msg = f"{self.kind}: items of shape {shapes[0]} have no axis {self.axis}"
            raise NetworkError(msg)
        levels = _levels(shapes[0][self.axis])
        if self.error < levels * LEAST:
            msg = f"{self.kind}: {shapes[0][self.axis]} terms need an error of at least "
            msg += f"{levels * LEAST:g}, not {self.error:g}"
            raise NetworkError(msg)
        return shapes[0]

    def forward(self, *values: Floats) -> Floats:
        """See :meth:`Layer.forward`."""
        x = self._last(values[0], 1)
        moved = x - x.max(axis=-1, keepdims=True)
        y = moved - np.log(np.exp(moved).sum(axis=-1, keepdims=True))
        return self._back(y, 1)

    def gradient(self, gradient: Array, *values: Array) -> tuple[Array, ...]:
        """See :meth:`Layer.gradient`."""
        g = self._last(gradient, 1)
        share = np.exp(self._last(np.asarray(self.forward(*values)), 1))
        return (self._back(g - share * g.sum(axis=-1, keepdims=True), 1),)

    def interval(self, *values: Interval) -> Interval:
        """Exact but for rounding: every output rises with its own input, and falls with others."""
        lower, upper = (self._last(v, 1) for v in (values[0].lower, values[0].upper))
        size = np.maximum(np.abs(lower), np.abs(upper)).max(axis=-1, keepdims=True)
        error = _GRANTED * (lower.shape[-1] + 4) * (1.0 + math.log(lower.shape[-1]) + size)
        least = -np.logaddexp(0.0, _others(upper) - lower)
        most = -np.logaddexp(0.0, _others(lower) - upper)
        return Interval(
            self._back(down(least, error), 1), self._back(np.minimum(up(most, error), 0.0), 1)
        )

    def relax(self, *values: Interval) -> Relaxation:
        """Planes around the logarithm of the sum.

        It is convex: below it lies the tangent in the middle. Above, every exponential lies under
        its chord, and the logarithm of their sum under the tangent of the logarithm.

        Returns
        -------
        low, high : arrays, shape (batch, *shape)
            Coefficients of the planes.
        below, above : arrays, shape (batch, *rest, 1)
            Their constants, ``rest`` the shape without the axis.
        size : array, shape (batch, *shape)
            Largest ``|x|``.
        """
        lower, upper = (self._last(v, 1) for v in (values[0].lower, values[0].upper))
        count = lower.shape[-1]
        middle = 0.5 * lower + 0.5 * upper
        most = upper.max(axis=-1, keepdims=True)
        size = np.maximum(np.abs(lower), np.abs(upper)).max(axis=-1, keepdims=True)
        granted = _GRANTED * (count + 4)
        best = middle.max(axis=-1, keepdims=True)
        raised = np.exp(middle - best)
        total = raised.sum(axis=-1, keepdims=True)
        low = raised / total
        value = np.log(total) + best
        below = value - (low * middle).sum(axis=-1, keepdims=True)
        below = down(below, granted * (1.0 + np.abs(value) + 6.0 * size))
        ends = np.exp(lower - most), np.exp(upper - most)
        width = upper - lower
        narrow_ = width <= 1e-6
        tangent = np.exp(middle - most)
        slope = np.where(narrow_, tangent, (ends[1] - ends[0]) / np.where(narrow_, 1.0, width))
        reach = granted * (1.0 + (1.0 + slope) * size)
        chords = np.maximum(ends[0] - slope * lower, ends[1] - slope * upper) + reach
        centre = (slope * middle + chords).sum(axis=-1, keepdims=True)
        high = slope / centre
        above = most + np.log(centre) - 1.0 + chords.sum(axis=-1, keepdims=True) / centre
        spread = np.abs(chords).sum(axis=-1, keepdims=True) / centre
        above = up(above, granted * (2.0 + np.abs(most) + spread + 6.0 * size))
        planes = (self._back(p, 1) for p in (low, high))
        return (*planes, below, above, values[0].magnitude)

    def backward(
        self, form: LinearForm, relaxation: Relaxation, slopes: Array | None = None
    ) -> tuple[LinearForm, ...]:
        """Every output is its input less one of the two planes, by the sign of its coefficient."""
        del slopes
        low, high, below, above, size = relaxation
        low, high, size = (self._last(v, 1)[:, None] for v in (low, high, size))
        below, above = below[:, None], above[:, None]
        a = self._last(form.coefficients, 2)
        negative = np.minimum(a, 0.0).sum(axis=-1, keepdims=True)
        positive = np.maximum(a, 0.0).sum(axis=-1, keepdims=True)
        coefficients = self._back(a - positive * high - negative * low, 2)
        constants = positive * above + negative * below
        shift = -constants.reshape(*constants.shape[:2], -1).sum(axis=-1)
        terms = (positive * high - negative * low) * size
        terms = terms.sum(axis=-1, keepdims=True) + positive * np.abs(above)
        terms = terms - negative * np.abs(below)
        constant = form.constant + shift
        error = (
            form.error
            + gamma(2 * a[0, 0].size + 8)
            * (
                terms.reshape(*terms.shape[:2], -1).sum(axis=-1)
                + weigh(np.abs(form.coefficients), relaxation[4])
            )
            + gamma(2) * np.abs(constant)
        )
        return (LinearForm(coefficients, constant, error),)

    def follow(
        self,
        coefficients: Array,
        relaxation: Relaxation,
        slopes: Array | None,
        *values: Array,
    ) -> Array:
        """Values along the planes that :meth:`backward` picks."""
        del slopes
        low, high, below, above, _ = relaxation
        low, high = (self._last(v, 1)[:, None] for v in (low, high))
        x = self._last(values[0], 2)
        least = (low * x).sum(axis=-1, keepdims=True) + below[:, None]
        most = (high * x).sum(axis=-1, keepdims=True) + above[:, None]
        picked = np.where(self._last(coefficients, 2) < 0.0, least, most)
        return self._back(x - picked, 2)

    def lines(self, relaxation: Relaxation, inputs: Array, *values: Lines) -> Lines:
        """Both planes, each over the lines of the sign of its coefficients."""
        (x,) = values
        low, high, below, above, size = relaxation
        shape = size.shape[1:]

        def plane(weights: Array, shift: Array) -> tuple[Array, Array]:
            """Rows of ``x - plane`` over the flat input, and constants."""
            blocks = self._last(weights, 1)
            count = blocks.shape[-1]
            rows = np.eye(count) - blocks[..., None, :]
            flat = rows.reshape(len(blocks), -1, count, count)
            whole = np.zeros((len(blocks), math.prod(shape), math.prod(shape)))
            for k, own in enumerate(self.groups(shape)):
                whole[:, own[:, None], own] = flat[:, k]
            constants = self._back(np.broadcast_to(-shift, blocks.shape), 1)
            return whole, constants.reshape(len(blocks), -1)

        def over(rows: Array, one: Array, other: Array) -> Array:
            positive = np.maximum(rows, 0.0)
            return np.asarray(positive @ one + (rows - positive) @ other)

        down_, least = plane(high, above)
        up_, most = plane(low, below)
        ends = (x.lower_constant[..., None], x.upper_constant[..., None])
        steep = np.maximum(np.abs(down_), np.abs(up_))
        sizes = (steep @ np.stack([x.size(inputs), x.error], axis=-1)) + 0.0
        constants = np.maximum(np.abs(least), np.abs(most))
        error = sizes[..., 1] + gamma(2 * down_.shape[-1] + 8) * (sizes[..., 0] + constants)
        return Lines(
            over(down_, x.lower, x.upper),
            over(up_, x.upper, x.lower),
            over(down_, *ends)[..., 0] + least,
            over(up_, *ends[::-1])[..., 0] + most,
            error,
        )

    def encode(
        self,
        program: Program,
        *forms: AffineForm,
        bounds: tuple[Interval, ...],
        formulation: Formulation,
    ) -> AffineForm:
        """Pairs of terms, pairs of pairs, ..., each as pieces with a share of the error."""
        (box,) = bounds
        shape = box.lower.shape[1:]
        rows = self.groups(shape)
        count = rows.shape[1]
        lower, upper = box.lower.reshape(-1)[rows], box.upper.reshape(-1)[rows]
        x = formulation.column(program, forms[0], box.lower.reshape(-1), box.upper.reshape(-1))
        pair = Softplus(self.error / _levels(count))
        terms = [x.select(rows[:, k]) for k in range(count)]
        ends = [(lower[:, k], upper[:, k]) for k in range(count)]
        while len(terms) > 1:
            merged = [
                _pair(program, terms[k : k + 2], ends[k : k + 2], pair, formulation)
                for k in range(0, len(terms) - 1, 2)
            ]
            odd = len(terms) % 2
            terms = [form for form, _ in merged] + terms[len(terms) - odd :]
            ends = [e for _, e in merged] + ends[len(ends) - odd :]
        total = terms[0].select(np.repeat(np.arange(len(rows)), count))
        result = x.select(rows.reshape(-1)) - total
        order = np.argsort(rows.reshape(-1))
        return result.select(order)

    def groups(self, shape: Shape) -> npt.NDArray[np.intp]:
        """Flat elements that meet in one sum, one row for each sum."""
        index = self._last(np.arange(math.prod(shape)).reshape(1, *shape), 1)
        return index.reshape(-1, index.shape[-1])

    def _last(self, values: npt.NDArray[Any], skip: int) -> npt.NDArray[Any]:
        """Move the axis to the end; ``skip`` leading axes are not of the item."""
        return np.moveaxis(values, self.axis if self.axis < 0 else self.axis + skip, -1)

    def _back(self, values: npt.NDArray[Any], skip: int) -> npt.NDArray[Any]:
        """Undo :meth:`_last`."""
        return np.moveaxis(values, -1, self.axis if self.axis < 0 else self.axis + skip)


def _levels(count: int) -> int:
    """Halvings until one of so many terms is left."""
    return max(1, math.ceil(math.log2(count)))


def _others(x: Array) -> Array:
    """Logarithm of the sum of the exponentials of all other entries, along the last axis."""
    empty = np.full((*x.shape[:-1], 1), -np.inf)
    before = np.logaddexp.accumulate(x, axis=-1)[..., :-1]
    behind = np.logaddexp.accumulate(x[..., ::-1], axis=-1)[..., ::-1][..., 1:]
    sides = np.concatenate([empty, before], axis=-1), np.concatenate([behind, empty], axis=-1)
    return np.asarray(np.logaddexp(*sides))


def _pair(
    program: Program,
    forms: list[AffineForm],
    ends: list[tuple[Array, Array]],
    pair: Softplus,
    formulation: Formulation,
) -> tuple[AffineForm, tuple[Array, Array]]:
    """``log(exp a + exp b)`` for forms ``a`` and ``b``, and its bounds."""
    (a, b), ((a_low, a_high), (b_low, b_high)) = forms, ends
    gap = Interval(down(b_low - a_high)[None], up(b_high - a_low)[None])
    excess = pair.encode(program, b - a, bounds=(gap,), formulation=formulation)
    low, high = np.logaddexp(a_low, b_low), np.logaddexp(a_high, b_high)
    bounds = low - pair.error - 1e-9, high + pair.error + 1e-9
    return formulation.column(program, a + excess, *bounds), bounds
