"""A compacted network in the shapes it had before, with zeros where units are gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.network import Affine, Network, Node
from mipnet.network.layers import BatchNorm, Conv, Scale
from mipnet.pruning.compact import shrink
from mipnet.pruning.slicing import per_axis

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def expanded(masked: Network, small: Network) -> Network | None:
    """Return the function of a compacted network in the shapes of the masked one.

    Kept weights and folded biases are those of the small network, number by number; nothing reads
    what is gone. So what is proven of the result holds for the small network.

    Parameters
    ----------
    masked : Network
    small : Network
        ``compact(masked)``.

    Returns
    -------
    Network or None
        None where the small network is another one, or holds nodes that the masked one lacks.
    """
    again = shrink(masked)
    if again.network.fingerprint != small.fingerprint:
        return None
    return embedded(masked, small, again.kept)


def embedded(network: Network, small: Network, kept: Mapping[str, Flags]) -> Network | None:
    """Return the function of a small network in the shapes of the one it came from.

    Parameters
    ----------
    network : Network
    small : Network
        Of nodes of the same names, but for Affine nodes that may read others than before.
    kept : mapping of str to array of bool
        For every node of ``small``, its elements among those of ``network``, flattened.

    Returns
    -------
    Network or None
        None where the small network holds nodes that the other one lacks.
    """
    if not set(small.by_name) <= set(network.by_name):
        return None
    nodes = []
    for node in network.nodes:
        layer: Any = node.layer
        inside = small.by_name.get(node.name)
        if inside is not None and isinstance(layer, Affine | Conv | BatchNorm | Scale):
            if type(inside.layer) is not type(layer):
                return None
            nodes.append(_spread(node, inside, network, kept))
        elif inside is None and isinstance(layer, Affine | Conv):
            weight, bias = (np.zeros_like(p) for p in layer.parameters)
            nodes.append(replace(node, layer=replace(layer, weight=weight, bias=bias)))
        else:
            nodes.append(node)
    return replace(network, nodes=tuple(nodes))


def _spread(node: Node, inside: Node, network: Network, kept: Mapping[str, Flags]) -> Node:
    layer: Any = node.layer
    own: Any = inside.layer
    shape = network.shapes[node.name]
    parts = per_axis(kept[node.name].reshape(shape))
    rows = parts[0]
    if isinstance(layer, Scale):
        pair = []
        for values in own.parameters:
            full = np.zeros(shape)
            full[np.ix_(*parts)] = np.broadcast_to(values, [int(p.sum()) for p in parts])
            pair.append(full)
        return replace(node, layer=Scale(*pair))
    bias = np.zeros_like(layer.bias)
    bias[rows] = own.bias
    if isinstance(layer, BatchNorm):
        weight = np.zeros_like(layer.weight)
        weight[rows] = own.weight
        return replace(node, layer=replace(layer, weight=weight, bias=bias))
    weight = np.zeros_like(layer.weight)
    inputs = node.inputs
    if getattr(layer, "groups", 1) > 1:
        weight[rows] = own.weight
    elif own.weight.any():
        inputs = inside.inputs
        source = network.shapes[inputs[0]]
        columns = per_axis(kept[inputs[0]].reshape(source))[0]
        weight = np.zeros((len(rows), source[0], *layer.weight.shape[2:]))
        weight[np.ix_(rows, columns)] = own.weight
    return replace(node, layer=replace(layer, weight=weight, bias=bias), inputs=inputs)
