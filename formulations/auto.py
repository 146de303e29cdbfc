r"""The formulation that measurement favours: big-M rows, with rows of the hull where they pay.

Rounds of separation (:mod:`formulations.ideal`) cost linear programs before the search and rows
during it. Over 35 networks (``benchmarks/formulation_table.py``) they paid where neurons read many
columns, or where many neurons are unstable:

.. math::

    \text{hull rows} \iff \frac1n \sum_{k=1}^n |\operatorname{supp} w_k| \ge 24
    \ \text{ or }\ n \ge 45,

with the :math:`n` unstable neurons that read more than one column. Partitions were slower than one
of the two on every network measured, so the rule never chooses them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from formulations.constructs import Separator
from formulations.expression import AffineForm
from formulations.ideal import HullRows, offer_hulls
from formulations.program import Program
from formulations.registry import PartsFormulation, register_formulation

Array = npt.NDArray[np.float64]

#: Columns a neuron reads on average, and unstable neurons, from which hull rows pay.
READS, NEURONS = 24.0, 45


@register_formulation("auto")
class Auto(PartsFormulation):
    """Big-M, or ideal by a measured rule on the size of the whole program.

    Examples
    --------
    The rows are those of big-M; the families of further rows stay where the rule says so.

    >>> import numpy as np
    >>> program = Program()
    >>> x = AffineForm.of_columns(program.add_columns([-1.0, -1.0], [1.0, 1.0]))
    >>> a = x.affine(np.array([[1.0, 2.0]]), np.array([0.5]))
    >>> y = Auto().unstable_relu(program, a, np.array([-2.5]), np.array([3.5]))
    >>> p = program.freeze()
    >>> for row, lo, up in zip(p.matrix.toarray(), p.row_lower, p.row_upper):
    ...     print(lo, "<=", row, "<=", up)          # columns x0 x1 y s z
    0.5 <= [-1. -2.  1. -1.  0.] <= 0.5
    -inf <= [ 0.   0.   1.   0.  -3.5] <= 0.0
    -inf <= [0.  0.  0.  1.  2.5] <= 2.5
    >>> len(p.separators), len(worth(p.separators))
    (1, 0)
    """

    def unstable_parts(
        self, program: Program, form: AffineForm, lower: Array, upper: Array
    ) -> tuple[AffineForm, AffineForm]:
        """See :meth:`Formulation.unstable_parts`."""
        return offer_hulls(program, form, lower, upper, optional=True)


def worth(families: Sequence[Separator]) -> list[Separator]:
    """Families that pay: all but the optional ones, and these by the rule.

    Parameters
    ----------
    families : sequence of Separator
        Of one program.
    """
    optional = [f for f in families if isinstance(f, HullRows) and f.optional]
    neurons = sum(f.y.size for f in optional)
    reads = sum(f.terms.row.size for f in optional)
    if neurons >= NEURONS or (neurons and reads >= READS * neurons):
        return list(families)
    return [f for f in families if f not in optional]
