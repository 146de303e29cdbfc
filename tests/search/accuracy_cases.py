"""A small classifier, its samples, and a stand-in for single questions."""

from __future__ import annotations

from typing import Any

import numpy as np

from mipnet.network import Network
from mipnet.search import RobustAccuracy, Verdict, find_adversarial, robust_accuracy
from tests.search.search_cases import random_network

NET = random_network(3, (3, 6, 3), 1.5)
RNG = np.random.default_rng(7)
X = RNG.uniform(-1.0, 1.0, (14, 3))
Y = np.argmax(NET(X), axis=1)
Y[3] = (Y[3] + 1) % 3
RADIUS = 0.25


def ask(**keywords: Any) -> RobustAccuracy:
    given = {"radius": RADIUS, "lower": -1.0, "upper": 1.0, "progress": False}
    return robust_accuracy(NET, X, Y, **{**given, **keywords})


WHOLE = ask()


class Calls:
    """Stands in for find_adversarial: counts, and ends differently when told to."""

    def __init__(self, then: Any = None, after: int = 0) -> None:
        self.points: list[list[float]] = []
        self.then, self.after = then, after

    def __call__(self, network: Network, x: np.ndarray, label: int, **keywords: Any) -> Verdict:
        self.points.append(x.tolist())
        if self.then is not None and len(self.points) > self.after:
            return self.then()  # type: ignore[no-any-return]
        return find_adversarial(network, x, label, **keywords)


def unresolved(reason: str = "time limit reached") -> Verdict:
    return Verdict("unresolved", int(Y[0]), None, (), {}, reason=reason)
