"""The nearest adversarial point known: exact replays, and attacks that shrink the ball."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mipnet.clocks import Stopwatch
from mipnet.network import Network
from mipnet.network.layers.base import Array
from mipnet.region import Region, ball
from mipnet.search.attack import ascend, start_points
from mipnet.search.distance import distance
from mipnet.search.goal import Stack
from mipnet.search.verdict import Witness

Index = npt.NDArray[np.intp]

#: Steps of each of the grids that walk from a witness to the centre, and how many there are.
_GRID, _GRIDS = 32, 4
#: Attacks at ever better chosen radii, and the relative accuracy at which they stop.
_ATTACKS, _CLOSE = 12, 0.05
#: Clauses tried once a witness is known.
_PROMISING = 12
#: Changed coordinates up to which each is tried for being put back.
_FEW_CHANGED = 256


@dataclass
class Nearest:
    """The nearest witness found so far.

    Attributes
    ----------
    network : Network
    stack : Stack
        The clauses; a witness makes one of them positive.
    norm : str
    centre : array, shape (n_inputs,)
    lower, upper : array or None
        The domain; None on an open side.
    most : float
        Largest distance of interest.
    witness : Witness or None
    distance : float
        Of the witness, rounded up; infinite without one.
    """

    network: Network
    stack: Stack
    norm: str
    centre: Array
    lower: Array | None
    upper: Array | None
    most: float
    witness: Witness | None = field(init=False, default=None)
    distance: float = field(init=False, default=np.inf)
    _promising: Index = field(init=False)

    def __post_init__(self) -> None:
        self._promising = np.arange(len(self.stack.clauses))

    def ball(self, radius: float) -> Region:
        """All points of the domain within a distance of the centre."""
        return ball(self.centre, radius, self.norm, self.lower, self.upper)

    def margins(self, points: Array) -> Array:
        """Margins of all clauses in float64, shape (batch, clauses)."""
        outputs = self.network(points).reshape(len(points), -1)
        return np.stack([c.margin(outputs) for c in self.stack.clauses], axis=-1)

    def offer(self, point: Array, *, held: bool = False) -> bool:
        """Take over a point, if it is adversarial in every precision and nearer than the last.

        Parameters
        ----------
        point : array, shape (n_inputs,)
        held : bool
            Whether only a point will do whose changed coordinates the model can hold: it would
            round any other input first. Such a point is tried first anyway.
        """
        known = np.where(np.isfinite(point), point, self.centre)
        if self.lower is not None or self.upper is not None:
            known = np.clip(known, self.lower, self.upper)
        if self.network.dtype == "float64":
            return self._take(known)
        return self._take(self._held(known)) or (not held and self._take(known))

    def _held(self, point: Array) -> Array:
        """Nearby point of the domain with coordinates that the model can hold."""
        near = point.astype(self.network.dtype)
        for bound, end in ((self.lower, np.inf), (self.upper, -np.inf)):
            if bound is not None:
                outside = (bound - near.astype(np.float64)) * np.sign(end) > 0.0
                inward = np.nextafter(near, near.dtype.type(end))
                near = np.where(outside, inward, near)
        return np.where(point == self.centre, self.centre, near.astype(np.float64))

    def _take(self, point: Array) -> bool:
        for bound, sign in ((self.lower, 1.0), (self.upper, -1.0)):
            if bound is not None and not np.all(sign * (point - bound) >= 0.0):
                return False
        length = distance(self.norm, point, self.centre)
        if not (length < self.distance and length <= self.most):
            return False
        exact = self.margins(point[None])[0]
        outputs = self.network.replay(point).reshape(1, -1)
        own = np.array([float(c.margin(outputs)[0]) for c in self.stack.clauses])
        least = np.minimum(exact, own)
        best = int(np.argmax(least))
        if not least[best] > 0.0:
            return False
        point = point.copy()
        point.flags.writeable = False
        self.witness = Witness(point, best, float(exact[best]), float(own[best]))
        self.distance = length
        return True

    def pull(self, point: Array) -> bool:
        """Offer an adversarial point, and the nearest one between it and the centre."""
        if self.norm == "l0":
            return self.offer(self._put_back(point)) or self.offer(point)
        step = point - self.centre
        share = self._share(step)
        # A margin of nothing may vanish in another precision: step back a little.
        shares = [min(1.0, share * (1.0 + back)) for back in (0.0, 1e-6, 1e-4, 1e-2)]
        pulled = any(self.offer(self.centre + s * step, held=True) for s in shares)
        return pulled or self.offer(point)

    def _share(self, step: Array) -> float:
        """Smallest share of a step at which the network was seen to be fooled."""
        low, high = 0.0, 1.0
        for _ in range(_GRIDS):
            shares = np.linspace(low, high, _GRID + 1)[1:]
            margins = self.margins(self.centre + shares[:, None] * step).max(axis=1)
            hits = np.flatnonzero(margins > 0.0)
            if not hits.size:
                break
            high = float(shares[hits[0]])
            low = high - (shares[1] - shares[0])
        return high

    def _put_back(self, point: Array) -> Array:
        """Adversarial point with fewer changed coordinates: the unimportant ones are put back."""
        best = int(np.argmax(self.margins(point[None])[0]))
        clause = self.stack.clauses[best]
        seed = clause.rows[int(np.argmin(clause.rows @ self.network(point).reshape(-1)))]
        shape = (1, *self.network.shapes[self.network.output])
        inputs = point.reshape(1, *self.network.input_shape)
        slope = self.network.gradient(inputs, seed.reshape(shape)).reshape(-1)
        moved = np.flatnonzero(point != self.centre)
        order = moved[np.argsort(-slope[moved] * (point - self.centre)[moved], kind="stable")]
        kept = self._thinned(point, order[: self._enough(point, order)])
        return np.asarray(self._mixed(point, [kept])[0])

    def _mixed(self, point: Array, kept: list[Index]) -> Array:
        """Centres with some coordinates of a point, one for each choice of coordinates."""
        points = np.repeat(self.centre[None], len(kept), axis=0)
        for row, chosen in zip(points, kept, strict=True):
            row[chosen] = point[chosen]
        return points

    def _enough(self, point: Array, order: Index) -> int:
        """Return how many leading coordinates, changed alone, fool the network."""
        low, high = 0, int(order.size)
        while high - low > 1:
            counts = np.unique(np.linspace(low, high, _GRID + 1).astype(int))[1:]
            finest = counts.size == high - low
            margins = self.margins(self._mixed(point, [order[:k] for k in counts])).max(axis=1)
            hits = np.flatnonzero(margins > 0.0)
            if not hits.size:
                break
            high = int(counts[hits[0]])
            low = int(counts[hits[0] - 1]) if hits[0] else low
            if finest:
                break
        return high

    def _thinned(self, point: Array, kept: Index) -> Index:
        """Return the coordinates without those that can be put back one after the other."""
        while 1 < kept.size <= _FEW_CHANGED:
            choices = [np.delete(kept, i) for i in range(kept.size)]
            margins = self.margins(self._mixed(point, choices)).max(axis=1)
            most = int(np.argmax(margins))
            if not margins[most] > 0.0:
                break
            kept = choices[most]
        return kept

    def attack(self, radius: float, rng: np.random.Generator, restarts: int) -> bool:
        """Projected gradient within a ball; True when a nearer point is found.

        The first time every clause is tried from every start, later the promising ones only.
        """
        region, chosen = self.ball(radius), self._promising
        starts = start_points(region, rng, restarts)
        if self.witness is not None:
            near = region.project(self.witness.point[None])
            starts = np.concatenate([near, starts[: max(1, restarts // 4)]])
        clauses, count = [self.stack.clauses[i] for i in chosen], len(starts)
        most = max(len(c.rows) for c in clauses)
        pick = [np.minimum(np.arange(most), len(c.rows) - 1) for c in clauses]
        rows = np.stack([c.rows[p] for c, p in zip(clauses, pick, strict=True)])
        offsets = np.stack([c.offsets[p] for c, p in zip(clauses, pick, strict=True)])
        points, values = ascend(
            self.network,
            region,
            np.repeat(rows, count, axis=0),
            np.repeat(offsets, count, axis=0),
            np.tile(starts, (len(clauses), 1)),
        )
        before = self.distance
        for i in np.argsort(-values)[:count]:
            if values[i] > 0.0:
                self.pull(points[i])
        if self.witness is not None:
            best = np.argsort(-values.reshape(len(clauses), count).max(axis=1))[:_PROMISING]
            kept = {int(chosen[i]) for i in best} | {self.witness.clause}
            self._promising = np.array(sorted(kept))
        return self.distance < before

    def search(self, first: float, last: float, watch: Stopwatch, seed: int, restarts: int) -> None:
        """Attack at growing radii until one succeeds, then at shrinking ones.

        Parameters
        ----------
        first, last : float
            Radii to grow from and to; equal to start with the whole domain.
        watch : Stopwatch
            When to stop.
        seed, restarts : int
        """
        rng = np.random.default_rng(seed)
        radius = first
        while not watch.expired and not self.attack(radius, rng, restarts) and radius < last:
            radius = min(2.0 * radius, last)
        failed = 0.0
        for _ in range(_ATTACKS):
            if self.witness is None or watch.expired:
                return
            step = 1.0 if self.norm == "l0" else _CLOSE * self.distance
            if self.distance - failed <= step:
                return
            # Halfway between what failed and what is known.
            radius = 0.5 * (failed + self.distance)
            radius = float(np.floor(radius)) if self.norm == "l0" else radius
            if not self.attack(radius, rng, restarts):
                failed = max(radius, failed)
