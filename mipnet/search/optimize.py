"""Global optimisation of a linear function of the outputs of a network over a region."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from mipnet.bounds import compute_bounds
from mipnet.clocks import Clocks, Stopwatch
from mipnet.encode import Encoding, encode
from mipnet.errors import QueryError
from mipnet.network import Affine, Network
from mipnet.network.layers.base import Array
from mipnet.network.readers import load
from mipnet.region import Box, Region
from mipnet.search.attack import ascend, start_points
from mipnet.solver import Limits, Solution, Status, highs_version, solve

#: An optimum is claimed when value and bound agree to this, relative to 1 + |value|.
GAP = 1e-6

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
    bounds: str = "lp",
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
    bounds: str = "lp",
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
    bounds : {"lp", "crown", "interval"}
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
    where = as_region(net, region)
    watch = Stopwatch(time_limit)
    scalar = net.then(Affine(weights[None], np.zeros(1)), "objective")
    with watch("attack"):
        rng = np.random.default_rng(seed)
        starts = start_points(where, rng, max(1, restarts))
        rows = -np.ones((len(starts), 1, 1))
        points, values = ascend(scalar, where, rows, np.zeros((len(starts), 1)), starts)
    with watch("bound"):
        known = compute_bounds(scalar, where, bounds)
    with watch("check"):
        wrong = known.violation(points)
    with watch("build"):
        encoding = encode(scalar, where, known.intervals, formulation_name=formulation)
        arrays = encoding.arrays(np.ones(1))
    incumbent = points[int(np.argmax(values))]
    start = encoding.complete(incumbent)
    usable = arrays.violation(start) <= 1e-6 * (1.0 + float(np.abs(start).max(initial=0.0)))
    with watch("solve"):
        answer = solve(
            arrays,
            limits=Limits(time=watch.left),
            start=start if usable else None,
            threads=threads,
            seed=seed,
        )
    floor = float(known.output.lower.reshape(-1)[0])
    with watch("check"):
        point, value = _best(scalar, where, incumbent, answer, encoding)
    bound = max(answer.bound, floor)
    status, message = _judge(answer, value, bound)
    if wrong is not None or not usable:
        status, message = "inconsistent", f"bounds contradicted by a point of the region: {wrong}"
    return Optimum(
        status=status,
        value=value,
        point=point,
        bound=min(bound, value) if status == "optimal" else bound,
        solver_value=answer.objective,
        nodes=answer.nodes,
        n_binaries=encoding.n_binaries,
        n_rows=arrays.n_rows,
        n_nonzeros=arrays.n_nonzeros,
        n_unstable=known.n_unstable,
        clocks=watch.clocks,
        solver=f"HiGHS {highs_version()}",
        message=message,
    )


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


def _best(
    scalar: Network, region: Region, incumbent: Array, answer: Solution, encoding: Encoding
) -> tuple[Array, float]:
    """Better of the gradient point and the solver's point, both replayed inside the region."""
    candidates = [incumbent]
    if answer.values is not None:
        candidates.append(region.project(answer.values[encoding.inputs][None])[0])
    values = [float(scalar(c).reshape(-1)[0]) for c in candidates]
    best = int(np.argmin(values))
    return candidates[best], values[best]


def _judge(answer: Solution, value: float, bound: float) -> tuple[OptimumStatus, str]:
    slack = GAP * (1.0 + abs(value))
    if value < bound - slack:
        return "inconsistent", f"a point reaches {value!r}, below the proven bound {bound!r}"
    if answer.status is Status.OPTIMAL or value <= bound + slack:
        if value > bound + slack:
            return "inconsistent", f"the replay gives {value!r}, the solver {answer.objective!r}"
        return "optimal", answer.message
    if answer.status is Status.TIME_LIMIT:
        return "time_limit", answer.message
    if answer.status is Status.INTERRUPTED:
        return "interrupted", answer.message
    return "error", answer.message
