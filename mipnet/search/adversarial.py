"""Adversarial search: attack first, bounds next, one MIP for each target left."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from mipnet.bounds import Bounds, compute_bounds
from mipnet.clocks import Stopwatch
from mipnet.encode import Encoding, encode
from mipnet.errors import BoundsError, QueryError, SolverError
from mipnet.network import Affine, Network
from mipnet.network.layers.base import Array
from mipnet.network.readers import load
from mipnet.region import Region, ball
from mipnet.search.attack import ascend, start_points
from mipnet.search.verdict import Outcome, TargetResult, Verdict, VerdictStatus
from mipnet.solver import Limits, Solution, Status, highs_version, solve
from mipnet.solver.profile import FEASIBILITY

#: Margin, relative to the size of the output differences, by which the solver must exclude a
#: target before the target counts as proven.
MARGIN = 1e-6


def find_adversarial(
    network: Network,
    x: npt.ArrayLike,
    label: int | None = None,
    *,
    radius: float,
    norm: str = "linf",
    target: int | None = None,
    lower: npt.ArrayLike | None = None,
    upper: npt.ArrayLike | None = None,
    time_limit: float | None = None,
    bounds: str = "crown",
    formulation: str = "big_m",
    restarts: int = 8,
    threads: int = 1,
    seed: int = 0,
) -> Verdict:
    """Find a point near ``x`` that the network does not give the class ``label``, or prove none.

    Parameters
    ----------
    network : Network or anything :func:`mipnet.load` reads
    x : array_like, of ``input_shape`` or flat
        Centre of the ball.
    label : int, optional
        The right class; the class of ``x`` when absent.
    radius : float
        Radius of the ball; 0 is a single point.
    norm : {"linf", "l1"}
    target : int, optional
        Ask for this class only; any other class when absent.
    lower, upper : array_like, optional
        Domain of the inputs (scalars or one value each); the input bounds of the network when
        absent, and no restriction where it has none.
    time_limit : float, optional
        Seconds for the whole call.
    bounds : {"crown", "interval"}
        Bounding method.
    formulation : str
        Formulation of the unstable neurons.
    restarts : int
        Start points of the attack for each target.
    threads : int
        Solver threads.
    seed : int
        Seed of attack and solver.

    Returns
    -------
    Verdict
        ``witness``: in float64 and in the dtype of the model the point gets a larger output for
        another class (for ``target``, when given) than for ``label``. ``robust``: every examined
        class stays strictly below ``label`` on the whole ball; a tie is neither.

    Raises
    ------
    QueryError
        When label or target is out of range or they coincide, or the network has one output.
    RegionError
        When the region is empty or the centre does not fit.
    """
    net = load(network)
    centre = net.batch(x)[0].reshape(-1)
    if net.n_outputs < 2:
        msg = "the network has one output; classes need at least two"
        raise QueryError(msg)
    right = _class("label", int(np.argmax(net(centre))) if label is None else label, net.n_outputs)
    if target is None:
        targets = [k for k in range(net.n_outputs) if k != right]
    else:
        targets = [_class("target", target, net.n_outputs)]
        if targets[0] == right:
            msg = f"target {target} is the label itself"
            raise QueryError(msg)
    if lower is None and upper is None and net.input_bounds is not None:
        lower, upper = net.input_bounds
    region = ball(centre, radius, norm, lower, upper)
    search = _Search(
        net,
        region,
        centre,
        right,
        targets,
        Stopwatch(time_limit),
        seed,
        bounds,
        formulation,
        threads,
    )
    try:
        return search.run(restarts)
    except KeyboardInterrupt:
        return search.unresolved("interrupted")


def _class(what: str, value: int, count: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        msg = f"{what} must be an integer, not {value!r}"
        raise QueryError(msg)
    if not 0 <= value < count:
        msg = f"{what} {value} is out of range; the network has classes 0 to {count - 1}"
        raise QueryError(msg)
    return int(value)


@dataclass
class _Search:
    """State of one search; results are frozen when it ends."""

    network: Network
    region: Region
    centre: Array
    label: int
    targets: list[int]
    watch: Stopwatch
    seed: int
    method: str
    formulation: str
    threads: int
    results: dict[int, TargetResult] = field(default_factory=dict)
    points: list[Array] = field(default_factory=list)
    n_unstable: int = 0
    n_binaries: int = 0
    solver: str = ""

    def __post_init__(self) -> None:
        differences = np.zeros((len(self.targets), self.network.n_outputs))
        differences[np.arange(len(self.targets)), self.targets] = 1.0
        differences[:, self.label] = -1.0
        self.differences = differences
        for target in self.targets:
            self.results[target] = TargetResult(target, "open", "none", np.inf)

    def run(self, restarts: int) -> Verdict:
        with self.watch("attack"):
            found = self.attack(restarts)
        if found is not None:
            return found
        if self.watch.expired:
            return self.unresolved("time limit reached before bounds were computed")
        head = Affine(self.differences, np.zeros(len(self.targets)))
        margins = self.network.then(head, "margin")
        with self.watch("bound"):
            bounds = compute_bounds(margins, self.region, self.method)
        with self.watch("check"):
            wrong = bounds.violation(np.array(self.points))
        if wrong is not None:
            return self.unresolved(f"bounds contradicted by a point of the region: {wrong}")
        self.n_unstable = bounds.n_unstable
        upper = bounds.output.upper.reshape(-1)
        for target, bound in zip(self.targets, upper, strict=True):
            outcome: Outcome = "excluded" if bound < 0.0 else "open"
            self.results[target] = TargetResult(target, outcome, "bounds", float(bound))
        if all(r.outcome == "excluded" for r in self.results.values()):
            return self.verdict("robust")
        return self.mip(margins, bounds)

    def attack(self, restarts: int) -> Verdict | None:
        rng = np.random.default_rng(self.seed)
        starts = start_points(self.region, rng, restarts)
        weights = np.repeat(self.differences, len(starts), axis=0)
        points, values = ascend(
            self.network, self.region, weights, np.tile(starts, (len(self.targets), 1))
        )
        self.points = [self.centre, *points]
        for i in np.argsort(-values)[: 4 * len(starts)]:
            if not values[i] > 0.0:
                break
            verdict = self.confirm(points[i], "attack")
            if verdict is not None:
                return verdict
        return None

    def confirm(self, point: Array, method: str) -> Verdict | None:
        """Return the witness verdict, if the point is one in every precision."""
        inside = self.region.project(point[None])[0]
        if self.network.dtype != "float64":
            # The model would round its input anyway; stay inside the region doing so.
            inside = _representable(inside, self.region, self.network.dtype)
        if not self.region.contains(inside):
            return None
        exact = self.network(inside).reshape(-1)
        own = self.network.replay(inside).reshape(-1)
        best = max(self.targets, key=lambda k: float(exact[k]))
        margin = float(exact[best] - exact[self.label])
        margin_own = max(float(own[k] - own[self.label]) for k in self.targets)
        if not (margin > 0.0 and margin_own > 0.0):
            return None
        self.results[best] = replace(self.results[best], outcome="witness", method=method)
        return replace(
            self.verdict("witness"),
            point=inside,
            predicted=int(np.argmax(exact)),
            margin=margin,
            margin_own=margin_own,
        )

    def mip(self, margins: Network, bounds: Bounds) -> Verdict:
        try:
            with self.watch("build"):
                encoding = encode(
                    margins, self.region, bounds.intervals, formulation_name=self.formulation
                )
        except BoundsError as error:
            return self.unresolved(str(error))
        self.n_binaries = encoding.n_binaries
        with self.watch("check"):
            point = encoding.complete(self.centre)
            wrong = encoding.arrays().violation(point)
        if wrong > 1e-6 * (1.0 + float(np.abs(point).max(initial=0.0))):
            return self.unresolved(f"the program excludes the centre by {wrong:.3g}")
        self.solver = f"HiGHS {highs_version()}"
        left = [t for t in self.targets if self.results[t].outcome == "open"]
        for target in sorted(left, key=lambda t: -self.results[t].bound):
            if self.watch.expired:
                return self.unresolved("time limit reached")
            verdict = self.decide(encoding, bounds, target)
            if verdict is not None:
                return verdict
        if all(r.outcome == "excluded" for r in self.results.values()):
            return self.verdict("robust")
        reasons = {r.detail for r in self.results.values() if r.outcome == "open"}
        return self.unresolved("; ".join(sorted(reasons)))

    def decide(self, encoding: Encoding, bounds: Bounds, target: int) -> Verdict | None:
        """Settle one target by MIP: minimise ``label - target`` until its sign is known."""
        row = self.targets.index(target)
        size = float(bounds.output.magnitude.reshape(-1)[row])
        margin = MARGIN * max(1.0, size)
        objective = np.zeros(len(self.targets))
        objective[row] = -1.0
        limits = Limits(time=self.watch.left, cutoff=margin, target=-margin)
        try:
            with self.watch("build"):
                arrays = encoding.arrays(objective)
            with self.watch("solve"):
                answer = solve(arrays, limits=limits, threads=self.threads, seed=self.seed)
        except SolverError as error:
            self.leave_open(target, f"target {target}: {error}")
            return None
        with self.watch("check"):
            return self.judge(answer, encoding, target, margin)

    def judge(
        self, answer: Solution, encoding: Encoding, target: int, margin: float
    ) -> Verdict | None:
        """Turn a solver answer into a result; only an exhausted search excludes a target."""
        known = self.results[target]
        bound = min(known.bound, -answer.bound)
        self.results[target] = replace(known, method="mip", bound=bound, nodes=answer.nodes)
        if answer.values is not None:
            verdict = self.confirm(answer.values[encoding.inputs], "mip")
            if verdict is not None:
                return verdict
        proven = answer.status in {Status.CUTOFF, Status.OPTIMAL} and -answer.bound <= -margin
        row = self.differences[self.targets.index(target)]
        outputs = self.network(np.array(self.points)).reshape(len(self.points), -1)
        reached = float((outputs @ row).max())
        if proven and reached > -margin:
            self.leave_open(target, f"target {target}: the solver excludes a point that exists")
        elif proven:
            self.results[target] = replace(
                self.results[target], outcome="excluded", detail=answer.status.value
            )
        elif answer.status in {Status.OPTIMAL, Status.TARGET_REACHED, Status.CUTOFF}:
            self.leave_open(target, f"target {target}: the margin is within tolerance of zero")
        else:
            self.leave_open(target, f"target {target}: {answer.status.value}")
        return None

    def leave_open(self, target: int, detail: str) -> None:
        self.results[target] = replace(self.results[target], outcome="open", detail=detail)

    def unresolved(self, reason: str) -> Verdict:
        return replace(self.verdict("unresolved"), reason=reason)

    def verdict(self, status: VerdictStatus) -> Verdict:
        return Verdict(
            status=status,
            label=self.label,
            targets=tuple(self.results[t] for t in self.targets),
            region=self.region.describe(),
            n_unstable=self.n_unstable,
            n_binaries=self.n_binaries,
            clocks=self.watch.clocks,
            tolerances={"feasibility": FEASIBILITY, "margin": MARGIN},
            solver=self.solver,
            fingerprint=self.network.fingerprint,
            seed=self.seed,
        )


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
