"""Global optimisation: agreement with enumeration, statuses, bad input."""

from __future__ import annotations

import numpy as np
import pytest

from mipnet.errors import NetworkError, QueryError, RegionError
from mipnet.network import Affine, Network
from mipnet.search import maximize, minimize, optimize
from mipnet.solver import Solution, Status
from tests.search.search_cases import largest_margin, random_network


@pytest.mark.parametrize("seed", range(12))
def test_agrees_with_enumeration(seed: int) -> None:
    net = random_network(seed, (3, 5, 4, 2))
    centre = np.full(3, 0.25)
    best = maximize(net, [1.0, -1.0], (centre - 1.0, centre + 1.0))
    expected = largest_margin(net, centre, 1.0, "linf", 1, 0)
    assert best.status == "optimal"
    assert best.value == pytest.approx(expected, abs=1e-6)
    assert best.bound >= expected - 1e-7
    assert best.value == pytest.approx(float(np.array([1.0, -1.0]) @ net(best.point)), abs=1e-12)


def test_minimum_is_the_negated_maximum() -> None:
    net = random_network(7, (3, 5, 2))
    low = minimize(net, [1.0, 2.0], (-1.0, 1.0))
    high = maximize(net, [-1.0, -2.0], (-1.0, 1.0))
    assert low.value == pytest.approx(-high.value, abs=1e-7)
    assert low.bound <= low.value
    assert high.bound >= high.value


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


def test_constant_network() -> None:
    net = Network.sequential([Affine(np.zeros((1, 2)), [3.0])])
    best = minimize(net, [2.0], (-1.0, 1.0))
    assert (best.status, best.value, best.n_binaries) == ("optimal", 6.0, 0)


def test_time_limit_keeps_value_and_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    net = random_network(7, (3, 8, 8, 1))

    def late(*_: object, **__: object) -> Solution:
        return Solution(Status.TIME_LIMIT, None, -np.inf, None, 5, 1.0, "x", "improve", "")

    exact = minimize(net, [1.0], (-1.0, 1.0)).value
    monkeypatch.setattr(optimize, "solve", late)
    late_answer = minimize(net, [1.0], (-1.0, 1.0))
    assert late_answer.status == "time_limit"
    assert late_answer.bound <= exact <= late_answer.value


def test_bound_above_a_known_point_is_inconsistent(monkeypatch: pytest.MonkeyPatch) -> None:
    net = random_network(7, (3, 8, 8, 1))

    def wrong(*_: object, **__: object) -> Solution:
        return Solution(Status.OPTIMAL, 1e3, 1e3, None, 5, 1.0, "x", "improve", "")

    monkeypatch.setattr(optimize, "solve", wrong)
    assert minimize(net, [1.0], (-1.0, 1.0)).status == "inconsistent"
