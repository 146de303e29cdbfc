"""HiGHS behind the interface: statuses, limits, starts, threads, odd programs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import Bounds, LinearConstraint, milp

from formulations import ProgramArrays
from mipnet.errors import MipnetError, SolverError
from mipnet.solver import EXPLORE, Limits, Status, solve
from mipnet.solver import highs as highs_module

INF = np.inf
TOLERANCE = 1e-6


def program(
    lower: list[float],
    upper: list[float],
    cost: list[float],
    rows: list[list[float]] | None = None,
    row_lower: list[float] | None = None,
    row_upper: list[float] | None = None,
    *,
    integer: list[bool] | None = None,
    offset: float = 0.0,
) -> ProgramArrays:
    n, sides = len(lower), (row_lower or [], row_upper or [])
    return ProgramArrays(
        np.array(lower, float),
        np.array(upper, float),
        np.array(cost, float),
        np.array(integer if integer is not None else [False] * n, bool),
        sp.csr_array(np.array(rows or [], float).reshape(len(sides[0]), n)),
        np.array(sides[0], float),
        np.array(sides[1], float),
        offset,
    )


def knapsack(seed: int, n: int = 20, offset: float = 0.0) -> ProgramArrays:
    """Five knapsack rows over n binaries: some branching, integral objective."""
    rng = np.random.default_rng(seed)
    weight = rng.integers(10, 60, size=(5, n)).astype(float)
    value = weight.sum(axis=0) + rng.integers(-10, 10, size=n)
    return ProgramArrays(
        np.zeros(n),
        np.ones(n),
        -value,
        np.ones(n, bool),
        sp.csr_array(weight),
        np.full(5, -INF),
        weight.sum(axis=1) / 2,
        offset,
    )


def by_scipy(arrays: ProgramArrays) -> float:
    found = milp(
        arrays.cost,
        constraints=LinearConstraint(arrays.matrix, arrays.row_lower, arrays.row_upper),
        bounds=Bounds(arrays.lower, arrays.upper),
        integrality=arrays.integer.astype(int),
        options={"mip_rel_gap": 0.0},
    )
    assert found.status == 0
    return float(found.fun) + arrays.offset


@pytest.mark.parametrize("offset", [0.0, 7.5, -100.0])
@pytest.mark.parametrize("seed", range(3))
def test_optimum_bound_and_values(seed: int, offset: float) -> None:
    arrays = knapsack(seed, 12, offset)
    solution = solve(arrays)
    assert solution.status is Status.OPTIMAL
    assert solution.status.proven
    assert solution.objective == pytest.approx(by_scipy(arrays), abs=TOLERANCE)
    assert solution.bound == pytest.approx(solution.objective, abs=TOLERANCE)
    assert arrays.violation(solution.values) <= 1e-8
    assert solution.objective == arrays.objective(solution.values)
    assert (solution.profile, solution.relaxed) == ("explore", 0.0)
    assert solution.version.count(".") == 2


def test_empty_programs() -> None:
    nothing = solve(program([], [], [], offset=2.0))
    assert (nothing.status, nothing.objective, nothing.bound) == (Status.OPTIMAL, 2.0, 2.0)
    no_rows = solve(program([-1.0, 0.0], [1.0, 2.0], [1.0, -1.0], offset=2.0))
    assert (no_rows.status, no_rows.objective, no_rows.bound) == (Status.OPTIMAL, -1.0, -1.0)
    integers = solve(program([-1.5], [1.5], [1.0], integer=[True]))
    assert integers.objective == -1.0
    no_entries = solve(program([0.0], [1.0], [1.0], [[0.0]], [-1.0], [1.0]))
    assert (no_entries.status, no_entries.objective) == (Status.OPTIMAL, 0.0)


@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize(
    "rows",
    [
        ([0.0, 0.0], [1.0, 1.0], [[1.0, 1.0]], [3.0], [4.0]),
        ([0.0, 0.0], [1.0, 1.0], [[1.0, 1.0], [1.0, -1.0]], [1.9, 0.5], [9.0, 1.0]),
        ([0.0, 0.0], [1.0, 1.0], [[1.0, 0.0]], [1.0], [0.0]),  # sides crossed
        ([1.0, 0.0], [0.0, 1.0], [[1.0, 0.0]], [-1.0], [2.0]),  # bounds crossed
        ([0.0, 0.0], [1.0, 1.0], [[0.0, 0.0]], [1.0], [2.0]),  # a row without entries
    ],
)
def test_infeasible_programs(rows: tuple, integer: bool) -> None:
    lower, upper, *rest = rows
    solution = solve(program(lower, upper, [1.0, 1.0], *rest, integer=[integer] * 2))
    assert solution.status is Status.INFEASIBLE
    assert (solution.objective, solution.values, solution.bound) == (None, None, INF)


def test_rows_without_columns_still_count() -> None:
    arrays = ProgramArrays(
        *(np.zeros(0),) * 3, np.zeros(0, bool), sp.csr_array((1, 0)), np.ones(1), np.full(1, 2.0)
    )
    assert solve(arrays).status is Status.INFEASIBLE


def test_infeasible_integrality() -> None:
    solution = solve(program([0.0], [1.0], [1.0], [[1.0]], [0.2], [0.3], integer=[True]))
    assert solution.status is Status.INFEASIBLE


@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize("rows", [(), ([[1.0, 1.0]], [-INF], [3.0])])
def test_unbounded_programs_prove_nothing(rows: tuple, integer: bool) -> None:
    solution = solve(program([-INF, 0.0], [INF, 1.0], [1.0, 1.0], *rows, integer=[integer, False]))
    assert solution.status in {Status.UNBOUNDED, Status.INFEASIBLE_OR_UNBOUNDED}
    assert solution.bound == -INF


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("offset", [0.0, -7.0, 11.0])
def test_cutoff_below_the_optimum_is_a_proof(seed: int, offset: float) -> None:
    """``OPTIMAL`` may only name the optimum; a worse incumbent beside a cutoff is no answer."""
    arrays = knapsack(seed, 13, offset)
    best = by_scipy(arrays)
    for gap in (8.0, 1.0, 0.5, 1e-3):
        solution = solve(arrays, limits=Limits(cutoff=best - gap))
        if solution.status is Status.OPTIMAL:
            assert solution.objective == pytest.approx(best, abs=TOLERANCE)
        else:
            assert solution.status is Status.CUTOFF
        assert solution.bound == pytest.approx(best - gap, abs=TOLERANCE)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("offset", [0.0, -7.0, 11.0])
def test_cutoff_above_the_optimum_changes_nothing(seed: int, offset: float) -> None:
    arrays = knapsack(seed, 13, offset)
    best = by_scipy(arrays)
    for gap in (1e-3, 0.5, 8.0, 1e4):
        solution = solve(arrays, limits=Limits(cutoff=best + gap))
        assert solution.status is Status.OPTIMAL
        assert solution.objective == pytest.approx(best, abs=TOLERANCE)
        assert best - TOLERANCE <= solution.bound <= best + TOLERANCE


def test_cutoff_of_an_infeasible_program() -> None:
    arrays = program([0.0], [1.0], [1.0], [[1.0]], [0.2], [0.3], integer=[True])
    solution = solve(arrays, limits=Limits(cutoff=5.0))
    assert solution.status in {Status.CUTOFF, Status.INFEASIBLE}
    assert solution.bound >= 5.0


@pytest.mark.parametrize("gap", [1.0, 100.0])
@pytest.mark.parametrize("with_cutoff", [False, True])
def test_target_above_the_optimum_is_reached(gap: float, with_cutoff: bool) -> None:
    arrays = knapsack(1, 15, 3.0)
    best = by_scipy(arrays)
    limits = Limits(target=best + gap, cutoff=best + gap if with_cutoff else None)
    solution = solve(arrays, limits=limits)
    assert solution.status in {Status.TARGET_REACHED, Status.OPTIMAL}
    assert solution.objective <= best + gap + TOLERANCE
    assert arrays.violation(solution.values) <= 1e-8
    assert solution.bound <= best + TOLERANCE


def test_target_out_of_reach_changes_nothing() -> None:
    arrays = knapsack(1, 15, 3.0)
    best = by_scipy(arrays)
    solution = solve(arrays, limits=Limits(target=best - 5.0))
    assert solution.status is Status.OPTIMAL
    assert solution.objective == pytest.approx(best, abs=TOLERANCE)


def test_stop_bound() -> None:
    arrays = knapsack(2, 16, -3.0)
    early = solve(arrays, limits=Limits(stop_bound=-1e9))
    assert early.status is Status.BOUND_REACHED
    assert early.bound > -1e9
    assert not early.status.proven
    best = solve(arrays).objective
    never = solve(arrays, limits=Limits(stop_bound=best + 10.0))
    assert never.status is Status.OPTIMAL
    assert early.bound <= best + TOLERANCE


@pytest.mark.parametrize("limits", [Limits(time=0.0), Limits(time=-1.0), Limits(nodes=0)])
def test_nothing_is_claimed_without_a_search(limits: Limits) -> None:
    arrays = knapsack(3, 16)
    solution = solve(arrays, limits=limits)
    assert solution.status in {Status.TIME_LIMIT, Status.NODE_LIMIT}
    assert not solution.status.proven
    assert solution.bound <= by_scipy(arrays) + TOLERANCE


def test_node_limit_keeps_bound_and_incumbent() -> None:
    arrays = knapsack(4, 16)
    solution = solve(arrays, limits=Limits(nodes=1))
    best = by_scipy(arrays)
    assert solution.bound <= best + TOLERANCE
    if solution.objective is not None:
        assert solution.objective >= best - TOLERANCE
        assert arrays.violation(solution.values) <= 1e-8


def large_lp() -> ProgramArrays:
    rng = np.random.default_rng(0)
    n = 100
    return ProgramArrays(
        -np.ones(n), np.ones(n), rng.normal(size=n), np.zeros(n, bool),
        sp.csr_array(rng.normal(size=(n, n))), -np.ones(n), np.ones(n),
    )  # fmt: skip


@pytest.mark.parametrize("stop", ["time", "iterations", "cutoff"])
def test_stopped_linear_programs_report_no_infeasible_point(stop: str) -> None:
    """The dual simplex passes infeasible points; none of them is a solution."""
    arrays = large_lp()
    best = solve(arrays).objective
    profile = EXPLORE.with_options(
        **({"simplex_iteration_limit": 10} if stop == "iterations" else {})
    )
    limits = {"time": Limits(time=0.0), "cutoff": Limits(cutoff=best - 1.0)}.get(stop)
    solution = solve(arrays, limits=limits, profile=profile)
    assert solution.bound <= best + TOLERANCE
    if solution.values is None:
        assert solution.objective is None
    else:
        assert arrays.violation(solution.values) <= TOLERANCE
        assert solution.objective >= best - TOLERANCE


def test_linear_program_with_a_cutoff() -> None:
    arrays = large_lp()
    best = solve(arrays).objective
    below = solve(arrays, limits=Limits(cutoff=best - 1.0))
    assert below.status is Status.CUTOFF
    assert below.bound == pytest.approx(best - 1.0, abs=TOLERANCE)
    above = solve(arrays, limits=Limits(cutoff=best + 1.0))
    assert above.status is Status.OPTIMAL
    assert above.objective == pytest.approx(best, abs=TOLERANCE)


def test_linear_bound_comes_from_the_dual_side() -> None:
    """At most the optimum, even where the reported point is off by a tolerance."""
    arrays = large_lp()
    solution = solve(arrays)
    assert solution.bound <= solution.objective + 1e-9
    assert solution.bound == pytest.approx(solution.objective, abs=1e-5)


def test_start_vector_is_taken() -> None:
    arrays = knapsack(5, 15)
    start = np.zeros(15)
    lines: list[str] = []
    solution = solve(arrays, start=start, limits=Limits(nodes=0), log=lines.append)
    assert any("start" in line and "feasible" in line for line in lines)
    assert solution.objective is not None
    assert solve(arrays, start=start).profile == "improve"


@pytest.mark.parametrize("kind", ["optimal", "infeasible", "fractional"])
def test_start_never_changes_the_answer(kind: str) -> None:
    arrays = knapsack(6, 15)
    best = by_scipy(arrays)
    start = {
        "optimal": solve(arrays).values,
        "infeasible": np.ones(15),
        "fractional": np.full(15, 0.5),
    }[kind]
    solution = solve(arrays, start=start)
    assert (solution.status, solution.objective) == (Status.OPTIMAL, pytest.approx(best))


@pytest.mark.parametrize("start", [np.zeros(3), np.zeros(30), np.full(15, np.nan)])
def test_bad_starts_are_refused(start: np.ndarray) -> None:
    with pytest.raises(SolverError, match="start"):
        solve(knapsack(0, 15), start=start)


def test_thread_numbers_may_change() -> None:
    arrays = knapsack(7, 12)
    found = [solve(arrays, threads=t) for t in (1, 2, 1)]
    assert {s.status for s in found} == {Status.OPTIMAL}
    assert [s.objective for s in found] == pytest.approx([by_scipy(arrays)] * 3)


def test_solves_side_by_side_with_different_thread_numbers() -> None:
    arrays = [knapsack(seed, 12) for seed in range(6)]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda k: solve(arrays[k], threads=1 + k % 2), range(6)))
    assert [s.objective for s in found] == pytest.approx([by_scipy(a) for a in arrays])


def test_same_seed_same_search() -> None:
    arrays = knapsack(8, 15)
    one, other = (solve(arrays, seed=3) for _ in range(2))
    assert (one.nodes, one.objective) == (other.nodes, other.objective)


@pytest.mark.parametrize(
    "options",
    [
        {"threads": -1},
        {"seed": -1},
        {"limits": Limits(nodes=-1)},
        {"profile": EXPLORE.with_options(nonsense=1)},
        {"profile": EXPLORE.with_options(mip_rel_gap=-1.0)},
        {"limits": Limits(time=float("nan"))},
        {"limits": Limits(cutoff=float("nan"))},
        {"limits": Limits(target=float("nan"))},
        {"limits": Limits(stop_bound=float("nan"))},
    ],
)
def test_bad_options_are_refused(options: dict) -> None:
    with pytest.raises(MipnetError):
        solve(knapsack(0, 5), **options)


def test_log_lines_go_to_the_caller_only(capfd: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    solve(knapsack(0, 10), log=lines.append)
    assert any("HiGHS" in line or "Solving" in line for line in lines)
    solve(knapsack(0, 10))
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_a_numerical_breakdown_is_tried_again_with_looser_tolerances(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest, asked = highs_module._attempt, []

    def broken(task: Any, profile: Any, *rest: Any) -> Any:
        asked.append(profile.options["primal_feasibility_tolerance"])
        answer = honest(task, profile, *rest)
        return replace(answer, status=Status.ERROR) if len(asked) < 3 else answer

    monkeypatch.setattr(highs_module, "_attempt", broken)
    arrays = knapsack(1, 10)
    solution = solve(arrays)
    assert asked == [1e-9, 1e-7, 1e-6]
    assert solution.status is Status.OPTIMAL
    assert solution.delicate
    assert solution.objective == pytest.approx(by_scipy(arrays))
