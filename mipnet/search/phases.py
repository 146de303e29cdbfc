"""Deciding clauses by splitting the phases of neurons, with bounds tightened on the way.

Tight bounds of the hidden neurons are worth more than a long search over the outputs, so every
round first tightens the stages by branch and bound, then gives the open clauses a share of the
same size; every round may take four times as many subproblems as the one before.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mipnet.bounds import Bounds
from mipnet.bounds.milp import Tightening
from mipnet.bounds.splitting import Splitting
from mipnet.clocks import Stopwatch
from mipnet.network.layers.base import Array
from mipnet.search.question import Question

#: Subproblems of one stage, or of the clauses, in the first round; growth from round to round.
FIRST, GROWTH = 4000, 4
#: Clauses are split once the worst bound is at most so many times as far from zero as the best
#: known point is.
_NEAR = 20.0


class PhaseSearch:
    """Rounds of tightening and splitting for the open clauses of a question.

    Parameters
    ----------
    question : Question
    bounds : Bounds
        Of the network followed by the rows of all clauses.
    """

    def __init__(self, question: Question, bounds: Bounds) -> None:
        self.question = question
        self._tightening = Tightening(bounds, question.region, threads=question.settings.threads)
        self._subproblems = FIRST
        self.possible = self._tightening.possible

    @property
    def bounds(self) -> Bounds:
        """What is proven so far."""
        return self._tightening.bounds

    @property
    def n_unstable(self) -> int:
        """Unstable neurons left."""
        return self.bounds.n_unstable

    def round(self, watch: Stopwatch) -> Iterator[Bounds]:
        """Tighten every stage, then split the open clauses.

        Yields
        ------
        Bounds
            After every stage that got tighter: whoever asks decides whether to go on.
        """
        yield from self._tightening.round(watch, self._subproblems)
        self._clauses(watch)
        self._subproblems *= GROWTH

    def _clauses(self, watch: Stopwatch) -> None:
        """Split the open clauses."""
        question, chain = self.question, self._tightening.chain
        if chain is None or watch.expired:
            return
        clauses, rows = self._targets()
        upper = self.bounds.output.upper.reshape(-1)[rows]
        if float(upper.max()) > _NEAR * self._distance():
            return
        weights = np.zeros((len(rows), len(question.stack.rows)))
        weights[np.arange(len(rows)), rows] = -1.0

        def hit(point: Array, target: int) -> bool:
            del target
            return question.confirm(point, "splitting")

        task = Splitting(chain, question.region, weights, np.zeros(len(rows)), hit=hit)
        task.run(watch, subproblems=self._subproblems, threads=question.settings.threads)
        if question.witness is not None:
            return
        detail = f"{task.visited} subproblems"
        for i, bound in zip(clauses, task.bounds.tolist(), strict=True):
            if bound > 0.0:
                question.exclude(i, "splitting", nodes=task.visited, detail=detail, bound=-bound)

    def _targets(self) -> tuple[list[int], list[int]]:
        """Open clauses, and the row of each that is nearest to excluding it."""
        question, upper = self.question, self.bounds.output.upper.reshape(-1)
        parts = question.stack.split(upper)
        rows = [question.stack.starts[i] + int(np.argmin(parts[i])) for i in question.open]
        return question.open, rows

    def _distance(self) -> float:
        """How far the known points stay from every open clause."""
        question = self.question
        outputs = question.network(question.points).reshape(len(question.points), -1)
        margins = [float(question.clauses[i].margin(outputs).max()) for i in question.open]
        return max(1e-12, -max(margins))
