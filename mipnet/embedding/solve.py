"""Solve a Pyomo model with HiGHS through arrays, and replay the answer."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from pyomo.core.staleflag import StaleFlagManager

from mipnet.clocks import Clocks, Stopwatch
from mipnet.embedding.compile import CompiledModel, compile_model
from mipnet.embedding.network_block import NetworkBlock
from mipnet.embedding.start import find_start
from mipnet.errors import MipnetWarning, SolverError
from mipnet.solver import EXPLORE, IMPROVE, Limits, Solution, Status, highs_version
from mipnet.solver import solve as solve_arrays
from mipnet.solver.profile import FEASIBILITY

Array = npt.NDArray[np.float64]

#: Largest difference between a loaded output and the replay, relative to 1 + its size.
REPLAY_TOLERANCE = 1e-5
_NOT_LOADED = frozenset(
    {Status.INFEASIBLE, Status.UNBOUNDED, Status.INFEASIBLE_OR_UNBOUNDED, Status.CUTOFF}
)


@dataclass(frozen=True)
class SolveResult:
    """Answer of :func:`solve`, in the sense of the model's own objective.

    Attributes
    ----------
    status : Status
    objective : float or None
        Objective of the loaded solution; None when there is none.
    bound : float
        Proven bound of the objective: no solution is better.
    replay_errors : mapping of block name to float
        Largest difference between loaded outputs and the network, by block.
    violation : float
        Largest violation of a bound, row or integrality by the loaded solution.
    columns, rows, nonzeros, binaries : int
        Size of the model handed over; ``binaries`` counts all integer variables.
    nodes : int
    started : bool
        Whether a feasible start vector was handed over.
    clocks : Clocks
        Seconds to compile (``build``), solve, and load and replay (``check``).
    version, profile, message : str
        HiGHS version, option profile, and the solver's own words for the status.
    """

    status: Status
    objective: float | None
    bound: float
    replay_errors: Mapping[str, float]
    violation: float
    columns: int
    rows: int
    nonzeros: int
    binaries: int
    nodes: int
    started: bool
    clocks: Clocks = field(compare=False)
    version: str
    profile: str
    message: str

    @property
    def gap(self) -> float:
        """Relative gap between objective and bound; inf without a solution or a bound."""
        if self.objective is None or not math.isfinite(self.bound):
            return math.inf
        return abs(self.objective - self.bound) / max(abs(self.objective), 1e-10)

    @property
    def replay_error(self) -> float:
        """Largest of the replay errors; 0 without network blocks."""
        return max(self.replay_errors.values(), default=0.0)


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
    SolverError
        When HiGHS fails, or a feasible point at hand contradicts its answer.

    Warns
    -----
    MipnetWarning
        When the solution does not stand up to the replay, or a variable's bounds grew beyond the
        region a block was built for.
    """
    watch = Stopwatch(time_limit)
    with watch("build"):
        compiled = compile_model(model)
        for widened in filter(None, map(_widening, compiled.blocks)):
            warnings.warn(widened, MipnetWarning, stacklevel=2)
        begin = find_start(compiled) if start else None
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
        _hold_against(solution, compiled.arrays.objective(begin.values))
    values, errors, violation = None, {}, 0.0
    if solution.values is not None and solution.status not in _NOT_LOADED:
        values = np.where(compiled.arrays.integer, np.round(solution.values), solution.values)
        with watch("check"):
            _load(compiled, values)
            errors, violation = _replay(compiled), compiled.arrays.violation(values)
        for doubt in _doubts(compiled, errors, violation, values):
            warnings.warn(doubt, MipnetWarning, stacklevel=2)
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
    )


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


def _hold_against(solution: Solution, known: float) -> None:
    """Refuse an answer that a known feasible point contradicts.

    Raises
    ------
    SolverError
        When the model is called infeasible, or the proven bound is worse than the point.
    """
    slack = 1e-6 * (1.0 + abs(known))
    if solution.status is Status.INFEASIBLE or solution.bound > known + slack:
        msg = (
            f"HiGHS {solution.version} answers {solution.status.value!r} with bound "
            f"{solution.bound:.9g}, yet a feasible point of the model reaches {known:.9g}; the "
            "model is numerically delicate: rescale the network or your constraints"
        )
        raise SolverError(msg)


def _load(compiled: CompiledModel, values: Array) -> None:
    """Set every variable that is not fixed, and leave the rest of the model stale."""
    StaleFlagManager.mark_all_as_stale()
    for var, value in zip(compiled.variables, values.tolist(), strict=True):
        if not var.fixed:
            var.set_value(value, skip_validation=True)
    StaleFlagManager.mark_all_as_stale(delayed=True)


def _replay(compiled: CompiledModel) -> dict[str, float]:
    """Replay error of every block whose inputs and outputs were loaded."""
    return {
        block.name: block.error()
        for block in compiled.blocks
        if (compiled.columns([*block.inputs.values(), *block.outputs.values()]) >= 0).all()
    }


def _doubts(
    compiled: CompiledModel, errors: dict[str, float], violation: float, values: Array
) -> Iterator[str]:
    """Say what speaks against the loaded solution."""
    for block in compiled.blocks:
        size = max(abs(v.value or 0.0) for v in block.outputs.values())
        if not errors.get(block.name, 0.0) <= REPLAY_TOLERANCE * (1.0 + size):
            what = f"{block.name}: the loaded outputs are {errors[block.name]:.3g} away from what "
            what += f"the network gives (formulation {block.report().formulation}, largest big-M "
            yield what + f"{block.report().max_big_m:.3g}); do not trust this solution"
    if not violation <= REPLAY_TOLERANCE * (1.0 + float(np.abs(values).max(initial=0.0))):
        yield f"the loaded solution violates a constraint by {violation:.3g}; do not trust it"


def _widening(block: NetworkBlock) -> str | None:
    """Say so when the block, not the variables, now limits the inputs."""
    widened = block.widened_inputs()
    if not widened:
        return None
    i = widened[0]
    var, region = block.inputs[i], block.embedded.region
    now = f"= {var.value}" if var.fixed else f"in [{var.lb}, {var.ub}]"
    what = f"{block.name}: {len(widened)} input(s) may leave the region the network was built "
    what += f"for, first {var.name} {now}, built for [{region.lower[i]}, {region.upper[i]}]; "
    return what + "the model stays within that region: build the NetworkBlock again to widen it"
