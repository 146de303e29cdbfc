"""Global optimisation of a linear function of the outputs of a network over a region."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from formulations import ProgramArrays
from mipnet.bounds import as_region
from mipnet.choice import Choice, solvable
from mipnet.clocks import Clocks, Stopwatch, stopwatch
from mipnet.encode import Encoding, encode
from mipnet.errors import BoundsError, QueryError, SolverError
from mipnet.network import Affine, Network
from mipnet.network.layers.base import Array
from mipnet.network.readers import load
from mipnet.region import Region
from mipnet.search.closing import Closing
from mipnet.search.decide import MIP_UNSTABLE
from mipnet.search.descent import Descent
from mipnet.search.optimum import Optimum, OptimumStatus
from mipnet.search.outer import OuterLoop
from mipnet.search.question import Settings
from mipnet.solver import IMPROVE, Limits, Solution, Status, solve
from mipnet.threads import one_blas_thread

#: An optimum is claimed when value and bound agree to this; see :func:`minimize`.
GAP = 1e-6
#: Share of the time left of the MIP's turn between rounds of branch and bound.
_TURN = 0.3
#: Statuses that nothing further can change.
_FINAL = {"optimal", "interrupted", "inconsistent"}


def maximize(
    network: Network,
    objective: npt.ArrayLike,
    region: Region | tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    *,
    gap: float = GAP,
    time_limit: float | None = None,
    bounds: str = "milp",
    formulation: Choice = "big_m",
    restarts: int = 64,
    threads: int = 1,
    seed: int = 0,
) -> Optimum:
    """Maximise ``objective . outputs`` over a region; parameters as for :func:`minimize`."""
    return minimize(
        network,
        -np.asarray(objective, dtype=np.float64),
        region,
        gap=gap,
        time_limit=time_limit,
        bounds=bounds,
        formulation=formulation,
        restarts=restarts,
        threads=threads,
        seed=seed,
    ).negated()


def minimize(
    network: Network,
    objective: npt.ArrayLike,
    region: Region | tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    *,
    gap: float = GAP,
    time_limit: float | None = None,
    bounds: str = "milp",
    formulation: Choice = "big_m",
    restarts: int = 64,
    threads: int = 1,
    seed: int = 0,
) -> Optimum:
    """Minimise ``objective . outputs`` over a region, with proof.

    A gradient search gives a start point and certified bounds shrink the problem; rounds of branch
    and bound over inputs or neurons, and HiGHS, close it. Over an l2 ball HiGHS gets a polyhedron
    around it, and cuts until its point lies in the ball.

    Parameters
    ----------
    network : Network or anything :func:`mipnet.load` reads
    objective : array_like, shape (n_outputs,)
        Coefficients of the (flattened) outputs.
    region : Region or (lower, upper), optional
        The input set; the input bounds of the network when absent.
    gap : float
        Stop when value and bound are this close, relative to ``|value|`` plus the largest size the
        objective can reach (at most 1). Far below the default, the tolerances of the solver and
        the rounding of float64 leave a larger gap.
    time_limit : float, optional
        Seconds for the whole call.
    bounds : {"milp", "lp", "alpha", "crown", "interval"}
        Bounding method; all but ``milp`` leave what their bounds do not close to one MIP.
    formulation : str, Formulation, or mapping of layer to them
        How unstable neurons are written where a MIP is solved: ``"auto"``, ``"big_m"``,
        ``"partition"``, ``"ideal"``, for all or by layer or neuron (:data:`mipnet.choice.Choice`).
    restarts : int
        Start points of the gradient search.
    threads : int
        Threads of search and solver.
    seed : int

    Returns
    -------
    Optimum
        Whatever is known when the gap closes, nothing further can be done, the time is up or the
        call is interrupted.

    Raises
    ------
    QueryError
        When the objective does not fit the outputs or is not finite, or the gap is no number from
        0 on.
    BoundsError
        When the bounding method is unknown.
    NetworkError, RegionError
        When there are no bounds of the inputs, or they do not fit.
    """
    net = load(network)
    weights = np.asarray(objective, dtype=np.float64).reshape(-1)
    if weights.size != net.n_outputs or not np.isfinite(weights).all():
        msg = f"the objective needs {net.n_outputs} finite coefficients, got {weights.tolist()}"
        raise QueryError(msg)
    if isinstance(gap, bool) or not (math.isfinite(gap) and gap >= 0.0):
        msg = f"gap must be a finite number >= 0, not {gap!r}"
        raise QueryError(msg)
    scalar = net.then(Affine(weights[None], np.zeros(1)), "objective")
    settings = Settings(bounds, solvable(formulation, net), max(1, restarts), threads, seed)
    task = _Minimisation(scalar, as_region(net, region), stopwatch(time_limit), settings, gap)
    try:
        with one_blas_thread():
            task.run()
    except KeyboardInterrupt:
        if task.status != "optimal":
            task.end("interrupted", "interrupted")
    return task.result(net, weights)


@dataclass
class _Minimisation(Closing):
    """State of one minimisation; whatever is known when it ends is returned."""

    encoding: Encoding | None = None
    arrays: ProgramArrays | None = None
    answer: Solution | None = None
    nodes: int = 0
    boxes: int = 0
    turns: Clocks = field(default_factory=Clocks)

    def run(self) -> None:
        """Search until the gap is closed or nothing further can be done."""
        self.attack()
        if not self.tighten():
            return
        if self.settings.bounds == "milp":
            self.search()
        else:
            self.mip(self.watch.left)

    def search(self) -> None:
        """Search in rounds of branch and bound, with a turn for the MIP among them."""
        task, rounds, hopeful = Descent(self.known, self.region, self.settings.threads), 0, True
        while task.possible and not (task.exhausted or self.watch.expired):
            left = self.watch.left
            few = rounds > 0 and self.known.n_unstable <= MIP_UNSTABLE
            if hopeful and (few or rounds == task.patience):
                self.mip(left if few or left is None else _TURN * left)
                if self.status in _FINAL or (few and self.status == "time_limit"):
                    return
                # What was refused, or breaks the solver, will again.
                hopeful = self.status == "time_limit"
            if left is None and rounds >= task.patience:
                return
            try:
                with self.watch("bound"):
                    task.round(self.watch, self.point, self.value, 0.5 * self.slack)
            finally:
                # Also when interrupted.
                going = self.take(task)
            if not going:
                return
            rounds += 1
        if self.watch.expired:
            self.end("time_limit", self.message)
        elif hopeful:
            self.mip(self.watch.left)

    def take(self, task: Descent) -> bool:
        """Take over what a round found; whether to go on."""
        self.boxes = task.visited
        if task.value < self.value:
            self.point, self.value = task.point, task.value
        if not (self.accept(task.bounds) and self.lift(task.bound)):
            return False
        if self.met:
            message = f"closed by branch and bound in {task.visited} subproblems"
            self.end("optimal", message, task.method)
        return not self.met

    def mip(self, seconds: float | None) -> None:
        """One MIP from the best point known; with cuts and again where rows are not the region."""
        try:
            with self.watch("build"):
                encoding = encode(
                    self.scalar,
                    self.region,
                    self.known.intervals,
                    formulation_name=self.settings.formulation,
                )
        except BoundsError as error:
            self.end("bounded", str(error))
            return
        self.encoding = encoding
        with self.watch("check"):
            start = encoding.complete(self.point)
            wrong = encoding.arrays().violation(start)
        if wrong > 1e-6 * (1.0 + float(np.abs(start).max(initial=0.0))):
            self.end("inconsistent", f"the program excludes a known point by {wrong:.3g}")
            return
        turn, settings = Stopwatch(seconds), self.settings
        loop = OuterLoop(
            self.region,
            encoding.program,
            encoding.output,
            encoding.inputs,
            self.value - self.slack,
            turn,
            settings.threads,
            settings.seed,
        )
        try:
            loop.run(lambda arrays: self.ask(arrays, encoding, turn), self.settled, self.offer)
        except SolverError as error:
            self.end("error", str(error))
        finally:
            self.turns += turn.clocks
        if loop.exhausted:
            self.end("bounded", "the points of the solver stay outside the region")

    def ask(self, arrays: ProgramArrays, encoding: Encoding, turn: Stopwatch) -> Solution:
        """Solve a program from the best point."""
        self.arrays = arrays
        with self.watch("solve"):
            return solve(
                arrays,
                limits=Limits(time=turn.left, stop_bound=self.value - 0.5 * self.slack),
                profile=IMPROVE.with_options(mip_rel_gap=0.5 * self.gap),
                start=encoding.complete(self.point),
                threads=self.settings.threads,
                seed=self.settings.seed,
            )

    def settled(self, answer: Solution) -> bool:
        """Take an answer into account; whether cuts cannot change it."""
        with self.watch("check"):
            self.judge(answer)
        return self.status not in {"bounded", "band"}

    def judge(self, answer: Solution) -> None:
        """Replay the solver's point, and hold value and bound against each other."""
        encoding, self.answer = self.encoding, answer
        self.nodes, self.solver = self.nodes + answer.nodes, f"HiGHS {answer.version}"
        if answer.values is not None and encoding is not None:
            self.offer(answer.values[encoding.inputs])
        if not self.lift(answer.bound):
            return
        apart = f"value and bound are {self.value - self.bound:.3g} apart"
        if self.met:
            self.end("optimal", "closed by the solver", "mip")
        elif answer.status in _ENDS:
            self.end(_ENDS[answer.status], answer.message)
        elif answer.status is Status.OPTIMAL and encoding is not None and encoding.bands:
            names = ", ".join(f"{n!r} ({e:g})" for n, e in encoding.bands.items())
            reason = f"{apart}, more than {self.slack:.3g}, for the error of the pieces of {names}"
            self.end("band", reason)
        elif answer.status is Status.OPTIMAL:
            reason = f"the replay gives {self.value!r}, the solver {answer.objective!r}"
            self.end("bounded", f"{apart}: {reason}")
        else:
            self.end("error", answer.message)

    def result(self, network: Network, weights: Array) -> Optimum:
        """Everything that is known."""
        answer, arrays, encoding = self.answer, self.arrays, self.encoding
        return Optimum(
            status=self.status,
            value=self.value + 0.0,
            point=self.point,
            bound=min(self.bound, self.value) if self.status == "optimal" else self.bound,
            solver_value=None if answer is None else answer.objective,
            nodes=self.boxes + self.nodes,
            n_binaries=0 if encoding is None else encoding.n_binaries,
            n_rows=0 if arrays is None else arrays.n_rows,
            n_nonzeros=0 if arrays is None else arrays.n_nonzeros,
            n_unstable=self.known.n_unstable,
            clocks=self.watch.clocks + self.turns,
            solver=self.solver,
            message=self.message,
            method=self.method,
            objective=weights,
            region=self.region.describe(),
            tolerance=self.gap,
            fingerprint=network.fingerprint,
            seed=self.settings.seed,
        )


#: Solver statuses that end a minimisation without proof and without fault.
_ENDS: dict[Status, OptimumStatus] = {
    Status.TIME_LIMIT: "time_limit",
    Status.INTERRUPTED: "interrupted",
}
