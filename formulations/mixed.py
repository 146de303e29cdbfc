"""A formulation for each neuron of a layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from formulations.blocks import Part, assemble
from formulations.expression import AffineForm
from formulations.program import Program
from formulations.registry import Formulation

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]


class Mixed(Formulation):
    """Several formulations, each for some neurons of one layer.

    Parameters
    ----------
    choices : sequence of Formulation
        One for each neuron of the layer, flattened.

    Examples
    --------
    >>> import numpy as np
    >>> from formulations import BigM, Triangle
    >>> program = Program()
    >>> x = AffineForm.of_columns(program.add_columns([-1.0, -1.0], [1.0, 2.0]))
    >>> mixed = Mixed([BigM(), Triangle()])
    >>> mixed.exact, mixed.label
    (False, 'big_m, triangle')
    >>> y = mixed.unstable_relu(program, x, np.array([-1.0, -1.0]), np.array([1.0, 2.0]))
    >>> p = program.freeze()
    >>> for row, lo, up in zip(p.matrix.toarray(), p.row_lower, p.row_upper):
    ...     print(lo, "<=", row, "<=", round(up, 9))          # columns x0 x1 y0 s0 z0 y1 s1
    0.0 <= [-1.  0.  1. -1.  0.  0.  0.] <= 0.0
    -inf <= [ 0.  0.  1.  0. -1.  0.  0.] <= 0.0
    -inf <= [0. 0. 0. 1. 1. 0. 0.] <= 1.0
    0.0 <= [ 0. -1.  0.  0.  0.  1. -1.] <= 0.0
    -inf <= [0.  0.  0.  0.  0.  0.5 1. ] <= 1.0
    """

    name = "mixed"

    def __init__(self, choices: Sequence[Formulation]) -> None:
        self.choices = tuple(choices)
        self.exact = all(c.exact for c in self.choices)
        self.needs = ", ".join(dict.fromkeys(c.needs for c in self.choices if c.needs))

    @property
    def label(self) -> str:
        """Labels of the formulations that occur."""
        return ", ".join(dict.fromkeys(c.label for c in self.choices))

    def split(self, rows: Index) -> list[tuple[Index, Formulation]]:
        """See :meth:`Formulation.split`."""
        groups: dict[str, tuple[list[int], Formulation]] = {}
        for row in rows.tolist():
            chosen = self.choices[row]
            groups.setdefault(chosen.label, ([], chosen))[0].append(row)
        return [(np.array(members, dtype=np.intp), how) for members, how in groups.values()]

    def unstable_relu(
        self, program: Program, form: AffineForm, lower: Array, upper: Array
    ) -> AffineForm:
        """Append all neurons of the layer; see :meth:`Formulation.unstable_relu`."""
        if form.size != len(self.choices):
            msg = f"{len(self.choices)} formulations for {form.size} neurons"
            raise ValueError(msg)
        parts: list[Part] = [
            (rows, how.unstable_relu(program, form.select(rows), lower[rows], upper[rows]))
            for rows, how in self.split(np.arange(form.size))
        ]
        return assemble(parts)
