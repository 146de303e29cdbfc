r"""CROWN: linear lower forms propagated backwards to the input (Zhang et al., NeurIPS 2018).

Upper bounds are lower bounds of the negated neuron. All neurons of a layer travel in one matrix,
and the forms meet the region once, at the inputs, where the region minimises them exactly.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mipnet.bounds.data import Bounds, deciders, unstable
from mipnet.bounds.interval import input_interval
from mipnet.clocks import Stopwatch
from mipnet.network import INPUT, Interval, LinearForm, Network, Node
from mipnet.network.interval import Lines
from mipnet.network.layers.base import Array, Relaxation
from mipnet.region import Region
from mipnet.rounding import down

#: Inputs up to which linear bounds are also propagated forwards, before any backward pass.
_FORWARD_INPUTS = 32
#: Largest number of coefficients one backward pass may hold at a node (2 MiB): enough for products
#: at full speed, and the clock is looked at between passes.
_CHUNK = 2**18
#: The same where many boxes are bounded in one pass: arrays of 128 KiB stay in the cache, and the
#: allocator hands them out again without asking the system for fresh pages.
_BATCH_CHUNK = 2**14


@dataclass
class Relaxations:
    """Relaxations of the layers of a network over a batch of boxes, made as they are needed.

    Attributes
    ----------
    network : Network
    intervals : mapping of node name to Interval
        Bounds of the nodes reached so far.
    """

    network: Network
    intervals: dict[str, Interval]
    _made: dict[str, Relaxation] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Relaxation:
        if name not in self._made:
            node = self.network.by_name[name]
            self._made[name] = node.layer.relax(*(self.intervals[i] for i in node.inputs))
        return self._made[name]


def backward_form(
    relaxations: Relaxations,
    name: str,
    form: LinearForm,
    *,
    owners: npt.NDArray[np.intp] | None = None,
    slopes: Mapping[str, Array] | None = None,
    record: dict[str, Array] | None = None,
) -> LinearForm:
    """Lower linear forms over the input from lower forms over the node ``name``.

    Parameters
    ----------
    relaxations : Relaxations
        Over the bounds of every node before ``name``.
    name : str
        Node the given forms are over.
    form : LinearForm
    owners : array of int, shape (batch of the form,), optional
        Box each item of the form's batch belongs to; item by item when absent.
    slopes : mapping of node name to array, optional
        Lower slopes of nonlinear nodes (see :meth:`Layer.backward`).
    record : dict, optional
        Receives the coefficients over the output of every node the forms passed.
    """
    network, pending = relaxations.network, {name: form}
    for node in reversed(network.nodes):
        current = pending.pop(node.name, None)
        if current is None:
            continue
        if record is not None:
            record[node.name] = current.coefficients
        made = relaxations[node.name]
        if owners is not None:
            made = tuple(array[owners] for array in made)
        chosen = None if slopes is None else slopes.get(node.name)
        parts = node.layer.backward(current, made, chosen)
        for source, part in zip(node.inputs, parts, strict=True):
            known = pending.get(source)
            if known is None:
                pending[source] = part
                continue
            size = relaxations.intervals[source].magnitude
            pending[source] = known.merge(part, size if owners is None else size[owners])
    return pending[INPUT]


def concretise(
    form: LinearForm, region: Region, lower: Array | None = None, upper: Array | None = None
) -> Array:
    """Lower bounds of forms over the input, shape (batch, targets), rounded down."""
    flat = form.coefficients.reshape(*form.coefficients.shape[:2], region.n_inputs)
    least = region.minimise(flat, lower, upper)
    return down(least + form.constant, form.error + 2.0**-52 * np.abs(least + form.constant))


class Sweep:
    """Linear bounds propagated forwards, node by node (the forward mode of LiRPA, Xu et al. 2020).

    Cheaper than a backward pass for every neuron when the input is small, and enough to settle
    most neurons of a small box.
    """

    def __init__(self, relaxations: Relaxations, region: Region) -> None:
        box = relaxations.intervals[INPUT].reshape((region.n_inputs,))
        batch, n = box.lower.shape
        eye, zero = np.broadcast_to(np.eye(n), (batch, n, n)), np.zeros((batch, n))
        self._relaxations, self._region, self._box = relaxations, region, box
        self._lines = {INPUT: Lines(eye, eye, zero, zero, zero)}

    def advance(self, node: Node) -> Interval:
        """Bounds of the next node, whose inputs have their final bounds."""
        lines = node.layer.lines(
            self._relaxations[node.name],
            self._box.magnitude,
            *(self._lines[i] for i in node.inputs),
        )
        self._lines[node.name] = lines
        shape = self._relaxations.network.shapes[node.name]
        ends = (self._region, self._box.lower, self._box.upper)
        low = concretise(LinearForm(lines.lower, lines.lower_constant, lines.error), *ends)
        high = concretise(LinearForm(-lines.upper, -lines.upper_constant, lines.error), *ends)
        return Interval(low, -high).reshape(shape)


def refine(
    relaxations: Relaxations,
    region: Region,
    name: str,
    chosen: npt.NDArray[np.bool_],
    watch: Stopwatch | None = None,
) -> Interval:
    """Bounds of the node ``name`` with CROWN applied to the chosen neurons.

    Every chosen neuron of every box is a row of its own, so that a batch of boxes with few
    unstable neurons each costs no more than those neurons.

    Parameters
    ----------
    relaxations : Relaxations
        Over a batch of boxes within the region.
    region : Region
    name : str
    chosen : array of bool, shape (batch, *shape)
    watch : Stopwatch, optional
        Neurons it leaves no time for keep the bounds they have.

    Returns
    -------
    Interval
        The known bounds of the node, tightened at the chosen neurons.
    """
    network, known = relaxations.network, relaxations.intervals[name]
    batch, shape = known.lower.shape[0], known.lower.shape[1:]
    size = int(np.prod(shape))
    lower, upper = known.lower.reshape(batch, size).copy(), known.upper.reshape(batch, size).copy()
    box = relaxations.intervals[INPUT].reshape((region.n_inputs,))
    owners, neurons = np.nonzero(chosen.reshape(batch, size))
    widest = max(int(np.prod(shape)) for shape in network.shapes.values())
    step = max(1, (_CHUNK if batch == 1 else _BATCH_CHUNK) // (2 * widest))
    for first in range(0, owners.size, step):
        if watch is not None and watch.expired:
            break
        owner, neuron = owners[first : first + step], neurons[first : first + step]
        count = np.arange(neuron.size)
        # With one box all rows are targets of one item; else every row is an item of its own.
        rows = np.zeros((neuron.size, 2, size))
        rows[count, 0, neuron], rows[count, 1, neuron] = 1.0, -1.0
        if batch == 1:
            rows = rows.reshape(1, 2 * neuron.size, size)
        zero = np.zeros(rows.shape[:2])
        form = LinearForm(rows.reshape(*zero.shape, *shape), zero, zero)
        whose = None if batch == 1 else owner
        final = backward_form(relaxations, name, form, owners=whose)
        ends = (box.lower, box.upper) if whose is None else (box.lower[whose], box.upper[whose])
        value = concretise(final, region, *ends).reshape(-1, 2)
        lower[owner, neuron] = np.maximum(lower[owner, neuron], value[:, 0])
        upper[owner, neuron] = np.minimum(upper[owner, neuron], -value[:, 1])
    return Interval(lower, upper).reshape(shape)


def crown_intervals(
    network: Network,
    region: Region,
    box: Interval,
    known: Mapping[str, Interval] | None = None,
    watch: Stopwatch | None = None,
) -> tuple[dict[str, Interval], dict[str, str]]:
    """CROWN bounds over a batch of boxes within a region, and the method of each node.

    Parameters
    ----------
    network : Network
    region : Region
    box : Interval, shape (batch, *input_shape)
        Boxes to intersect the region with.
    known : mapping of node name to Interval, optional
        Bounds that hold already (of a larger box, say), batch of one or of the boxes.
    watch : Stopwatch, optional
        Neurons it leaves no time for keep interval bounds.
    """
    relaxations, methods = _hidden(network, region, box, known, watch)
    intervals, last = relaxations.intervals, network.nodes[-1]
    bounds = _first_bounds(last, intervals, known)
    every = np.ones(bounds.lower.shape, dtype=bool)
    intervals[last.name], methods[last.name] = bounds, "crown"
    if not last.layer.nonlinear:
        intervals[last.name] = refine(relaxations, region, last.name, every, watch)
    return intervals, methods


@dataclass(frozen=True)
class BoxBounds:
    """What CROWN proves of a batch of boxes.

    Attributes
    ----------
    lower : array, shape (batch, n_outputs)
        Lower bounds of the outputs.
    slopes : array, shape (batch, n_outputs, n_inputs)
        Coefficients of the lower linear forms over the flat input.
    unstable : array of int, shape (batch,)
        Unstable neurons of each box.
    """

    lower: Array
    slopes: Array
    unstable: npt.NDArray[np.intp]


def crown_lower(
    network: Network, region: Region, box: Interval, known: Mapping[str, Interval] | None = None
) -> BoxBounds:
    """Lower bounds of the outputs over a batch of boxes, and the forms that prove them.

    Parameters
    ----------
    network, region, box, known
        As for :func:`crown_intervals`.

    Returns
    -------
    BoxBounds
    """
    relaxations, _ = _hidden(network, region, box, known)
    shape, n = network.shapes[network.output], network.n_outputs
    eye, zero = np.eye(n).reshape(1, n, *shape), np.zeros((1, n))
    form = backward_form(relaxations, network.output, LinearForm(eye, zero, zero))
    flat = box.reshape((region.n_inputs,))
    lower = concretise(form, region, flat.lower, flat.upper)
    slopes = form.coefficients.reshape(*form.coefficients.shape[:2], region.n_inputs)
    count = np.zeros(lower.shape[0], dtype=np.intp)
    for name, readers in deciders(network).items():
        open_ = unstable(readers, relaxations.intervals[name])
        count += open_.reshape(lower.shape[0], -1).sum(axis=1)
    return BoxBounds(lower, np.broadcast_to(slopes, (lower.shape[0], *slopes.shape[1:])), count)


def _hidden(
    network: Network,
    region: Region,
    box: Interval,
    known: Mapping[str, Interval] | None,
    watch: Stopwatch | None = None,
) -> tuple[Relaxations, dict[str, str]]:
    """Bounds of every node but the last."""
    intervals, methods = {INPUT: box}, {INPUT: "region"}
    relaxations = Relaxations(network, intervals)
    decisive = deciders(network)
    sweep = Sweep(relaxations, region) if region.n_inputs <= _FORWARD_INPUTS else None
    for node in network.nodes[:-1]:
        bounds = _first_bounds(node, intervals, known)
        if sweep is not None:
            bounds = bounds.intersect(sweep.advance(node))
        intervals[node.name], methods[node.name] = bounds, "interval"
        if node.name not in decisive:
            continue
        chosen = unstable(decisive[node.name], bounds)
        if chosen.any():
            intervals[node.name] = refine(relaxations, region, node.name, chosen, watch)
            methods[node.name] = "crown"
    return relaxations, methods


def _first_bounds(
    node: Node, intervals: Mapping[str, Interval], known: Mapping[str, Interval] | None
) -> Interval:
    bounds = node.layer.interval(*(intervals[i] for i in node.inputs))
    if known is not None and node.name in known:
        return bounds.intersect(known[node.name])
    return bounds


def crown_bounds(network: Network, region: Region, *, budget: float | None = None) -> Bounds:
    """CROWN bounds of every neuron whose interval bounds leave it unstable, and of the output.

    Parameters
    ----------
    network : Network
    region : Region
    budget : float, optional
        Seconds; neurons they do not suffice for keep interval bounds.

    Returns
    -------
    Bounds
        Never looser than :func:`interval_bounds`.
    """
    start = time.perf_counter()
    box = input_interval(network, region)
    intervals, methods = crown_intervals(network, region, box, watch=Stopwatch(budget))
    return Bounds(network, intervals, methods, time.perf_counter() - start)
