"""Rules shared by layers that take the largest element of windows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from formulations import AffineForm, Formulation, Program
from formulations.max_pool import candidates, max_rows
from mipnet.errors import NetworkError
from mipnet.network.interval import Interval, LinearForm, Lines, weigh
from mipnet.network.layers.base import (
    Array,
    Flags,
    Floats,
    Layer,
    Relaxation,
    Shape,
)
from mipnet.network.layers.window import Window
from mipnet.rounding import UNIT, gamma, up


class Maximum(Layer):
    """Largest element of every window of every channel of items (channels, *spatial)."""

    @property
    def nonlinear(self) -> bool:
        """True: which element can be the largest follows from the bounds."""
        return True

    @abstractmethod
    def window_of(self, shape: Shape) -> Window:
        """Geometry of the windows over items of that shape."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """See :meth:`Layer.output_shape`."""
        (shape,) = shapes
        window = self.window_of(shape)
        outputs = window.output(self.kind, shape)
        if not window.counts(shape[1:], outputs, padding=False).all():
            msg = f"{self.kind}: a window over items of shape {shape} holds nothing but padding; "
            msg += "use a smaller padding"
            raise NetworkError(msg)
        return (shape[0], *outputs)

    def forward(self, *values: Floats) -> Floats:
        """See :meth:`Layer.forward`."""
        return np.asarray(reduce(np.maximum, self._parts(values[0], -np.inf)))

    def gradient(self, gradient: Array, *values: Array) -> tuple[Array, ...]:
        """See :meth:`Layer.gradient`; of equal elements the first one counts."""
        (x,) = values
        picks = _first(np.stack(self._parts(x, -np.inf)) == self.forward(x))
        return (self._back(picks * gradient, len(x), x.shape[1:]),)

    def unstable(self, box: Interval) -> Flags:
        """Elements of windows whose largest element is not known."""
        kept = self._candidates(box)
        return self._marked(kept & (kept.sum(axis=-1, keepdims=True) > 1), box)

    def inactive(self, box: Interval) -> Flags:
        """Elements that are the largest of no window."""
        return ~self._marked(self._candidates(box), box)

    def interval(self, *values: Interval) -> Interval:
        """Exact: monotone."""
        lower, upper = (reduce(np.maximum, self._parts(v, -np.inf)) for v in
                        (values[0].lower, values[0].upper))  # fmt: skip
        return Interval(lower, upper)

    def relax(self, *values: Interval) -> Relaxation:
        """Lines in one element of each window.

        Below, the element with the largest lower bound. Above, the element ``x`` with the largest
        upper bound ``U``: the others stay below their largest upper bound ``R``, so that the
        result is at most ``max(x, R)``, which the chord from ``(L, R)`` to ``(U, U)`` covers.

        Returns
        -------
        intercept : array, shape (batch, *output_shape)
            Of the upper lines.
        below, above : array, shape (batch, volume, *output_shape)
            Coefficients of lower and upper lines over the elements of each window.
        result, size : array, shapes (batch, *output_shape) and (batch, *shape)
            Largest absolute values of the elements that the lines read, and of the inputs.
        """
        (box,) = values
        lower, upper = (np.stack(self._parts(v, -np.inf), axis=1) for v in (box.lower, box.upper))
        below = _first(lower == lower.max(axis=1, keepdims=True), axis=1)
        best, low, rest, high = _chord(lower, upper)
        decided = rest <= low
        rest = np.where(decided, low, rest)
        width = np.where(high > low, high - low, 1.0)
        slope = np.where(decided, 1.0, np.clip((high - rest) / width, 0.0, 1.0))
        ends = [
            up(y - slope * x, 4.0 * UNIT * (np.abs(x) + np.abs(y)))
            for x, y in ((low, rest), (high, high))
        ]
        intercept = np.where(decided, 0.0, np.maximum(*ends))
        # A decided window is its one element, exactly.
        below = np.where(decided[:, None], best, below)
        magnitude = np.where(np.isfinite(lower), np.maximum(np.abs(lower), np.abs(upper)), 0.0)
        read = ((below + best) * magnitude).max(axis=1)
        return intercept, below, best * slope[:, None], read, box.magnitude

    def height(self, box: Interval) -> Array:
        """Farthest that the upper lines of :meth:`relax` lie above ``max(x, R)``.

        Parameters
        ----------
        box : Interval
            Bounds of the input.

        Returns
        -------
        array, shape (batch, *output_shape)
            0 where the largest element is known.
        """
        ends = (np.stack(self._parts(v, -np.inf), axis=1) for v in (box.lower, box.upper))
        _, low, rest, high = _chord(*ends)
        rest = np.clip(rest, low, high)
        width = np.where(high > low, high - low, 1.0)
        return np.asarray((high - rest) * (rest - low) / width)

    def backward(
        self, form: LinearForm, relaxation: Relaxation, slopes: Array | None = None
    ) -> tuple[LinearForm, ...]:
        """Upper lines where a coefficient is negative, lower lines where it is positive."""
        del slopes
        intercept, below, above, read, size = relaxation
        a = form.coefficients
        negative = np.minimum(a, 0.0)
        positive = a - negative
        batch, targets, shape = *a.shape[:2], size.shape[1:]
        picks = (
            (positive * below[:, None, k] + negative * above[:, None, k]).reshape(-1, *a.shape[2:])
            for k in range(below.shape[1])
        )
        coefficients = self._back(picks, batch * targets, shape).reshape(batch, targets, *shape)
        shift = weigh(negative, intercept)
        constant = form.constant + shift
        error = (
            form.error
            + gamma(2 * below.shape[1] + 2) * weigh(np.abs(a), read)
            + gamma(intercept[0].size + 2) * weigh(-negative, np.abs(intercept))
            + 2.0 * UNIT * np.abs(constant)
        )
        return (LinearForm(coefficients, constant, error),)

    def follow(
        self,
        coefficients: Array,
        relaxation: Relaxation,
        slopes: Array | None,
        *values: Array,
    ) -> Array:
        """Upper line where the coefficient is negative, lower line where it is positive."""
        del slopes
        intercept, below, above, _, _ = (array[:, None] for array in relaxation)
        (x,) = values
        parts = self._parts(x.reshape(-1, *x.shape[2:]), 0.0)
        stacked = np.stack([p.reshape(*x.shape[:2], *p.shape[1:]) for p in parts], axis=2)
        upper, lower = (above * stacked).sum(axis=2) + intercept, (below * stacked).sum(axis=2)
        return np.asarray(np.where(coefficients < 0.0, upper, lower), dtype=np.float64)

    def lines(self, relaxation: Relaxation, inputs: Array, *values: Lines) -> Lines:
        """Both lines have slopes of at least 0, so each side follows its own."""
        (x,) = values
        intercept, below, above, _, size = relaxation
        batch, shape = x.error.shape[0], size.shape[1:]

        def mixed(flat: Array, weights: Array) -> Array:
            items = np.moveaxis(flat, -1, 1).reshape(-1, *shape)
            count = flat.shape[-1]
            total: Array = np.zeros((batch, count, *intercept.shape[1:]))
            for part, weight in zip(
                self._parts(items, 0.0), np.moveaxis(weights, 1, 0), strict=True
            ):
                total += part.reshape(batch, count, *part.shape[1:]) * weight[:, None]
            return np.asarray(np.moveaxis(total.reshape(batch, count, -1), 1, -1))

        def one(flat: Array, weights: Array) -> Array:
            return mixed(flat[..., None], weights)[..., 0]

        flat = intercept.reshape(batch, -1)
        upper = one(x.upper_constant, above) + flat
        either = np.maximum(below, above)
        error = one(x.error, either) + 4.0 * UNIT * (one(x.size(inputs), either) + np.abs(upper))
        return Lines(
            mixed(x.lower, below),
            mixed(x.upper, above),
            one(x.lower_constant, below),
            upper,
            error,
        )

    def encode(
        self,
        program: Program,
        *forms: AffineForm,
        bounds: tuple[Interval, ...],
        formulation: Formulation,
    ) -> AffineForm:
        """By window: the one element that is the largest, or a disjunction of the candidates."""
        (box,) = bounds
        shape = box.lower.shape[1:]
        window = self.window_of(shape)
        index = window.index(shape[1:], window.output(self.kind, shape))
        first = np.arange(shape[0])[:, None, None] * int(np.prod(shape[1:]))
        members = np.where(index >= 0, index + first, -1).reshape(-1, index.shape[1])
        lower, upper = box.lower.reshape(-1), box.upper.reshape(-1)
        return max_rows(program, forms[0], members, lower, upper, chosen=formulation)

    def _parts(self, x: npt.NDArray[Any], fill: float) -> list[npt.NDArray[Any]]:
        """One array for each element of the window, of the shape of the result."""
        window = self.window_of(x.shape[1:])
        outputs = window.output(self.kind, x.shape[1:])
        return list(window.parts(window.pad(x, outputs, fill), outputs))

    def _back(self, parts: Iterable[Array], n: int, shape: Shape) -> Array:
        """Sum of values for each element of the window, put back where they came from."""
        window = self.window_of(shape)
        outputs = window.output(self.kind, shape)
        padded = window.blank(n, shape[0], shape[1:], outputs)
        for target, part in zip(window.parts(padded, outputs), parts, strict=True):
            np.add(target, part, out=target)
        return np.asarray(window.crop(padded, shape[1:]))

    def _candidates(self, box: Interval) -> Flags:
        """Elements that may be the largest, shape (batch, *output_shape, volume)."""
        sides = (np.stack(self._parts(v, -np.inf), axis=-1) for v in (box.lower, box.upper))
        return candidates(*sides)

    def _marked(self, flags: Flags, box: Interval) -> Flags:
        """Mark the inputs that are marked in any window."""
        parts = np.moveaxis(flags, -1, 0).astype(np.float64)
        return self._back(parts, len(box.lower), box.lower.shape[1:]) > 0.0


def _chord(lower: Array, upper: Array) -> tuple[Array, Array, Array, Array]:
    """Element with the largest upper bound in every window, its bounds, and R of the others."""
    best = _first(upper == upper.max(axis=1, keepdims=True), axis=1)
    low = np.where(best > 0.0, lower, -np.inf).max(axis=1)
    rest = np.where(best > 0.0, -np.inf, upper).max(axis=1)
    return best, low, rest, upper.max(axis=1)


def _first(flags: Flags, axis: int = 0) -> Array:
    """1 at the first marked place along an axis, 0 elsewhere."""
    return np.asarray(flags & (np.cumsum(flags, axis=axis) == 1), dtype=np.float64)
