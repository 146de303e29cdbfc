"""Adversarial examples of classifiers: a witness near a point, or a proof that there is none."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mipnet.clocks import Stopwatch
from mipnet.errors import QueryError
from mipnet.network import Network
from mipnet.network.readers import load
from mipnet.region import ball
from mipnet.search.decide import MARGIN, Decision, Settings
from mipnet.search.goal import Stack, beats
from mipnet.search.verdict import Verdict, VerdictStatus
from mipnet.solver import FEASIBILITY


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
    bounds: str = "milp",
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
        Radius of the ball; 0 is a single point. For l0 the number of inputs that may change.
    norm : {"linf", "l2", "l1", "l0"}
    target : int, optional
        Ask for a point given this class; any class but ``label`` when absent.
    lower, upper : array_like, optional
        Domain of the inputs (scalars or one value each); the input bounds of the network when
        absent, and no restriction where it has none. l0 needs both.
    time_limit : float, optional
        Seconds for the whole call.
    bounds : {"milp", "lp", "alpha", "crown", "interval"}
        Bounding method.
    formulation : str
        Formulation of the unstable neurons.
    restarts : int
        Start points of the attack for each class.
    threads : int
        Solver threads.
    seed : int
        Seed of attack and solver.

    Returns
    -------
    Verdict
        ``witness``: in float64 and in the dtype of the model the point gets a larger output for
        another class than for ``label`` (with ``target``: for ``target`` than for any other).
        ``robust``: no point of the ball comes even as far as a tie.

    Raises
    ------
    QueryError
        When label or target is out of range or they coincide, or the network has one output.
    RegionError
        When the region is empty, the centre does not fit, or an l0 ball has no domain.
    """
    net = load(network)
    centre = net.batch(x)[0].reshape(-1)
    count = net.n_outputs
    if count < 2:
        msg = "the network has one output; classes need at least two"
        raise QueryError(msg)
    right = _class("label", int(np.argmax(net(centre))) if label is None else label, count)
    if target is None:
        clauses = [beats(k, [right], count) for k in range(count) if k != right]
    else:
        goal = _class("target", target, count)
        if goal == right:
            msg = f"target {target} is the label itself"
            raise QueryError(msg)
        clauses = [beats(goal, [k for k in range(count) if k != goal], count)]
    if lower is None and upper is None and net.input_bounds is not None:
        lower, upper = net.input_bounds
    region = ball(centre, radius, norm, lower, upper)
    settings = Settings(bounds, formulation, restarts, threads, seed)
    decision = Decision(net, region, Stack(tuple(clauses)), Stopwatch(time_limit), settings)
    decision.run()
    return _verdict(decision, right, target)


def _class(what: str, value: int, count: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        msg = f"{what} must be an integer, not {value!r}"
        raise QueryError(msg)
    if not 0 <= value < count:
        msg = f"{what} {value} is out of range; the network has classes 0 to {count - 1}"
        raise QueryError(msg)
    return int(value)


def _verdict(decision: Decision, label: int, target: int | None) -> Verdict:
    witness, network = decision.witness, decision.network
    status: VerdictStatus = "robust" if decision.excluded else "unresolved"
    if witness is not None:
        status = "witness"
    return Verdict(
        status=status,
        label=label,
        target=None if target is None else int(target),
        clauses=tuple(decision.results),
        region=decision.region.describe(),
        point=None if witness is None else witness.point,
        predicted=None if witness is None else int(np.argmax(network(witness.point))),
        margin=None if witness is None else witness.margin,
        margin_own=None if witness is None else witness.margin_own,
        reason=decision.reason,
        n_unstable=decision.n_unstable,
        n_binaries=decision.n_binaries,
        clocks=decision.watch.clocks,
        tolerances={"feasibility": FEASIBILITY, "margin": MARGIN},
        solver=decision.solver,
        fingerprint=network.fingerprint,
        seed=decision.settings.seed,
    )
