"""Proven bounds on how far two networks are apart."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.arguments import require
from mipnet.bounds import Bounds, as_region, compute_bounds
from mipnet.bounds.crown import Relaxations, refine
from mipnet.bounds.interval import input_interval
from mipnet.certify.correspond import corresponding
from mipnet.certify.expand import expanded
from mipnet.certify.joint import FIRST, SECOND, Difference, matched, node_by_node, side_by_side
from mipnet.clocks import seconds
from mipnet.errors import QueryError
from mipnet.network import INPUT, Interval, Network, Node
from mipnet.pruning import Mask, PruneResult, apply
from mipnet.region import Region
from mipnet.rounding import UNIT, down, up
from mipnet.search import minimize

Array = npt.NDArray[np.float64]

#: Ways to refine bounds.
REFINEMENTS = ("none", "mip")


@dataclass(frozen=True)
class DifferenceBounds:
    """Bounds of ``dense(x) - pruned(x)`` over a region, output by output.

    Attributes
    ----------
    lower, upper : array, shape (n_outputs,)
        Proven, rounded outward.
    separate_lower, separate_upper : array, shape (n_outputs,)
        What bounding each network alone proves.
    method : {"equal", "propagation", "separate", "mip"}
        The last method that tightened them: ``equal`` where the networks are the same,
        ``propagation`` of differences node by node, ``separate`` where units cannot be paired.
    units : {"names", "mask", "weights", "nearest", "none"}
        How units of the two networks were paired: by the ``names`` and shapes of their nodes; by
        the ``mask``; by their ``weights``, all of which are those of the dense network; by the
        ``nearest`` weights, in order, where some differ. With ``none`` (networks that are not the
        one a part of the other) only a result of :func:`mipnet.prune` or a mask given in place of
        the network makes ``propagation`` possible.
    seconds : float
    """

    lower: Array
    upper: Array
    separate_lower: Array
    separate_upper: Array
    method: str
    units: str = "names"
    seconds: float = field(default=0.0, compare=False)

    @property
    def largest(self) -> float:
        """Bound of the absolute difference of any output."""
        return float(np.maximum(np.abs(self.lower), np.abs(self.upper)).max(initial=0.0))

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "lower": self.lower.tolist(),
            "upper": self.upper.tolist(),
            "largest": self.largest,
            "method": self.method,
            "units": self.units,
        }


def difference_bounds(
    dense: Network,
    pruned: Network | PruneResult | Mask,
    region: Region | tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    *,
    refinement: str = "none",
    time_limit: float | None = None,
    threads: int = 1,
) -> DifferenceBounds:
    r"""Bounds of ``dense(x) - pruned(x)`` for all inputs of a region, in exact arithmetic.

    Differences travel from node to node, with what they depend on: a removed unit is a difference
    of its value, a kept one of what reached it, so that what the networks share cancels. Both
    networks and all differences are one graph, bounded by CROWN (Zhang et al., NeurIPS 2018) with
    every rounding charged, rectifiers by
    :class:`~mipnet.certify.relu_difference.ReluDifference`, other functions of one element by their
    slopes (:class:`~mipnet.certify.slope_difference.SlopeDifference`), largest elements by
    :class:`~mipnet.certify.max_difference.MaxDifference`, probabilities by
    :class:`~mipnet.certify.softmax_difference.SoftmaxDifference`. Never looser than bounding each
    network alone.

    Parameters
    ----------
    dense : Network
    pruned : Network, PruneResult or Mask
        A network of the same nodes and shapes (masked, fine-tuned, with dropped weights), a
        compacted one, whose units are found by their weights
        (:func:`~mipnet.certify.correspond.corresponding`), what a pruner returned, or a mask to
        apply. Any other network is bounded output against output; :attr:`DifferenceBounds.units`
        says what was done.
    region : Region or (lower, upper), optional
        The input bounds of the dense network when absent.
    refinement : {"none", "mip"}
        ``mip`` minimises and maximises every difference over both networks as one program; its
        bound counts, whether it gets to an end or not.
    time_limit : float, optional
        Seconds for all programs together.
    threads : int
        Of the solver.

    Returns
    -------
    DifferenceBounds

    Raises
    ------
    QueryError
        When the networks have other inputs or outputs, the refinement is unknown, or a limit makes
        no sense.
    RegionError
        When the region does not fit.

    Examples
    --------
    >>> from mipnet.network.readers import load
    >>> net = load([([[1.0], [0.5]], [0.0, 0.0]), ([[1.0, 1.0]], [0.0])])
    >>> found = difference_bounds(net, Mask.from_kept(net, {net.nodes[0].name: [0]}), (0.0, 1.0))
    >>> round(found.largest, 6)
    0.5
    """
    start = time.perf_counter()
    _check(dense, pruned, refinement, time_limit, threads)
    other, whole, units = _second(dense, pruned)
    shapes = [(n.input_shape, n.shapes[n.output]) for n in (dense, other)]
    if shapes[0] != shapes[1]:
        msg = f"the networks have inputs {shapes[0][0]}, {shapes[1][0]} and outputs "
        msg += f"{shapes[0][1]}, {shapes[1][1]}: there is no difference"
        raise QueryError(msg)
    where = as_region(dense, region)
    each = [compute_bounds(n, where, "crown") for n in (dense, other)]
    alone = _apart(each[0], each[1])
    known = {FIRST + name: box for name, box in each[0].intervals.items()}
    if whole is None or whole is other:
        known |= {SECOND + name: box for name, box in each[1].intervals.items()}
    ends, method = alone, "separate"
    # The graphs hold pruned(x) - dense(x).
    if whole is not None:
        joint = node_by_node(dense, whole)
        if joint is None:
            zero = np.zeros(dense.n_outputs)
            ends, method = Interval(zero, zero), "equal"
        else:
            found = propagate(joint, where, known)
            ends, method = found.intersect(alone), "propagation"
    else:
        ends = propagate(side_by_side(dense, other), where, known).intersect(alone)
    if refinement == "mip" and method != "equal":
        joint = side_by_side(dense, other)
        ends, method = _by_programs(joint, where, ends, time_limit, threads), "mip"
    spent = time.perf_counter() - start
    ends, alone = (Interval(0.0 - box.upper, 0.0 - box.lower) for box in (ends, alone))
    return DifferenceBounds(ends.lower, ends.upper, alone.lower, alone.upper, method, units, spent)


def _check(
    dense: object, pruned: object, refinement: str, time_limit: float | None, threads: int
) -> None:
    """Raise QueryError where an argument makes no sense."""
    require(dense, Network, "dense", QueryError)
    require(pruned, (Network, PruneResult, Mask), "pruned", QueryError)
    if time_limit is not None:
        seconds("time_limit", time_limit)
    if not isinstance(threads, int) or threads < 1:
        msg = f"threads must be a whole number from 1 on, not {threads!r}"
        raise QueryError(msg)
    if refinement not in REFINEMENTS:
        msg = f"unknown refinement {refinement!r}; there are {', '.join(REFINEMENTS)}"
        raise QueryError(msg)


def propagate(
    joint: Network, region: Region, known: Mapping[str, Interval] | None = None
) -> Interval:
    """CROWN over a graph of differences, which is tightened where a rectifier is undecided.

    Parameters
    ----------
    joint : Network
        From :func:`~mipnet.certify.joint.node_by_node` or
        :func:`~mipnet.certify.joint.side_by_side`.
    region : Region
    known : mapping of str to Interval, optional
        Bounds of nodes of the graph that were proven before.

    Returns
    -------
    Interval, shape (n_outputs,)
    """
    read: dict[str, Node] = {}
    for node in joint.nodes:
        if isinstance(node.layer, Difference):
            read.setdefault(node.inputs[0], node)
    intervals = {INPUT: input_interval(joint, region)}
    relaxations = Relaxations(joint, intervals)
    decisive = _deciders(joint)
    for node in joint.nodes:
        box = node.layer.interval(*(intervals[i] for i in node.inputs))
        if known is not None and node.name in known:
            box = box.intersect(known[node.name])
        reader = read.get(node.name)
        if reader is not None:
            before, after = (intervals[name] for name in reader.inputs[1:])
            size = before.magnitude + after.magnitude
            apart = Interval(
                down(after.lower - before.upper, UNIT * size),
                up(after.upper - before.lower, UNIT * size),
            )
            box = box.intersect(apart)
        intervals[node.name] = box
        chosen = None
        if node.name == joint.output:
            chosen = np.ones(box.lower.shape, bool)
        elif reader is not None and isinstance(reader.layer, Difference):
            chosen = ~reader.layer.idle(before, after) & (box.upper > box.lower)
        elif node.name in decisive:
            chosen = decisive[node.name].unstable(box)
        if chosen is not None and chosen.any():
            intervals[node.name] = refine(relaxations, region, node.name, chosen)
    final = intervals[joint.output].reshape((joint.n_outputs,))
    return Interval(final.lower[0], final.upper[0])


def _deciders(joint: Network) -> dict[str, Any]:
    """One nonlinear reader of every node of the two networks that has one."""
    return {
        node.inputs[0]: node.layer
        for node in joint.nodes
        if node.layer.nonlinear and node.name.startswith((FIRST, SECOND))
    }


def _second(
    dense: Network, pruned: Network | PruneResult | Mask
) -> tuple[Network, Network | None, str]:
    """Network to compare with, the same function in the shapes of the dense one, and how."""
    if isinstance(pruned, Mask):
        masked = apply(dense, pruned)
        return masked, masked, "mask"
    if isinstance(pruned, PruneResult):
        whole = expanded(pruned.masked, pruned.network)
        if whole is not None and matched(dense, whole):
            return pruned.network, whole, "mask"
        pruned = pruned.network
    fits = matched(dense, pruned)
    found = (
        None if fits and set(dense.by_name) == set(pruned.by_name) else corresponding(dense, pruned)
    )
    if found is not None:
        return pruned, found.whole, "weights" if found.exact else "nearest"
    return pruned, pruned if fits else None, "names" if fits else "none"


def _apart(first: Bounds, second: Bounds) -> Interval:
    """Difference of the bounds of each network."""
    shape = (first.network.n_outputs,)
    before, after = (bounds.output.reshape(shape) for bounds in (first, second))
    size = before.magnitude + after.magnitude
    lower = down(after.lower - before.upper, UNIT * size)
    upper = up(after.upper - before.lower, UNIT * size)
    return Interval(lower[0], upper[0])


def _by_programs(
    joint: Network,
    region: Region,
    ends: Interval,
    time_limit: float | None,
    threads: int,
) -> Interval:
    """Bounds of every difference by branch and bound over both networks."""
    lower, upper = ends.lower.copy(), ends.upper.copy()
    left = 2 * lower.size
    until = None if time_limit is None else time.perf_counter() + time_limit
    for k in range(lower.size):
        for sign in (1.0, -1.0):
            objective = np.zeros(lower.size)
            objective[k] = sign
            limit = None if until is None else max(0.0, until - time.perf_counter()) / left
            found = minimize(joint, objective, region, time_limit=limit, threads=threads)
            left -= 1
            if found.status in ("inconsistent", "error"):
                continue
            if sign > 0.0:
                lower[k] = max(lower[k], found.bound)
            else:
                upper[k] = min(upper[k], -found.bound)
    return Interval(lower, upper)
