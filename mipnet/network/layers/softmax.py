"""Probabilities of classes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from formulations import AffineForm, Formulation, Program
from mipnet.errors import NetworkError
from mipnet.network.interval import Interval, LinearForm, Lines
from mipnet.network.layers.base import (
    Array,
    Flags,
    Floats,
    Layer,
    Relaxation,
    Shape,
    register_layer,
)
from mipnet.network.layers.log_softmax import LogSoftmax
from mipnet.network.layers.smooth import ERROR, LEAST, Smooth

#: Arrays in the relaxation of :class:`LogSoftmax`.
_FIRST = 5


@dataclass(frozen=True, eq=False)
class _Exponential(Smooth):
    """``exp x`` for ``x`` that is at most 0."""

    error: float = ERROR

    kind = "Softmax"
    parts = ((np.inf, 1),)
    reach = (0.0, 1.0)

    def value(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """See :meth:`Curve.value`."""
        return np.asarray(np.exp(x))

    def symbolic(self, x: Any, functions: Any) -> Any:
        """See :meth:`Smooth.symbolic`."""
        return functions.exp(x)

    def derivative(self, x: Array) -> Array:
        """See :meth:`Curve.derivative`."""
        return np.asarray(np.exp(x))


@register_layer("Softmax")
@dataclass(frozen=True, eq=False)
class Softmax(Layer):
    """``y_i = exp x_i / sum_j exp x_j`` along an axis: the exponential of :class:`LogSoftmax`.

    Where only the order of the outputs matters :func:`mipnet.network.rewrite.same_order` leaves
    the layer out.

    Parameters
    ----------
    axis : int
        Axis of the item, without the batch axis; negative ones count from the end.
    error : float
        Largest error of the encoding, at least 2e-6.
    """

    axis: int = -1
    error: float = ERROR

    def __post_init__(self) -> None:
        object.__setattr__(self, "error", float(self.error))
        if not (np.isfinite(self.error) and self.error >= 2.0 * LEAST):
            msg = f"Softmax: the error must be at least {2.0 * LEAST}, not {self.error}"
            raise NetworkError(msg)

    @cached_property
    def _steps(self) -> tuple[LogSoftmax, _Exponential]:
        # An error of the logarithm is one of the probability, times what it may rise to.
        half = 0.5 * self.error
        return LogSoftmax(self.axis, half * np.exp(-half)), _Exponential(half)

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
        """See :meth:`LogSoftmax.unstable`."""
        return self._steps[0].unstable(box)

    def inactive(self, box: Interval) -> Flags:
        """See :meth:`LogSoftmax.inactive`."""
        return self._steps[0].inactive(box)

    def output_shape(self, *shapes: Shape) -> Shape:
        """See :meth:`Layer.output_shape`."""
        return self._steps[0].output_shape(*shapes)

    def forward(self, *values: Floats) -> Floats:
        """See :meth:`Layer.forward`."""
        (x,) = values
        axis = self.axis if self.axis < 0 else self.axis + 1
        raised = np.exp(x - x.max(axis=axis, keepdims=True))
        return np.asarray(raised / raised.sum(axis=axis, keepdims=True))

    def gradient(self, gradient: Array, *values: Array) -> tuple[Array, ...]:
        """See :meth:`Layer.gradient`."""
        share = np.asarray(self.forward(*values), dtype=np.float64)
        return self._steps[0].gradient(gradient * share, *values)

    def interval(self, *values: Interval) -> Interval:
        """Exact but for rounding."""
        first, second = self._steps
        return second.interval(first.interval(*values))

    def relax(self, *values: Interval) -> Relaxation:
        """Relaxations of logarithm and exponential."""
        first, second = self._steps
        return (*first.relax(*values), *second.relax(first.interval(*values)))

    def backward(
        self, form: LinearForm, relaxation: Relaxation, slopes: Array | None = None
    ) -> tuple[LinearForm, ...]:
        """Through the exponential, then through the logarithm."""
        del slopes
        first, second = self._steps
        (inner,) = second.backward(form, relaxation[_FIRST:])
        return first.backward(inner, relaxation[:_FIRST])

    def follow(
        self,
        coefficients: Array,
        relaxation: Relaxation,
        slopes: Array | None,
        *values: Array,
    ) -> Array:
        """Lines of the exponential rise, so that both steps see the same signs."""
        first, second = self._steps
        inner = first.follow(coefficients, relaxation[:_FIRST], slopes, *values)
        return second.follow(coefficients, relaxation[_FIRST:], None, inner)

    def lines(self, relaxation: Relaxation, inputs: Array, *values: Lines) -> Lines:
        """Through the logarithm, then through the exponential."""
        first, second = self._steps
        inner = first.lines(relaxation[:_FIRST], inputs, *values)
        return second.lines(relaxation[_FIRST:], inputs, inner)

    def encode(
        self,
        program: Program,
        *forms: AffineForm,
        bounds: tuple[Interval, ...],
        formulation: Formulation,
    ) -> AffineForm:
        """Logarithms, their exponentials, and one row for each sum of 1."""
        first, second = self._steps
        logs = first.encode(program, *forms, bounds=bounds, formulation=formulation)
        # The program knows a logarithm within its band only.
        box, slack = first.interval(*bounds), first.error + 1e-9
        wide = Interval(box.lower - slack, box.upper + slack)
        shares = second.encode(program, logs, bounds=(wide,), formulation=formulation)
        if formulation.closed:
            return shares
        groups = first.groups(box.lower.shape[1:])
        total = shares.select(groups[:, 0])
        for k in range(1, groups.shape[1]):
            total = total + shares.select(groups[:, k])
        program.add_rows(total, lower=1.0, upper=1.0)
        return shares
