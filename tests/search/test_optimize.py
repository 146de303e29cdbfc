"""Global optimisation: agreement with enumeration, statuses, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mipnet.bounds import METHODS
from mipnet.errors import BoundsError, NetworkError, QueryError, RegionError
from mipnet.network import Affine, Network, ReLU
from mipnet.region import L2Ball, Region, ball
from mipnet.search import descent, maximize, minimize, optimize, outer, trees
from mipnet.solver import Solution, Status
from tests.search.region_margins import over_l2
from tests.search.search_cases import largest_margin, random_network

#: Bounding method that leaves the rest to each engine, and what closes the gap then.
ENGINES = {"boxes": ("milp", "bisection"), "phases": ("milp", "splitting"), "mip": ("crown", "mip")}


def leave_to(monkeypatch: pytest.MonkeyPatch, engine: str) -> str:
    """Send all questions to one engine; the bounding method to ask for."""
    monkeypatch.setattr(optimize, "MIP_UNSTABLE", -1)
    if engine == "phases":
        monkeypatch.setattr(trees, "FEW_INPUTS", 0)
        monkeypatch.setattr(trees, "SOME_INPUTS", 0)
    return ENGINES[engine][0]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(12))
def test_agrees_with_enumeration(monkeypatch: pytest.MonkeyPatch, seed: int, engine: str) -> None:
    bounds = leave_to(monkeypatch, engine)
    net = random_network(seed, (3, 5, 4, 2))
    centre = np.full(3, 0.25)
    best = maximize(net, [1.0, -1.0], (centre - 1.0, centre + 1.0), bounds=bounds)
    expected = largest_margin(net, centre, 1.0, "linf", 1, 0)
    assert best.status == "optimal"
    assert best.value == pytest.approx(expected, abs=3e-6)
    assert best.bound >= expected - 1e-7
    assert best.value == pytest.approx(float(np.array([1.0, -1.0]) @ net(best.point)), abs=1e-12)
    # What float32 multipliers leave open goes to the solver.
    assert best.method in {"crown", "alpha", "milp", "mip", ENGINES[engine][1]}


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_closes_a_gap(monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    bounds, method = leave_to(monkeypatch, engine), ENGINES[engine][1]
    found = []
    for seed in range(4):
        net = random_network(seed, (3, 6, 5, 1))
        found.append(minimize(net, [1.0], (-1.0, 1.0), bounds=bounds, restarts=1))
    assert method in {best.method for best in found}
    assert {best.status for best in found} == {"optimal"}


@pytest.mark.parametrize("bounds", METHODS)
@pytest.mark.parametrize("seed", range(4))
def test_l2_ball_agrees_with_enumeration(seed: int, bounds: str) -> None:
    net = random_network(seed, (3, 5, 4, 2))
    centre, (low, high) = np.full(3, 0.25), (np.full(3, -1.0), np.full(3, 1.0))
    best = maximize(net, [1.0, -1.0], L2Ball(centre, 1.0, low, high), bounds=bounds)
    below, above = over_l2(net, np.array([1.0, -1.0]), (low, high), centre, 1.0)
    assert best.status == "optimal"
    assert below - 1e-5 <= best.value <= above + 1e-9
    assert best.bound >= below - 1e-9
    assert best.bound <= best.value + 1e-6 * (1.0 + abs(best.value))
    assert np.linalg.norm(best.point - centre) <= 1.0


@pytest.mark.parametrize("bounds", ["crown", "milp"])
def test_l2_ball_of_more_inputs(monkeypatch: pytest.MonkeyPatch, bounds: str) -> None:
    monkeypatch.setattr(optimize, "MIP_UNSTABLE", 1000)
    net = random_network(3, (12, 10, 8, 2))
    region = ball(np.full(12, 0.25), 1.0, "l2", -1.0, 1.0)
    best = minimize(net, [1.0, -1.0], region, bounds=bounds)
    assert best.status == "optimal"
    assert region.contains(best.point)
    points = region.sample(np.random.default_rng(0), 4000)
    assert best.value <= (net(points) @ [1.0, -1.0]).min()


def test_without_cuts_the_gap_is_honest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The polyhedron around the ball holds better points than the ball: no contradiction."""
    net = random_network(0, (3, 5, 4, 2))
    region = ball(np.full(3, 0.25), 1.0, "l2", -1.0, 1.0)
    exact = minimize(net, [-1.0, 1.0], region)
    monkeypatch.setattr(outer.OuterLoop, "cut", lambda *_: False)
    found = minimize(net, [-1.0, 1.0], region, bounds="crown")
    assert found.status == "bounded"
    assert found.bound < exact.value - 1e-4
    assert found.value == pytest.approx(exact.value, abs=1e-4)
    assert "apart" in found.message


