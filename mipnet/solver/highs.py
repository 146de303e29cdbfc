"""HiGHS through whole arrays: one call in, one checked answer out."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from formulations import ProgramArrays
from mipnet.errors import SolverError
from mipnet.solver.balance import Balanced, balance
from mipnet.solver.coefficients import prepare
from mipnet.solver.model import accepted, load_model, refuse_constructs, set_options
from mipnet.solver.objective import objective_factor, scale_objective
from mipnet.solver.pool import POOL
from mipnet.solver.profile import LOOSER, Profile, choose_profile
from mipnet.solver.separate import separate
from mipnet.solver.solution import Limits, Solution
from mipnet.solver.status import FROM_HIGHS, Status
from mipnet.solver.version import highs_version

Array = npt.NDArray[np.float64]

#: Share of the time limit that rounds of separation may take.
_SEPARATION = 0.2


def solve(
    arrays: ProgramArrays,
    *,
    limits: Limits | None = None,
    profile: Profile | None = None,
    start: Array | None = None,
    threads: int = 1,
    seed: int = 0,
    log: Callable[[str], None] | None = None,
) -> Solution:
    """Minimise a program with HiGHS.

    Parameters
    ----------
    arrays : ProgramArrays
    limits : Limits, optional
    profile : Profile, optional
        Chosen from what is known when absent.
    start : array, shape (n_columns,), optional
        Full start vector.
    threads : int
        Threads of one solve.
    seed : int
        HiGHS random seed.
    log : callable, optional
        Receives the solver's log lines.

    Returns
    -------
    Solution

    Raises
    ------
    SolverError
        When HiGHS refuses an option or the model, the release is known to be wrong, or the program
        holds constructs HiGHS has no word for.
    CoefficientError
        When a coefficient cannot be handed over faithfully.
    """
    version = highs_version()
    limit = limits or Limits()
    _refuse_bad(arrays, limit, start, seed)
    refuse_constructs(arrays)
    if arrays.n_columns == 0:
        return _without_columns(arrays, version)
    begin = time.perf_counter()
    arrays, cuts = _tightened(arrays, limit)
    spent = time.perf_counter() - begin
    if limit.time is not None:
        limit = replace(limit, time=max(0.0, limit.time - spent))
    balanced = balance(arrays)
    prepared = prepare(balanced.arrays)
    chosen = profile or choose_profile(start=start is not None, cutoff=limit.cutoff is not None)
    # The tolerances of the solver are absolute: a tiny objective would be all zero to it.
    factor = objective_factor(balanced.arrays.cost)
    ready = scale_objective(prepared.arrays, factor)
    if start is not None:
        extra = np.full(ready.n_columns - arrays.n_columns, arrays.objective(start) * factor)
        start = np.concatenate([balanced.own(start), extra])
    delicate = prepared.scaled_rows + prepared.moved_entries > 0
    task = _Task(
        arrays, balanced, ready, factor, limit, start, threads, prepared.widening, delicate, log
    )
    answer = _attempt(task, chosen, seed, version, limit.time)
    for looser in LOOSER:
        if answer.status is not Status.ERROR:
            break
        # HiGHS calls its own answer an error when a row is off by more than the tolerance asked
        # for. Ask for its usual one, and let the caller know that a proof deserves a second look.
        left = None if limit.time is None else max(0.0, limit.time - answer.seconds)
        again = chosen.with_options(**looser)
        answer = replace(_attempt(task, again, seed + 1, version, left), delicate=True)
    return replace(answer, seconds=answer.seconds + spent, cuts=cuts)


def _tightened(arrays: ProgramArrays, limit: Limits) -> tuple[ProgramArrays, int]:
    """Add the rows that separation finds to a program with integers; how many they are."""
    if not (arrays.separators and arrays.integer.any()):
        return arrays, 0
    share = None if limit.time is None else _SEPARATION * limit.time
    found = separate(arrays, time_limit=share, cutoff=limit.cutoff)
    return found.arrays, found.cuts


@dataclass(frozen=True)
class _Task:
    """A program ready for the solver, and the way back."""

    arrays: ProgramArrays
    balanced: Balanced
    ready: ProgramArrays
    factor: float
    limit: Limits
    start: Array | None
    threads: int
    relaxed: float
    delicate: bool
    log: Callable[[str], None] | None


def _attempt(
    task: _Task, profile: Profile, seed: int, version: str, seconds: float | None
) -> Solution:
    begin = time.perf_counter()
    highs = load_model(task.ready)
    limit = replace(task.limit.scaled(task.factor), time=seconds)
    set_options(highs, _options(profile, limit, task.threads, seed, task.log is not None))
    if task.start is not None:
        _set_start(highs, task.start)
    stop, reached = threading.Event(), threading.Event()
    _watch(highs, limit.stop_bound, stop, reached, task.log)
    POOL.enter(task.threads)
    try:
        outcome = _run(highs, stop)
    except (RuntimeError, MemoryError) as error:
        msg = f"HiGHS broke down: {error}"
        raise SolverError(msg) from error
    finally:
        POOL.leave()
    spent = time.perf_counter() - begin
    run = _Run(outcome, reached.is_set(), spent, version, profile.name)
    return _read(highs, task, limit, run)


def _options(
    profile: Profile, limit: Limits, threads: int, seed: int, logging: bool
) -> dict[str, object]:
    options: dict[str, object] = {
        "output_flag": logging,
        "log_to_console": False,
        "threads": threads,
        "random_seed": seed,
        **({"parallel": "on"} if threads > 1 else {}),
        **profile.options,
    }
    if limit.time is not None:
        options["time_limit"] = max(float(limit.time), 0.0)
    if limit.nodes is not None:
        options["mip_max_nodes"] = int(limit.nodes)
    if limit.cutoff is not None:
        options["objective_bound"] = float(limit.cutoff)
    if limit.target is not None:
        options["objective_target"] = float(limit.target)
    return options


def _set_start(highs: Any, start: Array) -> None:
    import highspy

    solution = highspy.HighsSolution()
    solution.col_value = start
    accepted(highs.setSolution(solution), "start vector")


def _watch(
    highs: Any,
    stop_bound: float | None,
    stop: threading.Event,
    reached: threading.Event,
    log: Callable[[str], None] | None,
) -> None:
    def on_interrupt(event: Any) -> None:
        if stop.is_set():
            event.interrupt()
        elif stop_bound is not None and event.data_out.mip_dual_bound > stop_bound:
            reached.set()
            event.interrupt()

    def on_simplex(event: Any) -> None:
        if stop.is_set():
            event.interrupt()

    highs.cbMipInterrupt += on_interrupt
    highs.cbSimplexInterrupt += on_simplex
    if log is not None:
        highs.cbLogging += lambda event: log(str(event.message))


def _run(highs: Any, stop: threading.Event) -> Any:
    """Run on a worker thread, so that Ctrl-C reaches the caller and stops the solver."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        future: Future[Any] = pool.submit(highs.run)
        try:
            while True:
                try:
                    return future.result(timeout=0.2)
                except FutureTimeoutError:
                    if future.done():
                        return future.result()
        except KeyboardInterrupt:
            stop.set()
            future.result()
            raise


