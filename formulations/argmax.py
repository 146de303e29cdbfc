r"""Rows about the order of forms: which is the largest, and which are the largest few.

Probabilities that a softmax makes of logits have the order of the logits, so that rows over the
logits decide every question about it, exactly and without a single binary for the probabilities.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from formulations.expression import AffineForm
from formulations.program import Program

Array = npt.NDArray[np.float64]


def argmax_rows(program: Program, form: AffineForm, k: int, margin: float = 0.0) -> None:
    """Append rows that make form ``k`` the largest, by a margin.

    Parameters
    ----------
    program : Program
    form : AffineForm, n rows
    k : int
    margin : float
        How much it exceeds every other one at least; 0 allows ties.

    Raises
    ------
    IndexError
        When there is no form ``k``.

    Examples
    --------
    >>> import numpy as np
    >>> program = Program()
    >>> y = AffineForm.of_columns(program.add_columns(np.zeros(3), np.ones(3)))
    >>> argmax_rows(program, y, 1, margin=0.5)
    >>> p = program.freeze()
    >>> p.matrix.toarray().tolist(), p.row_lower.tolist()
    ([[-1.0, 1.0, 0.0], [0.0, 1.0, -1.0]], [0.5, 0.5])
    """
    if not -form.size <= k < form.size:
        msg = f"there is no form {k} among {form.size}"
        raise IndexError(msg)
    others = np.delete(np.arange(form.size), k)
    first = form.select(np.full(others.size, k % form.size))
    program.add_rows(first - form.select(others), lower=margin, upper=np.inf)


def top_rows(
    program: Program, form: AffineForm, lower: Array, upper: Array, *, count: int = 1
) -> AffineForm:
    r"""Append binaries that mark the largest ``count`` forms, and return them.

    With a threshold :math:`t` between the marked and the others,

    .. math::

        \sum_i q_i = k, \qquad y_i \ge t - (T - L_i)(1 - q_i), \qquad y_i \le t + (U_i - t_0)\, q_i,

    where :math:`t_0 \le t \le T` are the ``k``-th largest of the lower and of the upper bounds.
    Of forms that tie for the last place any may be marked. With ``count=1`` this is the one-hot
    choice of the largest.

    Parameters
    ----------
    program : Program
    form : AffineForm, n rows
    lower, upper : array, shape (n,)
        Finite valid bounds of the forms.
    count : int
        Between 1 and ``n - 1``.

    Returns
    -------
    AffineForm, n rows
        1 where marked, else 0.

    Raises
    ------
    ValueError
        When the count is out of range.

    Examples
    --------
    The larger of two; columns y0 y1 t q0 q1.

    >>> import numpy as np
    >>> program = Program()
    >>> y = AffineForm.of_columns(program.add_columns([0.0, -1.0], [2.0, 3.0]))
    >>> q = top_rows(program, y, np.array([0.0, -1.0]), np.array([2.0, 3.0]))
    >>> p = program.freeze()
    >>> for row, lo, up in zip(p.matrix.toarray(), p.row_lower, p.row_upper):
    ...     print(lo, "<=", row, "<=", up)
    1.0 <= [0. 0. 0. 1. 1.] <= 1.0
    -3.0 <= [ 1.  0. -1. -3.  0.] <= inf
    -4.0 <= [ 0.  1. -1.  0. -4.] <= inf
    -inf <= [ 1.  0. -1. -2.  0.] <= 0.0
    -inf <= [ 0.  1. -1.  0. -3.] <= 0.0
    """
    if not 1 <= count < form.size:
        msg = f"between 1 and {form.size - 1} of {form.size} forms can be marked, not {count}"
        raise ValueError(msg)
    least, most = np.sort(lower)[-count], np.sort(upper)[-count]
    columns = program.add_columns(np.array([least]), np.array([most]))
    t = AffineForm.of_columns(columns).select(np.zeros(form.size, dtype=np.intp))
    zero = np.zeros(form.size)
    marks = program.add_columns(zero, zero + 1.0, integer=True)
    program.define(columns, form, Threshold(count))
    program.define(marks, form, Marked(count))
    q = AffineForm.of_columns(marks)
    program.add_rows(q.sum(), lower=float(count), upper=float(count))
    program.add_rows(form - t - q.scale(most - lower), lower=lower - most, upper=np.inf)
    program.add_rows(form - t - q.scale(upper - least), lower=-np.inf, upper=0.0)
    return q


class Threshold:
    """Rule of a definition: the ``count``-th largest value."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __call__(self, values: Array) -> Array:
        """One value."""
        return np.sort(values)[[-self.count]]


class Marked:
    """Rule of a definition: 1 for the ``count`` largest values, the first ones of equal ones."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __call__(self, values: Array) -> Array:
        """1 or 0 for every value."""
        marked = np.zeros(values.size)
        marked[np.argsort(-values, kind="stable")[: self.count]] = 1.0
        return marked
