"""A yes-or-no question about a network, and what is known of it so far.

A question is a region and a set of clauses over the outputs. It ends with a point that reaches a
clause, replayed, or with a proof for every clause that no point does; anything else stays open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mipnet.bounds import METHODS, Bounds
from mipnet.choice import Choice
from mipnet.clocks import Stopwatch
from mipnet.errors import BoundsError, QueryError
from mipnet.network import Affine, Network
from mipnet.network.layers.base import Array
from mipnet.region import Region
from mipnet.search.attack import ascend, share_of, start_points
from mipnet.search.goal import Clause, Stack
from mipnet.search.verdict import ClauseResult, Witness
from mipnet.solver import highs_version

#: Points one batch of the attack starts from, at most.
_STARTS = 4096


@dataclass
class Settings:
    """How to search.

    Attributes
    ----------
    bounds : {"milp", "lp", "alpha", "crown", "interval"}
    formulation : str, Formulation, or mapping of layer to them
    restarts : int
        Start points of the attack for each clause.
    threads : int
    seed : int
    strict : bool
        Whether a clause is reached only above zero.
    """

    bounds: str = "milp"
    formulation: Choice = "big_m"
    restarts: int = 8
    threads: int = 1
    seed: int = 0
    strict: bool = True

    def __post_init__(self) -> None:
        if self.bounds not in METHODS:
            msg = f"unknown bounding method {self.bounds!r}; known: {', '.join(METHODS)}"
            raise BoundsError(msg)
        for name, least in (("restarts", 0), ("threads", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < least:
                msg = f"{name} must be a whole number of at least {least}, not {value!r}"
                raise QueryError(msg)


@dataclass
class Question:
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

    @property
    def open(self) -> list[int]:
        """Clauses still open."""
        return [i for i, r in enumerate(self.results) if r.outcome == "open"]

    def goals(self) -> Network:
        """Return the network followed by the rows of all clauses."""
        return self.network.then(Affine(self.stack.rows, self.stack.offsets), "goal")

    def accept(self, bounds: Bounds) -> bool:
        """Take over what bounds prove, unless a known point contradicts them."""
        with self.watch("check"):
            wrong = bounds.violation(self.points)
        if wrong is not None:
            self.reason = f"bounds contradicted by a point of the region: {wrong}"
            return False
        self.n_unstable, self.solver = bounds.n_unstable, self.solver or solver_of(bounds)
        upper = self.stack.tightest(bounds.output.upper.reshape(-1))
        for i, bound in enumerate(upper.tolist()):
            known = self.results[i]
            least = min(known.bound, bound)
            outcome = "excluded" if least < 0.0 else known.outcome
            tighter = least < known.bound and known.outcome != "excluded"
            method = strongest(bounds) if tighter else known.method
            self.results[i] = replace(known, outcome=outcome, method=method, bound=least)
        return True

    def exclude(self, i: int, method: str, *, nodes: int, detail: str, bound: float = 0.0) -> None:
        """Record that a clause is proven out of reach."""
        known = self.results[i]
        self.results[i] = replace(
            known,
            outcome="excluded",
            method=method,
            bound=min(known.bound, bound),
            nodes=nodes,
            detail=detail,
        )

    def attack(self) -> None:
        """Projected gradient from the centre and random points, for every clause at once."""
        rng = np.random.default_rng(self.settings.seed)
        few = max(1, min(self.settings.restarts, _STARTS // len(self.clauses)))
        starts = start_points(self.region, rng, few)
        turn, self.points = share_of(self.watch), self.region.centre[None]
        size = max(1, _STARTS // few)
        for first in range(0, len(self.clauses), size):
            if self._attack(self.clauses[first : first + size], starts) or turn.expired:
                return

    def _attack(self, clauses: Sequence[Clause], starts: Array) -> bool:
        """Attack some clauses at once; whether one was reached."""
        most = max(len(c.rows) for c in clauses)
        # Shorter clauses repeat their first row, which changes no minimum.
        pick = [np.minimum(np.arange(most), len(c.rows) - 1) for c in clauses]
        rows = np.stack([c.rows[p] for c, p in zip(clauses, pick, strict=True)])
        offsets = np.stack([c.offsets[p] for c, p in zip(clauses, pick, strict=True)])
        count = len(starts)
        points, values = ascend(
            self.network,
            self.region,
            np.repeat(rows, count, axis=0),
            np.repeat(offsets, count, axis=0),
            np.tile(starts, (len(clauses), 1)),
            watch=self.watch,
        )
        self.points = np.concatenate([self.points, points])
        for i in np.argsort(-values)[: 4 * count]:
            if not self.positive(float(values[i])):
                break
            if self.confirm(points[i], "attack"):
                return True
        return False

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

    def leave_open(self, i: int, detail: str) -> None:
        """Record why a clause stays open."""
        named = f"{self.clauses[i].name}: {detail}"
        self.results[i] = replace(self.results[i], outcome="open", detail=named)


def strongest(bounds: Bounds) -> str:
    """Costliest of the methods that made bounds what they are."""
    return max(bounds.methods.values(), key=lambda m: METHODS.index(m) if m in METHODS else -1)


def solver_of(bounds: Bounds) -> str:
    """Solver whose linear programs tightened bounds, and its version; empty where none did."""
    return f"HiGHS {highs_version()}" if "lp" in bounds.methods.values() else ""


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
