"""Whether any point of a ball around an item is given another class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mipnet.bench.data import Data
from mipnet.bench.problems import around as checks
from mipnet.bench.problems.around import NORMS, ClassProblem, centre_of, one_of, target_of
from mipnet.bench.problems.base import (
    Answer,
    Goal,
    Instance,
    Search,
    axis,
    costliest,
    interrupt_if,
    limit_status,
    register_problem,
)
from mipnet.network import Network
from mipnet.region import Region, ball
from mipnet.search import Verdict, find_adversarial


@register_problem("adversarial")
@dataclass(frozen=True, kw_only=True)
class Adversarial(ClassProblem):
    """Robustness of a classifier at an item: a witness, or a proof that there is none.

    Parameters
    ----------
    norm : {"linf", "l1", "l2", "l0"}
    radius : float
    target : {"any", "second"} or int
        ``second`` is the class with the largest output but the label's, of the network asked.
    """

    goal: ClassVar[Goal] = "decide"
    source: ClassVar[str] = "mipnet.find_adversarial"
    trajectory: ClassVar[tuple[float, frozenset[str]] | None] = (
        -1.0,
        frozenset({"mipnet.search.clause_mip", "mipnet.search.outer"}),
    )

    norm: str = axis("linf", check=one_of(NORMS))
    radius: float = axis(check=checks.radius)
    target: str | int = axis("any", check=checks.target)

    def region(self, network: Network, instance: Instance, data: Data | None) -> Region | None:
        """See :meth:`Problem.region`."""
        del network
        if data is None:
            return None
        return ball(centre_of(instance, data), self.radius, self.norm, data.lower, data.upper)

    def solve(self, network: Network, instance: Instance, data: Data | None, how: Search) -> Answer:
        """See :meth:`Problem.solve`."""
        centre = centre_of(instance, data)
        label = instance.options["label"]
        verdict = find_adversarial(
            network,
            centre,
            label,
            radius=self.radius,
            norm=self.norm,
            target=target_of(self.target, network, instance, data),
            lower=None if data is None else data.lower,
            upper=None if data is None else data.upper,
            **how.options(),
        )
        return answer_of(verdict, network, label)

    def revisit(
        self, original: Network, instance: Instance, data: Data | None, answer: Answer
    ) -> float | None:
        """See :meth:`Problem.revisit`: whether the witness fools the original network too."""
        del data
        if answer.point is None:
            return None
        return float(int(original(answer.point).argmax()) != instance.options["label"])


def answer_of(verdict: Verdict, network: Network, label: int) -> Answer:
    """Columns of a verdict."""
    interrupt_if(verdict.reason)
    bounds = [c.bound for c in verdict.clauses if np.isfinite(c.bound)]
    error = None
    if verdict.point is not None and verdict.margin is not None and verdict.target is None:
        outputs = network(verdict.point).reshape(-1)
        error = abs(float(np.delete(outputs, label).max() - outputs[label]) - verdict.margin)
    statuses = {"robust": "infeasible", "witness": "optimal"}
    return Answer(
        status=statuses.get(verdict.status) or limit_status(verdict.reason, value=False),
        verdict=verdict.status,
        objective=verdict.margin,
        bound=max(bounds) if bounds and verdict.status != "witness" else None,
        point=verdict.point,
        replay_error=error,
        reason=verdict.reason,
        method=decided_by(verdict),
        nodes=sum(c.nodes for c in verdict.clauses),
        n_unstable=verdict.n_unstable,
        n_binaries=verdict.n_binaries,
        clocks=verdict.clocks,
        solver=verdict.solver,
    )


def decided_by(verdict: Verdict) -> str:
    """Name the costliest method among those that decided a class."""
    if verdict.status == "unresolved":
        return "none"
    if verdict.status == "witness":
        return next(c.method for c in verdict.clauses if c.outcome == "witness")
    return costliest(c.method for c in verdict.clauses)