def test_rounds_of_cuts_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outer, "ROUNDS", 1)
    monkeypatch.setattr(outer, "LINEAR_ROUNDS", 0)
    net = random_network(0, (3, 5, 4, 2))
    region = ball(np.full(3, 0.25), 1.0, "l2", -1.0, 1.0)
    found = minimize(net, [-1.0, 1.0], region, bounds="crown")
    assert found.status == "bounded"
    assert "outside the region" in found.message
    assert found.bound <= found.value


def test_minimum_is_the_negated_maximum() -> None:
    net = random_network(7, (3, 5, 2))
    low = minimize(net, [1.0, 2.0], (-1.0, 1.0))
    high = maximize(net, [-1.0, -2.0], (-1.0, 1.0))
    assert low.value == pytest.approx(-high.value, abs=1e-7)
    assert low.bound <= low.value
    assert high.bound >= high.value
    assert (low.sense, high.sense) == ("min", "max")
    assert low.objective is not None
    assert high.objective is not None
    assert low.objective.tolist() == (-high.objective).tolist() == [1.0, 2.0]


def test_own_input_bounds_are_used() -> None:
    net = random_network(2, (2, 3, 1)).with_input_bounds(-0.5, 0.5)
    own = minimize(net, [1.0])
    given = minimize(net, [1.0], (-0.5, 0.5))
    assert own.value == pytest.approx(given.value)


def test_missing_bounds_are_named() -> None:
    with pytest.raises(NetworkError, match="bounds"):
        minimize(random_network(2, (2, 3, 1)), [1.0])


@pytest.mark.parametrize("sides", [(1.0, -1.0), (-np.inf, 1.0), (np.nan, 1.0)])
def test_bad_boxes(sides: tuple[float, float]) -> None:
    with pytest.raises(RegionError):
        minimize(random_network(2, (2, 3, 1)), [1.0], sides)


@pytest.mark.parametrize("objective", [[1.0, 1.0], [np.nan], []])
def test_bad_objectives(objective: list[float]) -> None:
    with pytest.raises(QueryError):
        minimize(random_network(2, (2, 3, 1)), objective, (-1.0, 1.0))


@pytest.mark.parametrize("gap", [-1e-3, np.nan, np.inf, True])
def test_bad_gaps(gap: float) -> None:
    with pytest.raises(QueryError, match="gap"):
        minimize(random_network(2, (2, 3, 1)), [1.0], (-1.0, 1.0), gap=gap)


def test_unknown_bounds() -> None:
    with pytest.raises(BoundsError, match="nope"):
        minimize(random_network(2, (2, 3, 1)), [1.0], (-1.0, 1.0), bounds="nope")


@pytest.mark.parametrize("bounds", ["crown", "milp"])
def test_a_wider_gap_ends_sooner(monkeypatch: pytest.MonkeyPatch, bounds: str) -> None:
    monkeypatch.setattr(optimize, "MIP_UNSTABLE", -1)
    net = random_network(1, (4, 16, 12, 1), 1.5)
    fine, coarse = (minimize(net, [1.0], (-1.0, 1.0), gap=g, bounds=bounds) for g in (1e-6, 0.05))
    for best, gap in ((fine, 1e-6), (coarse, 0.05)):
        assert best.status == "optimal"
        assert best.tolerance == gap
        assert best.value - best.bound <= gap * (1.0 + abs(best.value))
    assert coarse.nodes < fine.nodes
    assert coarse.bound <= fine.value


# --- outputs that are constant --------------------------------------------------------------------


def test_constant_network() -> None:
    net = Network.sequential([Affine(np.zeros((1, 2)), [3.0])])
    best = minimize(net, [2.0], (-1.0, 1.0))
    assert (best.status, best.value, best.n_binaries) == ("optimal", 6.0, 0)


ZEROS = {
    "no weights": [Affine(np.eye(2), [0.0, 0.0]), ReLU(), Affine(np.zeros((1, 2)), [0.0])],
    "never on": [Affine(np.eye(2), [-9.0, -9.0]), ReLU(), Affine([[1.0, 2.0]], [0.0])],
    "twins": [Affine([[1.0, 0.3]] * 2, [0.1, 0.1]), ReLU(), Affine([[1.0, -1.0]], [0.0])],
    "sums": [Affine([[0.1, 0.2], [0.3, 0.7]], [5.0, 6.0]), ReLU(), Affine(np.eye(2), [0.0, 0.0])],
}


