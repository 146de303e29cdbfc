"""Where the trees of a forest cut an input, and the binaries that say on which side it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from formulations import AffineForm, Program
from mipnet.errors import EmbeddingError

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int32]

#: Sides of a cut that is decided by the bounds, in place of a column.
LEFT, RIGHT = -1, -2


@dataclass(frozen=True, eq=False)
class Cuts:
    """Cuts of one input within its bounds, in ascending order.

    Attributes
    ----------
    lower, upper : float
        The bounds.
    extent : float
        From the first cut to the last, or from bound to bound where that is less: what tolerances
        are compared with.
    ends : array, shape (n,)
        Largest value on the left of every cut, of all trees.
    group : array of int, shape (n,)
        Number of the group a cut belongs to, or ``LEFT``, ``RIGHT``: on that side everywhere.
    below, above : array, shape (n_groups,)
        Largest value on the left of a group that is allowed, smallest on its right.
    """

    lower: float
    upper: float
    extent: float
    ends: Array
    group: npt.NDArray[np.int64]
    below: Array
    above: Array


def cuts_of(ends: Array, lower: float, upper: float, margin: float, *, whole: bool) -> Cuts:
    """Group the cuts of one input.

    Values closer to a cut than ``margin`` times the extent are left out, for a solver that is off
    by less could be on either side of it. Cuts whose strips overlap have nothing between them and
    form a group.

    Parameters
    ----------
    ends : array
        Largest value on the left of each cut; distinct, ascending.
    lower, upper : float
        Bounds of the input.
    margin : float
    whole : bool
        Whether the input takes whole numbers only: a cut may then lie half-way between two of
        them, and no value is left out.
    """
    finite = ends[np.isfinite(ends)]
    extent = upper - lower
    if finite.size > 1:
        extent = min(extent, float(finite[-1] - finite[0]))
    room = margin * extent
    if lower == upper:
        side = np.where(lower <= ends, LEFT, RIGHT)
        return Cuts(lower, upper, extent, ends, side, np.zeros(0), np.zeros(0))
    if whole:
        below = above = np.floor(ends) + 0.5
        room = 0.25
    else:
        below, above = ends, np.nextafter(ends, np.inf)
    below, above = below - room, above + room
    side = np.where(above <= lower, RIGHT, np.where(below >= upper, LEFT, 0))
    inner = np.flatnonzero(side == 0)
    group = side.astype(np.int64)
    if not inner.size:
        return Cuts(lower, upper, extent, ends, group, np.zeros(0), np.zeros(0))
    first = np.concatenate([[True], below[inner][1:] < above[inner][:-1]])
    first[1:] = ~first[1:]
    group[inner] = np.cumsum(first) - 1
    starts = np.flatnonzero(first)
    stops = np.append(starts[1:], inner.size) - 1
    return Cuts(lower, upper, extent, ends, group, below[inner][starts], above[inner][stops])


def encode_cuts(program: Program, column: int, cuts: Cuts, name: str) -> Index:
    r"""Columns ``y`` of the groups: 1 where the input is on the left.

    .. math::
        y_1 \le y_2 \le \dots, \quad
        x + \sum_j (b_j - b_{j-1}) y_j \ge b_n, \quad x + \sum_j (a_{j+1} - a_j) y_j \le a_{n+1}

    with :math:`a_j` the largest value on the left of group ``j``, :math:`b_j` the smallest on its
    right, :math:`b_0` and :math:`a_{n+1}` the bounds. Written in units of the extent.

    Raises
    ------
    EmbeddingError
        When a group leaves no value on either side.
    """
    lower, upper = cuts.lower, cuts.upper
    left, right = cuts.below >= lower, cuts.above <= upper
    for j in np.flatnonzero(~left & ~right)[:1]:
        msg = f"{name}: its bounds [{lower}, {upper}] are as narrow as the margin around a "
        msg += f"threshold at {cuts.below[j]:.9g}; fix it, widen it, or take a smaller margin"
        raise EmbeddingError(msg)
    columns = program.add_columns(np.where(right, 0.0, 1.0), np.where(left, 1.0, 0.0), integer=True)
    y = AffineForm.of_columns(columns)
    order = np.arange(columns.size)
    program.add_rows(y.select(order[:-1]) - y.select(order[1:]), lower=-np.inf, upper=0.0)
    unit = float(np.exp2(np.round(np.log2(cuts.extent))))
    x = AffineForm.of_columns(np.array([column], dtype=np.int32)).scale(np.array([1.0 / unit]))
    falls = np.diff(cuts.above, prepend=lower)[None] / unit
    rises = np.diff(cuts.below, append=upper)[None] / unit
    none = np.zeros(1)
    program.add_rows(x + y.affine(falls, none), lower=cuts.above[-1] / unit, upper=np.inf)
    program.add_rows(x + y.affine(rises, none), lower=-np.inf, upper=upper / unit)
    return columns
