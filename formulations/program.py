"""A solver-neutral mixed-integer program held as columns and CSR rows.

A :class:`Program` grows by whole arrays: a block of columns, a block of rows. Nothing in it
loops over scalars, and nothing in it knows a network or a solver.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from formulations.constructs import Constructs, Separator, joined
from formulations.definition import Definition, NamedRule, Rule, Tied
from formulations.expression import AffineForm
from formulations.scaling import units

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int32]


@dataclass(frozen=True)
class ProgramArrays:
    """A finished program: ``min cost.v + offset`` s.t. ``row_lower <= A v <= row_upper``.

    Attributes
    ----------
    lower, upper, cost : array, shape (n_columns,)
        Column bounds and objective.
    integer : array of bool, shape (n_columns,)
        True where the column is integer.
    matrix : scipy.sparse.csr_array, shape (n_rows, n_columns)
        The rows, with sorted indices and no stored zero.
    row_lower, row_upper : array, shape (n_rows,)
        Row bounds; infinite where one-sided.
    offset : float
        Constant of the objective.
    constructs : Constructs
        Conditions beside the rows; a solver that does not know them must refuse the program.
    separators : tuple of Separator
        Families of valid rows that may be added where a relaxation violates them.
    """

    lower: Array
    upper: Array
    cost: Array
    integer: npt.NDArray[np.bool_]
    matrix: sp.csr_array
    row_lower: Array
    row_upper: Array
    offset: float = 0.0
    constructs: Constructs = field(default_factory=Constructs)
    separators: tuple[Separator, ...] = ()

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return int(self.lower.size)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.row_lower.size)

    @property
    def n_nonzeros(self) -> int:
        """Number of stored matrix entries."""
        return int(self.matrix.nnz)

    @property
    def n_binaries(self) -> int:
        """Number of integer columns."""
        return int(np.count_nonzero(self.integer))

    def violation(self, values: Array) -> float:
        """Largest absolute violation of a bound, row, integrality or construct at ``values``."""
        rows = self.matrix @ values
        worst = [
            self.lower - values,
            values - self.upper,
            self.row_lower - rows,
            rows - self.row_upper,
            np.abs(values - np.round(values))[self.integer],
        ]
        linear = max((float(w.max()) for w in worst if w.size), default=0.0)
        return max(linear, self.constructs.violation(values))

    def objective(self, values: Array) -> float:
        """Objective value at ``values``."""
        return float(self.cost @ values) + self.offset


class Program:
    """A program under construction; :meth:`freeze` gives the arrays.

    Examples
    --------
    >>> import numpy as np
    >>> program = Program()
    >>> x = program.add_columns(np.zeros(2), np.ones(2))
    >>> program.add_rows(AffineForm.of_columns(x).sum(), lower=[-np.inf], upper=[1.5])
    >>> arrays = program.freeze()
    >>> arrays.n_rows, arrays.n_columns, arrays.matrix.toarray().tolist(), arrays.row_upper.tolist()
    (1, 2, [[1.0, 1.0]], [1.5])
    """

    def __init__(self) -> None:
        self._lower: list[Array] = []
        self._upper: list[Array] = []
        self._integer: list[npt.NDArray[np.bool_]] = []
        self._rows: list[sp.csr_array] = []
        self._row_lower: list[Array] = []
        self._row_upper: list[Array] = []
        self._definitions: list[Definition] = []
        self._constructs: list[Constructs] = []
        self._separators: list[Separator] = []
        self.n_columns = 0
        self.n_rows = 0

    def copy(self) -> Program:
        """Return a program that grows on its own; the blocks so far are shared, not copied."""
        twin = Program()
        twin._lower, twin._upper = [*self._lower], [*self._upper]
        twin._integer, twin._rows = [*self._integer], [*self._rows]
        twin._row_lower, twin._row_upper = [*self._row_lower], [*self._row_upper]
        twin._definitions, twin._constructs = [*self._definitions], [*self._constructs]
        twin._separators = [*self._separators]
        twin.n_columns, twin.n_rows = self.n_columns, self.n_rows
        return twin

    @property
    def definitions(self) -> tuple[Definition, ...]:
        """Definitions of the dependent columns, in the order to evaluate them."""
        return tuple(self._definitions)

    @property
    def n_integers(self) -> int:
        """Number of integer columns so far."""
        return sum(int(np.count_nonzero(block)) for block in self._integer)

    def add_columns(
        self,
        lower: npt.ArrayLike,
        upper: npt.ArrayLike,
        *,
        integer: bool = False,
    ) -> Index:
        """Append a block of columns and return their indices.

        Parameters
        ----------
        lower, upper : array_like, shape (n,)
            Bounds; may be infinite, may not be NaN.
        integer : bool
            Whether the columns are integer.

        Raises
        ------
        ValueError
            When a bound is NaN or a lower bound exceeds its upper bound.
        """
        lo, up = np.atleast_1d(np.asarray(lower, float)), np.atleast_1d(np.asarray(upper, float))
        if lo.shape != up.shape or not bool(np.all(lo <= up)):
            fits = lo.shape == up.shape
            bad = np.flatnonzero(~(lo <= up)).tolist() if fits else []
            msg = f"column bounds must satisfy lower <= upper (violated at {bad[:5]})"
            raise ValueError(msg)
        self._lower.append(lo)
        self._upper.append(up)
        self._integer.append(np.full(lo.size, integer))
        columns = np.arange(self.n_columns, self.n_columns + lo.size, dtype=np.int32)
        self.n_columns += lo.size
        return columns

    def add_rows(self, form: AffineForm, *, lower: npt.ArrayLike, upper: npt.ArrayLike) -> None:
        """Append the rows ``lower <= form <= upper``; constants move to the sides.

        Parameters
        ----------
        form : AffineForm, n rows
            Left-hand sides; over columns that exist.
        lower, upper : array_like, shape (n,) or scalar
            Sides; infinite where absent.

        Raises
        ------
        ValueError
            When a form reaches over a column that does not exist.
        """
        n = form.size
        if form.width > self.n_columns:
            msg = f"rows reach over column {form.width - 1}; there are {self.n_columns} columns"
            raise ValueError(msg)
        if n == 0:
            return
        self._rows.append(form.matrix(self.n_columns))
        self._row_lower.append(np.broadcast_to(np.asarray(lower, float), n) - form.constant)
        self._row_upper.append(np.broadcast_to(np.asarray(upper, float), n) - form.constant)
        self.n_rows += n

    def define(self, columns: Index, form: AffineForm, rule: Rule) -> None:
        """Record that ``columns`` follow from ``form`` by ``rule`` (used to complete points)."""
        self._definitions.append(Definition(columns, form, rule))

    def tie(
        self,
        own: AffineForm,
        form: AffineForm,
        columns: Sequence[Index],
        rules: Sequence[NamedRule],
    ) -> None:
        """Append the rows ``own = form``, and record how new columns follow from ``form``.

        The definition reads the form off the rows: kept beside them, it would double the memory of
        a dense layer.

        Parameters
        ----------
        own, form : AffineForm, n rows
        columns : sequence of array, each of shape (n,)
            Blocks of columns, those of ``own`` among them.
        rules : sequence of str
            How each block follows.
        """
        first = self.n_rows
        self.add_rows(own - form, lower=0.0, upper=0.0)
        if form.size:
            # Its own columns are still zero when a definition is evaluated.
            rest = AffineForm(self._rows[-1], -self._row_lower[-1])
            rows = slice(first, self.n_rows)
            every = np.concatenate(list(columns))
            self._definitions.append(Definition(every, rest, Tied(tuple(rules)), rows))

    def without_rows(self, arrays: ProgramArrays) -> Program:
        """Return what completes points, reading tied definitions off ``arrays``, frozen from this.

        Parameters
        ----------
        arrays : ProgramArrays
        """
        rest = Program()
        rest.add_columns(arrays.lower, arrays.upper)
        rest._definitions = [d.over(arrays.matrix) for d in self._definitions]
        return rest

    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper bounds of all columns so far."""
        return _join(self._lower), _join(self._upper)

    def require(self, constructs: Constructs) -> None:
        """Append conditions that no linear row expresses."""
        self._constructs.append(constructs)

    def offer(self, separator: Separator) -> None:
        """Append a family of valid rows to be separated by whoever solves the relaxation."""
        self._separators.append(separator)

    def reconsider(self, rule: Callable[[Sequence[Separator]], Sequence[Separator]]) -> None:
        """Keep the families of rows that a rule returns of them."""
        self._separators = list(rule(self._separators))

    def express(self, form: AffineForm, lower: Array, upper: Array, rule: Rule) -> AffineForm:
        """Name expressions of earlier columns, without variables or rows.

        Parameters
        ----------
        form : AffineForm, n rows
        lower, upper : array, shape (n,)
            Valid bounds of the values.
        rule : {"identity", "positive_part", "negative_part", "step"} or Formula
            From a form to its expression.

        Returns
        -------
        AffineForm
            The expressions, each a column of its own.
        """
        columns = self.add_columns(lower, upper)
        self.define(columns, form, rule)
        self.require(Constructs(expressions=(self._definitions[-1],)))
        return AffineForm.of_columns(columns)

    def materialise(
        self, form: AffineForm, lower: Array, upper: Array, *, scaled: bool = False
    ) -> AffineForm:
        """Give every row of ``form`` a column of its own, tied by an equality row.

        Parameters
        ----------
        form : AffineForm, n rows
        lower, upper : array, shape (n,)
            Valid bounds of the form, used as column bounds.
        scaled : bool
            Whether columns of extreme range are held in units of a power of two
            (:func:`formulations.scaling.units`).

        Returns
        -------
        AffineForm
            The forms over the new columns.
        """
        unit = units(lower, upper) if scaled else np.ones(form.size)
        columns = self.add_columns(lower / unit, upper / unit)
        own, small = AffineForm.of_columns(columns), form.scale(1.0 / unit)
        self.tie(own, small, [columns], ["identity"])
        return own.scale(unit)

    def complete(self, columns: Index, values: Array) -> Array:
        """Full column vector from the values of the free columns.

        Parameters
        ----------
        columns : array of int32, shape (k,)
            The free columns (the inputs of a network).
        values : array, shape (k,)
            Their values.

        Returns
        -------
        array, shape (n_columns,)
        """
        full = np.zeros(self.n_columns)
        full[columns] = values
        for definition in self._definitions:
            full[definition.columns] = definition.evaluate(full)
        return full

    def freeze(self, objective: AffineForm | None = None) -> ProgramArrays:
        """Return the finished arrays.

        Parameters
        ----------
        objective : AffineForm with one row, optional
            The form to minimise; the zero objective when absent.

        Raises
        ------
        ValueError
            When a coefficient or a side is NaN, or a coefficient is infinite.
        """
        n = self.n_columns
        blocks = [_widen(block, n) for block in self._rows]
        matrix = sp.csr_array(sp.vstack(blocks)) if blocks else sp.csr_array((0, n))
        matrix.eliminate_zeros()
        matrix.sort_indices()
        cost, offset = np.zeros(n), 0.0
        if objective is not None:
            cost = objective.matrix(n).toarray().ravel()
            offset = float(objective.constant[0])
        row_lower, row_upper = _join(self._row_lower), _join(self._row_upper)
        finite = np.isfinite(matrix.data).all() and np.isfinite([*cost, offset]).all()
        if not finite or np.isnan(row_lower).any() or np.isnan(row_upper).any():
            msg = "a program must have finite coefficients and sides that are not NaN"
            raise ValueError(msg)
        integer = np.concatenate(self._integer) if self._integer else np.zeros(0, bool)
        return ProgramArrays(
            _join(self._lower),
            _join(self._upper),
            cost,
            integer,
            matrix,
            row_lower,
            row_upper,
            offset,
            joined(self._constructs),
            tuple(self._separators),
        )


def _join(parts: Sequence[Array]) -> Array:
    return np.concatenate(parts) if parts else np.zeros(0)


def _widen(block: sp.csr_array, n_columns: int) -> sp.csr_array:
    """Return the block over ``n_columns`` columns, sharing its arrays."""
    shape = (block.shape[0], n_columns)
    return sp.csr_array((block.data, block.indices, block.indptr), shape=shape)
