"""Columns that follow from others: what completes a point, and what expressions are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from formulations.expression import AffineForm

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int32]

#: How the value of a defined column follows from the value ``a`` of its affine form. A function
#: gets the values of all forms and returns those of all columns; it must be picklable.
NamedRule = Literal["identity", "positive_part", "negative_part", "step"]
Rule = NamedRule | Callable[[Array], Array]


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
    rows : slice, optional
        Rows of the program that the form was read off (:meth:`formulations.Program.tie`).
    """

    columns: Index
    form: AffineForm
    rule: Rule
    rows: slice | None = None

    def evaluate(self, values: Array) -> Array:
        """Values of the defined columns at the column vector ``values``."""
        a = self.form.evaluate(values)
        return self.rule(a) if callable(self.rule) else _applied(self.rule, a)

    def over(self, matrix: sp.csr_array) -> Definition:
        """Return the same definition, its form a view of the rows of a finished program, if tied.

        Parameters
        ----------
        matrix : scipy.sparse.csr_array
            All rows.
        """
        if self.rows is None:
            return self
        starts = matrix.indptr[self.rows.start : self.rows.stop + 1]
        part = slice(starts[0], starts[-1])
        rows = sp.csr_array((starts.size - 1, matrix.shape[1]))
        # Set one by one, because the constructor copies what is less than half of its base.
        rows.data, rows.indices = matrix.data[part], matrix.indices[part]
        rows.indptr = starts - starts[0]
        return replace(self, form=AffineForm(rows, self.form.constant))


def _applied(rule: NamedRule, a: Array) -> Array:
    if rule == "identity":
        return a
    if rule == "positive_part":
        return np.maximum(a, 0.0)
    if rule == "negative_part":
        return np.maximum(-a, 0.0)
    return (a > 0.0).astype(np.float64)


@dataclass(frozen=True)
class Tied:
    """Rule of columns that rows ``own - a = c`` tie to a form ``a``, from the values ``-a``.

    Attributes
    ----------
    rules : tuple of str
        One for each block of columns, as many columns each as there are rows.
    """

    rules: tuple[NamedRule, ...]

    def __call__(self, values: Array) -> Array:
        """Values of all columns."""
        return np.concatenate([_applied(rule, -values) for rule in self.rules])


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
