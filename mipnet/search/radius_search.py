"""Lower and upper bounds of the distance of the nearest adversarial point, and what moves them.

Every fact is one of two kinds: a clause is out of reach within a closed ball (a floor of that
clause), or a replayed point lies at a distance (the nearest witness). The least floor and the
witness enclose the answer at any time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from mipnet.bounds import METHODS, Bounds, alpha_bounds, first_bounds, lp_bounds
from mipnet.bounds.milp import ROUNDS, Tightening
from mipnet.clocks import Clocks, Stopwatch
from mipnet.network import Affine, Network
from mipnet.region import Region
from mipnet.search.decide import LP_SECONDS, LP_SHARE, Decision, Settings
from mipnet.search.distortion_result import ClassDistance
from mipnet.search.goal import Stack
from mipnet.search.nearest import Nearest
from mipnet.search.question import solver_of, strongest
from mipnet.solver import FEASIBILITY
from mipnet.threads import one_blas_thread

Outcome = Literal["witness", "robust", "open"]

#: Share of the unstable neurons that a round of tightening settles if the next one may pay.
_WORTH = 0.1
#: Halvings from the largest radius to the first one that bounds may prove.
_HALVINGS = 26
#: Shares of the time left for the decisions of a bisection, by the number that stayed open before;
#: after the last it gives up.
_SHARES = (0.4, 0.4, 0.4, 0.5, 0.5, 1.0)


@dataclass
class RadiusSearch:
    """State of one search.

    Attributes
    ----------
    network : Network
    nearest : Nearest
        The upper side.
    watch : Stopwatch
        Of the whole call.
    settings : Settings
    tolerance : float
        Gap to reach, relative to the upper side.
    cap, whole : float
        Largest radius of interest, and the one that covers the domain.
    floors : list of ClassDistance
        The lower side, clause by clause.
    """

    network: Network
    nearest: Nearest
    watch: Stopwatch
    settings: Settings
    tolerance: float
    cap: float
    whole: float
    floors: list[ClassDistance] = field(init=False)
    goals: Network = field(init=False)
    clocks: Clocks = field(default_factory=Clocks)
    reason: str = ""
    rounds: int = 0
    n_unstable: int = 0
    n_binaries: int = 0
    solver: str = ""
    cut_short: bool = False
    _slowest: float = 0.0

    def __post_init__(self) -> None:
        self.floors = [ClassDistance(c.name, -1.0) for c in self.stack.clauses]
        self.goals = self.network.then(Affine(self.stack.rows, self.stack.offsets), "goal")

    def run(self, work: Callable[[RadiusSearch], None]) -> None:
        """Do some work until it ends or is interrupted; the state tells what is known."""
        try:
            with one_blas_thread():
                work(self)
        except KeyboardInterrupt:
            self.reason, self.cut_short = "interrupted", True

    @property
    def stack(self) -> Stack:
        """The clauses."""
        return self.nearest.stack

    @property
    def counting(self) -> bool:
        """Whether distances are whole numbers."""
        return self.nearest.norm == "l0"

    @property
    def floor(self) -> float:
        """Radius of the closed ball proven free of witnesses; -1 when there is none."""
        return min(f.radius for f in self.floors)

    @property
    def lower(self) -> float:
        """No witness is closer than this."""
        return self.floor + 1.0 if self.counting else max(0.0, self.floor)

    @property
    def upper(self) -> float:
        """Distance of the nearest witness."""
        return self.nearest.distance

    @property
    def closed(self) -> bool:
        """Whether the gap is as small as was asked, or nothing is left to search."""
        if not np.isfinite(self.upper):
            return self.floor >= self.cap
        return self.enough(self.lower)

    def enough(self, lower: float) -> bool:
        """Whether a lower bound closes the gap."""
        if self.counting:
            return lower >= self.upper
        # Below the tolerance of the solver a distance is no different from zero.
        least = FEASIBILITY * max(1.0, float(np.abs(self.nearest.centre).max(initial=0.0)))
        return self.upper - lower <= max(self.tolerance * self.upper, least)

    @property
    def goal(self) -> float:
        """Radius whose proof closes the gap."""
        if not np.isfinite(self.upper):
            return self.cap
        return self.upper - 1.0 if self.counting else self.upper * (1.0 - 0.5 * self.tolerance)

    def share(self, part: float) -> float | None:
        """Part of the time left, or no limit."""
        left = self.watch.left
        return None if left is None else part * left

    def exclude(self, i: int, radius: float, method: str) -> None:
        """Record that clause ``i`` is out of reach within a radius."""
        known = self.floors[i]
        if radius > known.radius:
            proven = np.inf if radius >= self.whole else radius
            self.floors[i] = ClassDistance(known.name, proven, method)

    def open(self, radius: float) -> list[int]:
        """Clauses that may be reached within a radius."""
        return [i for i, f in enumerate(self.floors) if f.radius < radius]

    def accept(self, bounds: Bounds, radius: float) -> bool:
        """Take over what bounds over a ball prove, unless a known point contradicts them."""
        points = [self.nearest.centre]
        if self.nearest.witness is not None and self.upper <= radius:
            points.append(self.nearest.witness.point)
        with self.watch("check"):
            wrong = bounds.violation(np.array(points))
        if wrong is not None:
            self.reason = f"bounds contradicted by a point of the region: {wrong}"
            return False
        self.n_unstable, self.solver = bounds.n_unstable, self.solver or solver_of(bounds)
        upper = self.stack.tightest(bounds.output.upper.reshape(-1))
        for i in np.flatnonzero(upper < 0.0):
            self.exclude(int(i), radius, strongest(bounds))
        return True

    def bounds(self, radius: float, *, thorough: bool) -> Bounds | None:
        """Bounds over a ball, taken over; ever tighter ones while clauses are open, if thorough.

        Returns
        -------
        Bounds or None
            None when a known point contradicts them.
        """
        region, method = self.nearest.ball(radius), self.settings.bounds
        before = self.watch.elapsed
        with self.watch("bound"):
            found = first_bounds(self.goals, region, method, budget=self.watch.left)
        self._slowest = max(self._slowest, self.watch.elapsed - before)
        if not self.accept(found, radius):
            return None
        steps = self._tighter(found, region) if thorough else iter(())
        while self.open(radius) and not self.watch.expired:
            with self.watch("bound"):
                tighter = next(steps, None)
            if tighter is None:
                break
            found = tighter
            if not self.accept(found, radius):
                return None
        return found

    def _tighter(self, bounds: Bounds, region: Region) -> Iterator[Bounds]:
        """Tighter and tighter bounds, up to the method asked for, while they pay."""
        method, threads = self.settings.bounds, self.settings.threads
        left = self.watch.left
        watch = Stopwatch(LP_SECONDS if left is None else LP_SHARE * left)
        if METHODS.index(method) < METHODS.index("alpha"):
            return
        bounds = alpha_bounds(self.goals, region, budget=watch.left, first=bounds)
        yield bounds
        if method == "lp":
            yield lp_bounds(self.goals, region, budget=watch.limit, threads=threads, first=bounds)
        if method == "milp":
            task = Tightening(bounds, region, threads=threads)
            for subproblems in ROUNDS:
                before = task.bounds.n_unstable
                yield from task.round(watch, subproblems)
                # A round that settles few neurons is not worth one of four times its size.
                if watch.expired or task.bounds.n_unstable > (1.0 - _WORTH) * before:
                    return

    def hurried(self, until: float | None) -> bool:
        """Whether there is no time for bounds over one more ball."""
        left = self.watch.left if until is None else until - self.watch.elapsed
        return left is not None and left <= self._slowest

    def grow(self, first: float, last: float, accuracy: float, part: float = 1.0) -> None:
        """Largest radius that bounds prove, by bisection between nothing and ``last``.

        Parameters
        ----------
        first, last : float
            Radii to start from and not to pass; doubled or halved from the first on.
        accuracy : float
            Relative.
        part : float
            Part of the time left that may be spent. Less than all: what follows can do better, so
            quick bounds are enough.
        """
        limit = self.share(part)
        until = None if limit is None else self.watch.elapsed + limit
        failed, radius = np.inf, first
        for _ in range(4 * _HALVINGS):
            self.cut_short = self.hurried(until)
            if self.cut_short or self.bounds(radius, thorough=part == 1.0) is None:
                return
            if self.floor >= last:
                return
            if self.floor < radius:
                failed = min(failed, radius)
            step = 1.0 if self.counting else accuracy * failed
            near = math.isfinite(failed) and failed - self.floor <= step
            if near or failed <= first * 0.5**_HALVINGS:
                return
            radius = self._between(failed, last)

    def _between(self, failed: float, last: float) -> float:
        """Next radius to try, above the floor and below what failed."""
        if not np.isfinite(failed):
            return min(last, 2.0 * max(self.floor, 1.0 if self.counting else 0.0))
        # While nothing is proven, go down in large steps: small balls are also quicker to bound.
        radius = 0.5 * (self.floor + failed) if self.floor >= 0.0 else 0.25 * failed
        return float(np.floor(radius)) if self.counting else radius

    def ask(self, radius: float, limit: float | None) -> Outcome:
        """Decide whether there is a witness within a radius."""
        asked = self.open(radius)
        if not asked:
            return "robust"
        stack = Stack(tuple(self.stack.clauses[i] for i in asked))
        watch = Stopwatch(limit)
        # The attacks were made: one start in the centre, one elsewhere.
        settings = replace(self.settings, restarts=min(2, self.settings.restarts))
        decision = Decision(self.network, self.nearest.ball(radius), stack, watch, settings)
        decision.run()
        self.rounds += 1
        self.clocks += watch.clocks
        self.solver = decision.solver or self.solver
        self.n_binaries = max(self.n_binaries, decision.n_binaries)
        for i, result in zip(asked, decision.results, strict=True):
            if result.outcome == "excluded":
                self.exclude(i, radius, result.method)
        if decision.reason == "interrupted":
            raise KeyboardInterrupt
        if decision.witness is not None:
            with self.watch("attack"):
                self.nearest.pull(decision.witness.point)
            if self.upper <= radius:
                return "witness"
        if not self.open(radius):
            return "robust"
        self.reason = decision.reason or "a point was found that does not replay"
        return "open"

    def bisect(self, improve: Callable[[RadiusSearch], None]) -> None:
        """Close the gap by decisions: just below the witness, lower down where that fails.

        Parameters
        ----------
        improve : callable
            Called after every new witness.
        """
        failed, misses, found = np.inf, 0, 0
        while not self.closed and not self.watch.expired and misses < len(_SHARES):
            radius = self.goal
            if failed <= radius:
                if failed - self.lower <= 0.5 * self.tolerance * self.upper:
                    return
                # What ran out of time is far out of reach: the effort grows steeply with it.
                part = 0.5 if self.watch.limit is None else 0.25
                radius = self.lower + part * (failed - self.lower)
            elif found > 1:
                radius = 0.5 * (self.lower + self.upper)
            outcome = self.ask(radius, self.share(_SHARES[misses]))
            found = found + 1 if outcome == "witness" else 0
            if outcome == "witness":
                improve(self)
            elif outcome == "open":
                failed, misses = min(failed, radius), misses + 1

    def climb(self) -> None:
        """Close the gap of a count: one more changed input at a time, the small balls first."""
        while not self.closed and not self.watch.expired:
            if self.ask(self.lower, self.watch.left) == "open":
                return
