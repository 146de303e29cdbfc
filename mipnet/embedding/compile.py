"""From a Pyomo model to program arrays: network rows as matrices, the rest term by term."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo
import scipy.sparse as sp
from pyomo.core.base.block import BlockData
from pyomo.core.base.enums import SortComponents
from pyomo.gdp import Disjunction
from pyomo.mpec import Complementarity
from pyomo.network import Port
from pyomo.repn.linear import LinearRepnVisitor
from pyomo.repn.util import VarRecorder, categorize_valid_components

from formulations import ProgramArrays, Separator
from mipnet.embedding.base_block import EmbeddedBlockData
from mipnet.embedding.block_data import NetworkBlockData
from mipnet.embedding.constructs import COMPONENTS
from mipnet.embedding.rows import RowArrays, Rows
from mipnet.embedding.strays import strays
from mipnet.embedding.users import users
from mipnet.errors import EmbeddingError

Array = npt.NDArray[np.float64]
Columns = npt.NDArray[np.int32]

#: Entries looked up at a time.
_SLICE = 1 << 16
#: Components of a network block that are no linear rows.
_FOREIGN = {pyo.SOSConstraint, Complementarity, Disjunction, pyo.Expression}
_KNOWN = {
    pyo.Block,
    pyo.Constraint,
    pyo.Expression,
    pyo.ExternalFunction,
    pyo.Objective,
    pyo.Param,
    pyo.RangeSet,
    pyo.Set,
    pyo.Suffix,
    pyo.Var,
    Port,
}


@dataclass(frozen=True, eq=False)
class CompiledModel:
    """A Pyomo model as a minimisation over numbered columns.

    Attributes
    ----------
    arrays : ProgramArrays
    variables : list of VarData
        The variable of each column; fixed ones have equal bounds.
    place : dict
        Column by ``id`` of the variable.
    sign : float
        -1 where the model maximises, else 1.
    blocks : tuple of NetworkBlockData
        Active network blocks, in order of declaration.
    others : tuple of EmbeddedBlockData
        Active blocks that are no networks and are replayed all the same: trust regions.
    idle : tuple of str
        Variables of deactivated network blocks that active components use.
    ties : dict
        Rows that tie inputs of a network to expressions: by ``id`` of the block, pairs of a column
        and the equality row that defines it.
    """

    arrays: ProgramArrays
    variables: list[Any]
    place: dict[int, int]
    sign: float
    blocks: tuple[NetworkBlockData, ...]
    others: tuple[EmbeddedBlockData, ...]
    idle: tuple[str, ...]
    ties: dict[int, list[tuple[int, int]]]

    def columns(self, variables: Iterable[Any]) -> Columns:
        """Return the columns of variables, -1 for one that no active component uses."""
        return np.array([self.place.get(id(v), -1) for v in variables], dtype=np.int32)


def compile_model(model: Any) -> CompiledModel:
    """Compile the active part of a linear Pyomo model.

    Parameters
    ----------
    model : ConcreteModel or block

    Raises
    ------
    EmbeddingError
        When the model is not constructed, holds active components other than blocks, linear
        constraints and one linear objective, or a variable is fixed without a value or has a
        domain that is neither continuous nor integer; names the component.
    """
    if not isinstance(model, BlockData) or not model.is_constructed():
        msg = f"expected a constructed Pyomo model or block, not {model}"
        raise EmbeddingError(msg)
    if not model.active:
        msg = f"{model.name} is deactivated"
        raise EmbeddingError(msg)
    _refuse_constructs(model)
    _, unknown = categorize_valid_components(model, active=True, valid=_KNOWN)
    if unknown:
        listing = ", ".join(f"{c.name} ({t.__name__})" for t, cs in unknown.items() for c in cs)
        msg = f"mipnet.solve takes blocks, linear constraints and one objective; not: {listing}. "
        msg += "Transform them to linear constraints first (for disjunctions: gdp.bigm)"
        raise EmbeddingError(msg)
    compiler = _Compiler()
    blocks, others = [], []
    for block in model.block_data_objects(active=True, descend_into=pyo.Block):
        if isinstance(block, NetworkBlockData):
            blocks.append(block)
            compiler.add_separators(block)
        elif isinstance(block, EmbeddedBlockData):
            others.append(block)
        for constraint in block.component_objects(pyo.Constraint, True, descend_into=False):
            compiler.add_constraint(constraint)
    objectives = list(model.component_data_objects(pyo.Objective, active=True))
    if len(objectives) > 1:
        msg = f"several active objectives: {', '.join(o.name for o in objectives)}; deactivate all "
        msg += "but one"
        raise EmbeddingError(msg)
    sign = compiler.set_objective(objectives[0]) if objectives else 1.0
    removed, idle = strays(compiler.variables, model)
    if removed:
        found = ", ".join(f"{user} uses {name}" for user, name in users(model, removed))
        msg = f"{found}, which was removed from the model; delete or deactivate what uses it"
        raise EmbeddingError(msg)
    names = tuple(v.name for v in idle)
    place, ties = compiler.place, compiler.ties
    arrays, variables = compiler.arrays(), compiler.variables
    return CompiledModel(arrays, variables, place, sign, tuple(blocks), tuple(others), names, ties)


def _refuse_constructs(model: Any) -> None:
    """Refuse network blocks whose formulations HiGHS has no word for, unless transformed."""
    for block in model.block_data_objects(active=True, descend_into=pyo.Block):
        if not isinstance(block, NetworkBlockData):
            continue
        parts = filter(None, map(block.component, COMPONENTS))
        if any(part.active for part in parts if part.ctype in _FOREIGN):
            held = block.embedded.arrays.constructs.summary()
            msg = f"{block.name} (formulation {block.report().formulation}) holds {held}, which "
            msg += (
                "HiGHS does not know; build it with 'big_m', 'partition' or 'ideal', or give the "
            )
            msg += "model to a Pyomo solver that does, after a transformation of Pyomo where there "
            raise EmbeddingError(msg + "is one (indicator: gdp.bigm; complementarity: mpec.*)")


class _Compiler:
    """Collects columns and rows."""

    def __init__(self) -> None:
        self.variables: list[Any] = []
        self.place: dict[int, int] = {}
        self.ties: dict[int, list[tuple[int, int]]] = {}
        self._parts: list[tuple[RowArrays, Columns]] = []
        self._held: list[tuple[Columns, Array, Array]] = []
        self._separators: list[Separator] = []
        self._cost: dict[int, float] = {}
        self._offset = 0.0
        recorder = VarRecorder({}, SortComponents.UNSORTED)
        self._visitor = LinearRepnVisitor({}, var_recorder=recorder)

    def add_constraint(self, constraint: Any) -> None:
        """Append the active members of a constraint."""
        if isinstance(constraint, Rows):
            self._add_matrix(constraint)
            members = constraint.replaced()
        else:
            members = [c for c in constraint.values() if c.active]
        home = constraint.parent_block()
        if isinstance(home, NetworkBlockData) and constraint is home.component("input_links"):
            first = sum(part.lower.size for part, _ in self._parts)
            self.ties[id(home)] = [
                (self._column(home.inputs[member.index()]), first + k)
                for k, member in enumerate(members)
            ]
        if members:
            self._add_linear(members)

    def set_objective(self, objective: Any) -> float:
        """Take the objective; return its sign."""
        sign = -1.0 if objective.sense == pyo.maximize else 1.0
        terms, constant = self._linear(objective, objective.expr)
        self._cost = {self._column(v): sign * c for v, c in terms}
        self._offset = sign * constant
        return sign

    def _column(self, variable: Any) -> int:
        place = self.place.setdefault(id(variable), len(self.variables))
        if place == len(self.variables):
            self.variables.append(variable)
        return place

    def _add_matrix(self, rows: Rows) -> None:
        columns = np.array([self._column(v) for v in rows.columns], dtype=np.int32)
        source, kept = rows.arrays, rows.kept()
        matrix, lower, upper = source.matrix, source.lower, source.upper
        if kept.size < lower.size:
            matrix, lower, upper = matrix[kept], lower[kept], upper[kept]
        if (np.diff(matrix.indptr) == 1).all() and (matrix.data == 1.0).all():
            self._held.append((columns[matrix.indices], lower, upper))
            return
        self._parts.append((RowArrays(matrix, lower, upper), columns))

    def add_separators(self, block: NetworkBlockData) -> None:
        """Take the families of valid rows of a network whose rows are all there."""
        families = block.embedded.arrays.separators
        parts = (block.rows, block.input_range)
        if families and all(part.kept().size == len(part) for part in parts):
            columns = np.array([self._column(v) for v in block.rows.columns], dtype=np.int32)
            self._separators += [family.renamed(columns) for family in families]

    def _add_linear(self, constraints: list[Any]) -> None:
        data: list[float] = []
        indices: list[int] = []
        starts, lower, upper = [0], [], []
        for constraint in constraints:
            try:
                low, body, high = constraint.lb, constraint.body, constraint.ub
            except ValueError as error:
                msg = f"{constraint.name}: {error}"
                raise EmbeddingError(msg) from error
            terms, constant = self._linear(constraint, body)
            indices += [self._column(v) for v, _ in terms]
            data += [c for _, c in terms]
            starts.append(len(data))
            lower.append(-np.inf if low is None else low - constant)
            upper.append(np.inf if high is None else high - constant)
        columns = np.arange(len(self.variables), dtype=np.int32)
        shape = (len(lower), columns.size)
        matrix = sp.csr_array((np.array(data, float), indices, starts), shape=shape)
        rows = RowArrays(matrix, np.array(lower, float), np.array(upper, float))
        self._parts.append((rows, columns))

    def _linear(self, component: Any, expression: Any) -> tuple[list[tuple[Any, float]], float]:
        """Terms and constant of a linear expression, fixed variables in the constant."""
        form = self._visitor.walk_expression(expression)
        if form.nonlinear is not None:
            msg = f"{component.name} is not linear ({form.nonlinear}); mipnet.solve takes linear "
            msg += "models: solve this one with another Pyomo solver"
            raise EmbeddingError(msg)
        known = self._visitor.var_recorder.var_map
        try:
            terms = [(known[key], float(c)) for key, c in form.linear.items()]
            constant = float(form.constant)
        except (TypeError, ValueError):
            # Pyomo's InvalidNumber: what became of a missing value.
            terms, constant = [], math.nan
        if not (math.isfinite(constant) and all(math.isfinite(c) for _, c in terms)):
            msg = f"{component.name} has a NaN or infinite coefficient, or a fixed variable or "
            msg += "parameter without a value"
            raise EmbeddingError(msg)
        return terms, constant

    def arrays(self) -> ProgramArrays:
        """Assemble what was collected."""
        n = len(self.variables)
        limits = np.array(list(_limits(self.variables)), dtype=np.float64).reshape(n, 3)
        lower, upper = limits[:, 0].copy(), limits[:, 1].copy()
        for at, low, high in self._held:
            np.maximum.at(lower, at, low)
            np.minimum.at(upper, at, high)
        matrix = _stacked([(rows.matrix, columns) for rows, columns in self._parts], n)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        cost = np.zeros(n)
        cost[list(self._cost)] = list(self._cost.values())
        return ProgramArrays(
            lower,
            upper,
            cost,
            limits[:, 2] > 0.0,
            matrix,
            np.concatenate([np.zeros(0), *(rows.lower for rows, _ in self._parts)]),
            np.concatenate([np.zeros(0), *(rows.upper for rows, _ in self._parts)]),
            self._offset,
            separators=tuple(self._separators),
        )


def _stacked(parts: list[tuple[sp.csr_array, Columns]], width: int) -> sp.csr_array:
    """Matrices one above the other, each over columns of its own; written in place, once."""
    ends = np.cumsum([0, *(matrix.nnz for matrix, _ in parts)])
    if ends[-1] > np.iinfo(np.int32).max:
        msg = f"the model has {ends[-1]} coefficients, more than HiGHS can hold"
        raise EmbeddingError(msg)
    data, indices = np.empty(ends[-1]), np.empty(ends[-1], dtype=np.int32)
    starts = [np.zeros(1, dtype=np.int32)]
    for (matrix, columns), begin, end in zip(parts, ends[:-1], ends[1:], strict=True):
        data[begin:end] = matrix.data
        # In slices: a whole look-up would need as much memory again.
        for at in range(0, matrix.nnz, _SLICE):
            found = columns[matrix.indices[at : at + _SLICE]]
            indices[begin + at : begin + at + found.size] = found
        starts.append((matrix.indptr[1:] + begin).astype(np.int32))
    indptr = np.concatenate(starts)
    return sp.csr_array((data, indices, indptr), shape=(indptr.size - 1, width))


def _limits(variables: list[Any]) -> Iterator[tuple[float, float, bool]]:
    """Bounds and integrality of variables; a fixed one is a constant."""
    for var in variables:
        if var.fixed:
            if var.value is None:
                msg = f"{var.name} is fixed and has no value"
                raise EmbeddingError(msg)
            yield float(var.value), float(var.value), False
            continue
        integer = var.is_integer()
        if not integer and not var.is_continuous():
            msg = f"{var.name} has the domain {var.domain}, which is neither continuous nor integer"
            raise EmbeddingError(msg)
        low, high = var.bounds
        yield (-np.inf if low is None else low, np.inf if high is None else high, integer)
