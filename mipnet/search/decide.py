"""The engine of every yes-or-no question: attack, bounds, bisection, then one MIP a clause.

A question is a region and a set of clauses over the outputs. It ends with a point that reaches a
clause, replayed, or with a proof for every clause that no point does; anything else stays open.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from formulations import ProgramArrays
from mipnet.bounds import Bounds, alpha_bounds, first_bounds, lp_bounds
from mipnet.clocks import Stopwatch
from mipnet.encode import Encoding, encode
from mipnet.errors import BoundsError, SolverError
from mipnet.network import Affine, Network
from mipnet.network.layers.base import Array
from mipnet.region import Box, Region
from mipnet.search.attack import ascend, start_points
from mipnet.search.bisection import Leaf, exclude_by_bisection
from mipnet.search.goal import Clause, Stack
from mipnet.search.outer import OuterLoop, clause_program
from mipnet.search.verdict import ClauseResult, Witness
from mipnet.solver import FEASIBILITY, PROVE, Limits, Solution, Status, highs_version, solve
from mipnet.threads import one_blas_thread

#: Margin, relative to the size of the clause's rows, by which the solver must exclude a clause
#: before it counts as proven.
MARGIN = 1e-6
#: Inputs up to which boxes are bisected before any MIP, how many boxes at most, and the share
#: of the time left they may take.
BISECTION_INPUTS, BISECTION_BOXES, BISECTION_SHARE = 8, 200_000, 0.7
#: Unstable neurons up to which a MIP is quicker than any bisection.
MIP_UNSTABLE = 30
#: Share of the time left that LP tightening may take, and its limit without a time limit.
LP_SHARE, LP_SECONDS = 0.2, 20.0


@dataclass
class Settings:
    """How to search.

    Attributes
    ----------
    bounds : {"lp", "alpha", "crown", "interval"}
    formulation : str
    restarts : int
        Start points of the attack for each clause.
    threads : int
    seed : int
    strict : bool
        Whether a clause is reached only above zero.
    bisect : bool
        Whether small inputs may be bisected (a leaf of a bisection is not).
    """

    bounds: str = "lp"
    formulation: str = "big_m"
    restarts: int = 8
    threads: int = 1
    seed: int = 0
    strict: bool = True
    bisect: bool = True


@dataclass
class Decision:
    """State of one search.

    Attributes
    ----------
    network : Network
    region : Region
    stack : Stack
        The clauses.
    watch : Stopwatch
    settings : Settings
    results : list of ClauseResult
        What is known of each clause.
    witness : Witness or None
    reason : str
        Why the search ended without an answer.
    """

    network: Network
    region: Region
    stack: Stack
    watch: Stopwatch
    settings: Settings
    results: list[ClauseResult] = field(default_factory=list)
    witness: Witness | None = None
    reason: str = ""
    n_unstable: int = 0
    n_binaries: int = 0
    solver: str = ""
    points: Array = field(init=False)

    def __post_init__(self) -> None:
        self.points = self.region.centre[None]
        if not self.results:
            self.results = [ClauseResult(c.name, "open", "none", np.inf) for c in self.clauses]

    @property
    def clauses(self) -> tuple[Clause, ...]:
        """The clauses."""
        return self.stack.clauses

    @property
    def excluded(self) -> bool:
        """Whether every clause is proven out of reach."""
        return all(r.outcome == "excluded" for r in self.results)

    def decided(self) -> bool:
        """Whether there is a witness or a proof."""
        return self.witness is not None or self.excluded

    def run(self) -> None:
        """Search until decided, out of time or interrupted; the state tells which."""
        try:
            with one_blas_thread():
                self._run()
        except KeyboardInterrupt:
            self.reason = "interrupted"
        if self.decided():
            self.reason = ""

    def _run(self) -> None:
        with self.watch("attack"):
            self.attack()
        if self.decided():
            return
        if self.watch.expired:
            self.reason = "time limit reached before bounds were computed"
            return
        head = Affine(self.stack.rows, self.stack.offsets)
        goals = self.network.then(head, "goal")
        with self.watch("bound"):
            bounds = first_bounds(goals, self.region, self.settings.bounds)
        if not self.accept(bounds) or self.decided():
            return
        if self.settings.bounds in {"alpha", "lp"}:
            with self.watch("bound"):
                bounds = alpha_bounds(goals, self.region, budget=self.share(), first=bounds)
            if not self.accept(bounds) or self.decided():
                return
        few = self.settings.bisect and self.region.n_inputs <= BISECTION_INPUTS
        if few and self.n_unstable > MIP_UNSTABLE:
            with self.watch("bound"):
                self.bisect()
            if self.decided():
                return
        if self.settings.bounds == "lp":
            with self.watch("bound"):
                bounds = lp_bounds(
                    goals,
                    self.region,
                    budget=self.share(),
                    threads=self.settings.threads,
                    first=bounds,
                )
            if not self.accept(bounds) or self.decided():
                return
        self.mip(goals, bounds)

    def share(self) -> float:
        """Seconds that one tightening step may take."""
        left = self.watch.left
        return LP_SECONDS if left is None else LP_SHARE * left

    def accept(self, bounds: Bounds) -> bool:
        """Take over what bounds prove, unless a known point contradicts them."""
        with self.watch("check"):
            wrong = bounds.violation(self.points)
        if wrong is not None:
            self.reason = f"bounds contradicted by a point of the region: {wrong}"
            return False
        self.n_unstable = bounds.n_unstable
        upper = self.stack.tightest(bounds.output.upper.reshape(-1))
        for i, bound in enumerate(upper.tolist()):
            known = self.results[i]
            least = min(known.bound, bound)
            outcome = "excluded" if least < 0.0 else known.outcome
            method = "bounds" if least < known.bound else known.method
            self.results[i] = replace(known, outcome=outcome, method=method, bound=least)
        return True

    def attack(self) -> None:
        """Projected gradient from the centre and random points, for every clause at once."""
        rng = np.random.default_rng(self.settings.seed)
        starts = start_points(self.region, rng, max(1, self.settings.restarts))
        most = max(len(c.rows) for c in self.clauses)
        # Shorter clauses repeat their first row, which changes no minimum.
        pick = [np.minimum(np.arange(most), len(c.rows) - 1) for c in self.clauses]
        rows = np.stack([c.rows[p] for c, p in zip(self.clauses, pick, strict=True)])
        offsets = np.stack([c.offsets[p] for c, p in zip(self.clauses, pick, strict=True)])
        count = len(starts)
        points, values = ascend(
            self.network,
            self.region,
            np.repeat(rows, count, axis=0),
            np.repeat(offsets, count, axis=0),
            np.tile(starts, (len(self.clauses), 1)),
        )
        self.points = np.concatenate([self.region.centre[None], points])
        for i in np.argsort(-values)[: 4 * count]:
            if not self.positive(float(values[i])):
                break
            if self.confirm(points[i], "attack"):
                return

    def positive(self, margin: float) -> bool:
        """Whether a margin reaches a clause."""
        return margin > 0.0 if self.settings.strict else margin >= 0.0

    def confirm(self, point: Array, method: str) -> bool:
        """Record the point as witness, if it is one in every precision."""
        inside = self.region.project(point[None])[0]
        if self.network.dtype != "float64":
            # The model would round its input anyway; stay inside the region doing so.
            inside = _representable(inside, self.region, self.network.dtype)
        if not self.region.contains(inside):
            return False
        exact = self.network(inside).reshape(1, -1)
        own = self.network.replay(inside).reshape(1, -1)
        margins = [(float(c.margin(exact)[0]), float(c.margin(own)[0])) for c in self.clauses]
        best = max(range(len(margins)), key=lambda i: min(margins[i]))
        if not self.positive(min(margins[best])):
            return False
        self.results[best] = replace(self.results[best], outcome="witness", method=method)
        self.witness = Witness(inside, best, *margins[best])
        return True

    def bisect(self) -> None:
        """Halve the inputs until bounds decide every box, within a share of the time."""
        left = self.watch.left
        watch = Stopwatch(None if left is None else BISECTION_SHARE * left)
        excluded, visited = exclude_by_bisection(
            self.network,
            self.region,
            self.stack,
            watch,
            boxes=BISECTION_BOXES,
            hit=lambda point: self.confirm(point, "bisection"),
            leaf=lambda lower, upper: self.leaf(lower, upper, watch),
        )
        if not excluded:
            return
        for i, known in enumerate(self.results):
            if known.outcome == "open":
                self.results[i] = replace(
                    known,
                    outcome="excluded",
                    method="bisection",
                    bound=min(known.bound, 0.0),
                    nodes=visited,
                    detail=f"{visited} boxes",
                )

    def leaf(self, lower: Array, upper: Array, watch: Stopwatch) -> Leaf:
        """Decide a box of a bisection by attack, bounds and MIP."""
        if not isinstance(self.region, Box):
            return "open"
        settings = replace(self.settings, bounds="crown", restarts=1, bisect=False)
        left = Stopwatch(watch.left)
        part = Decision(self.network, Box(lower, upper), self.stack, left, settings)
        part._run()
        if part.witness is not None and self.confirm(part.witness.point, "bisection"):
            return "witness"
        return "excluded" if part.excluded else "open"

    def mip(self, goals: Network, bounds: Bounds) -> None:
        """One MIP for each clause still open, the most promising first."""
        try:
            with self.watch("build"):
                encoding = encode(
                    goals,
                    self.region,
                    bounds.intervals,
                    formulation_name=self.settings.formulation,
                )
        except BoundsError as error:
            self.reason = str(error)
            return
        self.n_binaries = encoding.n_binaries
        with self.watch("check"):
            wrong = self.excluded_by(encoding)
        if wrong > 0.0:
            self.reason = f"the program excludes a point of the region by {wrong:.3g}"
            return
        self.solver = f"HiGHS {highs_version()}"
        left = [i for i, r in enumerate(self.results) if r.outcome == "open"]
        for i in sorted(left, key=lambda i: -self.results[i].bound):
            if self.watch.expired:
                self.reason = "time limit reached"
                return
            self.decide(encoding, bounds, i)
            if self.decided():
                return
        details = {r.detail for r in self.results if r.outcome == "open"}
        self.reason = "; ".join(sorted(details))

    def excluded_by(self, encoding: Encoding) -> float:
        """Largest violation of the program by a known point, 0 within rounding."""
        arrays = encoding.arrays()
        for point in self.points[:: max(1, len(self.points) // 16)]:
            values = encoding.complete(point)
            wrong = arrays.violation(values)
            if wrong > 1e-6 * (1.0 + float(np.abs(values).max(initial=0.0))):
                return wrong
        return 0.0

    def decide(self, encoding: Encoding, bounds: Bounds, i: int) -> None:
        """Settle one clause: maximise its smallest row until the sign is known."""
        sizes = self.stack.split(bounds.output.magnitude.reshape(-1))[i]
        margin = max(MARGIN * float(sizes.max()), FEASIBILITY)
        settings = self.settings

        def ask(arrays: ProgramArrays) -> Solution:
            limits = Limits(time=self.watch.left, cutoff=margin, target=-margin)
            with self.watch("solve"):
                answer = solve(arrays, limits=limits, threads=settings.threads, seed=settings.seed)
                if answer.delicate and answer.status is Status.CUTOFF:
                    answer = self.second_opinion(arrays, answer)
            return answer

        def settled(answer: Solution) -> bool:
            with self.watch("check"):
                self.judge(answer, encoding, i, margin)
            return self.results[i].outcome != "open" or self.witness is not None

        try:
            with self.watch("build"):
                program, objective = clause_program(encoding, self.stack, bounds, i)
            loop = OuterLoop(
                self.region,
                program,
                objective,
                encoding.inputs,
                margin,
                self.watch,
                settings.threads,
                settings.seed,
            )
            loop.run(ask, settled, lambda point: self.confirm(point, "mip"))
        except SolverError as error:
            self.leave_open(i, str(error))
            return
        if loop.exhausted:
            self.leave_open(i, "the solver's points stay outside the region")

    def second_opinion(self, arrays: ProgramArrays, first: Solution) -> Solution:
        """Ask again without presolve and with another seed; the weaker answer counts."""
        limits = Limits(time=self.watch.left, cutoff=first.bound, target=-first.bound)
        profile = PROVE.with_options(presolve="off")
        seed = self.settings.seed + 1
        second = solve(
            arrays, limits=limits, profile=profile, threads=self.settings.threads, seed=seed
        )
        return first if second.status is Status.CUTOFF else second

    def judge(self, answer: Solution, encoding: Encoding, i: int, margin: float) -> None:
        """Turn a solver answer into a result; only an exhausted search excludes a clause."""
        known = self.results[i]
        bound = min(known.bound, -answer.bound)
        self.results[i] = replace(known, method="mip", bound=bound, nodes=answer.nodes)
        if answer.values is not None and self.confirm(answer.values[encoding.inputs], "mip"):
            return
        proven = answer.status in {Status.CUTOFF, Status.OPTIMAL} and -answer.bound <= -margin
        outputs = self.network(self.points).reshape(len(self.points), -1)
        reached = float(self.clauses[i].margin(outputs).max())
        if proven and reached > -margin:
            self.leave_open(i, "the solver excludes a point that exists")
        elif proven:
            self.results[i] = replace(
                self.results[i], outcome="excluded", detail=answer.status.value
            )
        elif answer.status in {Status.OPTIMAL, Status.TARGET_REACHED, Status.CUTOFF}:
            self.leave_open(i, "the margin is within tolerance of zero")
        else:
            self.leave_open(i, answer.status.value)

    def leave_open(self, i: int, detail: str) -> None:
        """Record why a clause stays open."""
        named = f"{self.clauses[i].name}: {detail}"
        self.results[i] = replace(self.results[i], outcome="open", detail=named)


def _representable(point: Array, region: Region, dtype: str) -> Array:
    """Nearby point whose coordinates the dtype of the model can hold, if the region has one.

    Every coordinate is rounded towards the centre, so that no deviation grows.
    """
    rounded = point.astype(dtype)
    exact = rounded.astype(np.float64)
    away = np.abs(exact - region.centre) > np.abs(point - region.centre)
    inward = np.where(exact > region.centre, -np.inf, np.inf).astype(dtype)
    stepped = np.where(away, np.nextafter(rounded, inward), rounded).astype(np.float64)
    return stepped if region.contains(stepped) else point
