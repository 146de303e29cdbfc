r"""Big-M formulation of the ReLU with per-neuron bounds.

For a pre-activation :math:`a` with :math:`L \le a \le U`, :math:`L < 0 < U`, the activation
:math:`y = \max(0, a)` and the slack :math:`s = \max(0, -a)` obey

.. math::

    y - s = a, \qquad 0 \le y \le U z, \qquad 0 \le s \le -L (1 - z), \qquad z \in \{0, 1\}.

Eliminating :math:`s` gives the textbook rows :math:`y \ge a`, :math:`y \le a - L(1 - z)`, so the
linear relaxation is the same; the slack keeps the weights of the neuron in one row instead of two.
Neurons of extreme size are written in units of a power of two (:mod:`formulations.scaling`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from formulations.definition import NamedRule
from formulations.expression import AffineForm
from formulations.program import Program
from formulations.registry import PartsFormulation, refuse_unbounded, register_formulation
from formulations.scaling import units

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int32]

#: How activation, slack and binary follow from the pre-activation.
_RULES: tuple[NamedRule, ...] = ("positive_part", "negative_part", "step")


@register_formulation("big_m")
class BigM(PartsFormulation):
    """Big-M rows, one binary per unstable neuron (Fischetti and Jo, Constraints 2018, eq. 3-6).

    Examples
    --------
    >>> import numpy as np
    >>> program = Program()
    >>> x = AffineForm.of_columns(program.add_columns([-1.0, -1.0], [1.0, 1.0]))
    >>> a = x.affine(np.array([[1.0, 2.0]]), np.array([0.5]))
    >>> y = BigM().unstable_relu(program, a, np.array([-2.5]), np.array([3.5]))
    >>> p = program.freeze()
    >>> for row, lo, up in zip(p.matrix.toarray(), p.row_lower, p.row_upper):
    ...     print(lo, "<=", row, "<=", up)          # columns x0 x1 y s z
    0.5 <= [-1. -2.  1. -1.  0.] <= 0.5
    -inf <= [ 0.   0.   1.   0.  -3.5] <= 0.0
    -inf <= [0.  0.  0.  1.  2.5] <= 2.5
    """

    def unstable_parts(
        self, program: Program, form: AffineForm, lower: Array, upper: Array
    ) -> tuple[AffineForm, AffineForm]:
        """See :meth:`Formulation.unstable_parts`."""
        return big_m_rows(program, form, lower, upper).parts


@dataclass(frozen=True, eq=False)
class Neurons:
    """Unstable neurons as big-M rows hold them, all in units of a power of two each.

    Attributes
    ----------
    form : AffineForm, n rows
        Pre-activations.
    y, s, z : array of int32, shape (n,)
        Columns of activations, slacks and binaries.
    lower, upper, unit : array, shape (n,)
    """

    form: AffineForm
    y: Index
    s: Index
    z: Index
    lower: Array
    upper: Array
    unit: Array

    @property
    def parts(self) -> tuple[AffineForm, AffineForm]:
        """Positive and negative part, in units of 1."""
        y, s = AffineForm.of_columns(self.y), AffineForm.of_columns(self.s)
        return y.scale(self.unit), s.scale(self.unit)


def big_m_rows(
    program: Program, form: AffineForm, lower: Array, upper: Array, *, linked: bool = True
) -> Neurons:
    """Append the rows of the head of this file.

    Parameters
    ----------
    program : Program
    form : AffineForm, n rows
    lower, upper : array, shape (n,)
        Finite valid bounds, ``lower < 0 < upper``.
    linked : bool
        Whether the row ``y - s = form`` is among them.

    Raises
    ------
    ValueError
        When a bound is not finite.
    """
    refuse_unbounded(lower, upper)
    zero, one = np.zeros(form.size), np.ones(form.size)
    unit = units(lower, upper)
    form, lower, upper = form.scale(1.0 / unit), lower / unit, upper / unit
    y = AffineForm.of_columns(y_columns := program.add_columns(zero, upper))
    s = AffineForm.of_columns(s_columns := program.add_columns(zero, -lower))
    z = AffineForm.of_columns(z_columns := program.add_columns(zero, one, integer=True))
    columns, rules = (y_columns, s_columns, z_columns), _RULES
    if linked:
        program.tie(y - s, form, columns, rules)
    program.add_rows(y - z.scale(upper), lower=-np.inf, upper=0.0)
    program.add_rows(s - z.scale(lower), lower=-np.inf, upper=-lower)
    if not linked:
        for block, rule in zip(columns, rules, strict=True):
            program.define(block, form, rule)
    return Neurons(form, y_columns, s_columns, z_columns, lower, upper, unit)
