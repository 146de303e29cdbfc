r"""Forms cut off below and above: ``min(high, max(low, a))``.

A form with :math:`L < l < U` that stays below :math:`h` is :math:`l + \max(0, a - l)`, one with
:math:`L < h < U` that stays above :math:`l` is :math:`h - \max(0, h - a)`: one unstable ReLU each,
written by the chosen formulation. A form that may pass both has three pieces, flat, rising, flat,
in the incremental form of :mod:`formulations.piecewise`, whose relaxation is the convex hull of
the graph. Two ReLUs with :math:`y = l + \max(0, a - l) - \max(0, a - h)` would leave it looser;
they are what formulations without binaries get.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from formulations.blocks import Part, assemble
from formulations.expression import AffineForm
from formulations.piecewise import Pieces, piecewise_rows
from formulations.program import Program
from formulations.registry import Formulation

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]


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
    for rows, how in chosen.split(np.flatnonzero((lower >= low) & (upper <= high))):
        parts.append((rows, how.column(program, form.select(rows), lower[rows], upper[rows])))
    for rows, how in chosen.split(np.flatnonzero(starts | ends)):
        write = _Clip(program, form.select(rows), lower[rows], upper[rows], how)
        first, last = starts[rows], ends[rows]
        for chunk, part in (
            (first & ~last, write.from_below),
            (last & ~first, write.to_above),
            (first & last, write.both),
        ):
            own = np.flatnonzero(chunk)
            if own.size:
                parts.append((rows[own], part(own, low, high)))
    return assemble(parts)


@dataclass(frozen=True, eq=False)
class _Clip:
    """Forms that pass one of the ends, or both."""

    program: Program
    form: AffineForm
    lower: Array
    upper: Array
    chosen: Formulation

    def _above(self, form: AffineForm, rows: Index, end: float) -> AffineForm:
        """``max(0, form - end)``."""
        shift = np.full(rows.size, end)
        ends = self.lower[rows] - shift, self.upper[rows] - shift
        return self.chosen.unstable_relu(self.program, form.shift(-shift), *ends)

    def from_below(self, rows: Index, low: float, high: float) -> AffineForm:
        """Forms that stay below the upper end."""
        del high
        return self._above(self.form.select(rows), rows, low).shift(np.full(rows.size, low))

    def to_above(self, rows: Index, low: float, high: float) -> AffineForm:
        """Forms that stay above the lower end."""
        del low
        shift = np.full(rows.size, high)
        below, ends = (-self.form.select(rows)).shift(shift), (self.upper[rows], self.lower[rows])
        y = self.chosen.unstable_relu(self.program, below, shift - ends[0], shift - ends[1])
        return (-y).shift(shift)

    def both(self, rows: Index, low: float, high: float) -> AffineForm:
        """Forms that pass both: pieces, or two ReLUs for a formulation of kinks."""
        lower, upper, form = self.lower[rows], self.upper[rows], self.form.select(rows)
        if not self.chosen.kinked:
            pieces = _three(lower, upper, low, high)
            return piecewise_rows(self.program, form, pieces, integer=self.chosen.exact)
        own = self.chosen.column(self.program, form, lower, upper)
        y = self._above(own, rows, low) - self._above(own, rows, high)
        return y.shift(np.full(rows.size, low))


def _three(lower: Array, upper: Array, low: float, high: float) -> Pieces:
    """Flat, rising and flat pieces."""
    n = lower.size
    kinks = np.tile([low, high], (n, 1))
    values = np.tile([[low, low], [low, high], [high, high]], (n, 1))
    left = np.column_stack([lower, kinks]).reshape(-1)
    right = np.column_stack([kinks, upper]).reshape(-1)
    return Pieces(np.repeat(np.arange(n), 3), left, right, values, values)
