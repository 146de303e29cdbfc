"""How far the nearest point is that is given another class."""

from __future__ import annotations

import math
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
    option,
    register_problem,
)
from mipnet.network import Network
from mipnet.region import Region, ball
from mipnet.search import Distortion, minimal_distortion


def _tolerance(value: float) -> str:
    good = 1e-6 <= value < 1.0
    return "" if good else f"must be a number from 1e-6 to below 1, not {value!r}"


@register_problem("distortion")
@dataclass(frozen=True, kw_only=True)
class MinimalDistortion(ClassProblem):
    """Distance of the nearest adversarial point, between two proven bounds.

    Parameters
    ----------
    norm : {"linf", "l1", "l2", "l0"}
    target : {"any", "second"} or int
    max_radius : float, optional
        Look no further; sizes of programs are reported over this ball.
    tolerance : float
        Relative gap that counts as closed.
    """

    goal: ClassVar[Goal] = "minimise"
    source: ClassVar[str] = "mipnet.minimal_distortion; Tjeng, Xiao, Tedrake, ICLR 2019"

    norm: str = axis("linf", check=one_of(NORMS))
    target: str | int = axis("any", check=checks.target)
    max_radius: float | None = option(None, check=checks.radius)
    tolerance: float = option(1e-4, check=_tolerance)

    def region(self, network: Network, instance: Instance, data: Data | None) -> Region | None:
        """See :meth:`Problem.region`."""
        del network
        if data is None or self.max_radius is None:
            return None
        return ball(centre_of(instance, data), self.max_radius, self.norm, data.lower, data.upper)

    def solve(self, network: Network, instance: Instance, data: Data | None, how: Search) -> Answer:
        """See :meth:`Problem.solve`."""
        found = minimal_distortion(
            network,
            centre_of(instance, data),
            instance.options["label"],
            norm=self.norm,
            target=target_of(self.target, network, instance, data),
            lower=None if data is None else data.lower,
            upper=None if data is None else data.upper,
            max_radius=self.max_radius,
            tolerance=self.tolerance,
            **how.options(),
        )
        return self.answer(found, centre_of(instance, data))

    def answer(self, found: Distortion, centre: np.typing.NDArray[np.float64]) -> Answer:
        """Columns of a distortion."""
        interrupt_if(found.reason)
        error = None
        if found.point is not None:
            orders = {"linf": np.inf, "l1": 1, "l2": 2, "l0": 0}
            length = float(np.linalg.norm(found.point - centre, ord=orders[self.norm]))
            error = abs(length - found.upper)
        known = {"optimal": "optimal", "none": "infeasible"}
        status = known.get(found.status)
        finite = math.isfinite(found.upper)
        return Answer(
            status=status or limit_status(found.reason, value=finite),
            verdict=found.status,
            objective=found.upper if finite else None,
            bound=found.lower if math.isfinite(found.lower) else None,
            point=found.point,
            replay_error=error,
            reason=found.reason,
            method=_method(found),
            n_unstable=found.n_unstable,
            n_binaries=found.n_binaries,
            clocks=found.clocks,
            solver=found.solver,
        )

    def revisit(
        self, original: Network, instance: Instance, data: Data | None, answer: Answer
    ) -> float | None:
        """See :meth:`Problem.revisit`: the distance where the point is adversarial there too."""
        del data
        if answer.point is None or answer.objective is None:
            return None
        fooled = int(original(answer.point).argmax()) != instance.options["label"]
        return answer.objective if fooled else None


def _method(found: Distortion) -> str:
    if found.status in {"bounded", "unresolved"}:
        return "none"
    return costliest(c.method for c in found.classes)
