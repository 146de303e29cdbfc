"""The engine of every yes-or-no question: attack, bounds, branch and bound, one MIP a clause."""

from __future__ import annotations

from mipnet.bounds import METHODS, Bounds, alpha_bounds, first_bounds, lp_bounds
from mipnet.clocks import Stopwatch
from mipnet.search.clause_mip import MARGIN, ClauseMip
from mipnet.search.question import Question, Settings
from mipnet.search.trees import TreeSearch
from mipnet.threads import one_blas_thread

#: Unstable neurons up to which a MIP is quicker than a second round of branch and bound.
MIP_UNSTABLE = 30
#: Unstable neurons beyond which no MIP was seen to close what the trees left open.
MIP_HOPELESS = 1000
#: Share of the time left that LP tightening may take, and its limit without a time limit.
LP_SHARE, LP_SECONDS = 0.2, 20.0
#: Share of the time left of the MIP's turn between rounds of branch and bound.
_TURN = 0.3


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
            method, left = self.settings.bounds, self.watch.left
            bounds = first_bounds(goals, self.region, method, budget=left)
        if not self.accept(bounds) or self.decided():
            return None
        if level < METHODS.index("alpha"):
            return bounds
        with self.watch("bound"):
            bounds = alpha_bounds(goals, self.region, budget=self.share(), first=bounds)
        return bounds if self.accept(bounds) and not self.decided() else None

    def _split(self, bounds: Bounds) -> None:
        """Search in rounds of branch and bound, with a turn for the MIP among them."""
        search, rounds = TreeSearch(self, bounds), 0
        while search.possible and not self.watch.expired:
            left = self.watch.left
            hopeless = left is not None and self.n_unstable > MIP_HOPELESS
            if rounds == search.patience and not hopeless:
                turn = self.watch if left is None else Stopwatch(_TURN * left)
                ClauseMip(self, search.bounds, turn).run()
                if self.decided() or left is None:
                    return
            elif rounds and self.n_unstable <= MIP_UNSTABLE:
                break
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


__all__ = ["MARGIN", "Decision", "Settings"]
