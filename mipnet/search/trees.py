"""Deciding clauses by branch and bound of our own: over the inputs, or over phases of neurons.

Where there are few inputs, boxes are halved. Elsewhere tight bounds of the hidden neurons are worth
more than a long search over the outputs, so every round first tightens the stages by branch and
bound, then gives the open clauses a share of the same size. Every round may take four times as many
subproblems as the one before.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mipnet.bounds import Bounds
from mipnet.bounds.chain import Chain
from mipnet.bounds.milp import Tightening
from mipnet.bounds.splitting import Splitting, one_hidden_layer
from mipnet.clocks import Stopwatch
from mipnet.network.layers.base import Array
from mipnet.region import Region
from mipnet.search.question import Question

#: Inputs up to which boxes are halved.
FEW_INPUTS = 8
#: Growth of the number of subproblems from round to round.
GROWTH = 4
#: Clauses are split once the worst bound is at most so many times as far from zero as the best
#: known point is.
_NEAR = 20.0


def first_round(region: Region) -> tuple[int, int]:
    """Subproblems of one stage, or of the clauses, in the first round; rounds before a MIP's turn.

    Parameters
    ----------
    region : Region
    """
    return (500, 6) if region.n_inputs <= FEW_INPUTS else (4000, 4)


class TreeSearch:
    """Rounds of branch and bound for the open clauses of a question.

    Parameters
    ----------
    question : Question
    bounds : Bounds
        Of the network followed by the rows of all clauses.

    Attributes
    ----------
    possible : bool
        Whether the network is a chain of affine maps and ReLUs; no other is searched.
    patience : int
        Rounds before a MIP is worth a try.
    """

    def __init__(self, question: Question, bounds: Bounds) -> None:
        self.question = question
        self._threads = question.settings.threads
        self._tightening = Tightening(bounds, question.region, threads=self._threads)
        self._subproblems, self.patience = first_round(question.region)
        self._few = question.region.n_inputs <= FEW_INPUTS
        self._tasks: list[tuple[list[int], Splitting]] = []
        self.possible = self._tightening.possible

    @property
    def bounds(self) -> Bounds:
        """What is proven so far."""
        return self._tightening.bounds

    def round(self, watch: Stopwatch) -> Iterator[Bounds]:
        """Tighten every stage, then split the open clauses.

        Yields
        ------
        Bounds
            After every stage that got tighter: whoever asks decides whether to go on.
        """
        if not self._few:
            for bounds in self._tightening.round(watch, self._subproblems):
                # A tree over looser bounds is left for one over a smaller program.
                self._tasks = []
                yield bounds
        if not watch.expired and (self._few or self._near()):
            self._split(watch)
        self._subproblems *= GROWTH

    def _near(self) -> bool:
        """Whether bounds are tight enough for a search over the outputs."""
        question = self.question
        outputs = question.network(question.points).reshape(len(question.points), -1)
        reach = max(float(question.clauses[i].margin(outputs).max()) for i in question.open)
        worst = max(question.results[i].bound for i in question.open)
        return worst <= _NEAR * max(1e-12, -reach)

    def _split(self, watch: Stopwatch) -> None:
        """Split the open clauses."""
        question = self.question
        if not self._tasks:
            self._tasks = self._fresh(watch)
        method = "bisection" if self._few else "splitting"
        for clauses, task in self._tasks:
            task.run(watch, subproblems=self._subproblems, threads=self._threads)
            if question.witness is not None:
                return
            detail = f"{task.visited} subproblems"
            for i, bound in zip(clauses, task.bounds.tolist(), strict=True):
                if bound > 0.0 and question.results[i].outcome == "open":
                    # The weights of a clause's rows add up to one within rounding only.
                    least = -bound * (1.0 - 1e-6)
                    question.exclude(i, method, nodes=task.visited, detail=detail, bound=least)

    def _fresh(self, watch: Stopwatch) -> list[tuple[list[int], Splitting]]:
        """Branch and bound for the clauses open now: one for all, or one for each."""
        question, chain = self.question, self._tightening.chain
        if chain is None:
            return []
        apart = not self._few and one_hidden_layer(chain)
        groups = [[i] for i in question.open] if apart else [question.open]
        return [(group, self._task(chain, group, watch)) for group in groups]

    def _task(self, chain: Chain, clauses: list[int], watch: Stopwatch) -> Splitting:
        """Branch and bound for some clauses."""
        question, stack = self.question, self.question.stack
        weights = np.zeros((len(clauses), len(stack.rows)))
        for k, i in enumerate(clauses):
            count = len(stack.clauses[i].rows)
            weights[k, stack.starts[i] : stack.starts[i] + count] = -1.0 / count

        def hit(point: Array, target: int) -> bool:
            del target
            return question.confirm(point, "bisection" if self._few else "splitting")

        goals = np.zeros(len(weights))
        return Splitting(
            chain, question.region, weights, goals, bisect=self._few, hit=hit, watch=watch
        )
