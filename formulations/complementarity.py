r"""Complementarity formulation of the ReLU: a continuous condition, no binary.

For a pre-activation :math:`a` with :math:`L \le a \le U`, :math:`L < 0 < U`,

.. math:: y - s = a, \qquad 0 \le y \perp s \ge 0,

that is :math:`y, s \ge 0` and :math:`y s = 0`, with the bounds and the edge of the triangle
(:mod:`formulations.triangle`), which only tighten.
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


@register_formulation("complementarity")
class Complementarity(PartsFormulation):
    """A complementarity condition for each unstable neuron (Yang, Balaprakash, Leyffer 2022).

    For solvers of mathematical programs with complementarity constraints, and, the condition
    relaxed to a product, for nonlinear ones. Smooth activations become expressions.

    Examples
    --------
    >>> import numpy as np
    >>> program = Program()
    >>> x = AffineForm.of_columns(program.add_columns([-1.0, -1.0], [1.0, 1.0]))
    >>> a = x.affine(np.array([[1.0, 2.0]]), np.array([0.5]))
    >>> y = Complementarity().unstable_relu(program, a, np.array([-2.5]), np.array([3.5]))
    >>> p = program.freeze()
    >>> for row, lo, up in zip(p.matrix.toarray(), p.row_lower, p.row_upper):
    ...     print(lo, "<=", row.round(4), "<=", round(up, 9))          # columns x0 x1 y s
    0.5 <= [-1. -2.  1. -1.] <= 0.5
    -inf <= [0.     0.     0.7143 1.    ] <= 2.5
    >>> p.constructs.complementary.tolist(), p.n_binaries
    ([[2, 3]], 0)
    """

    needs = "complementarity conditions"
    kinked = True
    closed = True

    def unstable_parts(
        self, program: Program, form: AffineForm, lower: Array, upper: Array
    ) -> tuple[AffineForm, AffineForm]:
        """See :meth:`Formulation.unstable_parts`."""
        split = triangle_rows(program, form, lower, upper)
        program.require(Constructs(complementary=split.pairs))
        return split.parts
