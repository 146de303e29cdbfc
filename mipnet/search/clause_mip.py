"""One MIP for each clause that bounds and splitting leave open."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from formulations import ProgramArrays
from mipnet.bounds import Bounds
from mipnet.clocks import Stopwatch
from mipnet.encode import Encoding, encode
from mipnet.errors import BoundsError, SolverError
from mipnet.search.outer import OuterLoop, clause_program
from mipnet.search.question import Question
from mipnet.solver import FEASIBILITY, PROVE, Limits, Solution, Status, highs_version, solve

#: Margin, relative to the size of the clause's rows, by which the solver must exclude a clause
#: before it counts as proven.
MARGIN = 1e-6


@dataclass
class ClauseMip:
    """Asks the solver about the open clauses of a question.

    Parameters
    ----------
    question : Question
    bounds : Bounds
        Of the network followed by the rows of all clauses.
    time : Stopwatch
        The time the solver may take.
    """

    question: Question
    bounds: Bounds
    time: Stopwatch
    encoding: Encoding = field(init=False)
    _seen: bool = field(init=False, default=False)
    _asked: ProgramArrays | None = field(init=False, default=None)

    def run(self) -> None:
        """Ask about every open clause, the most promising first."""
        question = self.question
        try:
            with question.watch("build"):
                self.encoding = encode(
                    self.bounds.network,
                    question.region,
                    self.bounds.intervals,
                    formulation_name=question.settings.formulation,
                )
        except BoundsError as error:
            question.reason = str(error)
            return
        question.n_binaries = self.encoding.n_binaries
        with question.watch("check"):
            wrong = self.excluded()
        if wrong > 0.0:
            question.reason = f"the program excludes a point of the region by {wrong:.3g}"
            return
        question.solver = f"HiGHS {highs_version()}"
        for i in sorted(question.open, key=lambda i: -question.results[i].bound):
            if self.time.expired:
                question.reason = "time limit reached"
                return
            self.decide(i)
            if question.decided():
                return
        details = {question.results[i].detail for i in question.open}
        question.reason = "; ".join(sorted(details))

    def excluded(self) -> float:
        """Largest violation of the program by a known point, 0 within rounding."""
        arrays, points = self.encoding.arrays(), self.question.points
        for point in points[:: max(1, len(points) // 16)]:
            values = self.encoding.complete(point)
            wrong = arrays.violation(values)
            if wrong > 1e-6 * (1.0 + float(abs(values).max(initial=0.0))):
                return wrong
        return 0.0

    def decide(self, i: int) -> None:
        """Settle one clause: maximise its smallest row until the sign is known."""
        question, settings = self.question, self.question.settings
        sizes = question.stack.split(self.bounds.output.magnitude.reshape(-1))[i]
        margin = max(MARGIN * float(sizes.max()), FEASIBILITY)

        def ask(arrays: ProgramArrays) -> Solution:
            limits = Limits(time=self.time.left, cutoff=margin, target=-margin)
            with question.watch("solve"):
                answer = solve(arrays, limits=limits, threads=settings.threads, seed=settings.seed)
                # A program closed without a tree was closed by presolve, which may be wrong where
                # coefficients are near its tolerances.
                doubtful = answer.delicate or answer.nodes <= 1
                if doubtful and answer.status is Status.CUTOFF:
                    answer = self.second_opinion(arrays, answer)
                self._asked = arrays
            return answer

        def settled(answer: Solution) -> bool:
            with question.watch("check"):
                self.judge(answer, i, margin)
            return question.results[i].outcome != "open" or question.witness is not None

        try:
            with question.watch("build"):
                program, objective = clause_program(self.encoding, question.stack, self.bounds, i)
            loop = OuterLoop(
                question.region,
                program,
                objective,
                self.encoding.inputs,
                margin,
                self.time,
                settings.threads,
                settings.seed,
            )
            loop.run(ask, settled, lambda point: question.confirm(point, "mip"))
        except SolverError as error:
            question.leave_open(i, str(error))
            return
        if loop.exhausted:
            question.leave_open(i, "the solver's points stay outside the region")

    def second_opinion(self, arrays: ProgramArrays, first: Solution) -> Solution:
        """Ask again without presolve, at other tolerances; the weaker answer counts."""
        settings = self.question.settings
        limits = Limits(time=self.time.left, cutoff=first.bound, target=-first.bound)
        profile = PROVE.with_options(
            presolve="off",
            mip_feasibility_tolerance=1e-7,
            primal_feasibility_tolerance=1e-7,
            dual_feasibility_tolerance=1e-7,
        )
        second = solve(
            arrays,
            limits=limits,
            profile=profile,
            threads=settings.threads,
            seed=settings.seed + 1,
        )
        return first if second.status is Status.CUTOFF else second

    def sees(self) -> bool:
        """Whether the solver solves the program it was asked, with the inputs at a known point.

        One that calls everything infeasible, or dominated, is found out.
        """
        arrays, inputs = self._asked, self.encoding.inputs
        if not self._seen and arrays is not None:
            lower, upper = arrays.lower.copy(), arrays.upper.copy()
            lower[inputs] = upper[inputs] = self.question.region.centre
            fixed = replace(arrays, lower=lower, upper=upper)
            left = self.time.left
            limits = Limits(time=None if left is None else max(left, 1.0))
            answer = solve(fixed, limits=limits, seed=self.question.settings.seed)
            self._seen = answer.status is Status.OPTIMAL
        return self._seen

    def judge(self, answer: Solution, i: int, margin: float) -> None:
        """Turn a solver answer into a result; only an exhausted search excludes a clause."""
        question = self.question
        known = question.results[i]
        bound = min(known.bound, -answer.bound)
        question.results[i] = replace(known, method="mip", bound=bound, nodes=answer.nodes)
        inputs = self.encoding.inputs
        if answer.values is not None and question.confirm(answer.values[inputs], "mip"):
            return
        proven = answer.status in {Status.CUTOFF, Status.OPTIMAL} and -answer.bound <= -margin
        outputs = question.network(question.points).reshape(len(question.points), -1)
        reached = float(question.clauses[i].margin(outputs).max())
        if proven and reached > -margin:
            question.leave_open(i, "the solver excludes a point that exists")
        elif proven and not self.sees():
            question.leave_open(i, "the solver finds no solution where one is known")
        elif proven:
            detail = answer.status.value
            question.exclude(i, "mip", nodes=answer.nodes, detail=detail, bound=bound)
        elif answer.status in {Status.OPTIMAL, Status.TARGET_REACHED, Status.CUTOFF}:
            question.leave_open(i, "the margin is within tolerance of zero")
        else:
            question.leave_open(i, answer.status.value)
