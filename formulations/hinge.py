r"""Functions with one kink, at zero: leaky and parametric ReLU, absolute value.

With :math:`f(a) = \alpha a` for :math:`a \le 0` and :math:`f(a) = \beta a` for :math:`a \ge 0`,

.. math:: f(a) = \beta \max(0, a) - \alpha \max(0, -a),

so that one unstable form costs one unstable ReLU, and its relaxation is as tight as that of the
ReLU: over :math:`L < 0 < U` the image of the triangle under a linear map.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from formulations.blocks import Part, assemble
from formulations.expression import AffineForm
from formulations.program import Program
from formulations.registry import Formulation

Array = npt.NDArray[np.float64]


def hinge_rows(
    program: Program,
    form: AffineForm,
    lower: Array,
    upper: Array,
    *,
    left: Array,
    right: Array,
    chosen: Formulation,
) -> AffineForm:
    """Append ``y = left form`` below zero, ``right form`` above it, and return ``y``.

    Parameters
    ----------
    program : Program
    form : AffineForm, n rows
        Pre-activations.
    lower, upper : array, shape (n,)
        Finite valid bounds of the pre-activations.
    left, right : array, shape (n,)
        Slopes on the two sides of zero.
    chosen : Formulation
        Writes the unstable ReLUs.

    Returns
    -------
    AffineForm, n rows

    Examples
    --------
    The absolute value of ``x`` in [-1, 2], with big-M rows; columns x y s z.

    >>> import numpy as np
    >>> from formulations import BigM
    >>> program, one = Program(), np.ones(1)
    >>> x = AffineForm.of_columns(program.add_columns([-1.0], [2.0]))
    >>> y = hinge_rows(program, x, -one, 2.0 * one, left=-one, right=one, chosen=BigM())
    >>> y.matrix(4).toarray().tolist()
    [[0.0, 1.0, 1.0, 0.0]]
    >>> p = program.freeze()
    >>> for row, lo, up in zip(p.matrix.toarray(), p.row_lower, p.row_upper):
    ...     print(lo, "<=", row, "<=", up)
    0.0 <= [-1.  1. -1.  0.] <= 0.0
    -inf <= [ 0.  1.  0. -2.] <= 0.0
    -inf <= [0. 0. 1. 1.] <= 1.0
    """
    parts: list[Part] = []
    slope = np.where(lower >= 0.0, right, left)
    linear = (lower >= 0.0) | (upper <= 0.0) | (left == right)
    rows = np.flatnonzero(linear & (slope == 0.0))
    parts.append((rows, AffineForm.of_constants(np.zeros(rows.size))))
    for rows, how in chosen.split(np.flatnonzero(linear & (slope != 0.0))):
        thin = how.column(program, form.select(rows), lower[rows], upper[rows])
        parts.append((rows, thin.scale(slope[rows])))
    for rows, how in chosen.split(np.flatnonzero(~linear)):
        y, s = how.unstable_parts(program, form.select(rows), lower[rows], upper[rows])
        parts.append((rows, y.scale(right[rows]) - s.scale(left[rows])))
    return assemble(parts)
