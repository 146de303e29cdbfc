"""Pyomo constraints that live in a sparse matrix until somebody looks at them.

A network row has hundreds of terms. As a Pyomo expression each term is an object; as CSR it is
twelve bytes. :class:`Rows` keeps the matrix and writes a row out as an ordinary linear expression
the first time it is asked for, so every Pyomo solver, writer and transformation works on it, and
:func:`mipnet.embedding.solve.solve`, which takes the matrix itself, never pays for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo
import scipy.sparse as sp
from pyomo.common.gc_manager import PauseGC
from pyomo.core.base.constraint import ConstraintData, IndexedConstraint
from pyomo.core.expr.numeric_expr import LinearExpression

from formulations import ProgramArrays

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RowArrays:
    """Rows ``lower <= matrix @ columns <= upper``, shared by every copy of a model.

    Attributes
    ----------
    matrix : scipy.sparse.csr_array, shape (n_rows, n_columns)
    lower, upper : array, shape (n_rows,)
        Infinite where a side is absent.
    """

    matrix: sp.csr_array
    lower: Array
    upper: Array

    @classmethod
    def of_program(cls, arrays: ProgramArrays) -> RowArrays:
        """All rows of a program."""
        return cls(arrays.matrix, arrays.row_lower, arrays.row_upper)

    @classmethod
    def of_bounds(cls, lower: Array, upper: Array) -> RowArrays:
        """One row for each column: the column itself between its bounds."""
        return cls(sp.csr_array(sp.eye_array(lower.size, format="csr")), lower, upper)

    def __deepcopy__(self, memo: dict[int, Any]) -> RowArrays:
        return self


class RowData(ConstraintData):  # type: ignore[misc]
    """One row; an ordinary constraint whose expression is written on first use.

    Attributes
    ----------
    source_row : int or None
        Row of the matrix; None once the user has given the constraint another expression.
    """

    __slots__ = ("source_row",)

    def __init__(self, component: Rows | None = None, row: int | None = None) -> None:
        super().__init__(component=component)
        self.source_row: int | None = row

    @property
    def expr(self) -> Any:
        """The relational expression."""
        if self._expr is None and self.source_row is not None:
            self.parent_component().write_out()
        return self._expr

    def to_bounded_expression(self, evaluate_bounds: bool = False) -> tuple[Any, Any, Any]:
        """See :meth:`pyomo.core.base.constraint.ConstraintData.to_bounded_expression`."""
        if self._expr is None and self.source_row is not None:
            self.parent_component().write_out()
        bounded: tuple[Any, Any, Any] = super().to_bounded_expression(evaluate_bounds)
        return bounded

    def set_value(self, expr: Any) -> None:
        """Replace the expression; the matrix no longer speaks for this row."""
        super().set_value(expr)
        self.source_row = None


class Rows(IndexedConstraint):  # type: ignore[misc]
    """Constraints ``0, 1, ...`` over the rows of a matrix.

    Parameters
    ----------
    arrays : RowArrays
    columns : sequence of pyomo VarData
        The variable of each matrix column; all different.
    """

    _ComponentDataClass = RowData

    def __init__(self, arrays: RowArrays, columns: Sequence[Any]) -> None:
        super().__init__(pyo.RangeSet(0, arrays.lower.size - 1))
        self.arrays = arrays
        self.columns = list(columns)

    def construct(self, data: Any = None) -> None:
        """Make the data objects; no expression yet."""
        if self._constructed:
            return
        super().construct(data)
        for row in range(self.arrays.lower.size):
            self._data[row] = made = RowData(self, row)
            made._index = row

    def write_out(self) -> None:
        """Give every row its expression: who needs one row needs them all.

        The collector is paused, for it would visit the new terms over and over: three times faster.
        """
        with PauseGC():
            for data in self._data.values():
                if data._expr is None and data.source_row is not None:
                    data._expr = self._expression(data.source_row)

    def _expression(self, row: int) -> Any:
        matrix = self.arrays.matrix
        entries = slice(matrix.indptr[row], matrix.indptr[row + 1])
        body = LinearExpression(
            linear_coefs=matrix.data[entries].tolist(),
            linear_vars=[self.columns[j] for j in matrix.indices[entries].tolist()],
        )
        lower, upper = float(self.arrays.lower[row]), float(self.arrays.upper[row])
        if lower == upper:
            return body == upper
        if np.isinf(lower):
            return body <= upper
        if np.isinf(upper):
            return body >= lower
        return pyo.inequality(lower, body, upper)

    def kept(self) -> npt.NDArray[np.intp]:
        """Matrix rows whose constraint is active and still the one of the matrix."""
        rows = [d.source_row for d in self._data.values() if d._active]
        return np.array([r for r in rows if r is not None], dtype=np.intp)

    def replaced(self) -> list[Any]:
        """Active constraints that were given another expression."""
        return [d for d in self._data.values() if d._active and d.source_row is None]
