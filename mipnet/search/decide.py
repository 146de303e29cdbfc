"""The engine of every yes-or-no question: attack, bounds, then branch and bound of three kinds.

Bisection of the inputs where there are few, splitting of the phases of neurons where the network is
a chain, one MIP a clause for what is left.
"""

from __future__ import annotations

from dataclasses import replace

from mipnet.bounds import METHODS, Bounds, alpha_bounds, first_bounds, lp_bounds
from mipnet.clocks import Stopwatch
from mipnet.network.layers.base import Array
from mipnet.region import Box
from mipnet.search.bisection import Leaf, exclude_by_bisection
from mipnet.search.clause_mip import MARGIN, ClauseMip
from mipnet.search.phases import PhaseSearch
from mipnet.search.question import Question, Settings
from mipnet.threads import one_blas_thread

#: Inputs up to which boxes are bisected before any MIP, how many boxes at most, and the share
#: of the time left they may take.
BISECTION_INPUTS, BISECTION_BOXES, BISECTION_SHARE = 8, 200_000, 0.7
#: Unstable neurons up to which a MIP is quicker than any bisection or splitting.
MIP_UNSTABLE = 30
#: Share of the time left that LP tightening may take, and its limit without a time limit.
LP_SHARE, LP_SECONDS = 0.2, 20.0
#: Rounds of splitting before the MIP gets a turn, and the share of the time left of that turn.
_ROUNDS, _TURN = 3, 0.3


class Decision(Question):
    """A question, and the search that answers it."""

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
        bounds = self._bounds()
        if bounds is None:
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
                    bounds.network,
                    self.region,
                    budget=self.share(),
                    threads=self.settings.threads,
                    first=bounds,
                )
            if not self.accept(bounds) or self.decided():
                return
        if self.settings.bounds == "milp":
            self._split(bounds)
        else:
            ClauseMip(self, bounds, self.watch).run()

    def _bounds(self) -> Bounds | None:
        """Bounds with optimised slopes; None when they decide, or must not be used."""
        goals, level = self.goals(), METHODS.index(self.settings.bounds)
        with self.watch("bound"):
            bounds = first_bounds(goals, self.region, self.settings.bounds)
        if not self.accept(bounds) or self.decided():
            return None
        if level < METHODS.index("alpha"):
            return bounds
        with self.watch("bound"):
            bounds = alpha_bounds(goals, self.region, budget=self.share(), first=bounds)
        return bounds if self.accept(bounds) and not self.decided() else None

    def _split(self, bounds: Bounds) -> None:
        """Rounds of splitting, with a turn for the MIP among them."""
        search = PhaseSearch(self, bounds)
        rounds = 0
        while search.possible and self.n_unstable > MIP_UNSTABLE and not self.watch.expired:
            if rounds == _ROUNDS:
                left = self.watch.left
                ClauseMip(
                    self, search.bounds, Stopwatch(None if left is None else _TURN * left)
                ).run()
                if self.decided() or left is None:
                    return
            with self.watch("bound"):
                for found in search.round(self.watch):
                    if not self.accept(found) or self.decided():
                        return
            if self.decided():
                return
            rounds += 1
        if self.watch.expired:
            self.reason = "time limit reached"
            return
        ClauseMip(self, search.bounds, self.watch).run()

    def share(self) -> float:
        """Seconds that one tightening step may take."""
        left = self.watch.left
        return LP_SECONDS if left is None else LP_SHARE * left

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
        for i in self.open:
            self.exclude(i, "bisection", nodes=visited, detail=f"{visited} boxes")

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


__all__ = ["MARGIN", "Decision", "Settings"]
