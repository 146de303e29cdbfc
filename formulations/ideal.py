r"""Ideal formulation of the ReLU: big-M rows, and the rows of the convex hull where they matter.

For a pre-activation :math:`a = \sum_i w_i x_i + b` over columns :math:`l_i \le x_i \le u_i`, let
:math:`\ell_i = l_i` and :math:`h_i = u_i` where :math:`w_i \ge 0`, the other way round where not.
Big-M rows and, for every subset :math:`I` of the columns,

.. math::

    y \le \sum_{i \in I} w_i \bigl(x_i - \ell_i (1 - z)\bigr)
        + \Bigl(b + \sum_{i \notin I} w_i h_i\Bigr) z

are the convex hull of the neuron over the box of its columns. There are exponentially many; at a
point :math:`(x^*, z^*)` the most violated one has

.. math:: I = \{ i : w_i x^*_i < w_i (\ell_i (1 - z^*) + h_i z^*) \}.

A solver that takes no cuts during its search gets the ones that rounds of separation at the root
find (:func:`mipnet.solver.separate`): rows of the program like any other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from formulations.big_m import big_m_rows
from formulations.expression import AffineForm
from formulations.program import Program
from formulations.registry import PartsFormulation, register_formulation
from formulations.sums import Terms, add_up, terms_of

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int32]

#: Violation, in the unit of the neuron, from which a row is worth having.
_VIOLATED = 1e-6
#: Entries of at most this size are kept out of the rows.
_SMALL = 1e-9


@register_formulation("ideal")
class Ideal(PartsFormulation):
    """Rows of the hull in rounds (Anderson, Huchette, Ma, Tjandraatmadja, Vielma 2020, sec. 4).

    Math. Prog. 183, theorem 2 (the rows) and proposition 2 (their separation).

    Examples
    --------
    >>> import numpy as np
    >>> program = Program()
    >>> x = AffineForm.of_columns(program.add_columns([-1.0, -1.0], [1.0, 1.0]))
    >>> a = x.affine(np.array([[1.0, 2.0]]), np.array([0.5]))
    >>> y = Ideal().unstable_relu(program, a, np.array([-2.5]), np.array([3.5]))
    >>> p = program.freeze()
    >>> for row, lo, up in zip(p.matrix.toarray(), p.row_lower, p.row_upper):
    ...     print(lo, "<=", row, "<=", up)          # columns x0 x1 y s z
    0.5 <= [-1. -2.  1. -1.  0.] <= 0.5
    -inf <= [ 0.   0.   1.   0.  -3.5] <= 0.0
    -inf <= [0.  0.  0.  1.  2.5] <= 2.5

    A point that these rows allow, and the row of ``I = {x0}`` that excludes it:

    >>> form, side = p.separators[0].separate(np.array([-1.0, 1.0, 1.5, 0.0, 0.5]))
    >>> for row, up in zip(form.matrix(5).toarray(), side):
    ...     print("-inf <=", row.round(9), "<=", round(up, 9))
    -inf <= [-1.   0.   1.   0.  -1.5] <= 1.0
    """

    def unstable_parts(
        self, program: Program, form: AffineForm, lower: Array, upper: Array
    ) -> tuple[AffineForm, AffineForm]:
        """See :meth:`Formulation.unstable_parts`."""
        return offer_hulls(program, form, lower, upper)


def offer_hulls(
    program: Program, form: AffineForm, lower: Array, upper: Array, *, optional: bool = False
) -> tuple[AffineForm, AffineForm]:
    """Append big-M rows, and offer the rows of the hulls.

    Parameters
    ----------
    program : Program
    form : AffineForm, n rows
    lower, upper : array, shape (n,)
        Finite valid bounds, ``lower < 0 < upper``.
    optional : bool
        Whether a rule may drop the rows of the hulls.

    Returns
    -------
    AffineForm, n rows, twice
        Positive and negative parts.

    Raises
    ------
    ValueError
        When a bound is not finite.
    """
    neurons = big_m_rows(program, form, lower, upper)
    # The hull of a neuron of one column is its triangle.
    wide = np.flatnonzero(form.terms > 1)
    if wide.size:
        own = neurons.form.select(wide)
        terms = terms_of(program, own)
        finite = np.isfinite(terms.low) & np.isfinite(terms.high)
        if not finite.all():
            k = int(np.flatnonzero(~finite)[0])
            msg = f"column {terms.column[k]} has no finite bounds; ideal rows need them"
            raise ValueError(msg)
        y, z = neurons.y[wide], neurons.z[wide]
        program.offer(HullRows(terms, own.constant, y, z, optional))
    return neurons.parts


@dataclass(frozen=True, eq=False)
class HullRows:
    """The rows of the hulls of ``n`` neurons; a :class:`formulations.constructs.Separator`.

    Attributes
    ----------
    terms : Terms
        Weighted columns of the neurons.
    constant : array, shape (n,)
        Biases.
    y, z : array of int32, shape (n,)
        Columns of activations and binaries.
    optional : bool
        Whether a rule may drop the family.
    """

    terms: Terms
    constant: Array
    y: Index
    z: Index
    optional: bool = False

    def separate(self, values: Array) -> tuple[AffineForm, Array]:
        r"""Most violated row of every neuron, where one is violated.

        The sides are rounded so that every point of the neurons satisfies the rows: with
        :math:`z = 0` a row reads :math:`y \le \sum_I w_i x_i + R` with
        :math:`R \ge -\sum_I w_i \ell_i`, with :math:`z = 1` the constant is
        :math:`K + R \ge b + \sum_{i \notin I} w_i h_i`.
        """
        terms, n = self.terms, self.y.size
        z = np.clip(values[self.z], 0.0, 1.0)
        share = z[terms.row]
        x = terms.weight * values[terms.column]
        # Any subset gives a valid row; without the tiniest entries a solver takes it as it is.
        inside = x < terms.low * (1.0 - share) + terms.high * share
        inside &= np.abs(terms.weight) > _SMALL
        most = np.bincount(
            terms.row,
            np.where(inside, x - terms.low * (1.0 - share), terms.high * share),
            minlength=n,
        )
        excess = values[self.y] - most - self.constant * z
        wrong = np.flatnonzero(excess > _VIOLATED)
        place = np.full(n, -1)
        place[wrong] = np.arange(wrong.size)
        row = place[terms.row]
        kept, others = (row >= 0) & inside, (row >= 0) & ~inside
        side = add_up(-terms.low[kept], row[kept], wrong.size)
        rest = np.concatenate([terms.high[others], self.constant[wrong]])
        owner = np.concatenate([row[others], np.arange(wrong.size)])
        slope = np.nextafter(add_up(rest, owner, wrong.size) - side, np.inf)
        # As z <= 1, a tiny constant may go to the side.
        tiny = np.abs(slope) <= _SMALL
        side = np.where(tiny & (slope > 0.0), np.nextafter(side + slope, np.inf), side)
        slope = np.where(tiny, 0.0, slope)
        own, one = np.arange(wrong.size), np.ones(wrong.size)
        entries = np.concatenate([-terms.weight[kept], one, -slope])
        rows = np.concatenate([row[kept], own, own])
        columns = np.concatenate([terms.column[kept], self.y[wrong], self.z[wrong]])
        width = int(columns.max(initial=-1)) + 1
        matrix = sp.csr_array((entries, (rows, columns)), shape=(wrong.size, width))
        matrix.eliminate_zeros()
        return AffineForm(matrix, np.zeros(wrong.size)), side

    def renamed(self, columns: Index) -> HullRows:
        """See :meth:`formulations.constructs.Separator.renamed`."""
        terms = replace(self.terms, column=columns[self.terms.column])
        return replace(self, terms=terms, y=columns[self.y], z=columns[self.z])
