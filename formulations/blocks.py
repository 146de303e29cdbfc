"""Putting a block of forms together from parts that are written in different ways."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from formulations.expression import AffineForm
from formulations.program import Program

Array = npt.NDArray[np.float64]

#: Rows of a block, and their forms.
Part = tuple[npt.NDArray[np.intp], AffineForm]


def assemble(parts: Sequence[Part]) -> AffineForm:
    """Forms of all parts, in the order of their rows.

    Parameters
    ----------
    parts : sequence of (rows, AffineForm)
        At least one; every row of the block in exactly one of them.
    """
    order = np.argsort(np.concatenate([rows for rows, _ in parts]))
    return parts[0][1].stack(*(form for _, form in parts[1:])).select(order)


def narrow(program: Program, form: AffineForm, lower: Array, upper: Array) -> AffineForm:
    """Forms of one column each: those of several get a column of their own.

    What reads them keeps its sparsity that way.

    Parameters
    ----------
    program : Program
    form : AffineForm, n rows
    lower, upper : array, shape (n,)
        Finite valid bounds of the forms.
    """
    wide = form.terms > 1
    if not wide.any():
        return form
    thick, thin = np.flatnonzero(wide), np.flatnonzero(~wide)
    own = program.materialise(form.select(thick), lower[thick], upper[thick], scaled=True)
    return assemble([(thick, own), (thin, form.select(thin))])
