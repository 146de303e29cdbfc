"""Solve a Pyomo model with HiGHS through arrays, and replay the answer."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from pyomo.core.staleflag import StaleFlagManager

from mipnet.clocks import stopwatch
from mipnet.embedding import judge
from mipnet.embedding.compile import CompiledModel, compile_model
from mipnet.embedding.result import SolveResult
from mipnet.embedding.start import find_start, honest_point
from mipnet.errors import MipnetWarning, QueryError, SolverError
from mipnet.solver import EXPLORE, IMPROVE, Limits, Solution, Status, highs_version
from mipnet.solver import solve as solve_arrays
from mipnet.solver.profile import FEASIBILITY

Array = npt.NDArray[np.float64]

#: Absolute gap that programs are solved to.
ABSOLUTE_GAP = 1e-7
_NOT_LOADED = frozenset(
    {Status.INFEASIBLE, Status.UNBOUNDED, Status.INFEASIBLE_OR_UNBOUNDED, Status.CUTOFF}
)


def solve(
    model: Any,
    *,
    time_limit: float | None = None,
    threads: int = 1,
    seed: int = 0,
    gap: float | None = None,
    start: bool = True,
    log: Callable[[str], None] | None = None,
) -> SolveResult:
    """Solve a linear Pyomo model with HiGHS and load the solution into its variables.

    Network blocks go to the solver as matrices. Nothing is loaded when no solution was found.

    Parameters
    ----------
    model : ConcreteModel or block
        Blocks, linear constraints, one linear objective or none; continuous, integer and binary
        variables. Deactivated blocks and constraints do not count; fixed variables are constants.
    time_limit : float, optional
        Seconds, compilation included.
    threads, seed : int
        Threads and random seed of HiGHS.
    gap : float, optional
        Relative gap at which to stop; proven optimal to 1e-7 absolute when absent.
    start : bool
        Whether to hand over a start vector when one is at hand: the loaded values, or a forward
        pass through the networks.
    log : callable, optional
        Receives the solver's log lines.

    Returns
    -------
    SolveResult

    Raises
    ------
    EmbeddingError
        When the model holds something that is not linear or not known; names it.
    QueryError
        When the time limit or the number of threads is none.
    SolverError
        When HiGHS fails, or a feasible point at hand contradicts its answer.

    Warns
    -----
    MipnetWarning
        When the solution does not stand up to the replay; a layer is held within a band wider than
        the gap tolerance, or a formulation is a relaxation; a variable's bounds grew beyond the
        region a block was built for; or a variable of a deactivated block is used.
    """
    watch = stopwatch(time_limit)
    if isinstance(threads, bool) or not isinstance(threads, int | np.integer) or threads < 1:
        msg = f"threads must be a positive integer, not {threads!r}"
        raise QueryError(msg)
    with watch("build"):
        compiled = compile_model(model)
        said = list(judge.remarks(compiled))
        begin = find_start(compiled, watch.left) if start else None
    profile = IMPROVE if begin is not None and begin.given else EXPLORE
    if gap is not None:
        profile = profile.with_options(mip_rel_gap=float(gap))
    with watch("solve"):
        solution = _constant(compiled) or solve_arrays(
            compiled.arrays,
            limits=Limits(time=watch.left),
            profile=profile,
            start=None if begin is None else begin.values,
            threads=threads,
            seed=seed,
            log=log,
        )
    if solution.status is Status.ERROR:
        msg = f"HiGHS {solution.version} failed: {solution.message}"
        raise SolverError(msg)
    if begin is not None:
        judge.hold_against(solution, compiled.arrays.objective(begin.values))
    values, errors, violation = None, {}, 0.0
    if solution.values is not None and solution.status not in _NOT_LOADED:
        with watch("check"):
            values = _point(compiled, solution.values)
            _load(compiled, values)
            errors, violation = judge.replay(compiled), compiled.arrays.violation(values)
        said += judge.doubts(compiled, errors, violation, values)
        value = compiled.arrays.objective(values)
        tolerance = max(ABSOLUTE_GAP, (gap or 0.0) * abs(value))
        said += judge.apart(compiled, solution, value, tolerance)
    for remark in said:
        warnings.warn(remark, MipnetWarning, stacklevel=2)
    arrays = compiled.arrays
    return SolveResult(
        status=solution.status,
        objective=None if values is None else compiled.sign * arrays.objective(values),
        bound=compiled.sign * solution.bound,
        replay_errors=errors,
        violation=violation,
        columns=arrays.n_columns,
        rows=arrays.n_rows,
        nonzeros=arrays.n_nonzeros,
        binaries=arrays.n_binaries,
        nodes=solution.nodes,
        started=begin is not None,
        clocks=watch.clocks,
        version=solution.version,
        profile=solution.profile,
        message=solution.message,
        bands=judge.bands(compiled),
        warnings=tuple(said),
    )


def _point(compiled: CompiledModel, found: Array) -> Array:
    """Point to load: the solver's, or the networks' own nearest to it where they are held loosely.

    The latter has the value that the networks give; the bound says how much better it could be.
    """
    values = np.where(compiled.arrays.integer, np.round(found), found)
    honest = honest_point(compiled, values) if judge.soft(compiled) else None
    return values if honest is None else honest


def _constant(compiled: CompiledModel) -> Solution | None:
    """Answer for a model without columns, whose rows the solver would not look at."""
    arrays = compiled.arrays
    if arrays.n_columns:
        return None
    holds = arrays.violation(np.zeros(0)) <= FEASIBILITY
    return Solution(
        status=Status.OPTIMAL if holds else Status.INFEASIBLE,
        objective=arrays.offset if holds else None,
        bound=arrays.offset if holds else math.inf,
        values=np.zeros(0) if holds else None,
        nodes=0,
        seconds=0.0,
        version=highs_version(),
        profile="constant",
        message="the model has no variables",
    )


def _load(compiled: CompiledModel, values: Array) -> None:
    """Set every variable that is not fixed, and leave the rest of the model stale."""
    StaleFlagManager.mark_all_as_stale()
    for var, value in zip(compiled.variables, values.tolist(), strict=True):
        if not var.fixed:
            var.set_value(value, skip_validation=True)
    StaleFlagManager.mark_all_as_stale(delayed=True)
