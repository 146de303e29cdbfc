"""Programs with SOS1 sets, indicators, complementarity or expressions as plain integer programs.

An independent reading of what the constructs mean: each becomes a binary and two rows over the
bounds of its columns, written here with numpy and scipy alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.optimize import Bounds, LinearConstraint, milp

Array = np.ndarray


class PlainRows:
    """Rows, bounds and integrality of a program whose constructs were written out."""

    def __init__(self, arrays: Any) -> None:
        self.lower, self.upper = arrays.lower.tolist(), arrays.upper.tolist()
        self.integer = arrays.integer.astype(int).tolist()
        self.rows: list[tuple[dict[int, float], float, float]] = []
        self.given = arrays
        made = arrays.constructs
        for a, b in [*made.sos1.tolist(), *made.complementary.tolist()]:
            self.one_of(a, b)
        for a, b in made.complementary.tolist():
            self.row({a: 1.0}, 0.0, np.inf)
            self.row({b: 1.0}, 0.0, np.inf)
        for binary, value, column in made.indicators.tolist():
            self.zero_where(column, binary, value)
        for definition in made.expressions:
            matrix = definition.form.matrix(arrays.n_columns).toarray()
            for column, row, constant in zip(
                definition.columns.tolist(), matrix, definition.form.constant, strict=True
            ):
                self.expression(column, row, float(constant), definition.rule)

    def column(self, lower: float, upper: float, integer: int = 0) -> int:
        self.lower.append(lower)
        self.upper.append(upper)
        self.integer.append(integer)
        return len(self.lower) - 1

    def row(self, terms: dict[int, float], lower: float, upper: float) -> None:
        self.rows.append((terms, lower, upper))

    def zero_where(self, column: int, binary: int, value: int) -> None:
        """The column is zero where the binary has the value."""
        for bound, low, high in (
            (self.upper[column], -np.inf, 0.0),
            (self.lower[column], 0, np.inf),
        ):
            assert np.isfinite(bound)
            # column <= bound * (1 - [binary == value]), or >= for the lower one.
            if value == 1:
                shift = (low + bound if np.isfinite(low) else low, high + bound)
                self.row({column: 1.0, binary: bound}, *shift)
            else:
                self.row({column: 1.0, binary: -bound}, low, high)

    def one_of(self, a: int, b: int) -> None:
        """At most one of the columns is not zero."""
        z = self.column(0.0, 1.0, 1)
        self.zero_where(a, z, 0)
        self.zero_where(b, z, 1)

    def expression(self, column: int, row: Array, constant: float, rule: Any) -> None:
        terms = {int(j): -float(row[j]) for j in np.flatnonzero(row)}
        if rule == "identity":
            self.row({column: 1.0, **terms}, constant, constant)
            return
        assert rule == "positive_part", rule
        low, high = np.array(self.lower), np.array(self.upper)
        ends = [row * low[: row.size], row * high[: row.size]]
        least = constant + np.minimum(*ends).sum()
        s = self.column(0.0, max(0.0, -least))
        self.row({column: 1.0, s: -1.0, **terms}, constant, constant)
        self.one_of(column, s)

    def solve(self, cost: Array, *, integer: bool = True) -> float:
        """Least ``cost @ columns`` by scipy."""
        n, given = len(self.lower), self.given
        wide = sp.csr_array((given.matrix.data, given.matrix.indices, given.matrix.indptr),
                            shape=(given.n_rows, n))  # fmt: skip
        own = sp.lil_array((len(self.rows), n))
        for k, (terms, _, _) in enumerate(self.rows):
            for j, value in terms.items():
                own[k, j] += value
        matrix = sp.csr_array(sp.vstack([wide, sp.csr_array(own)]))
        low = np.concatenate([given.row_lower, [r[1] for r in self.rows]])
        high = np.concatenate([given.row_upper, [r[2] for r in self.rows]])
        found = milp(
            np.concatenate([cost, np.zeros(n - cost.size)]),
            constraints=LinearConstraint(matrix, low, high) if matrix.shape[0] else None,
            bounds=Bounds(np.array(self.lower), np.array(self.upper)),
            integrality=np.array(self.integer) if integer else None,
            options={"mip_rel_gap": 0.0},
        )
        assert found.status == 0, found.message
        return float(found.fun)
