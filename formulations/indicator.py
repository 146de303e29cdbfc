r"""Indicator formulation of the ReLU: a binary says which part is zero, without a big M.

For a pre-activation :math:`a` with :math:`L \le a \le U`, :math:`L < 0 < U`,

.. math::

    y - s = a, \qquad y, s \ge 0, \qquad z = 1 \Rightarrow s = 0, \qquad z = 0 \Rightarrow y = 0,

with the bounds and the edge of the triangle (:mod:`formulations.triangle`), which only tighten.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from formulations.constructs import Constructs
from formulations.expression import AffineForm
from formulations.program import Program
from formulations.registry import PartsFormulation, register_formulation
from formulations.triangle import triangle_rows

Array = npt.NDArray[np.float64]


@register_formulation("indicator")
class Indicator(PartsFormulation):
    """Two indicator constraints and a binary for each unstable neuron.

    The logical form that Bonami, Lodi, Tramontani and Wiese (Math. Prog. 2015) set against big-M.
    For solvers that branch on indicators: SCIP, Gurobi, CPLEX; not HiGHS.

    Examples
    --------
    >>> import numpy as np
    >>> program = Program()
    >>> x = AffineForm.of_columns(program.add_columns([-1.0, -1.0], [1.0, 1.0]))
    >>> a = x.affine(np.array([[1.0, 2.0]]), np.array([0.5]))
    >>> y = Indicator().unstable_relu(program, a, np.array([-2.5]), np.array([3.5]))
    >>> p = program.freeze()
    >>> for row, lo, up in zip(p.matrix.toarray(), p.row_lower, p.row_upper):
    ...     print(lo, "<=", row.round(4), "<=", round(up, 9))          # columns x0 x1 y s z
    0.5 <= [-1. -2.  1. -1.  0.] <= 0.5
    -inf <= [0.     0.     0.7143 1.     0.    ] <= 2.5
    >>> for binary, value, column in p.constructs.indicators.tolist():
    ...     print(f"column {binary} = {value} -> column {column} = 0")
    column 4 = 1 -> column 3 = 0
    column 4 = 0 -> column 2 = 0
    """

    needs = "indicator constraints"
    kinked = True

    def unstable_parts(
        self, program: Program, form: AffineForm, lower: Array, upper: Array
    ) -> tuple[AffineForm, AffineForm]:
        """See :meth:`Formulation.unstable_parts`."""
        split = triangle_rows(program, form, lower, upper)
        zero, one = np.zeros(form.size, np.int32), np.ones(form.size, np.int32)
        z = program.add_columns(zero, one, integer=True)
        program.define(z, split.form, "step")
        rows = [[z, one, split.s], [z, zero, split.y]]
        program.require(
            Constructs(indicators=np.concatenate([np.column_stack(row) for row in rows]))
        )
        return split.parts