@pytest.mark.parametrize("bounds", METHODS)
@pytest.mark.parametrize("case", ZEROS)
@pytest.mark.parametrize("inputs", [2, 12])
def test_an_output_that_is_always_zero_is_optimal(case: str, bounds: str, inputs: int) -> None:
    """Whether no bound is needed, or bounds come as near to zero as rounding lets them."""
    first, relu, last = ZEROS[case]
    assert isinstance(first, Affine)
    assert isinstance(last, Affine)
    wide = np.hstack([first.weight, np.zeros((2, inputs - 2))])
    if case == "sums":
        # 0.1 a + 0.2 b - (0.1 a + 0.2 b), which bounds see only in the last layer.
        last = Affine(np.array([[1.0, 0.0], [1.0, 0.0]]), last.bias)
        net = Network.sequential([Affine(wide, first.bias), relu, last])
        best = minimize(net, [1.0, -1.0], (-1.0, 1.0), bounds=bounds)
    else:
        net = Network.sequential([Affine(wide, first.bias), relu, last])
        best = minimize(net, [1.0], (-1.0, 1.0), bounds=bounds)
    assert best.status == "optimal"
    assert best.value == pytest.approx(0.0, abs=1e-12)
    assert best.bound == pytest.approx(0.0, abs=1e-9)


# --- what ends a search ---------------------------------------------------------------------------


@pytest.mark.parametrize("bounds", METHODS)
def test_a_refused_program_leaves_what_is_known(bounds: str) -> None:
    first = np.array([[3e8, 0.0], [0.0, 3e8], [1.0, 1.0]])
    net = Network.sequential(
        [Affine(first, [0.0, 0.0, 0.1]), ReLU(), Affine([[1 / 3e8, -1 / 3e8, 1.0]], [0.0])]
    )
    best = minimize(net, [1.0], (-1.0, 1.0), bounds=bounds, gap=1e-4)
    assert best.bound <= best.value + 1e-9
    assert best.value == pytest.approx(-0.9, abs=1e-4)
    if bounds == "milp":
        assert best.status == "optimal"
    else:
        assert best.status == "bounded"
        assert "'relu0', neuron" in best.message
        assert "big-M" in best.message
        assert np.isfinite(best.bound)


def test_a_refused_program_does_not_end_branch_and_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        msg = "layer 'x', neuron 3: big-M constant too large"
        raise BoundsError(msg)

    monkeypatch.setattr(optimize, "encode", refused)
    net = random_network(1, (3, 8, 6, 1), 1.5)
    exact = minimize(net, [1.0], (-1.0, 1.0), restarts=1)
    assert (exact.status, exact.method) == ("optimal", "bisection")
    monkeypatch.setattr(descent, "first_round", lambda _: (4, 2))
    monkeypatch.setattr(optimize, "MIP_UNSTABLE", 1000)
    late = minimize(net, [1.0], (-1.0, 1.0), restarts=1, gap=1e-9)
    assert late.status == "bounded"
    assert "neuron 3" in late.message
    assert late.nodes > 0
    assert late.bound <= exact.value <= late.value + 1e-9