def _refuse_bad(arrays: ProgramArrays, limit: Limits, start: Array | None, seed: int) -> None:
    """Refuse questions HiGHS would misread."""
    for name in ("time", "cutoff", "target", "stop_bound"):
        value = getattr(limit, name)
        if value is not None and math.isnan(value):
            msg = f"the limit {name} is NaN"
            raise SolverError(msg)
    if (limit.nodes is not None and limit.nodes < 0) or seed < 0:
        msg = f"node limit and seed must be at least 0, not {limit.nodes} and {seed}"
        raise SolverError(msg)
    if start is not None and (start.shape != (arrays.n_columns,) or np.isnan(start).any()):
        msg = f"the start vector must hold {arrays.n_columns} numbers, one for each column"
        raise SolverError(msg)


def _without_columns(arrays: ProgramArrays, version: str) -> Solution:
    """Answer for a program of constants, which HiGHS calls empty whatever its rows say."""
    feasible = bool(np.all((arrays.row_lower <= 0.0) & (arrays.row_upper >= 0.0)))
    status = Status.OPTIMAL if feasible else Status.INFEASIBLE
    return Solution(
        status=status,
        objective=arrays.offset if feasible else None,
        bound=arrays.offset if feasible else math.inf,
        values=np.zeros(0) if feasible else None,
        nodes=0,
        seconds=0.0,
        version=version,
        profile="none",
        message="no columns",
    )


