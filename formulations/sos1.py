r"""SOS1 formulation of the ReLU: positive and negative part, one of which is zero.

For a pre-activation :math:`a` with :math:`L \le a \le U`, :math:`L < 0 < U`,

.. math::

    y - s = a, \qquad 0 \le y \le U, \qquad 0 \le s \le -L, \qquad \{y, s\} \text{ is SOS1},

and the edge :math:`-L\,y + U\,s \le -L\,U` of the triangle, which the two branches of the set
satisfy and which makes the linear relaxation that of big-M. The bounds only tighten; no row is
wrong when they are wide, and no binary lets a product of a tolerance and an M through.
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


@register_formulation("sos1")
class SOS1(PartsFormulation):
    """A special ordered set for each unstable neuron (Beale and Tomlin, 1970), no binaries.

    For solvers that branch on such sets: SCIP, Gurobi, CPLEX, CBC; not HiGHS.

    Examples
    --------
    >>> import numpy as np
    >>> program = Program()
    >>> x = AffineForm.of_columns(program.add_columns([-1.0, -1.0], [1.0, 1.0]))
    >>> a = x.affine(np.array([[1.0, 2.0]]), np.array([0.5]))
    >>> y = SOS1().unstable_relu(program, a, np.array([-2.5]), np.array([3.5]))
    >>> p = program.freeze()
    >>> for row, lo, up in zip(p.matrix.toarray(), p.row_lower, p.row_upper):
    ...     print(lo, "<=", row.round(4), "<=", round(up, 9))          # columns x0 x1 y s
    0.5 <= [-1. -2.  1. -1.] <= 0.5
    -inf <= [0.     0.     0.7143 1.    ] <= 2.5
    >>> p.constructs.sos1.tolist(), p.n_binaries
    ([[2, 3]], 0)
    """

    needs = "SOS1 sets"
    kinked = True

    def unstable_parts(
        self, program: Program, form: AffineForm, lower: Array, upper: Array
    ) -> tuple[AffineForm, AffineForm]:
        """See :meth:`Formulation.unstable_parts`."""
        split = triangle_rows(program, form, lower, upper)
        program.require(Constructs(sos1=split.pairs))
        return split.parts
