"""Points of a model that are points of its networks: starts, and honest solutions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from formulations import ProgramArrays
from mipnet.embedding.compile import CompiledModel
from mipnet.errors import SolverError
from mipnet.solver import EXPLORE, Limits
from mipnet.solver import solve as solve_arrays

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

#: Largest violation of a start vector that is handed over.
FEASIBLE = 1e-6
#: Seconds and nodes spent at most on the user's own part of a start.
_SECONDS, _NODES = 2.0, 100


@dataclass(frozen=True, eq=False)
class Start:
    """A feasible full column vector.

    Attributes
    ----------
    values : array, shape (n_columns,)
    given : bool
        Whether every variable had a value: an earlier solution, or the user's own.
    """

    values: Array
    given: bool


def find_start(compiled: CompiledModel, seconds: float | None = None) -> Start | None:
    """Best feasible one of: the loaded values, and forward passes from them and the mid-point.

    Inputs without a value start in the middle of their bounds, other variables at the value
    nearest to zero; those tied to an expression follow from it. Networks are run forward in order
    of declaration. Where that does not fit the user's own constraints, the user's own variables
    are solved for, the network's held; where there is still nothing, the inputs are first chosen
    by the constraints that concern no network.

    Parameters
    ----------
    compiled : CompiledModel
    seconds : float, optional
        Time at hand.
    """
    arrays = compiled.arrays
    loaded = np.array(
        [np.nan if v.value is None else v.value for v in compiled.variables], dtype=np.float64
    )
    candidates = [] if np.isnan(loaded).any() else [Start(loaded, True)]
    begins = [loaded]
    if not np.isnan(loaded).all():
        begins.append(np.where(arrays.lower == arrays.upper, loaded, np.nan))
    candidates += [Start(_forward(compiled, begin), False) for begin in begins]
    feasible = [c for c in candidates if arrays.violation(c.values) <= FEASIBLE]
    if not feasible and compiled.blocks:
        limit = _SECONDS if seconds is None else min(_SECONDS, 0.1 * seconds)
        outer = _solved(arrays, ~_inner(compiled), np.zeros(arrays.n_columns), limit, alone=True)
        begins += [] if outer is None else [outer]
        settled = (_settle(compiled, _forward(compiled, begin), limit) for begin in begins)
        found = next((s for s in settled if s is not None), None)
        return None if found is None else Start(found, False)
    return min(feasible, key=lambda c: arrays.objective(c.values), default=None)


def honest_point(compiled: CompiledModel, values: Array) -> Array | None:
    """Nearest point whose networks give exactly what their columns say.

    The networks are run forward from the inputs; the user's own variables are solved for again
    where they do not fit any more.

    Returns
    -------
    array or None
        None where the user's constraints exclude it.
    """
    return _settle(compiled, _forward(compiled, values), _SECONDS)


def _settle(compiled: CompiledModel, values: Array, seconds: float) -> Array | None:
    """Make the user's own columns fit to those of the networks."""
    arrays = compiled.arrays
    if arrays.violation(values) <= FEASIBLE:
        return values
    own = np.ones(arrays.n_columns, dtype=bool)
    for block in compiled.blocks:
        at = compiled.columns(block.rows.columns)
        own[at[at >= 0]] = False
    own &= arrays.lower < arrays.upper
    for pairs in compiled.ties.values():
        for _, row in pairs:
            own[_entries(arrays.matrix, row)[0]] = False
    found = _solved(arrays, own, values, seconds)
    fits = found is not None and arrays.violation(found) <= FEASIBLE
    return found if fits else None


def _solved(
    arrays: ProgramArrays, free: Flags, values: Array, seconds: float, *, alone: bool = False
) -> Array | None:
    """Solve for some columns, the others held at their values.

    Parameters
    ----------
    arrays : ProgramArrays
    free : array of bool
        Columns to solve for.
    values : array
        Values of the others.
    seconds : float
    alone : bool
        Whether rows that concern others too are left out; the others are then NaN in the result.
    """
    if not free.any():
        return None
    part = sp.csr_array(arrays.matrix[:, np.flatnonzero(free)])
    rows = np.diff(part.indptr) > 0
    if alone:
        rows &= np.diff(part.indptr) == np.diff(arrays.matrix.indptr)
        if not rows.any():
            return None
    rest = np.zeros(free.size) if alone else np.where(free, 0.0, values)
    held: Array = arrays.matrix[np.flatnonzero(rows)] @ rest
    small = ProgramArrays(
        arrays.lower[free],
        arrays.upper[free],
        arrays.cost[free],
        arrays.integer[free],
        sp.csr_array(part[np.flatnonzero(rows)]),
        arrays.row_lower[rows] - held,
        arrays.row_upper[rows] - held,
    )
    limits = Limits(time=seconds, nodes=_NODES)
    try:
        solution = solve_arrays(small, limits=limits, profile=EXPLORE)
    except SolverError:
        # A start is a help; the model itself is about to be solved and judged.
        return None
    if solution.values is None:
        return None
    found = np.full(arrays.n_columns, np.nan) if alone else values.copy()
    found[free] = solution.values
    found[arrays.integer] = np.round(found[arrays.integer])
    return found


def _inner(compiled: CompiledModel) -> Flags:
    """Columns that follow from the inputs of networks."""
    inner = np.zeros(compiled.arrays.n_columns, dtype=bool)
    for block in compiled.blocks:
        at = compiled.columns(block.rows.columns)
        at[block.embedded.encoding.inputs] = -1
        inner[at[at >= 0]] = True
    return inner


def _entries(matrix: sp.csr_array, row: int) -> tuple[npt.NDArray[np.signedinteger], Array]:
    """Columns and coefficients of a row."""
    at = slice(matrix.indptr[row], matrix.indptr[row + 1])
    return matrix.indices[at], np.asarray(matrix.data[at], dtype=np.float64)


def _forward(compiled: CompiledModel, loaded: Array) -> Array:
    """Fill the gaps of ``loaded`` and make the columns of every block follow from its inputs."""
    arrays = compiled.arrays
    low = np.where(np.isfinite(arrays.lower), arrays.lower, np.minimum(arrays.upper, 0.0))
    high = np.where(np.isfinite(arrays.upper), arrays.upper, np.maximum(arrays.lower, 0.0))
    values = np.where(np.isnan(loaded), np.clip(0.0, low, high), loaded)
    known = ~np.isnan(loaded)
    for block in compiled.blocks:
        columns = compiled.columns(block.rows.columns)
        if (columns < 0).any():
            continue
        inputs = columns[block.embedded.encoding.inputs]
        for column, row in compiled.ties.get(id(block), ()):
            at, factors = _entries(arrays.matrix, row)
            own = at == column
            rest = float(factors[~own] @ values[at[~own]])
            values[column] = (arrays.row_upper[row] - rest) / float(factors[own].sum())
            known[at] = True
        middle = 0.5 * (low[inputs] + high[inputs])
        middle = np.where(arrays.integer[inputs], np.ceil(middle - 0.5), middle)
        point = np.where(known[inputs], values[inputs], middle)
        values[columns] = block.embedded.encoding.complete(
            np.clip(point, low[inputs], high[inputs])
        )
        known[columns] = True
    return values
