"""The program of a clause; over regions that rows describe from outside only, solved with cuts.

HiGHS takes no quadratic rows beside integer columns, so an l2 ball becomes a polyhedron around it.
What a solver excludes over the polyhedron is excluded over the ball. A point it finds outside the
ball is cut off, and the program solved again: outer approximation (Duran and Grossmann, Math. Prog.
36, 1986).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from formulations import AffineForm, Program, ProgramArrays
from mipnet.bounds import Bounds
from mipnet.clocks import Stopwatch
from mipnet.encode import Encoding
from mipnet.network.layers.base import Array
from mipnet.region import Region
from mipnet.search.goal import Stack
from mipnet.solver import FEASIBILITY, Limits, Solution, solve

#: Programs solved for one question, and linear programs between two of them.
ROUNDS, LINEAR_ROUNDS = 40, 12
#: Excess over the side of a cut from which a point counts as outside the region.
_OUTSIDE = 3.0 * FEASIBILITY
#: Gain of a round over the one before it, relative to the objective, below which linear programs
#: at the root stop.
_GAIN = 1e-5


def clause_program(
    encoding: Encoding, stack: Stack, bounds: Bounds, i: int
) -> tuple[Program, AffineForm]:
    """Program and objective that minimise minus the smallest row of clause ``i``.

    Parameters
    ----------
    encoding : Encoding
        Its outputs are the rows of all clauses.
    stack : Stack
    bounds : Bounds
        Of the same outputs.
    i : int
    """
    first, count = stack.starts[i], len(stack.clauses[i].rows)
    forms = encoding.output.select(np.arange(first, first + count))
    if count == 1:
        return encoding.program, -forms
    program = encoding.program.copy()
    lower = float(bounds.output.lower.reshape(-1)[first : first + count].min())
    upper = float(bounds.output.upper.reshape(-1)[first : first + count].min())
    smallest = AffineForm.of_columns(program.add_columns([lower], [max(lower, upper)]))
    spread = smallest.select(np.zeros(count, dtype=np.intp))
    program.add_rows(forms - spread, lower=0.0, upper=np.inf)
    return program, -smallest


@dataclass
class OuterLoop:
    """Solves a program over a region until a point inside it, or a bound, answers the question.

    Over a region with an exact encoding that is one solve.

    Parameters
    ----------
    region : Region
    program : Program
        Grows by the cuts.
    objective : AffineForm with one row
        To be minimised.
    inputs : array of int32, shape (n_inputs,)
    cutoff : float
        Objective from which on a point is of no use.
    watch : Stopwatch
    threads : int
    seed : int

    Attributes
    ----------
    exhausted : bool
        Whether the last point was cut off and no further round is allowed.
    """

    region: Region
    program: Program
    objective: AffineForm
    inputs: npt.NDArray[np.int32]
    cutoff: float
    watch: Stopwatch
    threads: int = 1
    seed: int = 0
    exhausted: bool = False

    def run(
        self,
        ask: Callable[[ProgramArrays], Solution],
        settled: Callable[[Solution], bool],
        offer: Callable[[Array], bool],
    ) -> None:
        """Solve and cut until settled.

        Parameters
        ----------
        ask : callable
            Solves a program.
        settled : callable
            Takes a solution into account; True ends the search.
        offer : callable
            Takes an input point worth a look, shape (n_inputs,); True ends the search.
        """
        if not self.region.exact_encoding:
            with self.watch("solve"):
                self._descend(self._arrays(), stall=_GAIN)
        for round_ in range(1, ROUNDS + 1):
            with self.watch("build"):
                arrays = self._arrays()
            answer = ask(arrays)
            if settled(answer) or answer.values is None or self.region.exact_encoding:
                return
            with self.watch("solve"):
                if not self.cut(answer.values):
                    return
                point = self._pattern(arrays, answer.values)
            if point is not None and offer(point):
                return
            self.exhausted = round_ == ROUNDS

    def _arrays(self) -> ProgramArrays:
        return self.program.freeze(self.objective)

    def cut(self, values: Array) -> bool:
        """Add the rows a point outside the region violates; whether there are any.

        Parameters
        ----------
        values : array, shape (n_columns,)
            All columns of the program.
        """
        forms, sides = self.region.cuts(self.inputs, values[self.inputs][None])
        wrong = np.flatnonzero(forms.evaluate(values) > sides + _OUTSIDE)
        self.program.add_rows(forms.select(wrong), lower=-np.inf, upper=sides[wrong])
        return bool(wrong.size)

    def _pattern(self, arrays: ProgramArrays, values: Array) -> Array | None:
        """Best point of the linear piece a solution lies on, with cuts added on the way."""
        whole = np.round(values)
        lower = np.where(arrays.integer, whole, arrays.lower)
        upper = np.where(arrays.integer, whole, arrays.upper)
        best = self._descend(replace(self._arrays(), lower=lower, upper=upper), stall=0.0)
        return None if best is None else best[self.inputs]

    def _descend(self, arrays: ProgramArrays, *, stall: float) -> Array | None:
        """Solve the linear relaxation again and again, each time with the last point cut off."""
        best, before = None, -np.inf
        for _ in range(LINEAR_ROUNDS):
            relaxed = replace(arrays, integer=np.zeros(arrays.n_columns, dtype=bool))
            limits = Limits(time=self.watch.left)
            answer = solve(relaxed, limits=limits, threads=self.threads, seed=self.seed)
            if answer.values is None or answer.objective is None:
                return best
            best = answer.values
            gain, before = answer.objective - before, answer.objective
            if answer.objective >= self.cutoff or gain < stall * (1.0 + abs(before)):
                return best
            if not self.cut(answer.values):
                return best
            rows = self._arrays()
            arrays = replace(rows, lower=arrays.lower, upper=arrays.upper)
        return best
