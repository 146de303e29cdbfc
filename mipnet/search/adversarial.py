"""Adversarial examples of classifiers: a witness near a point, or a proof that there is none."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from mipnet.bounds.storage import region_digest
from mipnet.choice import Choice, solvable
from mipnet.clocks import stopwatch
from mipnet.errors import QueryError, RegionError
from mipnet.network import Network
from mipnet.network.layers.base import Array
from mipnet.network.readers import load
from mipnet.region import Constrained, Region, ball
from mipnet.search.classes import checked_class, wrong_classes
from mipnet.search.decide import MARGIN, Decision, Settings
from mipnet.search.top_k import decide_top_k
from mipnet.search.verdict import ClauseResult, Verdict, VerdictStatus
from mipnet.solver import FEASIBILITY


def find_adversarial(
    network: Network,
    x: npt.ArrayLike,
    label: int | None = None,
    *,
    radius: float | None = None,
    norm: str = "linf",
    target: int | None = None,
    top_k: int = 1,
    region: Region | None = None,
    lower: npt.ArrayLike | None = None,
    upper: npt.ArrayLike | None = None,
    time_limit: float | None = None,
    bounds: str = "milp",
    formulation: Choice = "big_m",
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
    top_k : int
        Ask for a point whose ``top_k`` largest outputs leave out ``label``: at least that many
        exceed it. Not with a target.
    region : Region, optional
        Any set of inputs in place of a ball: a box, a ball with linear constraints, ...
    lower, upper : array_like, optional
        Domain of the inputs (scalars or one value each); the input bounds of the network when
        absent, and no restriction where it has none. l0 needs both.
    time_limit : float, optional
        Seconds for the whole call.
    bounds : {"milp", "lp", "alpha", "crown", "interval"}
        Bounding method.
    formulation : str, Formulation, or mapping of layer to them
        How unstable neurons are written where a MIP is solved: ``"auto"``, ``"big_m"``,
        ``"partition"``, ``"ideal"``, for all or by layer or neuron (:data:`mipnet.choice.Choice`).
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
        another class than for ``label`` (with ``target``: for ``target`` than for any other; with
        ``top_k``: for that many others). ``robust``: no point of the ball comes even as far as a
        tie.

    Raises
    ------
    QueryError
        When label, target or top_k is out of range or they contradict each other, the network has
        one output, neither radius nor region is given or both are, or ``top_k`` leaves more sets
        of classes to examine than are feasible.
    RegionError
        When the region is empty, the centre does not fit, or an l0 ball has no domain.
    """
    net = load(network)
    centre = net.batch(x)[0].reshape(-1)
    count = checked_class("top_k", top_k, max(net.n_outputs, 2))
    if count == 0 or (target is not None and count > 1):
        msg = f"top_k must be from 1 to {net.n_outputs - 1}, and 1 with a target; it is {top_k}"
        raise QueryError(msg)
    right, stack = wrong_classes(net, centre, label, target)
    if region is None:
        region = _ball(net, centre, radius, norm, (lower, upper))
    elif not (radius is None and lower is None and upper is None):
        msg = "a region takes the place of radius, lower and upper; give one or the other"
        raise QueryError(msg)
    elif region.n_inputs != net.n_inputs:
        msg = f"the region has {region.n_inputs} inputs, the network {net.n_inputs}"
        raise RegionError(msg)
    watch = stopwatch(time_limit)
    settings = Settings(bounds, solvable(formulation, net), restarts, threads, seed)
    decision = Decision(net, region, stack, watch, settings)
    pruned: list[ClauseResult] = []
    if count > 1:
        decision, pruned = decide_top_k(decision, right, count)
    else:
        decision.run()
    return _verdict(decision, pruned, right, target, count)


def _ball(
    network: Network,
    centre: Array,
    radius: float | None,
    norm: str,
    domain: tuple[npt.ArrayLike | None, npt.ArrayLike | None],
) -> Region:
    if radius is None:
        msg = "give the radius of the ball, or a region"
        raise QueryError(msg)
    if domain[0] is None and domain[1] is None and network.input_bounds is not None:
        domain = network.input_bounds
    return ball(centre, radius, norm, *domain)


def _digest(region: Region) -> str:
    if not isinstance(region, Constrained):
        return region_digest(region)
    digest = hashlib.sha256(_digest(region.base).encode())
    for part in (region.rows.matrix, region.rows.lower, region.rows.upper):
        digest.update(f"{part.shape}".encode() + np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _verdict(
    decision: Decision, pruned: list[ClauseResult], label: int, target: int | None, top_k: int
) -> Verdict:
    witness, network = decision.witness, decision.network
    status: VerdictStatus = "robust" if decision.excluded else "unresolved"
    if witness is not None:
        status = "witness"
    return Verdict(
        status=status,
        label=label,
        target=None if target is None else int(target),
        clauses=(*decision.results, *pruned),
        region=decision.region.describe(),
        top_k=top_k,
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
        region_digest=_digest(decision.region),
        dtype=network.dtype,
        seed=decision.settings.seed,
    )
