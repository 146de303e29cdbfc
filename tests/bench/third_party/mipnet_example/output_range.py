"""A problem kind in one file: how much an output varies over the domain of the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mipnet.bench import Answer, Instance, Problem, Search, axis, register_problem
from mipnet.bench.data import Data
from mipnet.network import Network
from mipnet.search import maximize, minimize


@register_problem("range")
@dataclass(frozen=True, kw_only=True)
class OutputRange(Problem):
    """Largest minus smallest value of an output."""

    goal: ClassVar[str] = "maximise"
    source: ClassVar[str] = "two searches, one each way"

    output: int = axis(0)

    def instances(self, data: Data | None) -> Iterator[Instance]:
        yield Instance("domain")

    def solve(self, network: Network, instance: Instance, data: Data | None, how: Search) -> Answer:
        assert data is not None
        weights = np.eye(network.n_outputs)[self.output]
        box = (data.lower, data.upper)
        high, low = (f(network, weights, box, **how.options()) for f in (maximize, minimize))
        done = {high.status, low.status} == {"optimal"}
        return Answer(
            status="optimal" if done else "feasible-limit",
            verdict=high.status,
            objective=high.value - low.value,
            bound=high.bound - low.bound,
            point=high.point,
            clocks=high.clocks + low.clocks,
            solver=high.solver,
        )
