r"""Triangle relaxation of the ReLU: the convex hull of its graph over one interval.

For a pre-activation :math:`a` with :math:`L \le a \le U`, :math:`L < 0 < U`, and the slack
:math:`s \ge 0` of :math:`y - s = a`,

.. math:: y, s \ge 0, \qquad -L\,y + U\,s \le -L\,U,

which is :math:`y \ge 0`, :math:`y \ge a`, :math:`y \le U (a - L) / (U - L)`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from formulations.expression import AffineForm
from formulations.program import Program
from formulations.registry import PartsFormulation, refuse_unbounded, register_formulation
from formulations.scaling import units

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int32]


@register_formulation("triangle")
class Triangle(PartsFormulation):
    """Linear relaxation without binaries (Ehlers, ATVA 2017, section 4.1).

    Examples
    --------
    >>> import numpy as np
    >>> program = Program()
    >>> x = AffineForm.of_columns(program.add_columns([-1.0], [1.0]))
    >>> y = Triangle().unstable_relu(program, x.scale(np.array([2.0])), *np.array([[-2.0], [2.0]]))
    >>> p = program.freeze()
    >>> for row, lo, up in zip(p.matrix.toarray(), p.row_lower, p.row_upper):
    ...     print(lo, "<=", row.round(9), "<=", round(up, 9))          # columns x y s
    0.0 <= [-2.  1. -1.] <= 0.0
    -inf <= [0. 1. 1.] <= 2.0
    """

    exact = False

    def unstable_parts(
        self, program: Program, form: AffineForm, lower: Array, upper: Array
    ) -> tuple[AffineForm, AffineForm]:
        """See :meth:`Formulation.unstable_parts`."""
        return triangle_rows(program, form, lower, upper).parts


@dataclass(frozen=True, eq=False)
class Split:
    """Neurons as difference of two columns, all in units of a power of two each.

    Attributes
    ----------
    form : AffineForm, n rows
        Pre-activations.
    y, s : array of int32, shape (n,)
        Columns of positive and negative parts.
    unit : array, shape (n,)
    """

    form: AffineForm
    y: Index
    s: Index
    unit: Array

    @property
    def pairs(self) -> Index:
        """``y`` and ``s`` side by side, shape (n, 2)."""
        return np.column_stack([self.y, self.s])

    @property
    def parts(self) -> tuple[AffineForm, AffineForm]:
        """Positive and negative part, in units of 1."""
        y, s = AffineForm.of_columns(self.y), AffineForm.of_columns(self.s)
        return y.scale(self.unit), s.scale(self.unit)


def triangle_rows(program: Program, form: AffineForm, lower: Array, upper: Array) -> Split:
    """Append the rows of the head of this file.

    Parameters
    ----------
    program : Program
    form : AffineForm, n rows
    lower, upper : array, shape (n,)
        Finite valid bounds, ``lower < 0 < upper``.

    Raises
    ------
    ValueError
        When a bound is not finite.
    """
    refuse_unbounded(lower, upper)
    zero, unit = np.zeros(form.size), units(lower, upper)
    form, lower, upper = form.scale(1.0 / unit), lower / unit, upper / unit
    y = AffineForm.of_columns(y_columns := program.add_columns(zero, upper))
    s = AffineForm.of_columns(s_columns := program.add_columns(zero, -lower))
    program.tie(y - s, form, (y_columns, s_columns), ("positive_part", "negative_part"))
    # Divided by the larger of U and -L, so that no entry exceeds 1; rounded to the weak side.
    larger, smaller = np.maximum(upper, -lower), np.minimum(upper, -lower)
    ratio = smaller / larger * (1.0 - 2.0**-50)
    by_y, by_s = np.where(upper > -lower, ratio, 1.0), np.where(upper > -lower, 1.0, ratio)
    side = np.nextafter(smaller, np.inf)
    program.add_rows(y.scale(by_y) + s.scale(by_s), lower=-np.inf, upper=side)
    return Split(form, y_columns, s_columns, unit)
