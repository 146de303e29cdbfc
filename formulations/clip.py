r"""Forms cut off below and above: ``min(high, max(low, a))``.

A form with :math:`L < l < U` that stays below :math:`h` is :math:`l + \max(0, a - l)`, one with
:math:`L < h < U` that stays above :math:`l` is :math:`h - \max(0, h - a)`: one unstable ReLU each,
written by the chosen formulation. A form that may pass both has three pieces, flat, rising, flat,
in the incremental form of :mod:`formulations.piecewise`, whose relaxation is the convex hull of
the graph. Two ReLUs with :math:`y = l + \max(0, a - l) - \max(0, a - h)` would leave it looser.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from formulations.blocks import Part, assemble, narrow
from formulations.expression import AffineForm
from formulations.piecewise import Pieces, piecewise_rows
from formulations.program import Program
from formulations.registry import Formulation

Array = npt.NDArray[np.float64]


def clip_rows(
    program: Program,
    form: AffineForm,
    lower: Array,
    upper: Array,
    *,
    low: float,
    high: float,
    chosen: Formulation,
) -> AffineForm:
    """Append ``y = min(high, max(low, form))`` and return ``y``.

    Parameters
    ----------
    program : Program
    form : AffineForm, n rows
    lower, upper : array, shape (n,)
        Finite valid bounds of the forms.
    low, high : float
        ``low < high``; one of them may be infinite.
    chosen : Formulation
        Writes forms that may pass one of the two.

    Returns
    -------
    AffineForm, n rows

    Examples
    --------
    ReLU6 of ``x`` in [-1, 8]: columns x t1 t2 t3 z1 z2.

    >>> import numpy as np
    >>> from formulations import BigM
    >>> program = Program()
    >>> x = AffineForm.of_columns(program.add_columns([-1.0], [8.0]))
    >>> y = clip_rows(program, x, np.array([-1.0]), np.array([8.0]),
    ...               low=0.0, high=6.0, chosen=BigM())
    >>> y.matrix(6).toarray().tolist()
    [[0.0, 0.0, 6.0, 0.0, 0.0, 0.0]]
    >>> p = program.freeze()
    >>> for row, lo, up in zip(p.matrix.toarray(), p.row_lower, p.row_upper):
    ...     print(lo, "<=", row, "<=", up)
    -1.0 <= [ 1. -1. -6. -2.  0.  0.] <= -1.0
    -inf <= [ 0. -1.  0.  0.  1.  0.] <= 0.0
    -inf <= [ 0.  0. -1.  0.  0.  1.] <= 0.0
    -inf <= [ 0.  0.  1.  0. -1.  0.] <= 0.0
    -inf <= [ 0.  0.  0.  1.  0. -1.] <= 0.0
    """
    starts, ends = (lower < low) & (upper > low), (lower < high) & (upper > high)
    parts: list[Part] = []
    for outside, value in ((upper <= low, low), (lower >= high, high)):
        rows = np.flatnonzero(outside)
        parts.append((rows, AffineForm.of_constants(np.full(rows.size, value))))
    rows = np.flatnonzero((lower >= low) & (upper <= high))
    if rows.size:
        parts.append((rows, narrow(program, form.select(rows), lower[rows], upper[rows])))
    rows = np.flatnonzero(starts & ~ends)
    if rows.size:
        shift = np.full(rows.size, low)
        above = form.select(rows).shift(-shift)
        y = chosen.unstable_relu(program, above, lower[rows] - shift, upper[rows] - shift)
        parts.append((rows, y.shift(shift)))
    rows = np.flatnonzero(ends & ~starts)
    if rows.size:
        shift = np.full(rows.size, high)
        below = (-form.select(rows)).shift(shift)
        y = chosen.unstable_relu(program, below, shift - upper[rows], shift - lower[rows])
        parts.append((rows, (-y).shift(shift)))
    rows = np.flatnonzero(starts & ends)
    if rows.size:
        pieces = _three(lower[rows], upper[rows], low, high)
        parts.append((rows, piecewise_rows(program, form.select(rows), pieces,
                                           integer=chosen.exact)))  # fmt: skip
    return assemble(parts)


def _three(lower: Array, upper: Array, low: float, high: float) -> Pieces:
    """Flat, rising and flat pieces."""
    n = lower.size
    kinks = np.tile([low, high], (n, 1))
    values = np.tile([[low, low], [low, high], [high, high]], (n, 1))
    left = np.column_stack([lower, kinks]).reshape(-1)
    right = np.column_stack([kinks, upper]).reshape(-1)
    return Pieces(np.repeat(np.arange(n), 3), left, right, values, values)
