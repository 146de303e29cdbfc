"""The door every MIP solve of a cell goes through: profile, permutation, log, events."""

from __future__ import annotations

import io
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mipnet.search.optimize
import mipnet.solver
from mipnet.bench.problems.base import PROBLEMS
from mipnet.bench.solvers import SOLVERS, Progress, Solver
from mipnet.bench.solvers.highs import read_line
from mipnet.bench.solvers.listen import Event, Listener, listening, permuted
from mipnet.encode import encode
from mipnet.errors import QueryError
from mipnet.network import Network
from mipnet.network.readers import load
from mipnet.region import Box
from mipnet.search import find_adversarial, maximize
from mipnet.solver import EXPLORE, IMPROVE, PROVE, Limits, Profile, Solution, solve

OPTIMIZE = "mipnet.search.optimize"


def net(seed: int = 0, scale: float = 1.0) -> Network:
    rng = np.random.default_rng(seed)
    widths = ((12, 10), (12, 12), (1, 12))
    weights = [rng.normal(size=shape) / np.sqrt(shape[1]) for shape in widths]
    weights[-1] *= scale
    return load((weights, [0.1 * rng.normal(size=shape[0]) for shape in widths]))


def asked(listener: Listener, network: Network) -> mipnet.search.Optimum:
    with listening(listener):
        return maximize(network, [1.0], (-np.ones(10), np.ones(10)), bounds="crown", restarts=2)


class TestListening:
    @pytest.mark.parametrize("scale", [1.0, 1e-4])
    def test_events_are_in_the_units_of_the_question(self, scale: float) -> None:
        """Also where the solver is given another scale: tiny objectives are multiplied up."""
        events: list[Event] = []
        factors: dict[int, float] = {}
        log = io.StringIO()
        listener = Listener(
            SOLVERS["highs"],
            callers={OPTIMIZE},
            send=events.append,
            finish=factors.__setitem__,
            log=log,
        )
        best = asked(listener, net(scale=scale))
        assert best.status == "optimal"
        assert listener.solves == 1
        assert (factors[0] == 1.0) == (scale == 1.0)
        last = events[-1]
        assert -last[2] / factors[0] == pytest.approx(best.value, rel=1e-6)
        assert -last[3] / factors[0] == pytest.approx(best.bound, rel=1e-6)
        times = [event[1] for event in events]
        assert times == sorted(times)
        assert "Solving report" in log.getvalue()
        assert "[solve 0: optimal" in log.getvalue()

    def test_solves_on_parts_leave_no_events(self) -> None:
        events: list[Event] = []
        listener = Listener(SOLVERS["highs"], callers={"elsewhere"}, send=events.append)
        asked(listener, net())
        assert listener.solves == 1
        assert not events

    def test_everything_is_put_back(self) -> None:
        before = mipnet.search.optimize.solve
        with listening(Listener(SOLVERS["highs"])):
            assert mipnet.search.optimize.solve is not before
        assert mipnet.search.optimize.solve is before
        assert mipnet.solver.solve is solve

    def test_full_disk_does_not_end_a_solve(self) -> None:
        class Full(io.StringIO):
            def write(self, text: str) -> int:
                raise OSError(28, "no space")

        assert asked(Listener(SOLVERS["highs"], log=Full()), net()).status == "optimal"

    def test_another_solver_takes_over(self) -> None:
        seen: list[Profile | None] = []

        def odd(arrays: object, **options: object) -> Solution:
            seen.append(options["profile"])
            return solve(arrays, **options)  # type: ignore[arg-type]

        solver = Solver("odd", odd, lambda: "1", lambda line: None)  # type: ignore[arg-type]
        best = asked(Listener(solver, "explore", {"presolve": "off"}), net())
        assert best.status == "optimal"
        assert seen[0] is not None
        assert (seen[0].name, seen[0].options["presolve"]) == ("explore", "off")

    def test_unknown_profile(self) -> None:
        with pytest.raises(QueryError, match="auto, prove, improve, explore"):
            Listener(SOLVERS["highs"], "fast")


@pytest.mark.parametrize("kind", sorted(PROBLEMS))
def test_trajectories_come_from_modules_that_solve(kind: str) -> None:
    """A module that was moved must not silence the trajectories of a problem kind."""
    found = PROBLEMS[kind].trajectory
    for name in found[1] if found else ():
        assert solve in vars(import_module(name)).values(), name


