r"""Partition-based formulation of the ReLU: between big-M and the convex hull.

The weighted columns of a neuron are split into parts :math:`S_1, \dots, S_N`, whose sums
:math:`\sigma_n = \sum_{i \in S_n} w_i x_i` have bounds :math:`L_n \le \sigma_n \le U_n`. Each is
divided into a share :math:`t_n` of the active and a share :math:`r_n` of the inactive neuron:

.. math::

    \sigma_n = t_n + r_n, \qquad L_n z \le t_n \le U_n z, \qquad
    L_n (1 - z) \le r_n \le U_n (1 - z),

    y = \sum_n t_n + b z, \qquad -s = \sum_n r_n + b (1 - z), \qquad z \in \{0, 1\},

together with :math:`y \le U z` and :math:`s \le -L (1 - z)`, which bounds of the whole neuron that
are better than those of its parts make worth having. :math:`N = 1` is big-M, and with one column
in each part the linear relaxation is the convex hull of the neuron over the box of its columns.

The bounds of the parts are those of intervals, rounded outwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from formulations.big_m import big_m_rows
from formulations.blocks import Part, assemble
from formulations.expression import AffineForm
from formulations.program import Program
from formulations.registry import PartsFormulation, refuse_unbounded, register_formulation
from formulations.sums import terms_of

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

#: Share of the weights at either end that have parts of their own (``by="range"``).
_OUTLIERS = 0.05


@dataclass(frozen=True, eq=False)
class Shares:
    """Rule of a definition: sums of parts, where the neuron is active or where it is not.

    The forms are the pre-activations of ``neurons`` neurons, then the sums of their parts.
    """

    owner: Index
    neurons: int
    active: bool

    def __call__(self, values: Array) -> Array:
        """One value for each part."""
        on = values[: self.neurons] > 0.0
        return np.where(on[self.owner] == self.active, values[self.neurons :], 0.0)


@register_formulation("partition")
class Partition(PartsFormulation):
    """Partition-based rows (Tsay, Kronqvist, Thebelt and Misener, NeurIPS 2021, eq. 13-18).

    Parameters
    ----------
    parts : int
        Number of parts of each neuron, at least 1; 0 for one part for each column.
    by : {"size", "range"}
        Columns are sorted by weight and cut into parts of equal size, or of equal range of their
        weights with the lowest and highest five per cent apart (section 3.4 of the paper).

    Raises
    ------
    ValueError
        When the options are others.

    Examples
    --------
    >>> import numpy as np
    >>> program = Program()
    >>> x = AffineForm.of_columns(program.add_columns([-1.0, -1.0], [1.0, 1.0]))
    >>> a = x.affine(np.array([[1.0, 2.0]]), np.array([0.5]))
    >>> y = Partition(2).unstable_relu(program, a, np.array([-2.5]), np.array([3.5]))
    >>> p = program.freeze()
    >>> for row, lo, up in zip(p.matrix.toarray(), p.row_lower, p.row_upper):
    ...     print(f"{lo:g} <=", row.round(9), f"<= {up:g}")     # columns x0 x1 y s z t1 t2 r1 r2
    -inf <= [ 0.   0.   1.   0.  -3.5  0.   0.   0.   0. ] <= 0
    -inf <= [0.  0.  0.  1.  2.5 0.  0.  0.  0. ] <= 2.5
    0 <= [ 1.  0.  0.  0.  0. -1.  0. -1.  0.] <= 0
    0 <= [ 0.  2.  0.  0.  0.  0. -1.  0. -1.] <= 0
    0 <= [ 0.   0.   1.   0.  -0.5 -1.  -1.   0.   0. ] <= 0
    -0.5 <= [ 0.   0.   0.   1.  -0.5  0.   0.   1.   1. ] <= -0.5
    -inf <= [ 0.  0.  0.  0. -1.  1.  0.  0.  0.] <= 0
    -inf <= [ 0.  0.  0.  0. -2.  0.  1.  0.  0.] <= 0
    0 <= [0. 0. 0. 0. 1. 1. 0. 0. 0.] <= inf
    0 <= [0. 0. 0. 0. 2. 0. 1. 0. 0.] <= inf
    -inf <= [0. 0. 0. 0. 1. 0. 0. 1. 0.] <= 1
    -inf <= [0. 0. 0. 0. 2. 0. 0. 0. 1.] <= 2
    -1 <= [ 0.  0.  0.  0. -1.  0.  0.  1.  0.] <= inf
    -2 <= [ 0.  0.  0.  0. -2.  0.  0.  0.  1.] <= inf
    """

    def __init__(self, parts: int = 2, by: str = "size") -> None:
        if isinstance(parts, bool) or not isinstance(parts, int) or parts < 0:
            msg = f"partition takes a number of parts from 0 on, not {parts!r}"
            raise ValueError(msg)
        if by not in {"size", "range"}:
            msg = f"partition sorts columns by 'size' or 'range', not {by!r}"
            raise ValueError(msg)
        self.parts, self.by = parts, by

    @property
    def label(self) -> str:
        """See :attr:`Formulation.label`."""
        return f"partition({self.parts}{'' if self.by == 'size' else ', range'})"

    def unstable_parts(
        self, program: Program, form: AffineForm, lower: Array, upper: Array
    ) -> tuple[AffineForm, AffineForm]:
        """See :meth:`Formulation.unstable_parts`."""
        refuse_unbounded(lower, upper)
        # A single part says no more than big-M.
        single = (form.terms < 2) | (self.parts == 1)
        positive: list[Part] = []
        negative: list[Part] = []
        for rows, write in (
            (np.flatnonzero(single), _whole),
            (np.flatnonzero(~single), self._parted),
        ):
            if rows.size:
                y, s = write(program, form.select(rows), lower[rows], upper[rows])
                positive.append((rows, y))
                negative.append((rows, s))
        return assemble(positive), assemble(negative)

    def _parted(
        self, program: Program, form: AffineForm, lower: Array, upper: Array
    ) -> tuple[AffineForm, AffineForm]:
        """Rows of neurons with several parts, all in units of a power of two each."""
        n = form.size
        neurons = big_m_rows(program, form, lower, upper, linked=False)
        form, b = neurons.form, neurons.form.constant
        terms = terms_of(program, form)
        part = self._part_of(terms.weight, terms.row, n)
        # Parts counted through over all neurons.
        order = np.unique(np.stack([terms.row, part]), axis=1, return_inverse=True)
        owner, part = order[0][0], order[1].reshape(-1)
        count = owner.size
        low, high = terms.bounds(part, count)
        refuse_unbounded(low, high, "part")
        at = np.argsort(part, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(part, minlength=count))])
        entries = terms.weight[at], terms.column[at], starts
        sums = AffineForm(sp.csr_array(entries, shape=(count, form.width)), np.zeros(count))
        zero = np.zeros(count)
        least, most = np.minimum(low, 0.0), np.maximum(high, 0.0)
        t = AffineForm.of_columns(t_columns := program.add_columns(least, most))
        r = AffineForm.of_columns(r_columns := program.add_columns(least, most))
        both = form.stack(sums)
        program.define(t_columns, both, Shares(owner, n, True))
        program.define(r_columns, both, Shares(owner, n, False))
        y, s, z = (AffineForm.of_columns(c) for c in (neurons.y, neurons.s, neurons.z))
        total = sp.csr_array((np.ones(count), (owner, np.arange(count))), shape=(n, count))
        program.add_rows(sums - t - r, lower=0.0, upper=0.0)
        program.add_rows(y - t.affine(total, zero[:n]) - z.scale(b), lower=0.0, upper=0.0)
        program.add_rows(s + r.affine(total, zero[:n]) - z.scale(b), lower=-b, upper=-b)
        z = z.select(owner)
        program.add_rows(t - z.scale(high), lower=-np.inf, upper=0.0)
        program.add_rows(t - z.scale(low), lower=0.0, upper=np.inf)
        program.add_rows(r + z.scale(high), lower=-np.inf, upper=high)
        program.add_rows(r + z.scale(low), lower=low, upper=np.inf)
        return neurons.parts

    def _part_of(self, weight: Array, row: Index, n: int) -> Index:
        """Part of every term within its neuron."""
        order = np.lexsort((weight, row))
        counts = np.bincount(row, minlength=n)
        rank = np.empty(row.size, dtype=np.intp)
        rank[order] = np.arange(row.size) - np.repeat(np.cumsum(counts) - counts, counts)
        size = counts[row]
        parts = np.minimum(self.parts or size, size)
        if self.by == "size" or self.parts in {0, 2}:
            return np.asarray(rank * parts // size)
        found = np.empty(row.size, dtype=np.intp)
        for k in range(n):
            mine = row == k
            w = weight[mine]
            low, high = np.quantile(w, [_OUTLIERS, 1.0 - _OUTLIERS])
            found[mine] = np.searchsorted(np.linspace(low, high, self.parts - 1), w, side="right")
        return found


def _whole(
    program: Program, form: AffineForm, lower: Array, upper: Array
) -> tuple[AffineForm, AffineForm]:
    return big_m_rows(program, form, lower, upper).parts
