"""Value and bound of a minimisation, and when they have met."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from mipnet.bounds import METHODS, Bounds, alpha_bounds, first_bounds, lp_bounds
from mipnet.clocks import Stopwatch
from mipnet.network import Affine, Network
from mipnet.network.layers.base import Array
from mipnet.region import Region
from mipnet.search.attack import descend, start_points
from mipnet.search.decide import LP_SECONDS, LP_SHARE
from mipnet.search.optimum import OptimumStatus
from mipnet.search.question import Settings, solver_of, strongest

#: Largest size of an output, relative to the terms it is the sum of, that is rounding and no value.
_NOISE = 2.0**-40


@dataclass
class Closing:
    """What is known of the least output of a network over a region.

    Attributes
    ----------
    scalar : Network
        With one output.
    region : Region
    watch : Stopwatch
        Of the whole call.
    settings : Settings
    gap : float
        Asked for; see :func:`mipnet.minimize`.
    known : Bounds
    points, point : array, shape (count, n_inputs) and (n_inputs,)
        What the gradient search returned, and the best point.
    value, bound : float
    status, message, method : str
        How it ended; see :class:`mipnet.Optimum`.
    solver : str
    """

    scalar: Network
    region: Region
    watch: Stopwatch
    settings: Settings
    gap: float
    known: Bounds = field(init=False)
    points: Array = field(init=False)
    point: Array = field(init=False)
    value: float = field(init=False)
    bound: float = -np.inf
    status: OptimumStatus = "time_limit"
    message: str = "time limit reached"
    method: str = "none"
    solver: str = ""

    def __post_init__(self) -> None:
        self.known = first_bounds(self.scalar, self.region, "interval")
        self.point = self.region.centre
        self.points = self.point[None]
        self.value = float(self.scalar(self.point).reshape(-1)[0])

    def end(self, status: OptimumStatus, message: str, method: str = "none") -> None:
        """Note how it ended; a contradiction stays one."""
        if self.status != "inconsistent":
            self.status, self.message, self.method = status, message, method

    @property
    def slack(self) -> float:
        """Largest gap that counts as closed."""
        reach = float(self.known.output.magnitude.max())
        if reach <= _NOISE * self._terms + float(np.finfo(np.float64).tiny):
            # Zero everywhere; no bound comes nearer than rounding lets it.
            return 2.0 * reach
        return self.gap * (min(1.0, reach) + abs(self.value))

    @property
    def _terms(self) -> float:
        """Largest sum of the sizes of the terms the output is made of."""
        last = self.scalar.nodes[-1]
        if not isinstance(last.layer, Affine):
            return 0.0
        size = self.known.intervals[last.inputs[0]].magnitude.reshape(-1)
        return float((last.layer.absolute @ size + np.abs(last.layer.bias)).max())

    @property
    def met(self) -> bool:
        """Whether value and bound have met."""
        return self.value <= self.bound + self.slack

    def attack(self) -> None:
        """Gradient search from many points."""
        with self.watch("attack"):
            rng = np.random.default_rng(self.settings.seed)
            starts = start_points(self.region, rng, max(1, self.settings.restarts))
            self.points, values = descend(self.scalar, self.region, starts, self.watch)
            best = int(np.argmin(values))
            self.point, self.value = self.points[best], float(values[best])

    def tighten(self) -> bool:
        """Compute bounds of the method, step by step; whether to go on."""
        for step in self._steps():
            with self.watch("bound"):
                found = step()
            if not self.accept(found):
                return False
            if self.met:
                message = "the proven bound meets the value of a known point"
                self.end("optimal", message, strongest(found))
                return False
        return True

    def _steps(self) -> Iterator[Callable[[], Bounds]]:
        scalar, region, method = self.scalar, self.region, self.settings.bounds
        left = self.watch.left
        yield lambda: first_bounds(scalar, region, method, budget=left)
        left = self.watch.left
        budget = LP_SECONDS if left is None else LP_SHARE * left
        if METHODS.index(method) >= METHODS.index("alpha"):
            yield lambda: alpha_bounds(scalar, region, budget=budget, first=self.known)
        if method == "lp":
            threads = self.settings.threads
            yield lambda: lp_bounds(
                scalar, region, budget=budget, threads=threads, first=self.known
            )

    def accept(self, bounds: Bounds) -> bool:
        """Take over what bounds prove, unless a known point contradicts them."""
        with self.watch("check"):
            wrong = bounds.violation(np.concatenate([self.points, self.point[None]]))
        if wrong is not None:
            self.end("inconsistent", f"bounds contradicted by a point of the region: {wrong}")
            return False
        self.known, self.solver = bounds, self.solver or solver_of(bounds)
        return self.lift(float(bounds.output.lower.reshape(-1)[0]))

    def lift(self, bound: float) -> bool:
        """Take over a proven bound, unless the best point lies below it."""
        self.bound = max(self.bound, bound)
        if self.value < self.bound - self.slack:
            reason = f"a point reaches {self.value!r}, below the proven bound {self.bound!r}"
            self.end("inconsistent", reason)
            return False
        return True

    def offer(self, point: Array) -> bool:
        """Take over a point near or in the region, if it is better; whether the gap is closed."""
        inside = self.region.project(point[None])[0]
        value = float(self.scalar(inside).reshape(-1)[0])
        if value < self.value and self.region.contains(inside):
            self.point, self.value = inside, value
        return self.met
