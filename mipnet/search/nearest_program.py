"""The nearest point of a clause by a program whose objective is the distance."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from formulations import AffineForm
from mipnet.bounds import Bounds
from mipnet.clocks import Stopwatch
from mipnet.encode import encode
from mipnet.errors import BoundsError, SolverError
from mipnet.network.layers.base import Array
from mipnet.region import Box
from mipnet.search.decide import MARGIN, MIP_UNSTABLE
from mipnet.search.distance import DISTANCE_MARGIN, LEAK, WIDER, DistanceModel
from mipnet.search.radius_search import RadiusSearch
from mipnet.search.trees import FEW_INPUTS
from mipnet.solver import (
    FEASIBILITY,
    PROVE,
    Limits,
    Solution,
    Status,
    highs_version,
    solve,
)

#: Shrinkage of the ball at which new bounds are worth their time, and of the gap at which a new
#: round is.
_SHRUNK = 0.9
#: Programs solved for one clause, with more tangents each (l2), and linear ones on one pattern.
_ROUNDS, _POLISH = 30, 8
#: Margins asked of a polished point, in units of the rounding of its dtype.
_STEPS = (64.0, 2048.0, 65536.0)


def close_by_programs(search: RadiusSearch) -> None:
    """Minimise the distance of every open clause until the gap closes or nothing moves.

    Parameters
    ----------
    search : RadiusSearch
        Its floors and its witness are moved.
    """
    while not search.closed and not search.watch.expired:
        before = search.upper - search.lower
        radius = search.upper
        if search.nearest.witness is None:
            radius = search.cap * WIDER + 4.0 * LEAK
        bounds = search.bounds(radius, thorough=True)
        if bounds is None or search.closed or search.watch.expired:
            return
        few = search.nearest.centre.size <= FEW_INPUTS
        if few and bounds.n_unstable > MIP_UNSTABLE:
            return
        programs = _Programs.build(search, bounds, radius)
        if programs is None:
            return
        programs.run()
        gap = search.upper - search.lower
        if not (gap < before and gap <= _SHRUNK * before):
            return


def polish_witness(search: RadiusSearch) -> None:
    """Move the witness as near as the linear region it lies in allows, and on from there.

    Parameters
    ----------
    search : RadiusSearch
        With a witness, which is moved.
    """
    if search.closed or search.watch.expired:
        return
    radius = search.upper
    bounds = search.bounds(radius, thorough=False)
    if bounds is not None and not search.watch.expired:
        programs = _Programs.build(search, bounds, radius)
        if programs is not None:
            programs.polish_witness()


@dataclass
class _Programs:
    """The programs over one ball: the network is encoded once for all clauses."""

    search: RadiusSearch
    bounds: Bounds
    model: DistanceModel
    stuck: set[int] = field(default_factory=set)

    @classmethod
    def build(cls, search: RadiusSearch, bounds: Bounds, radius: float) -> _Programs | None:
        """Encode; None when a neuron cannot be, or the program denies a known point."""
        nearest = search.nearest
        region = nearest.ball(radius)
        # The ball itself is the objective: only its bounding box becomes columns.
        box, name = Box(region.lower, region.upper), search.settings.formulation
        try:
            with search.watch("build"):
                encoding = encode(search.goals, box, bounds.intervals, formulation_name=name)
                model = DistanceModel(encoding, nearest.norm, nearest.centre, radius)
        except BoundsError as error:
            search.reason = str(error)
            return None
        search.n_binaries = max(search.n_binaries, encoding.n_binaries)
        search.solver = f"HiGHS {highs_version()}"
        if nearest.witness is not None:
            with search.watch("check"):
                full = model.complete(nearest.witness.point)
                wrong = model.program.freeze().violation(full)
            if wrong > 1e-6 * (1.0 + float(np.abs(full).max(initial=0.0))):
                search.reason = f"the program excludes a known point by {wrong:.3g}"
                return None
        return cls(search, bounds, model)

    def run(self) -> None:
        """Polish the witness, then settle the open clauses, the most promising first."""
        search = self.search
        self.polish_witness()
        if search.upper < _SHRUNK * self.model.radius:
            return
        upper = search.stack.tightest(self.bounds.output.upper.reshape(-1))
        for part in (0.5, 1.0):
            waiting = [i for i in search.open(search.goal) if i not in self.stuck]
            for k, i in enumerate(sorted(waiting, key=lambda i: -upper[i])):
                if search.closed or search.watch.expired:
                    return
                self.settle(i, search.share(1.0 if k == len(waiting) - 1 else part))
                if search.upper < _SHRUNK * self.model.radius:
                    return

    def forms(self, i: int) -> AffineForm:
        """Rows of clause ``i``."""
        first, count = self.search.stack.starts[i], len(self.search.stack.clauses[i].rows)
        return self.model.encoding.output.select(np.arange(first, first + count))

    def size(self, i: int) -> float:
        """Largest absolute value of a row of clause ``i``."""
        return float(self.search.stack.split(self.bounds.output.magnitude.reshape(-1))[i].max())

    def settle(self, i: int, limit: float | None) -> None:
        """Minimise the distance of clause ``i``; for l2 again and again with more tangents."""
        search, model, watch = self.search, self.model, Stopwatch(limit)
        margin = max(MARGIN * self.size(i), FEASIBILITY)
        for _ in range(_ROUNDS):
            if search.floors[i].radius >= search.goal or watch.expired:
                return
            cutoff = model.asked(search.goal)
            gap = 0.25 * search.tolerance
            answer = self.solve(i, -margin, Limits(time=watch.left, cutoff=cutoff), gap)
            if answer is None or not self.judge(i, answer):
                return
            if answer.values is not None:
                self.polish(i, answer.values)
            if not self.refine(answer):
                # The same program once more says no more, unless it ran out of time.
                self.stuck |= {i} if answer.status.proven else set()
                return

    def refine(self, answer: Solution) -> bool:
        """Add tangents where a point is further away than the program says; False if it is not."""
        if self.model.norm != "l2" or answer.values is None or answer.objective is None:
            return False
        steps = self.model.relative(answer.values[self.model.encoding.inputs])
        lag = self.model.measure(steps) - answer.objective
        if lag <= 0.125 * self.search.tolerance * answer.objective:
            return False
        self.model.touch(steps)
        return True

    def solve(self, i: int, margin: float, limits: Limits, gap: float) -> Solution | None:
        """Nearest point with a margin, or None after an error."""
        search = self.search
        search.rounds += 1
        try:
            with search.watch("build"):
                arrays = self.model.arrays(self.forms(i), margin)
            with search.watch("solve"):
                return solve(
                    arrays,
                    limits=limits,
                    profile=PROVE.with_options(mip_rel_gap=gap),
                    threads=search.settings.threads,
                    seed=search.settings.seed,
                )
        except SolverError as error:
            search.reason = f"{search.floors[i].name}: {error}"
            return None

    def judge(self, i: int, answer: Solution) -> bool:
        """Take over the bound of the solver, unless a known point or its own contradicts it."""
        search = self.search
        # An optimum has a point, and no bound is above a value that is reached.
        reached = answer.objective
        if reached is None:
            reached = -np.inf if answer.status is Status.OPTIMAL else np.inf
        if not answer.bound <= reached + DISTANCE_MARGIN:
            search.reason = f"{search.floors[i].name}: the solver's answer contradicts itself"
            return False
        floor = self.model.proven(answer.bound)
        witness = search.nearest.witness
        if witness is not None and witness.clause == i and floor > search.upper:
            search.reason = f"{search.floors[i].name}: the solver excludes a point that exists"
            return False
        search.exclude(i, floor, "mip")
        if not answer.status.proven:
            search.reason = f"{search.floors[i].name}: {answer.status.value}"
        return True

    def polish_witness(self) -> None:
        """Move the witness as near as its pattern of phases allows, and the next ones."""
        for _ in range(_POLISH):
            witness, before = self.search.nearest.witness, self.search.upper
            if witness is None or self.search.watch.expired:
                return
            self.polish(witness.clause, self.model.complete(witness.point))
            if self.search.upper > (1.0 - 1e-3) * before:
                return

    def polish(self, i: int, full: Array) -> None:
        """Nearest witness of clause ``i`` with the phases of a point: a linear program."""
        search, model = self.search, self.model
        outputs = search.network(full[model.encoding.inputs])
        unit = float(np.finfo(search.network.dtype).eps) * float(np.abs(outputs).max(initial=1.0))
        for step in _STEPS:
            margin = max(step * unit, 4.0 * FEASIBILITY)
            for _ in range(_POLISH):
                answer = self.on_pattern(i, full, margin)
                if answer is None or answer.values is None:
                    return
                point = answer.values[model.encoding.inputs]
                with search.watch("check"):
                    found = search.nearest.offer(point, held=True)
                    nearer = model.measure(model.relative(point)) < model.cutoff(search.upper)
                if not self.refine(answer):
                    break
            if found or not nearer:
                return

    def on_pattern(self, i: int, full: Array, margin: float) -> Solution | None:
        """Nearest point with a margin among those with the phases of a column vector."""
        arrays = self.model.arrays(self.forms(i), margin)
        fixed = np.round(full[: arrays.n_columns])
        arrays = replace(
            arrays,
            lower=np.where(arrays.integer, fixed, arrays.lower),
            upper=np.where(arrays.integer, fixed, arrays.upper),
            integer=np.zeros_like(arrays.integer),
        )
        try:
            with self.search.watch("solve"):
                answer = solve(arrays, limits=Limits(time=self.search.watch.left))
        except SolverError:
            return None
        return answer if answer.status is Status.OPTIMAL else None
