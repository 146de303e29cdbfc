"""How far the nearest adversarial point of a classifier is, with proof on both sides."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mipnet.choice import Choice, solvable
from mipnet.clocks import Stopwatch, seconds, stopwatch
from mipnet.errors import QueryError, RegionError
from mipnet.network import Network
from mipnet.network.layers.base import Array
from mipnet.network.readers import load
from mipnet.region import ball
from mipnet.search.classes import wrong_classes
from mipnet.search.decide import MARGIN, Settings
from mipnet.search.distance import DISTANCE_MARGIN, checked_norm, reach
from mipnet.search.distortion_result import (
    CertifiedRadius,
    ClassDistance,
    Distortion,
    DistortionStatus,
    RadiusMethod,
    proven_radius,
)
from mipnet.search.goal import Stack
from mipnet.search.nearest import Nearest
from mipnet.search.nearest_program import close_by_programs, polish_witness
from mipnet.search.radius_search import RadiusSearch
from mipnet.solver import FEASIBILITY

#: Radius, relative to the size of the centre, at which the search of an open domain ends.
_OPEN_END = 2.0**20
#: Least tolerance.
_FINEST = 1e-6
#: Share of the time for the bounds before any exact question, and their accuracy.
_BOUND_SHARE, _BOUND_ACCURACY = 0.3, 0.05
#: Share of the time for the attacks before any proof.
_ATTACK_SHARE = 0.3
#: What "proven" rests on.
TOLERANCES = {"feasibility": FEASIBILITY, "margin": MARGIN, "distance": DISTANCE_MARGIN}


def minimal_distortion(
    network: Network,
    x: npt.ArrayLike,
    label: int | None = None,
    *,
    norm: str = "linf",
    target: int | None = None,
    lower: npt.ArrayLike | None = None,
    upper: npt.ArrayLike | None = None,
    max_radius: float | None = None,
    tolerance: float = 1e-4,
    time_limit: float | None = None,
    bounds: str = "milp",
    formulation: Choice = "big_m",
    restarts: int = 8,
    threads: int = 1,
    seed: int = 0,
) -> Distortion:
    """Distance of the nearest point that the network does not give the class ``label``.

    An attack that shrinks its ball gives a witness, bounds over growing balls a first lower bound;
    programs that minimise the distance (Tjeng, Xiao and Tedrake, ICLR 2019, section 3) and
    decisions over single balls close the gap.

    Parameters
    ----------
    network : Network or anything :func:`mipnet.load` reads
    x : array_like, of ``input_shape`` or flat
        The point to start from.
    label : int, optional
        The right class; the class of ``x`` when absent.
    norm : {"linf", "l1", "l2", "l0"}
        ``l0`` counts changed inputs and needs a domain with finite bounds. ``l2`` is minimised
        over an outer linearisation, which the answer does not rest on: the lower bound is proven,
        the upper one is the length of a point.
    target : int, optional
        Ask for a point given this class; any class but ``label`` when absent.
    lower, upper : array_like, optional
        Domain of the inputs (scalars or one value each); the input bounds of the network when
        absent, and no restriction where it has none.
    max_radius : float, optional
        Look no further than this; 2**20 times the size of ``x`` when neither this nor the domain
        sets a limit.
    tolerance : float
        Gap between the bounds that ends the search, relative to the upper one; at least 1e-6,
        where the margins of the proofs are. Less than 1e-9 times the size of ``x`` is no gap.
    time_limit : float, optional
        Seconds for the whole call.
    bounds : {"milp", "lp", "alpha", "crown", "interval"}
        Bounding method.
    formulation : str, Formulation, or mapping of layer to them
        How unstable neurons are written where a MIP is solved: ``"auto"``, ``"big_m"``,
        ``"partition"``, ``"ideal"``, for all or by layer or neuron (:data:`mipnet.choice.Choice`).
    restarts : int
        Start points of each attack for each class.
    threads : int
        Solver threads.
    seed : int
        Seed of attack and solver.

    Returns
    -------
    Distortion
        What is known when the gap closes, the time is up or the call is interrupted.

    Raises
    ------
    QueryError
        When label, target, norm, tolerance or a limit is out of range, or the network has one
        output.
    RegionError
        When the domain is empty, does not hold ``x``, or has no finite bounds and the norm is l0.
    """
    watch = stopwatch(time_limit)
    question = _Question.build(
        network, x, classes=(label, target), norm=norm, domain=(lower, upper), most=max_radius
    )
    settings = Settings(bounds, formulation, restarts, threads, seed)
    search = question.search(settings, tolerance, watch)
    search.run(question.close)
    return question.distortion(search)


def certified_radius(
    network: Network,
    x: npt.ArrayLike,
    label: int | None = None,
    *,
    norm: str = "linf",
    method: RadiusMethod = "bounds",
    target: int | None = None,
    lower: npt.ArrayLike | None = None,
    upper: npt.ArrayLike | None = None,
    max_radius: float | None = None,
    tolerance: float = 1e-3,
    time_limit: float | None = None,
    bounds: str = "alpha",
    formulation: Choice = "big_m",
    restarts: int = 8,
    threads: int = 1,
    seed: int = 0,
) -> CertifiedRadius:
    """Largest radius of a ball around ``x`` that is proven to get the class ``label`` throughout.

    Parameters
    ----------
    network, x, label, norm, target, lower, upper, max_radius, time_limit
        As for :func:`minimal_distortion`.
    method : {"bounds", "exact"}
        ``bounds``: what certified bounds alone prove, by bisection on the radius. ``exact``: the
        lower side of :func:`minimal_distortion`, which is the largest robust radius up to the
        tolerance.
    tolerance : float
        Relative accuracy of the radius, at least 1e-6.
    bounds : {"milp", "lp", "alpha", "crown", "interval"}
        Bounding method.
    formulation, restarts, threads, seed
        For ``exact``, as for :func:`minimal_distortion`.

    Returns
    -------
    CertifiedRadius
        ``float(result)`` is the radius.

    Raises
    ------
    QueryError, RegionError
        As for :func:`minimal_distortion`, and for an unknown method.
    """
    if method not in {"bounds", "exact"}:
        msg = f"unknown method {method!r}; known: bounds, exact"
        raise QueryError(msg)
    watch = stopwatch(time_limit)
    question = _Question.build(
        network, x, classes=(label, target), norm=norm, domain=(lower, upper), most=max_radius
    )
    settings = Settings(bounds, formulation, restarts, threads, seed)
    search = question.search(settings, tolerance, watch)
    search.run(question.grow if method == "bounds" else question.close)
    return question.radius(search, method)


@dataclass(frozen=True)
class _Question:
    """What is asked: a point, its classes, and how far to look."""

    network: Network
    stack: Stack
    label: int
    target: int | None
    norm: str
    centre: Array
    lower: Array | None
    upper: Array | None
    #: Radius that covers the domain, radius to search, and whether neither user nor domain set it.
    whole: float
    cap: float
    endless: bool

    @classmethod
    def build(
        cls,
        network: Network,
        x: npt.ArrayLike,
        *,
        classes: tuple[int | None, int | None],
        norm: str,
        domain: tuple[npt.ArrayLike | None, npt.ArrayLike | None],
        most: float | None,
    ) -> _Question:
        """Check everything that was given."""
        net = load(network)
        centre = net.batch(x)[0].reshape(-1)
        right, stack = wrong_classes(net, centre, *classes)
        if domain[0] is None and domain[1] is None and net.input_bounds is not None:
            domain = net.input_bounds
        if checked_norm(norm) == "l0" and any(side is None for side in domain):
            msg = "the norm l0 needs a domain: give lower and upper bounds of the inputs"
            raise RegionError(msg)
        # Raises what is wrong with centre and domain.
        ball(centre, 0.0, norm, *domain)
        lower, upper = (_spread(side, centre.size) for side in domain)
        whole = np.inf
        if lower is not None and upper is not None:
            whole = reach(norm, centre, lower, upper)
        cap = whole if most is None else min(whole, seconds("max_radius", most))
        endless = not math.isfinite(cap)
        if endless:
            cap = _OPEN_END * _size(centre)
        cap = math.floor(cap) if norm == "l0" else cap
        return cls(net, stack, right, classes[1], norm, centre, lower, upper, whole, cap, endless)

    def search(self, settings: Settings, tolerance: float, watch: Stopwatch) -> RadiusSearch:
        """State to start from."""
        solvable(settings.formulation, self.network)
        if not (isinstance(tolerance, int | float) and _FINEST <= tolerance < 1.0):
            msg = f"tolerance must be a number from {_FINEST:g} to below 1, not {tolerance!r}"
            raise QueryError(msg)
        nearest = Nearest(
            self.network, self.stack, self.norm, self.centre, self.lower, self.upper, self.cap
        )
        return RadiusSearch(self.network, nearest, watch, settings, tolerance, self.cap, self.whole)

    @property
    def first(self) -> float:
        """Radius to start from: all there is, or the size of the centre when that is endless."""
        return _size(self.centre) if self.endless else self.cap

    def close(self, search: RadiusSearch) -> None:
        """Bring both sides together."""
        nearest, settings = search.nearest, search.settings
        with search.watch("attack"):
            if nearest.offer(self.centre):
                return
            stop = Stopwatch(search.share(_ATTACK_SHARE))
            nearest.search(self.first, self.cap, stop, settings.seed, max(1, settings.restarts))
        search.grow(search.goal, search.goal, _BOUND_ACCURACY, part=_BOUND_SHARE)
        if nearest.witness is None and not search.closed and not search.watch.expired:
            search.ask(self.cap, search.watch.left)
        if search.counting:
            search.climb()
            return
        if nearest.witness is not None:
            polish_witness(search)
            search.bisect(polish_witness)
        close_by_programs(search)

    def grow(self, search: RadiusSearch) -> None:
        """Move the lower side alone, by bounds."""
        search.grow(self.first, self.cap, search.tolerance)

    def reason(self, search: RadiusSearch, done: bool) -> str:
        """Why there is no full answer; empty when there is one."""
        if done:
            return ""
        if self.endless and search.floor >= self.cap and search.nearest.witness is None:
            return (
                f"there is none within {self.cap:.6g}, and the domain is open: give max_radius, "
                "or lower and upper bounds of the inputs"
            )
        late = "time limit reached" if search.watch.expired else ""
        known = [late, search.reason] if search.reason != late else [late]
        return "; ".join(filter(None, known)) or "a margin is within tolerance of zero"

    def distortion(self, search: RadiusSearch) -> Distortion:
        """Answer with both sides."""
        witness, lower, upper = search.nearest.witness, search.lower, search.upper
        status: DistortionStatus = "unresolved"
        if witness is not None:
            status = "optimal" if search.closed else "bounded"
        elif search.closed and not self.endless:
            status = "none"
        reason = self.reason(search, status in {"optimal", "none"})
        classes = tuple(search.floors)
        if lower > upper:
            # The point is real, and rounding explains no more than the margin of the proofs.
            if lower > upper * (1.0 + DISTANCE_MARGIN):
                status, classes = "bounded", tuple(ClassDistance(c.name, -1.0) for c in classes)
                reason = f"a point at distance {upper!r} contradicts the proven bound {lower!r}"
            lower = upper if status == "optimal" else 0.0
        outputs = None if witness is None else self.network(witness.point)
        return Distortion(
            status=status,
            norm=self.norm,
            label=self.label,
            target=None if self.target is None else int(self.target),
            lower=lower,
            upper=upper,
            point=None if witness is None else witness.point,
            predicted=None if outputs is None else int(np.argmax(outputs)),
            margin=None if witness is None else witness.margin,
            margin_own=None if witness is None else witness.margin_own,
            classes=classes,
            reason=reason,
            tolerance=search.tolerance,
            rounds=search.rounds,
            n_unstable=search.n_unstable,
            n_binaries=search.n_binaries,
            clocks=search.clocks + search.watch.clocks,
            tolerances=TOLERANCES,
            solver=search.solver,
            fingerprint=self.network.fingerprint,
            seed=search.settings.seed,
        )

    def radius(self, search: RadiusSearch, method: RadiusMethod) -> CertifiedRadius:
        """Answer with the lower side."""
        classes, found = tuple(search.floors), proven_radius(search.floors)
        done = search.closed if method == "exact" else not (search.cut_short or search.reason)
        done = done and not (self.endless and found >= self.cap)
        reason = self.reason(search, done)
        if search.nearest.witness is not None and found >= search.upper:
            reason = f"a point at distance {search.upper!r} contradicts the proven bound {found!r}"
            found, done, classes = -math.inf, False, ()
        return CertifiedRadius(
            radius=found,
            status="complete" if done else "incomplete",
            norm=self.norm,
            label=self.label,
            target=None if self.target is None else int(self.target),
            method=method,
            classes=classes,
            reason=reason,
            tolerance=search.tolerance,
            clocks=search.clocks + search.watch.clocks,
            tolerances=TOLERANCES,
            solver=search.solver,
            fingerprint=self.network.fingerprint,
            seed=search.settings.seed,
        )


def _size(centre: Array) -> float:
    return max(1.0, float(np.abs(centre).max(initial=0.0)))


def _spread(bound: npt.ArrayLike | None, n: int) -> Array | None:
    if bound is None:
        return None
    return np.broadcast_to(np.asarray(bound, dtype=np.float64).reshape(-1), (n,))
