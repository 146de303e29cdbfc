"""Which input makes an output of the network largest."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mipnet.bench.data import Data
from mipnet.bench.problems import around as checks
from mipnet.bench.problems.around import NORMS, ItemProblem, centre_of, one_of
from mipnet.bench.problems.base import (
    Answer,
    Goal,
    Instance,
    Misfit,
    Search,
    axis,
    interrupt_if,
    option,
    register_problem,
)
from mipnet.errors import QueryError
from mipnet.network import Network
from mipnet.region import Box, Region, ball
from mipnet.search import Optimum, maximize


def _position(value: int) -> str:
    return "" if value >= 0 else f"must be a position from 0 on, not {value!r}"


def _weights(value: tuple[float, ...] | None) -> str:
    good = value is None or (any(value) and np.isfinite(value).all())
    return "" if good else f"must be finite numbers, one for each output, not all 0, not {value!r}"


@register_problem("maximize")
@dataclass(frozen=True, kw_only=True)
class OutputMaximum(ItemProblem):
    """Largest value of a linear function of the outputs.

    Parameters
    ----------
    output : int
        Output to maximise.
    weights : tuple of float, optional
        Coefficients of all outputs instead; to minimise, give negative ones.
    radius : float, optional
        Search a ball around each item; the whole domain of the data, once, when absent.
    norm : {"linf", "l1", "l2", "l0"}
        Of the ball.
    """

    goal: ClassVar[Goal] = "maximise"
    source: ClassVar[str] = "mipnet.maximize"
    trajectory: ClassVar[tuple[float, frozenset[str]] | None] = (
        -1.0,
        frozenset({"mipnet.search.optimize"}),
    )

    output: int = axis(0, check=_position)
    weights: tuple[float, ...] | None = option(None, check=_weights)
    radius: float | None = axis(None, check=checks.radius)
    norm: str = axis("linf", check=one_of(NORMS))

    def faults(self) -> Iterator[str]:
        """See :meth:`Problem.faults`."""
        if self.weights is not None and self.output:
            yield "weights and output exclude each other: weights are for all outputs"

    def misfits(self, data: Data | None, n_outputs: int | None) -> Iterator[Misfit]:
        """See :meth:`Problem.misfits`."""
        if self.radius is not None:
            yield from super().misfits(data, n_outputs)
        if n_outputs is None:
            return
        if self.weights is not None and len(self.weights) != n_outputs:
            message = f"weights has {len(self.weights)} numbers, and there are {n_outputs} outputs"
            yield ("weights",), message
        if self.weights is None and self.output >= n_outputs:
            message = f"output {self.output} does not exist: there are {n_outputs} outputs"
            yield ("output",), message

    def instances(self, data: Data | None) -> Iterator[Instance]:
        """See :meth:`Problem.instances`."""
        if self.radius is None:
            yield Instance("domain")
        else:
            yield from super().instances(data)

    def region(self, network: Network, instance: Instance, data: Data | None) -> Region:
        """See :meth:`Problem.region`."""
        del network
        if data is None:
            msg = "the data of an item are missing"
            raise QueryError(msg)
        if self.radius is None:
            return Box(data.lower, data.upper)
        return ball(centre_of(instance, data), self.radius, self.norm, data.lower, data.upper)

    def objective(self, network: Network) -> np.typing.NDArray[np.float64]:
        """Coefficients of the outputs of a network."""
        if self.weights is not None:
            return np.array(self.weights)
        if self.output >= network.n_outputs:
            msg = f"output {self.output} does not exist: the network has {network.n_outputs}"
            raise QueryError(msg)
        return np.asarray(np.eye(network.n_outputs)[self.output])

    def solve(self, network: Network, instance: Instance, data: Data | None, how: Search) -> Answer:
        """See :meth:`Problem.solve`."""
        weights = self.objective(network)
        region = self.region(network, instance, data)
        best = maximize(network, weights, region, **how.options())
        return _answer(best, abs(float(weights @ network(best.point).reshape(-1)) - best.value))

    def revisit(
        self, original: Network, instance: Instance, data: Data | None, answer: Answer
    ) -> float | None:
        """See :meth:`Problem.revisit`."""
        del instance, data
        if answer.point is None:
            return None
        return float(self.objective(original) @ original(answer.point).reshape(-1))


def _answer(best: Optimum, error: float) -> Answer:
    if best.status == "interrupted":
        interrupt_if("interrupted")
    # Solved as far as it can be: the pieces of smooth layers, or tolerances, keep the two apart.
    statuses = {"time_limit": "feasible-limit", "band": "unresolved", "bounded": "unresolved"}
    optimal = best.status == "optimal"
    return Answer(
        status=statuses.get(best.status, best.status),
        verdict=best.status,
        objective=best.value,
        bound=best.bound if math.isfinite(best.bound) else None,
        point=best.point,
        replay_error=error,
        reason="" if optimal else best.message,
        method=best.method if optimal else "none",
        nodes=best.nodes,
        n_unstable=best.n_unstable,
        n_binaries=best.n_binaries,
        n_rows=best.n_rows,
        n_nonzeros=best.n_nonzeros,
        clocks=best.clocks,
        solver=best.solver,
    )
