r"""Piecewise-linear functions of one form, and bands between two of them.

Over breakpoints :math:`p_0 < p_1 < \dots < p_m` a form :math:`a` fills the pieces from left to
right. With the share :math:`t_k \in [0, 1]` of piece :math:`k` that is filled,

.. math::

    a = p_0 + \sum_k (p_k - p_{k-1})\, t_k, \qquad
    t_1 \ge z_1 \ge t_2 \ge z_2 \ge \dots \ge t_m, \qquad z_k \in \{0, 1\}

(the incremental form: Markowitz and Manne, Econometrica 1957; its relaxation is the convex hull of
the graph: Padberg, Operations Research Letters 2000). A function with the values :math:`v_k` at the
breakpoints is

.. math:: f(a) = v_0 + \sum_k (v_k - v_{k-1})\, t_k,

with no further row; a value :math:`y` between two such functions costs a column and two rows. A
form with one piece costs no binary and no :math:`t`, and its band one row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from formulations.blocks import Part, assemble
from formulations.expression import AffineForm
from formulations.program import Program

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
#: An elementwise function; picklable.
Function = Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class Pieces:
    """Pieces of the functions of ``n`` forms, form by form, from left to right.

    Attributes
    ----------
    owner : array of int, shape (k,)
        Form of each piece, ascending; every form has at least one.
    left, right : array, shape (k,)
        Ends of each piece; the right end of one is the left end of the next of the same form.
    low, high : array, shape (k, 2)
        Values of the lower and of the upper function at the two ends; the same for one function.
    """

    owner: Index
    left: Array
    right: Array
    low: Array
    high: Array

    @property
    def first(self) -> Index:
        """First piece of every form."""
        return np.flatnonzero(np.diff(self.owner, prepend=-1))

    def select(self, forms: Index) -> Pieces:
        """Pieces of the chosen forms (ascending), which are counted anew."""
        kept = np.flatnonzero(np.isin(self.owner, forms))
        owner = np.searchsorted(forms, self.owner[kept])
        return Pieces(owner, self.left[kept], self.right[kept], self.low[kept], self.high[kept])


@dataclass(frozen=True, eq=False)
class Filled:
    """Rule of a definition: the share of each piece that is filled."""

    owner: Index
    left: Array
    width: Array

    def __call__(self, values: Array) -> Array:
        """Shares for the values of all forms."""
        return np.clip((values[self.owner] - self.left) / self.width, 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Passed:
    """Rule of a definition: whether a form has passed a breakpoint."""

    owner: Index
    point: Array

    def __call__(self, values: Array) -> Array:
        """1 or 0 for the values of all forms."""
        return (values[self.owner] >= self.point).astype(np.float64)


def piecewise_rows(
    program: Program,
    form: AffineForm,
    pieces: Pieces,
    *,
    integer: bool = True,
    value: Function | None = None,
) -> AffineForm:
    """Append piecewise-linear functions of forms, or bands, and return their values.

    Parameters
    ----------
    program : Program
    form : AffineForm, n rows
    pieces : Pieces
        They cover all values of the forms.
    integer : bool
        Whether the order of the pieces is enforced by binaries; otherwise the rows describe the
        convex hull.
    value : callable, optional
        The function that lies between the two, to complete points with; needed for a band.

    Returns
    -------
    AffineForm, n rows
        The values.

    Examples
    --------
    A value that rises to 1 on [0, 1], falls to 0 on [1, 3]; columns x t1 t2 z.

    >>> import numpy as np
    >>> program = Program()
    >>> x = AffineForm.of_columns(program.add_columns([0.0], [3.0]))
    >>> values = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> tent = Pieces(np.zeros(2, int), np.array([0.0, 1.0]), np.array([1.0, 3.0]), values, values)
    >>> y = piecewise_rows(program, x, tent)
    >>> y.matrix(4).toarray().tolist(), y.constant.tolist()
    ([[0.0, 1.0, -1.0, 0.0]], [0.0])
    >>> p = program.freeze()
    >>> for row, lo, up in zip(p.matrix.toarray(), p.row_lower, p.row_upper):
    ...     print(lo, "<=", row, "<=", up)
    0.0 <= [ 1. -1. -2.  0.] <= 0.0
    -inf <= [ 0. -1.  0.  1.] <= 0.0
    -inf <= [ 0.  0.  1. -1.] <= 0.0
    """
    counts = np.bincount(pieces.owner, minlength=form.size)
    parts: list[Part] = []
    for rows, write in (
        (np.flatnonzero(counts == 1), _straight),
        (np.flatnonzero(counts > 1), _incremental),
    ):
        if rows.size:
            chosen = form.select(rows), pieces.select(rows)
            parts.append((rows, write(program, *chosen, integer, value)))
    return assemble(parts)


def _straight(
    program: Program, form: AffineForm, pieces: Pieces, integer: bool, value: Function | None
) -> AffineForm:
    """One piece each: a line, or a band between two parallel lines."""
    del integer
    width = np.where(pieces.right > pieces.left, pieces.right - pieces.left, 1.0)
    slope = (pieces.high[:, 1] - pieces.high[:, 0]) / width
    ends = slope[:, None] * np.stack([pieces.left, pieces.right], axis=1)
    if value is None:
        return form.scale(slope).shift(pieces.low[:, 0] - ends[:, 0])
    y = _column(program, form, pieces, value)
    low, high = (pieces.low - ends).min(axis=1), (pieces.high - ends).max(axis=1)
    program.add_rows(y - form.scale(slope), lower=low, upper=high)
    return y


def _incremental(
    program: Program, form: AffineForm, pieces: Pieces, integer: bool, value: Function | None
) -> AffineForm:
    """Several pieces each."""
    count, first = pieces.owner.size, pieces.first
    width = pieces.right - pieces.left
    t = AffineForm.of_columns(columns := program.add_columns(np.zeros(count), np.ones(count)))
    program.define(columns, form, Filled(pieces.owner, pieces.left, width))
    spread = _sums(pieces.owner, width)
    program.add_rows(
        form - t.affine(spread, np.zeros(form.size)),
        lower=pieces.left[first],
        upper=pieces.left[first],
    )
    # Pieces with another one of the same form behind them.
    inner = np.flatnonzero(np.diff(pieces.owner) == 0)
    size = np.zeros(inner.size)
    z = AffineForm.of_columns(binaries := program.add_columns(size, size + 1.0, integer=integer))
    program.define(binaries, form, Passed(pieces.owner[inner], pieces.right[inner]))
    program.add_rows(z - t.select(inner), lower=-np.inf, upper=0.0)
    program.add_rows(t.select(inner + 1) - z, lower=-np.inf, upper=0.0)

    def total(ends: Array) -> AffineForm:
        steps = ends[:, 1] - ends[:, 0]
        return t.affine(_sums(pieces.owner, steps), ends[first, 0])

    if value is None:
        return total(pieces.low)
    y = _column(program, form, pieces, value)
    program.add_rows(y - total(pieces.low), lower=0.0, upper=np.inf)
    program.add_rows(y - total(pieces.high), lower=-np.inf, upper=0.0)
    return y


def _sums(owner: Index, weights: Array) -> sp.csr_array:
    """Matrix that adds up the weighted pieces of every form."""
    starts = np.concatenate([[0], np.cumsum(np.bincount(owner))])
    return sp.csr_array((weights, np.arange(owner.size), starts))


def _column(program: Program, form: AffineForm, pieces: Pieces, value: Function) -> AffineForm:
    """Columns for values between the two functions."""
    first = pieces.first
    least = np.minimum.reduceat(pieces.low.min(axis=1), first)
    most = np.maximum.reduceat(pieces.high.max(axis=1), first)
    columns = program.add_columns(least, most)
    program.define(columns, form, value)
    return AffineForm.of_columns(columns)
