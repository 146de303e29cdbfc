"""Global optimisation of a linear function of the outputs of a network over a region."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from formulations import ProgramArrays
from mipnet.bounds import METHODS, Bounds, alpha_bounds, first_bounds, lp_bounds
from mipnet.clocks import Clocks, Stopwatch
from mipnet.encode import Encoding, encode
from mipnet.errors import QueryError, SolverError
from mipnet.network import Affine, Network
from mipnet.network.layers.base import Array
from mipnet.network.readers import load
from mipnet.region import Box, Region
from mipnet.search.attack import descend, start_points
from mipnet.search.decide import LP_SECONDS, LP_SHARE, MIP_UNSTABLE
from mipnet.search.descent import Descent
from mipnet.solver import Limits, Solution, Status, solve
from mipnet.threads import one_blas_thread

#: An optimum is claimed when value and bound agree to this, relative to |value| plus the largest
#: size the objective can reach (at most 1).
GAP = 1e-6

#: Share of the time left of the MIP's turn between rounds of branch and bound.
_TURN = 0.3

OptimumStatus = Literal["optimal", "time_limit", "interrupted", "inconsistent", "error"]


@dataclass(frozen=True)
class Optimum:
    """Best value found and the bound that proves it.

    Attributes
    ----------
    status : {"optimal", "time_limit", "interrupted", "inconsistent", "error"}
        ``inconsistent``: value and bound contradict each other, so neither may be used.
    value : float
        Objective at ``point``, by a float64 forward pass.
    point : array, shape (n_inputs,)
        Inside the region.
    bound : float
        Proven bound of the optimum: lower when minimising, upper when maximising.
    solver_value : float or None
        Objective the solver reported for its own point.
    nodes : int
        Branch-and-bound nodes, and boxes where the inputs were bisected.
    n_binaries, n_rows, n_nonzeros, n_unstable : int
        Size of the program.
    clocks : Clocks
    solver : str
    message : str
    """

    status: OptimumStatus
    value: float
    point: Array = field(compare=False)
    bound: float
    solver_value: float | None
    nodes: int
    n_binaries: int
    n_rows: int
    n_nonzeros: int
    n_unstable: int
    clocks: Clocks = field(compare=False)
    solver: str
    message: str = ""

    @property
    def gap(self) -> float:
        """Distance of value and bound, relative to ``1 + |value|``."""
        return abs(self.value - self.bound) / (1.0 + abs(self.value))


def maximize(
    network: Network,
    objective: npt.ArrayLike,
    region: Region | tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    *,
    time_limit: float | None = None,
    bounds: str = "milp",
    formulation: str = "big_m",
    restarts: int = 64,
    threads: int = 1,
    seed: int = 0,
) -> Optimum:
    """Maximise ``objective . outputs`` over a region; parameters as for :func:`minimize`."""
    weights = -np.asarray(objective, dtype=np.float64)
    least = minimize(
        network,
        weights,
        region,
        time_limit=time_limit,
        bounds=bounds,
        formulation=formulation,
        restarts=restarts,
        threads=threads,
        seed=seed,
    )
    solver_value = None if least.solver_value is None else -least.solver_value
    return Optimum(
        **{
            **{name: getattr(least, name) for name in least.__dataclass_fields__},
            "value": -least.value,
            "bound": -least.bound,
            "solver_value": solver_value,
        }
    )


def minimize(
    network: Network,
    objective: npt.ArrayLike,
    region: Region | tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    *,
    time_limit: float | None = None,
    bounds: str = "milp",
    formulation: str = "big_m",
    restarts: int = 64,
    threads: int = 1,
    seed: int = 0,
) -> Optimum:
    """Minimise ``objective . outputs`` over a region, with proof.

    A gradient search gives a start point, certified bounds shrink the program, HiGHS closes it.

    Parameters
    ----------
    network : Network or anything :func:`mipnet.load` reads
    objective : array_like, shape (n_outputs,)
        Coefficients of the (flattened) outputs.
    region : Region or (lower, upper), optional
        The input set; the input bounds of the network when absent.
    time_limit : float, optional
        Seconds for the whole call.
    bounds : {"milp", "lp", "alpha", "crown", "interval"}
    formulation : str
    restarts : int
        Start points of the gradient search.
    threads : int
        Solver threads.
    seed : int

    Returns
    -------
    Optimum

    Raises
    ------
    QueryError
        When the objective does not fit the outputs or is not finite.
    NetworkError, RegionError
        When there are no bounds of the inputs, or they do not fit.
    """
    net = load(network)
    weights = np.asarray(objective, dtype=np.float64).reshape(-1)
    if weights.size != net.n_outputs or not np.isfinite(weights).all():
        msg = f"the objective needs {net.n_outputs} finite coefficients, got {weights.tolist()}"
        raise QueryError(msg)
    scalar = net.then(Affine(weights[None], np.zeros(1)), "objective")
    watch = Stopwatch(time_limit)
    task = _Minimisation(scalar, as_region(net, region), watch, formulation, threads, seed)
    try:
        with one_blas_thread():
            task.run(bounds, max(1, restarts))
    except KeyboardInterrupt:
        task.end("interrupted", "interrupted")
    except SolverError as error:
        task.end("error", str(error))
    return task.result()


@dataclass
class _Minimisation:
    """State of one minimisation; whatever is known when it ends is returned."""

    scalar: Network
    region: Region
    watch: Stopwatch
    formulation: str
    threads: int
    seed: int
    known: Bounds = field(init=False)
    point: Array = field(init=False)
    value: float = np.inf
    bound: float = -np.inf
    status: OptimumStatus = "time_limit"
    message: str = ""
    encoding: Encoding | None = None
    arrays: ProgramArrays | None = None
    answer: Solution | None = None
    boxes: int = 0

    def __post_init__(self) -> None:
        self.known = first_bounds(self.scalar, self.region, "interval")
        self.point = self.region.centre
        self.value = float(self.scalar(self.point).reshape(-1)[0])

    def end(self, status: OptimumStatus, message: str = "") -> None:
        self.status, self.message = status, message

    @property
    def slack(self) -> float:
        """Largest gap that counts as closed."""
        reach = float(self.known.output.magnitude.max())
        return GAP * (min(1.0, reach) + abs(self.value))

    def run(self, bounds: str, restarts: int) -> None:
        with self.watch("attack"):
            points = self.attack(restarts)
        with self.watch("bound"):
            self.known = self.tighten(bounds)
            self.bound = float(self.known.output.lower.reshape(-1)[0])
        with self.watch("check"):
            wrong = self.known.violation(points)
        if wrong is not None:
            self.end("inconsistent", f"bounds contradicted by a point of the region: {wrong}")
            return
        if self.met():
            self.end("optimal", "the proven bound meets the value of a known point")
        elif bounds == "milp":
            self.search()
        else:
            self.mip(self.watch.left)

    def met(self) -> bool:
        """Whether bound and value have met."""
        return self.value <= self.bound + self.slack

    def search(self) -> None:
        """Search in rounds of branch and bound, with a turn for the MIP among them."""
        task, rounds = Descent(self.known, self.region, self.threads), 0
        while task.possible and not self.watch.expired:
            if rounds == task.patience:
                left = self.watch.left
                self.mip(None if left is None else _TURN * left)
                if self.status != "time_limit" or left is None:
                    return
            elif rounds and self.known.n_unstable <= MIP_UNSTABLE:
                break
            with self.watch("bound"):
                task.round(self.watch, self.point, self.value, 0.1 * self.slack)
            if not self.take(task):
                return
            rounds += 1
        if not self.watch.expired:
            self.mip(self.watch.left)

    def take(self, task: Descent) -> bool:
        """Take over what a round found; whether to go on."""
        self.point, self.value, self.boxes = task.point, task.value, task.visited
        self.bound, self.known = max(self.bound, task.bound), task.bounds
        with self.watch("check"):
            wrong = self.known.violation(self.point[None])
        if wrong is not None:
            self.end("inconsistent", f"bounds contradicted by a point of the region: {wrong}")
            return False
        if self.value < self.bound - self.slack:
            reason = f"a point reaches {self.value!r}, below the proven bound {self.bound!r}"
            self.end("inconsistent", reason)
            return False
        if self.met():
            self.end("optimal", f"closed by branch and bound in {task.visited} subproblems")
            return False
        return True

    def mip(self, seconds: float | None) -> None:
        """One MIP from the best point known."""
        with self.watch("build"):
            encoding = encode(
                self.scalar, self.region, self.known.intervals, formulation_name=self.formulation
            )
            arrays = encoding.arrays(np.ones(1))
        self.encoding, self.arrays = encoding, arrays
        with self.watch("check"):
            start = encoding.complete(self.point)
            wrong = arrays.violation(start)
        if wrong > 1e-6 * (1.0 + float(np.abs(start).max(initial=0.0))):
            self.end("inconsistent", f"the program excludes a known point by {wrong:.3g}")
            return
        left = self.watch.left
        time = seconds if left is None or seconds is None else min(seconds, left)
        with self.watch("solve"):
            self.answer = solve(
                arrays, limits=Limits(time=time), start=start, threads=self.threads, seed=self.seed
            )
        with self.watch("check"):
            self.judge(self.answer, encoding)

    def attack(self, restarts: int) -> Array:
        rng = np.random.default_rng(self.seed)
        starts = start_points(self.region, rng, restarts)
        points, values = descend(self.scalar, self.region, starts)
        best = int(np.argmin(values))
        self.point, self.value = points[best], float(values[best])
        return points

    def tighten(self, method: str) -> Bounds:
        """Bounds of the method, step by step, until they meet the value of the known point."""
        bounds = first_bounds(self.scalar, self.region, method)
        left = self.watch.left
        budget = LP_SECONDS if left is None else LP_SHARE * left
        if METHODS.index(method) >= METHODS.index("alpha") and not self.closed(bounds):
            bounds = alpha_bounds(self.scalar, self.region, budget=budget, first=bounds)
        if method == "lp" and not self.closed(bounds):
            bounds = lp_bounds(
                self.scalar, self.region, budget=budget, threads=self.threads, first=bounds
            )
        return bounds

    def closed(self, bounds: Bounds) -> bool:
        """Whether the bounds prove that no point is better than the known one."""
        return self.value <= float(bounds.output.lower.reshape(-1)[0]) + self.slack

    def judge(self, answer: Solution, encoding: Encoding) -> None:
        """Replay the solver's point, and hold value and bound against each other."""
        if answer.values is not None:
            point = self.region.project(answer.values[encoding.inputs][None])[0]
            value = float(self.scalar(point).reshape(-1)[0])
            if value < self.value:
                self.point, self.value = point, value
        self.bound = max(self.bound, answer.bound)
        if self.value < self.bound - self.slack:
            reason = f"a point reaches {self.value!r}, below the proven bound {self.bound!r}"
            self.end("inconsistent", reason)
        elif self.value <= self.bound + self.slack:
            self.end("optimal", answer.message)
        elif answer.status is Status.OPTIMAL:
            reason = f"the replay gives {self.value!r}, the solver {answer.objective!r}"
            self.end("inconsistent", reason)
        elif answer.status in _ENDS:
            self.end(_ENDS[answer.status], answer.message)
        else:
            self.end("error", answer.message)

    def result(self) -> Optimum:
        answer, arrays, encoding = self.answer, self.arrays, self.encoding
        return Optimum(
            status=self.status,
            value=self.value,
            point=self.point,
            bound=min(self.bound, self.value) if self.status == "optimal" else self.bound,
            solver_value=None if answer is None else answer.objective,
            nodes=self.boxes + (0 if answer is None else answer.nodes),
            n_binaries=0 if encoding is None else encoding.n_binaries,
            n_rows=0 if arrays is None else arrays.n_rows,
            n_nonzeros=0 if arrays is None else arrays.n_nonzeros,
            n_unstable=self.known.n_unstable,
            clocks=self.watch.clocks,
            solver="" if answer is None else f"HiGHS {answer.version}",
            message=self.message,
        )


#: Solver statuses that end a minimisation without proof and without fault.
_ENDS: dict[Status, OptimumStatus] = {
    Status.TIME_LIMIT: "time_limit",
    Status.INTERRUPTED: "interrupted",
}


def as_region(
    network: Network, region: Region | tuple[npt.ArrayLike, npt.ArrayLike] | None
) -> Region:
    """Region from what users give: a region, a pair of bounds, or nothing (the network's own)."""
    if isinstance(region, Region):
        return region
    if region is None:
        box = network.input_box()
        return Box(box.lower, box.upper)
    lower, upper = (np.asarray(side, dtype=np.float64).reshape(-1) for side in region)
    n = network.n_inputs
    if lower.size not in {1, n} or upper.size not in {1, n}:
        msg = f"bounds have {lower.size} and {upper.size} values for {n} inputs"
        raise QueryError(msg)
    return Box(np.broadcast_to(lower, (n,)), np.broadcast_to(upper, (n,)))
