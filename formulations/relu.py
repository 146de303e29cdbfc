"""ReLU blocks: what the phase decides before any formulation is asked."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from formulations.blocks import Part, assemble
from formulations.expression import AffineForm
from formulations.program import Program
from formulations.registry import Formulation

Array = npt.NDArray[np.float64]


def relu_rows(
    program: Program, form: AffineForm, lower: Array, upper: Array, chosen: Formulation
) -> AffineForm:
    """Append ``y = max(0, form)`` by phase and return ``y``.

    Inactive forms (``upper <= 0``) become the constant zero, active ones (``lower >= 0``) stay
    linear (a form of several columns gets one column and one equality row, so that the rows of
    the next layer keep their sparsity), unstable ones are written by ``chosen``.

    Parameters
    ----------
    program : Program
    form : AffineForm, n rows
        Pre-activations.
    lower, upper : array, shape (n,)
        Finite valid bounds of the pre-activations.
    chosen : Formulation
        Writes the unstable ones.

    Returns
    -------
    AffineForm, n rows
        The activations.
    """
    active = lower >= 0.0
    unstable = ~active & (upper > 0.0)
    wide = active & (form.terms > 1)
    parts: list[Part] = []
    rows = np.flatnonzero(active & ~wide)
    parts.append((rows, form.select(rows)))
    for rows, how in chosen.split(np.flatnonzero(wide)):
        parts.append((rows, how.column(program, form.select(rows), lower[rows], upper[rows])))
    for rows, how in chosen.split(np.flatnonzero(unstable)):
        y = how.unstable_relu(program, form.select(rows), lower[rows], upper[rows])
        parts.append((rows, y))
    rows = np.flatnonzero(~active & ~unstable)
    parts.append((rows, AffineForm.of_constants(np.zeros(rows.size))))
    return assemble(parts)
