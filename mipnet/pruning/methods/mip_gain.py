"""What the mixed-integer program over a region loses with a unit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mipnet.bounds import Bounds, compute_bounds
from mipnet.bounds.crown import Relaxations, backward_form
from mipnet.network import Affine, Interval, Layer, LinearForm, Network
from mipnet.network.layers import Conv
from mipnet.network.layers.maximum import Maximum
from mipnet.pruning.layout import Layout
from mipnet.region import Region

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Gain:
    """Three measures of what goes from the program with each unit, shape (units,).

    Attributes
    ----------
    binaries : array
        Unstable neurons the unit holds: the binaries of the program.
    looseness : array
        What the unit contributes to the widths :math:`U - L`, hence to the constants M, of unstable
        neurons behind it, each width counted as 1.
    sensitivity : array
        What the triangle relaxation of the unit costs the bounds of the outputs: the multiplier of
        its upper line in a dual solution of the LP (CROWN's) times the height of the triangle,
        summed over both bounds of every output.
    """

    binaries: Array
    looseness: Array
    sensitivity: Array


def gain(network: Network, region: Region, layout: Layout, method: str = "crown") -> Gain:
    """Measure what goes from the program over a region with each unit.

    Parameters
    ----------
    network : Network
    region : Region
    layout : Layout
        Of the network.
    method : str
        How neurons are bounded (:data:`mipnet.bounds.METHODS`).
    """
    bounds = compute_bounds(network, region, method)
    binaries, height = np.zeros(layout.count), {}
    for node in network.nodes:
        if not node.layer.nonlinear:
            continue
        box = bounds.preactivation(node.name)
        open_ = node.layer.unstable(box)
        owner = layout.elements.get(node.inputs[0])
        if owner is not None:
            binaries += layout.sums(owner, open_[0].astype(np.float64))
        height[node.name] = _height(node.layer, box, open_)
    return Gain(
        binaries,
        _looseness(network, bounds, layout),
        _sensitivity(network, bounds, layout, height),
    )


def _height(layer: Layer, box: Interval, open_: npt.NDArray[np.bool_]) -> Array:
    """Height of the triangle of every output, shape (1, *output_shape)."""
    if isinstance(layer, Maximum):
        return layer.height(box)
    if layer.output_shape(box.lower.shape[1:]) != box.lower.shape[1:]:
        # No triangle is known of it: its outputs are nowhere farther apart than their bounds.
        found = layer.interval(box)
        return found.upper - found.lower
    low, high = np.minimum(box.lower, 0.0), np.maximum(box.upper, 0.0)
    width = np.where(high > low, high - low, 1.0)
    return np.where(open_, -low * high / width, 0.0)


def _looseness(network: Network, bounds: Bounds, layout: Layout) -> Array:
    total = np.zeros(layout.count)
    for node in network.nodes:
        if not node.layer.nonlinear or node.inputs[0] not in layout.columns:
            continue
        name = node.inputs[0]
        layer, box = network.by_name[name].layer, bounds[name]
        open_, width = node.layer.unstable(box), box.upper - box.lower
        share = np.where(open_, 1.0 / np.where(width > 0.0, width, 1.0), 0.0)
        source = bounds[network.by_name[name].inputs[0]]
        reach = source.upper - source.lower
        if isinstance(layer, Affine | Conv):
            part = replace(layer, weight=np.abs(layer.weight)).adjoint(
                share, source.lower.shape[1:]
            )
            total += _by_channel(layout, name, (np.asarray(part) * reach)[0])
    return total


def _by_channel(layout: Layout, name: str, values: Array) -> Array:
    sums = values.reshape(len(layout.columns[name]), -1).sum(axis=1)
    return layout.sums(layout.columns[name], sums)


def _sensitivity(
    network: Network, bounds: Bounds, layout: Layout, height: dict[str, Array]
) -> Array:
    shape, n = network.shapes[network.output], network.n_outputs
    rows = np.concatenate([np.eye(n), -np.eye(n)]).reshape(1, 2 * n, *shape)
    zero = np.zeros((1, 2 * n))
    record: dict[str, Array] = {}
    relaxations = Relaxations(network, dict(bounds.intervals))
    backward_form(relaxations, network.output, LinearForm(rows, zero, zero), record=record)
    total = np.zeros(layout.count)
    for name, triangle in height.items():
        owner = layout.elements.get(name)
        if owner is None or name not in record:
            continue
        cost = np.maximum(-record[name], 0.0).sum(axis=1) * triangle
        total += layout.sums(owner, cost[0])
    return total
