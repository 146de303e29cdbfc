"""What a question is asked with: refused when it makes no sense, heeded when it does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mipnet import compute_bounds
from mipnet.clocks import Stopwatch
from mipnet.errors import MipnetError, QueryError, RegionError
from mipnet.region import Box
from mipnet.search import find_adversarial, maximize, minimal_distortion, question
from mipnet.search.goal import Clause, Stack
from mipnet.search.question import Question, Settings
from tests.search.search_cases import random_network

WRONG: list[dict[str, Any]] = [
    {"time_limit": "soon"},
    {"time_limit": float("nan")},
    {"time_limit": -1},
    {"seed": -1},
    {"threads": 0},
    {"restarts": 1.5},
    {"formulation": "zz"},
    {"bounds": "zz"},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_settings_without_sense_are_refused(wrong: dict[str, Any]) -> None:
    net, x = random_network(0, (3, 4, 2)), np.full(3, 0.5)
    with pytest.raises(MipnetError):
        find_adversarial(net, x, radius=0.1, **wrong)
    with pytest.raises(MipnetError):
        maximize(net, [0, 1], (0, 1), **wrong)
    with pytest.raises(MipnetError):
        minimal_distortion(net, x, **wrong)


@pytest.mark.parametrize("wrong", [{"budget": float("nan")}, {"budget": -1.0}, {"threads": 0}])
def test_bounds_without_sense_are_refused(wrong: dict[str, Any]) -> None:
    net = random_network(0, (3, 4, 2))
    with pytest.raises(QueryError):
        compute_bounds(net, (0.0, 1.0), "lp", **wrong)


def test_bounds_take_a_pair() -> None:
    net = random_network(0, (3, 4, 2))
    box = Box(np.zeros(3), np.ones(3))
    pair, whole = compute_bounds(net, (0.0, np.ones(3))), compute_bounds(net, box)
    assert np.array_equal(pair.output.lower, whole.output.lower)
    with pytest.raises(RegionError, match="2 and 1"):
        compute_bounds(net, (np.zeros(2), 1.0))


def test_thousands_of_clauses_are_attacked_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question, "_STARTS", 40)
    net = random_network(1, (3, 8, 2), 2.0)
    region = Box(np.full(3, -1.0), np.ones(3))
    high = float(net(region.sample(np.random.default_rng(0), 2000))[:, 0].max())
    row = np.array([[1.0, 0.0]])
    # Only the last clause can be reached.
    clauses = [Clause(str(k), row, np.array([-high - 50.0])) for k in range(100)]
    clauses.append(Clause("last", row, np.array([-0.5 * high])))
    found = Question(net, region, Stack(clauses), Stopwatch(None), Settings())
    found.attack()
    assert found.witness is not None
    none = Question(net, region, Stack(clauses), Stopwatch(0.0), Settings())
    none.attack()
    assert none.witness is None
