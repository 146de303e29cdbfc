"""The choice of formulations in questions that a MIP may decide."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mipnet
from formulations import Partition
from mipnet.choice import label
from mipnet.errors import QueryError
from mipnet.region import Box
from tests.core_cases import dense
from tests.oracle import minimum

CHOICES: list[Any] = [
    "auto", "ideal", "partition(0)", Partition(3), {"relu0": "ideal", "*": "partition"},
    {"relu1": ["big_m", "ideal", "partition(2)"]},
]  # fmt: skip


@pytest.mark.parametrize("choice", CHOICES, ids=label)
@pytest.mark.parametrize("seed", range(2))
def test_optima_agree_with_enumeration(seed: int, choice: Any) -> None:
    """Bounds that leave the question to the MIP, which must write the network that way."""
    case = dense(np.random.default_rng(seed), (3, 4, 3, 1))
    truth = minimum(case.weights, case.biases, case.box, np.ones(1))
    box = Box(*case.box)
    low = mipnet.minimize(case.network, [1.0], box, bounds="interval", formulation=choice)
    assert low.status == "optimal"
    assert low.value == pytest.approx(truth.value, abs=1e-5)
    assert low.n_binaries > 0
    high = mipnet.maximize(case.network, [-1.0], box, bounds="interval", formulation=choice)
    assert high.value == pytest.approx(-truth.value, abs=1e-5)


@pytest.mark.parametrize("choice", CHOICES, ids=label)
def test_verdicts_agree(choice: Any) -> None:
    case = dense(np.random.default_rng(3), (4, 6, 6, 3))
    x = 0.5 * (case.lower + case.upper)
    choice = choice if not isinstance(choice, dict) else {"relu0": "ideal"}
    for radius in (0.05, 0.4):
        asked = {"norm": "linf", "radius": radius, "bounds": "interval", "restarts": 1}
        plain = mipnet.find_adversarial(case.network, x, **asked)
        other = mipnet.find_adversarial(case.network, x, formulation=choice, **asked)
        assert plain.status == other.status


@pytest.mark.parametrize(
    ("choice", "match"),
    [
        ("sos1", "needs SOS1 sets, which HiGHS does not know"),
        ("reduced_space", "needs nonlinear expressions"),
        ("triangle", "is a relaxation and cannot decide"),
        ({"relu5": "ideal"}, "no activation layer 'relu5'"),
        ("nope", "unknown formulation 'nope'"),
    ],
)
def test_what_cannot_decide_is_refused_before_the_search(choice: Any, match: str) -> None:
    case = dense(np.random.default_rng(0), (3, 4, 2))
    x, box = 0.5 * (case.lower + case.upper), Box(*case.box)
    asks = [
        lambda: mipnet.minimize(case.network, [1.0, 0.0], box, formulation=choice),
        lambda: mipnet.find_adversarial(
            case.network, x, norm="linf", radius=0.1, formulation=choice
        ),
        lambda: mipnet.minimal_distortion(case.network, x, formulation=choice),
        lambda: mipnet.robust_accuracy(
            case.network, x[None], [0], norm="linf", radius=0.1, formulation=choice
        ),
    ]
    for ask in asks:
        with pytest.raises(QueryError, match=match):
            ask()