def test_a_program_that_breaks_the_solver_does_not_end_branch_and_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def dies(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("mipnet.solver.highs._run", dies)
    monkeypatch.setattr(optimize, "MIP_UNSTABLE", 1000)
    monkeypatch.setattr(descent, "first_round", lambda _: (4, 3))
    best = minimize(random_network(1, (3, 8, 6, 1), 1.5), [1.0], (-1.0, 1.0), time_limit=60.0)
    assert (best.status, best.method) == ("optimal", "bisection")


@pytest.mark.parametrize("bounds", ["crown", "milp"])
def test_time_limit_keeps_value_and_bound(monkeypatch: pytest.MonkeyPatch, bounds: str) -> None:
    net = random_network(7, (9, 8, 8, 1))

    def late(*_: object, **__: object) -> Solution:
        return Solution(Status.TIME_LIMIT, None, -np.inf, None, 5, 1.0, "x", "improve", "")

    exact = minimize(net, [1.0], (-1.0, 1.0)).value
    monkeypatch.setattr(optimize, "solve", late)
    monkeypatch.setattr(optimize, "MIP_UNSTABLE", 1000)
    monkeypatch.setattr(descent, "first_round", lambda _: (2, 9))
    monkeypatch.setattr(descent.Splitting, "run", lambda *_, **__: None)
    late_answer = minimize(net, [1.0], (-1.0, 1.0), bounds=bounds, time_limit=60.0)
    assert late_answer.status == "time_limit"
    assert late_answer.nodes == 5
    assert late_answer.bound <= exact <= late_answer.value


@pytest.mark.parametrize("limit", [0.0, 0.02])
def test_no_time(limit: float) -> None:
    net = random_network(7, (9, 30, 30, 1))
    best = minimize(net, [1.0], (-1.0, 1.0), time_limit=limit, restarts=1)
    assert best.status == "time_limit"
    assert best.message
    assert best.bound <= best.value


def test_bound_above_a_known_point_is_inconsistent(monkeypatch: pytest.MonkeyPatch) -> None:
    net = random_network(7, (3, 8, 8, 1))

    def wrong(*_: object, **__: object) -> Solution:
        return Solution(Status.OPTIMAL, 1e3, 1e3, None, 5, 1.0, "x", "improve", "")

    monkeypatch.setattr(optimize, "solve", wrong)
    assert minimize(net, [1.0], (-1.0, 1.0), bounds="alpha").status == "inconsistent"


def test_wrong_ranges_of_neurons_are_inconsistent(monkeypatch: pytest.MonkeyPatch) -> None:
    net = random_network(7, (9, 12, 12, 1), 1.5)
    bounds = descent.Splitting.bounds.fget

    def wrong(task: Any) -> np.ndarray:
        return np.asarray(np.abs(bounds(task)) + 1.0)

    monkeypatch.setattr(descent.Splitting, "bounds", property(wrong))
    found = minimize(net, [1.0], (-1.0, 1.0))
    assert found.status == "inconsistent"
    assert "contradicted" in found.message or "below the proven bound" in found.message


#: Where Ctrl-C comes, with which bounding method, threads and inputs.
PLACES: dict[str, tuple[str, str, int, int]] = {
    "attack": ("mipnet.search.closing.descend", "milp", 1, 3),
    "bounds": ("mipnet.search.closing.alpha_bounds", "milp", 1, 3),
    "solver": ("mipnet.search.optimize.solve", "crown", 1, 3),
    "boxes": ("mipnet.bounds.splitting.halve", "milp", 1, 3),
    "boxes, two threads": ("mipnet.bounds.splitting.halve", "milp", 2, 3),
    "phases": ("mipnet.bounds.splitting.choose", "milp", 1, 9),
    "phases, two threads": ("mipnet.bounds.splitting.choose", "milp", 2, 9),
    "polish": ("mipnet.search.descent.descend", "milp", 1, 3),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("calls", [0, 3])
def test_interrupt_returns_what_is_known(
    monkeypatch: pytest.MonkeyPatch, place: str, calls: int
) -> None:
    name, bounds, threads, inputs = PLACES[place]
    region: Region = ball(np.zeros(inputs), 1.0, "linf")
    net = random_network(7, (inputs, 12, 12, 1), 1.5)
    exact = minimize(net, [1.0], region)
    assert exact.status == "optimal"
    monkeypatch.setattr(optimize, "MIP_UNSTABLE", -1)
    monkeypatch.setattr(descent, "first_round", lambda _: (100, 99))
    module, _, function = name.rpartition(".")
    real, count = getattr(__import__(module, fromlist=["x"]), function), [0]

    def interrupted(*given: Any, **keywords: Any) -> Any:
        count[0] += 1
        if count[0] > calls:
            raise KeyboardInterrupt
        return real(*given, **keywords)

    monkeypatch.setattr(name, interrupted)
    found = minimize(net, [1.0], region, bounds=bounds, threads=threads, restarts=2)
    if found.status == "optimal":
        assert count[0] <= calls
        return
    assert found.status == found.message == "interrupted"
    assert found.bound <= exact.value + 1e-9
    assert found.value >= exact.value - 1e-6
    assert np.isfinite(found.bound) == (place not in {"attack"})
    if "threads" in place or place in {"boxes", "phases"}:
        # What the tree had proven by then counts.
        root = minimize(net, [1.0], region, bounds="alpha", time_limit=0.0)
        assert found.bound >= root.bound
