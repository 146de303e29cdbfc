"""Programs with SOS1 sets, indicators and the like, written out for a solver of plain MIPs.

An independent reading of what these conditions mean: each becomes a binary and rows over the
bounds of its columns.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from formulations import AffineForm, Constructs, Program, ProgramArrays
from mipnet.network.layers.base import Array

Index = np.ndarray[tuple[int], np.dtype[np.int32]]


def written_out(arrays: ProgramArrays) -> ProgramArrays | None:
    """Return a program of rows and integers alone, with further columns behind its own.

    Parameters
    ----------
    arrays : ProgramArrays

    Returns
    -------
    ProgramArrays or None
        None when it holds expressions other than sums and positive parts, or columns without
        bounds in a condition.
    """
    made = arrays.constructs
    if not made:
        return arrays
    extra = _Extra(arrays)
    pairs = np.concatenate([made.sos1, made.complementary])
    extra.one_of(pairs[:, 0], pairs[:, 1])
    both = made.complementary.reshape(-1)
    extra.row(AffineForm.of_columns(both), 0.0, np.inf)
    for value in (0, 1):
        binary, _, column = made.indicators[made.indicators[:, 1] == value].T
        extra.zero_where(column, binary, value)
    for definition in made.expressions:
        own = AffineForm.of_columns(definition.columns)
        if definition.rule == "identity":
            extra.row(own - definition.form, 0.0, 0.0)
        elif definition.rule == "positive_part":
            slack = extra.slack(definition.form)
            extra.row(own - AffineForm.of_columns(slack) - definition.form, 0.0, 0.0)
            extra.one_of(definition.columns, slack)
        else:
            return None
    return extra.arrays() if extra.bounded else None


class _Extra:
    def __init__(self, given: ProgramArrays) -> None:
        self.given, self.bounded = given, True
        self.program = Program()
        self.program.add_columns(given.lower, given.upper)
        self.binaries: list[Index] = []

    def row(self, form: AffineForm, lower: float, upper: float) -> None:
        self.program.add_rows(form, lower=lower, upper=upper)

    def slack(self, form: AffineForm) -> Index:
        """Columns for the negative part of forms."""
        lower, upper = self.program.bounds()
        matrix = form.matrix(self.program.n_columns).toarray()
        least = form.constant + np.where(matrix > 0.0, matrix * lower, 0.0).sum(axis=1)
        least += np.where(matrix < 0.0, matrix * upper, 0.0).sum(axis=1)
        self.bounded &= bool(np.isfinite(least).all())
        return self.program.add_columns(np.zeros(form.size), np.maximum(0.0, -least))

    def one_of(self, a: Index, b: Index) -> None:
        """At most one column of each pair is not zero."""
        z = self.program.add_columns(np.zeros(a.size), np.ones(a.size), integer=True)
        self.binaries.append(z)
        self.zero_where(a, z, 0)
        self.zero_where(b, z, 1)

    def zero_where(self, column: Index, binary: Index, value: int) -> None:
        """Columns are zero where a binary has a value."""
        lower, upper = (ends[column] for ends in self.program.bounds())
        if not (np.isfinite(lower).all() and np.isfinite(upper).all()):
            self.bounded = False
            return
        own, z = AffineForm.of_columns(column), AffineForm.of_columns(binary)
        for bound, low, high in ((np.maximum(upper, 0.0), -np.inf, 0.0),
                                 (np.minimum(lower, 0.0), 0.0, np.inf)):  # fmt: skip
            # The column lies between 0 and bound times [binary is the other value].
            if value == 0:
                self.row(own - z.scale(bound), low, high)
            else:
                self.program.add_rows(own + z.scale(bound), lower=bound + low, upper=bound + high)

    def arrays(self) -> ProgramArrays:
        more = self.program.freeze()
        given, width = self.given, more.n_columns
        wide = AffineForm(given.matrix, np.zeros(given.n_rows)).matrix(width)
        integer = more.integer.copy()
        integer[: given.n_columns] = given.integer
        cost = np.zeros(width)
        cost[: given.n_columns] = given.cost
        return replace(
            given,
            lower=more.lower,
            upper=more.upper,
            cost=cost,
            integer=integer,
            matrix=sp.csr_array(sp.vstack([wide, more.matrix])),
            row_lower=np.concatenate([given.row_lower, more.row_lower]),
            row_upper=np.concatenate([given.row_upper, more.row_upper]),
            constructs=Constructs(),
        )


def relaxed(arrays: ProgramArrays) -> ProgramArrays:
    """Return the linear relaxation: nothing is integer, no condition beside the rows."""
    whole: Array = np.zeros(arrays.n_columns)
    return replace(arrays, integer=whole.astype(bool), constructs=Constructs())
