"""Columns that follow from others: what completes a point, and what expressions are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from formulations.expression import AffineForm

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int32]

#: How the value of a defined column follows from the value ``a`` of its affine form. A function
#: gets the values of all forms and returns those of all columns; it must be picklable.
Rule = Literal["identity", "positive_part", "negative_part", "step"] | Callable[[Array], Array]


@dataclass(frozen=True)
class Definition:
    """Columns whose value is a function of an affine form of earlier columns.

    Attributes
    ----------
    columns : array of int32, shape (n,)
        The defined columns.
    form : AffineForm, n rows
        The form ``a`` they are computed from; any number of rows for a function.
    rule : {"identity", "positive_part", "negative_part", "step"} or callable
        ``a``, ``max(a, 0)``, ``max(-a, 0)`` or ``1 if a > 0 else 0``, or a function of all values.
    """

    columns: Index
    form: AffineForm
    rule: Rule

    def evaluate(self, values: Array) -> Array:
        """Values of the defined columns at the column vector ``values``."""
        a = self.form.evaluate(values)
        if callable(self.rule):
            return self.rule(a)
        if self.rule == "identity":
            return a
        if self.rule == "positive_part":
            return np.maximum(a, 0.0)
        if self.rule == "negative_part":
            return np.maximum(-a, 0.0)
        return (a > 0.0).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Formula:
    """Rule of a definition with a closed form: elementwise, for numbers and for symbols.

    Attributes
    ----------
    value : callable
        From an array to an array.
    symbolic : callable
        ``symbolic(x, functions)``: the same as an expression in ``x``. ``functions`` holds
        ``exp``, ``log`` and ``tanh`` of the modelling language; sums, products and ``abs`` are
        those of its expressions.
    """

    value: Callable[[Array], Array]
    symbolic: Callable[[Any, Any], Any]

    def __call__(self, values: Array) -> Array:
        """Values of all columns."""
        return self.value(values)
