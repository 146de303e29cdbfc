"""Deciding clauses by branch and bound of our own: over the inputs, or over phases of neurons.

Where there are few inputs, boxes are halved; where there are some, both ways take turns, because
which of them closes a question cannot be told beforehand. Elsewhere tight bounds of the hidden
neurons are worth more than a long search over the outputs, so every round first tightens the stages
by branch and bound, then gives the open clauses a share of the same size. Every round may take four
times as many subproblems as the one before.
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

#: Inputs up to which boxes are halved, and up to which they are halved in turns with phases.
FEW_INPUTS, SOME_INPUTS = 8, 40
#: Subproblems over phases that cost about as much as one box.
PHASES = 8
#: Growth of the number of subproblems from round to round.
GROWTH = 4
#: While hidden neurons get tighter, clauses are split once the worst bound is at most so many times
#: as far from zero as the best known point is.
_NEAR = 20.0


def ways(region: Region, chain: Chain | None) -> tuple[bool, ...]:
    """How to split, in turns: the boxes of inputs (True), the phases of neurons (False).

    Parameters
    ----------
    region : Region
    chain : Chain or None
        With one hidden layer its phases have the hull of their planes, and no boxes are needed.
    """
    if region.n_inputs <= FEW_INPUTS:
        return (True,)
    some = region.n_inputs <= SOME_INPUTS and not (chain is not None and one_hidden_layer(chain))
    return (True, False) if some else (False,)


def first_round(region: Region) -> tuple[int, int]:
    """Boxes of the first round, and rounds before a MIP is worth a try.

    Parameters
    ----------
    region : Region
    """
    return 500, 6 if region.n_inputs <= FEW_INPUTS else 4


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
        self._boxes, self.patience = first_round(question.region)
        self._tasks: dict[bool, list[tuple[list[int], Splitting]]] = {}
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
        for bisect in ways(self.question.region, self._tightening.chain):
            size = self._boxes if bisect else PHASES * self._boxes
            tighter = False
            if not bisect:
                for bounds in self._tightening.round(watch, size):
                    # A tree over looser bounds is left for one over a smaller program.
                    self._tasks.pop(bisect, None)
                    tighter = True
                    yield bounds
            if watch.expired or self.question.decided():
                return
            if bisect or not tighter or self._near():
                self._split(watch, size, bisect=bisect)
        self._boxes *= GROWTH

    def _near(self) -> bool:
        """Whether bounds are tight enough for a search over the outputs."""
        question = self.question
        outputs = question.network(question.points).reshape(len(question.points), -1)
        reach = max(float(question.clauses[i].margin(outputs).max()) for i in question.open)
        worst = max(question.results[i].bound for i in question.open)
        return worst <= _NEAR * max(1e-12, -reach)

    def _split(self, watch: Stopwatch, subproblems: float, *, bisect: bool) -> None:
        """Split the open clauses."""
        question = self.question
        if bisect not in self._tasks:
            self._tasks[bisect] = self._fresh(watch, bisect=bisect)
        method = "bisection" if bisect else "splitting"
        for clauses, task in self._tasks[bisect]:
            if not set(clauses) & set(question.open):
                continue
            task.run(watch, subproblems=subproblems, threads=self._threads)
            if question.witness is not None:
                return
            detail = f"{task.visited} subproblems"
            for i, bound in zip(clauses, task.bounds.tolist(), strict=True):
                if bound > 0.0 and question.results[i].outcome == "open":
                    # The weights of a clause's rows add up to one within rounding only.
                    least = -bound * (1.0 - 1e-6)
                    question.exclude(i, method, nodes=task.visited, detail=detail, bound=least)

    def _fresh(self, watch: Stopwatch, *, bisect: bool) -> list[tuple[list[int], Splitting]]:
        """Branch and bound for the clauses open now: one for all, or one for each."""
        question, chain = self.question, self._tightening.chain
        if chain is None:
            return []
        apart = not bisect and one_hidden_layer(chain)
        groups = [[i] for i in question.open] if apart else [question.open]
        return [(group, self._task(chain, group, watch, bisect=bisect)) for group in groups]

    def _task(
        self, chain: Chain, clauses: list[int], watch: Stopwatch, *, bisect: bool
    ) -> Splitting:
        """Branch and bound for some clauses."""
        question, stack = self.question, self.question.stack
        weights = np.zeros((len(clauses), len(stack.rows)))
        for k, i in enumerate(clauses):
            count = len(stack.clauses[i].rows)
            weights[k, stack.starts[i] : stack.starts[i] + count] = -1.0 / count

        def hit(point: Array, target: int) -> bool:
            del target
            inside = question.region.project(point[None])[0]
            return question.confirm(inside, "bisection" if bisect else "splitting")

        goals = np.zeros(len(weights))
        return Splitting(
            chain, question.region, weights, goals, bisect=bisect, hit=hit, watch=watch
        )
