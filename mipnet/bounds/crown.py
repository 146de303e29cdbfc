r"""CROWN: linear lower forms propagated backwards to the input (Zhang et al., NeurIPS 2018).

Upper bounds are lower bounds of the negated neuron. All neurons of a layer travel in one matrix,
and the forms meet the region once, at the inputs, where the region minimises them exactly.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from mipnet.bounds.data import Bounds, unstable
from mipnet.bounds.interval import input_interval
from mipnet.network import INPUT, Interval, LinearForm, Network
from mipnet.network.layers.base import Array
from mipnet.region import Region
from mipnet.rounding import down

#: Largest number of coefficients one backward pass may hold at a node (256 MiB).
_CHUNK = 2**25


def backward_form(
    network: Network,
    intervals: Mapping[str, Interval],
    name: str,
    form: LinearForm,
    slopes: Mapping[str, Array] | None = None,
) -> LinearForm:
    """Lower linear forms over the input from lower forms over the node ``name``.

    Parameters
    ----------
    network : Network
    intervals : mapping of node name to Interval
        Bounds of every node before ``name``, batch of one or of the forms' batch.
    name : str
        Node the given forms are over.
    form : LinearForm
    slopes : mapping of node name to array, optional
        Lower slopes of nonlinear nodes (see :meth:`Layer.backward`).
    """
    pending = {name: form}
    for node in reversed(network.nodes):
        current = pending.pop(node.name, None)
        if current is None:
            continue
        boxes = tuple(intervals[i] for i in node.inputs)
        chosen = None if slopes is None else slopes.get(node.name)
        for source, part in zip(
            node.inputs, node.layer.backward(current, *boxes, slopes=chosen), strict=True
        ):
            known = pending.get(source)
            pending[source] = part if known is None else known.merge(part, intervals[source])
    return pending[INPUT]


def concretise(
    form: LinearForm, region: Region, lower: Array | None = None, upper: Array | None = None
) -> Array:
    """Lower bounds of forms over the input, shape (batch, targets), rounded down."""
    flat = form.coefficients.reshape(*form.coefficients.shape[:2], -1)
    least = region.minimise(flat, lower, upper)
    return down(least + form.constant, form.error + 2.0**-52 * np.abs(least + form.constant))


def refine(
    network: Network,
    region: Region,
    intervals: Mapping[str, Interval],
    name: str,
    neurons: npt.NDArray[np.intp],
) -> Interval:
    """Bounds of the node ``name`` with CROWN applied to the given flat neurons.

    Returns the known bounds intersected with the new ones; other neurons keep theirs.
    """
    known = intervals[name]
    shape = known.lower.shape[1:]
    size = int(np.prod(shape))
    lower, upper = known.lower.reshape(1, size).copy(), known.upper.reshape(1, size).copy()
    widest = max(size, *(int(np.prod(network.shapes[n])) for n in network.shapes))
    step = max(1, _CHUNK // (2 * widest))
    for first in range(0, neurons.size, step):
        part = neurons[first : first + step]
        rows = np.zeros((1, 2 * part.size, size))
        rows[0, np.arange(part.size), part] = 1.0
        rows[0, part.size + np.arange(part.size), part] = -1.0
        zero = np.zeros((1, 2 * part.size))
        form = LinearForm(rows.reshape(1, -1, *shape), zero, zero)
        value = concretise(backward_form(network, intervals, name, form), region)
        lower[:, part] = np.maximum(lower[:, part], value[:, : part.size])
        upper[:, part] = np.minimum(upper[:, part], -value[:, part.size :])
    return Interval(lower, upper).reshape(shape)


def crown_bounds(network: Network, region: Region) -> Bounds:
    """CROWN bounds of every neuron whose interval bounds leave it unstable, and of the output.

    Parameters
    ----------
    network : Network
    region : Region

    Returns
    -------
    Bounds
        Never looser than :func:`interval_bounds`.
    """
    start = time.perf_counter()
    intervals = {INPUT: input_interval(network, region)}
    methods = {INPUT: "region"}
    decisive = {i for n in network.nodes if n.layer.nonlinear for i in n.inputs}
    for node in network.nodes:
        box = node.layer.interval(*(intervals[i] for i in node.inputs))
        intervals[node.name], methods[node.name] = box, "interval"
        if node.layer.nonlinear or node.name not in decisive | {network.output}:
            continue
        size = int(np.prod(box.lower.shape[1:]))
        neurons = np.arange(size) if node.name == network.output else unstable(box)
        if neurons.size:
            intervals[node.name] = refine(network, region, intervals, node.name, neurons)
            methods[node.name] = "crown"
    return Bounds(network, intervals, methods, time.perf_counter() - start)