@dataclass(frozen=True)
class _Run:
    """What is known of a finished run beside the solver object."""

    outcome: Any
    bound_reached: bool
    seconds: float
    version: str
    profile: str


def _read(highs: Any, task: _Task, limit: Limits, run: _Run) -> Solution:
    import highspy

    model_status = highs.getModelStatus()
    status = FROM_HIGHS.get(model_status.name, Status.ERROR)
    if run.outcome == highspy.HighsStatus.kError:
        status = Status.ERROR
    elif status is Status.INFEASIBLE and limit.cutoff is not None:
        status = Status.CUTOFF
    elif status is Status.INTERRUPTED and run.bound_reached:
        status = Status.BOUND_REACHED
    info = highs.getInfo()
    if status is Status.OPTIMAL and not _agrees(highs, task, info):
        status = Status.ERROR
    if (
        status is Status.OPTIMAL
        and limit.cutoff is not None
        and not info.objective_function_value < limit.cutoff
    ):
        # An incumbent from before the cutoff took effect is called optimal.
        status = Status.CUTOFF
    values = _point(highs, status, info, task.balanced)
    return Solution(
        status=status,
        objective=None if values is None else task.arrays.objective(values),
        bound=_bound(status, info, limit, mixed=bool(task.arrays.integer.any())) / task.factor,
        values=values,
        nodes=max(int(info.mip_node_count), 0),
        seconds=run.seconds,
        version=run.version,
        profile=run.profile,
        message=str(highs.modelStatusToString(model_status)),
        relaxed=task.relaxed,
        delicate=task.delicate,
    )


def _agrees(highs: Any, task: _Task, info: Any) -> bool:
    """Whether an optimum is the objective of its own point, and no bound is above it."""
    values = _point(highs, Status.OPTIMAL, info, task.balanced)
    if values is None:
        return False
    own, said = task.arrays.objective(values) * task.factor, info.objective_function_value
    slack = 1e-6 * (1.0 + abs(own))
    mixed = bool(task.arrays.integer.any())
    return abs(said - own) <= slack and not (mixed and info.mip_dual_bound > own + slack)


def _point(highs: Any, status: Status, info: Any, balanced: Balanced) -> Array | None:
    """Feasible point of a finished run in the original units, if it has one."""
    import highspy

    solution = highs.getSolution()
    feasible = int(highspy.SolutionStatus.kSolutionStatusFeasible)
    empty = status in {Status.ERROR, Status.INFEASIBLE, Status.CUTOFF}
    if empty or not solution.value_valid or info.primal_solution_status != feasible:
        return None
    found = np.array(solution.col_value, dtype=np.float64)
    count = balanced.unit.size
    if found.size < count or not math.isfinite(info.objective_function_value):
        return None
    return balanced.original(found[:count])


def _bound(status: Status, info: Any, limit: Limits, *, mixed: bool) -> float:
    """Proven lower bound of the minimum, in the scale the solver saw."""
    if status is Status.CUTOFF and limit.cutoff is not None:
        return float(limit.cutoff)
    if status is Status.INFEASIBLE:
        return math.inf
    if status in {Status.ERROR, Status.UNBOUNDED, Status.INFEASIBLE_OR_UNBOUNDED}:
        return -math.inf
    if mixed:
        bound = float(info.mip_dual_bound)
        # With a cutoff, nodes above it are discarded, so nothing beyond it is proven.
        return bound if limit.cutoff is None else min(bound, float(limit.cutoff))
    if status is Status.OPTIMAL:
        return float(info.objective_function_value)
    return -math.inf