def test_a_robustness_question_leaves_a_trajectory() -> None:
    rng = np.random.default_rng(0)
    shapes = ((12, 10), (12, 12), (2, 12))
    network = load(([rng.normal(size=shape) for shape in shapes], [np.zeros(s[0]) for s in shapes]))
    events: list[Event] = []
    found = PROBLEMS["adversarial"].trajectory
    assert found is not None
    listener = Listener(SOLVERS["highs"], callers=found[1], send=events.append)
    with listening(listener):
        find_adversarial(network, rng.normal(size=10), radius=0.15, bounds="interval", restarts=1)
    assert listener.solves > 0
    assert events


class TestProfiles:
    def test_the_search_decides_unless_told_otherwise(self) -> None:
        auto = Listener(SOLVERS["highs"])
        assert auto.choose(None, None, None) is None
        assert auto.choose(PROVE, None, None) is PROVE

    def test_options_come_on_top_of_what_the_search_would_choose(self) -> None:
        listener = Listener(SOLVERS["highs"], options={"mip_heuristic_effort": 0.3})
        for limits, start, wanted in (
            (Limits(cutoff=0.0), None, PROVE),
            (None, np.zeros(1), IMPROVE),
            (None, None, EXPLORE),
        ):
            chosen = listener.choose(None, limits, start)
            assert chosen is not None
            assert chosen.name == wanted.name
            assert dict(chosen.options) == {**wanted.options, "mip_heuristic_effort": 0.3}

    def test_what_belongs_to_the_question_is_kept(self) -> None:
        chosen = Listener(SOLVERS["highs"], "explore").choose(
            PROVE.with_options(mip_rel_gap=0.01), None, None
        )
        assert chosen is not None
        assert chosen.options["mip_rel_gap"] == 0.01
        assert "mip_heuristic_run_rins" not in chosen.options


@given(st.integers(0, 50), st.integers(0, 3))
def test_permuted_programs_are_the_same_program(seed: int, which: int) -> None:
    network = net(which)
    box = Box(-np.ones(10), np.ones(10))
    from mipnet.bounds import compute_bounds

    bounds = compute_bounds(network, box, "crown")
    encoding = encode(network, box, bounds.intervals)
    arrays = encoding.arrays(np.ones(1))
    shuffled, order = permuted(arrays, seed)
    assert (seed == 0) == bool(np.array_equal(order, np.arange(arrays.n_columns)))
    point = encoding.complete(np.random.default_rng(seed).uniform(-1, 1, 10))
    assert shuffled.objective(point[order]) == pytest.approx(arrays.objective(point), abs=1e-12)
    assert shuffled.violation(point[order]) == pytest.approx(arrays.violation(point), abs=1e-12)
    assert shuffled.n_nonzeros == arrays.n_nonzeros


def test_permuted_solves_give_the_same_optimum() -> None:
    values = []
    for seed in (0, 1, 2):
        with listening(Listener(SOLVERS["highs"], permute=True)):
            best = maximize(
                net(), [1.0], (-np.ones(10), np.ones(10)), bounds="crown", restarts=2, seed=seed
            )
        assert best.status == "optimal"
        values.append(best.value)
    assert values == pytest.approx([values[0]] * 3, rel=1e-6)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (
            "         0       0         0   0.00%   -3.66325298     inf                  inf"
            "        0      0      0         0     0.0s\n",
            Progress(None, -3.66325298, 0),
        ),
        (
            " T    6032     256      2106   8.27%   -0.6764465706   0.00195821947      Large"
            "     4122    109   2913    187039    17.2s\n",
            Progress(0.00195821947, -0.6764465706, 6032),
        ),
        (
            "      8223       0      3276 100.00%   -1e-07   -1e-07      0.00%     3176    174"
            "   1317    258879    26.1s\n",
            Progress(-1e-07, -1e-07, 8223),
        ),
        (
            "  Status            Time limit reached\n  Primal bound      inf\n"
            "  Dual bound        -1.25\n  Gap               inf\n",
            Progress(None, -1.25),
        ),
        ("Src  Proc. InQueue |  Leaves   Expl. | BestBound       BestSol\n", None),
        ("MIP has 150 rows; 155 cols; 1050 nonzeros\n", None),
    ],
)
def test_lines_of_the_log(line: str, wanted: Progress | None) -> None:
    assert read_line(line) == wanted
