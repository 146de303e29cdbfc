r"""Reduced space: activations as expressions of the inputs, no further variable and no row.

For a pre-activation :math:`a`,

.. math:: y = \max(0, a) = \tfrac12 (a + |a|),

nested from layer to layer: a solver sees the inputs alone. Forms keep the phases their bounds
prove, so that only unstable neurons are nonlinear; smooth activations are themselves.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from formulations.expression import AffineForm
from formulations.program import Program
from formulations.registry import Formulation, refuse_unbounded, register_formulation

Array = npt.NDArray[np.float64]


@register_formulation("reduced_space")
class ReducedSpace(Formulation):
    """Expressions in the inputs (Schweidtmann and Mitsos, J. Optim. Theory Appl. 2019).

    For solvers of nonlinear programs. Columns of the program that are names of expressions have
    valid bounds but are no variables.

    Examples
    --------
    >>> import numpy as np
    >>> program = Program()
    >>> x = AffineForm.of_columns(program.add_columns([-1.0, -1.0], [1.0, 1.0]))
    >>> a = x.affine(np.array([[1.0, 2.0]]), np.array([0.5]))
    >>> y = ReducedSpace().unstable_relu(program, a, np.array([-2.5]), np.array([3.5]))
    >>> p = program.freeze()
    >>> p.n_rows, p.constructs.summary()
    (0, '1 nonlinear expression')
    >>> for d in p.constructs.expressions:
    ...     print(d.columns, "=", d.rule, d.form.matrix(3).toarray()[0], "+", d.form.constant[0])
    [2] = positive_part [1. 2. 0.] + 0.5
    """

    needs = "nonlinear expressions"
    kinked = True
    closed = True

    def unstable_relu(
        self, program: Program, form: AffineForm, lower: Array, upper: Array
    ) -> AffineForm:
        """See :meth:`Formulation.unstable_relu`."""
        refuse_unbounded(lower, upper)
        return program.express(form, np.zeros(form.size), upper, "positive_part")

    def column(self, program: Program, form: AffineForm, lower: Array, upper: Array) -> AffineForm:
        """Name the forms: expressions too."""
        return program.express(form, lower, upper, "identity")
