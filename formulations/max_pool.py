r"""The largest of several forms, with one binary for each that can be.

With binaries :math:`z_i` that pick one of :math:`x_1, \dots, x_k`, :math:`L_i \le x_i \le U_i`,

.. math::

    y \ge x_i, \qquad \sum_i z_i = 1, \qquad y \le \sum_j U_j z_j, \qquad
    y \le x_i + \sum_{j \ne i} (U_j - L_i) z_j, \qquad y \le \sum_j (x_j - L_j (1 - z_j)).

As :math:`y = \sum_i x_i z_i`, the McCormick envelopes of the products give
:math:`y \le \sum_{i \in S} (x_i - L_i (1 - z_i)) + \sum_{i \notin S} U_i z_i` for every subset
:math:`S`; the rows above are those of the empty set, of single forms and of all of them. For two
forms these are all, and the relaxation is the convex hull. The usual row
:math:`y \le x_i + (\max_{j \ne i} U_j - L_i)(1 - z_i)` is weaker than the one of
:math:`S = \{i\}`. All subsets at once, by a column for each product, move the root bound of small
convolutional networks by less than 0.001 and cost half as many rows again. Forms that cannot exceed
the largest lower bound are left out.

Formulations without binaries of their own get :math:`\max(m, x) = m + \max(0, x - m)`, one form
after the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from formulations.big_m import BigM
from formulations.blocks import Part, assemble
from formulations.expression import AffineForm
from formulations.program import Program
from formulations.registry import Formulation
from formulations.relu import relu_rows
from formulations.scaling import units

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Largest:
    """Rule of a definition: the largest form of every group.

    Attributes
    ----------
    first : array of int
        First form of every group.
    """

    first: Index

    def __call__(self, values: Array) -> Array:
        """One value for each group, from the values of all forms."""
        return np.maximum.reduceat(values, self.first)


@dataclass(frozen=True, eq=False)
class Picked:
    """Rule of a definition: 1 for the first largest form of every group, else 0."""

    first: Index

    def __call__(self, values: Array) -> Array:
        """1 or 0 for the values of all forms."""
        sizes = np.diff(self.first, append=values.size)
        most = np.repeat(np.maximum.reduceat(values, self.first), sizes)
        hit = np.flatnonzero(values == most)
        group = np.repeat(np.arange(self.first.size), sizes)[hit]
        picked = np.zeros(values.size)
        picked[hit[np.flatnonzero(np.diff(group, prepend=-1))]] = 1.0
        return picked


def candidates(lower: Array, upper: Array) -> npt.NDArray[np.bool_]:
    """Forms that may be the largest of their group and are not certainly equalled by another.

    Parameters
    ----------
    lower, upper : array, shape (..., k)
        Bounds of the forms of every group; ``-inf`` for places that hold none.

    Returns
    -------
    array of bool, shape (..., k)
        At least one in every group.
    """
    best = np.argmax(lower, axis=-1)[..., None]
    floor = np.take_along_axis(lower, best, axis=-1)
    first: npt.NDArray[np.bool_] = np.arange(lower.shape[-1]) == best
    return (upper > floor) | first


def max_rows(
    program: Program,
    form: AffineForm,
    members: npt.NDArray[np.int64],
    lower: Array,
    upper: Array,
    *,
    chosen: Formulation | None = None,
) -> AffineForm:
    """Append the largest form of every group and return it.

    Parameters
    ----------
    program : Program
    form : AffineForm, n rows
    members : array of int, shape (groups, k)
        Forms of each group; -1 for places that hold none.
    lower, upper : array, shape (n,)
        Finite valid bounds of the forms.
    chosen : Formulation, optional
        Says whether the choice is enforced by binaries, as it is by default, relaxed, or made of
        ReLUs.

    Returns
    -------
    AffineForm, one row for each group

    Examples
    --------
    The larger of ``x0`` in [0, 2] and ``x1`` in [-1, 3]; columns x0 x1 y z0 z1.

    >>> import numpy as np
    >>> program = Program()
    >>> low, high = np.array([0.0, -1.0]), np.array([2.0, 3.0])
    >>> x = AffineForm.of_columns(program.add_columns(low, high))
    >>> y = max_rows(program, x, np.array([[0, 1]]), low, high)
    >>> p = program.freeze()
    >>> for row, lo, up in zip(p.matrix.toarray(), p.row_lower, p.row_upper):
    ...     print(lo, "<=", row, "<=", up)
    1.0 <= [0. 0. 0. 1. 1.] <= 1.0
    0.0 <= [-1.  0.  1.  0.  0.] <= inf
    0.0 <= [ 0. -1.  1.  0.  0.] <= inf
    -inf <= [ 0.  0.  1. -2. -3.] <= 0.0
    -inf <= [-1.  0.  1.  0. -3.] <= 0.0
    -inf <= [ 0. -1.  1. -2.  1.] <= 1.0
    -inf <= [-1. -1.  1.  0.  1.] <= 1.0
    """
    chosen = chosen or BigM()
    inside = members >= 0
    low = np.where(inside, lower[members], -np.inf)
    high = np.where(inside, upper[members], -np.inf)
    kept = candidates(low, high)
    single = kept.sum(axis=1) == 1
    parts: list[Part] = []
    rows = np.flatnonzero(single)
    parts.append((rows, form.select(members[rows][kept[rows]].astype(np.intp))))
    rows = np.flatnonzero(~single)
    if rows.size:
        used, where = np.unique(members[rows][kept[rows]], return_inverse=True)
        thin = chosen.column(program, form.select(used), lower[used], upper[used])
        group = np.nonzero(kept[rows])[0]
        at = _Groups(thin.select(where), group, lower[used][where], upper[used][where])
        write = _chain if chosen.kinked else _disjunction
        parts.append((rows, write(program, at, chosen)))
    return assemble(parts)


@dataclass(frozen=True, eq=False)
class _Groups:
    """At least two forms in every group; ``group`` ascends."""

    x: AffineForm
    group: Index
    lower: Array
    upper: Array

    @property
    def first(self) -> Index:
        """First form of every group."""
        return np.flatnonzero(np.diff(self.group, prepend=-1))


def _chain(program: Program, groups: _Groups, chosen: Formulation) -> AffineForm:
    """Largest of every group as ``m + max(0, x - m)``, one form after the other."""
    x, lower, upper, first = groups.x, groups.lower, groups.upper, groups.first
    size = np.diff(first, append=groups.group.size)
    m, low, high = x.select(first), lower[first], upper[first]
    for k in range(1, int(size.max())):
        rows = np.flatnonzero(size > k)
        at = first[rows] + k
        ends = lower[at] - high[rows], upper[at] - low[rows]
        margin = 4.0 * np.finfo(np.float64).eps * (np.abs(ends[0]) + np.abs(ends[1]))
        rise = relu_rows(
            program, x.select(at) - m.select(rows), ends[0] - margin, ends[1] + margin, chosen
        )
        rest = np.flatnonzero(size <= k)
        m = assemble([(rows, m.select(rows) + rise), (rest, m.select(rest))])
        low[rows] = np.maximum(low[rows], lower[at])
        high[rows] = np.maximum(high[rows], upper[at])
    return m


def _disjunction(program: Program, groups: _Groups, chosen: Formulation) -> AffineForm:
    """Largest of every group, with a binary for each form."""
    x, group, lower, upper, first = groups.x, groups.group, groups.lower, groups.upper, groups.first
    starts = np.append(first, group.size)
    unit = units(np.minimum.reduceat(lower, first), np.maximum.reduceat(upper, first))
    x, lower, upper = x.scale(1.0 / unit[group]), lower / unit[group], upper / unit[group]
    sums = sp.csr_array((np.ones(group.size), np.arange(group.size), starts))
    size, zero = np.zeros(group.size), np.zeros(first.size)
    most = np.maximum.reduceat(upper, first)
    columns = program.add_columns(np.maximum.reduceat(lower, first), most)
    binaries = program.add_columns(size, size + 1.0, integer=chosen.exact)
    program.define(columns, x, Largest(first))
    program.define(binaries, x, Picked(first))
    y, z = AffineForm.of_columns(columns), AffineForm.of_columns(binaries)
    best = z.scale(upper).affine(sums, zero)
    excess = y.select(group) - x
    program.add_rows(z.affine(sums, zero), lower=1.0, upper=1.0)
    program.add_rows(excess, lower=0.0, upper=np.inf)
    program.add_rows(y - best, lower=-np.inf, upper=0.0)
    # y - x_i - sum_j U_j z_j + (U_i - L_i) z_i <= -L_i, as the other z_j sum to 1 - z_i.
    others = best.select(group) - z.scale(upper - lower)
    program.add_rows(excess - others, lower=-np.inf, upper=0.0 - lower)
    every = (x + z.scale(lower)).affine(sums, zero)
    program.add_rows(y - every, lower=-np.inf, upper=0.0 - np.add.reduceat(lower, first))
    return y.scale(unit)
