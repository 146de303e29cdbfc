"""A compacted network in the shapes it had before, with zeros where units are gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.network import Affine, Layer, Network
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
    again, kept = shrink(masked)
    if again.fingerprint != small.fingerprint or not set(again.by_name) <= set(masked.by_name):
        return None
    layers: dict[str, Layer] = {}
    for node in masked.nodes:
        layer: Any = node.layer
        if node.name not in kept:
            if isinstance(layer, Affine | Conv):
                layers[node.name] = replace(
                    layer, weight=np.zeros_like(layer.weight), bias=np.zeros_like(layer.bias)
                )
            continue
        inside: Any = small.by_name[node.name].layer
        if isinstance(layer, Affine | Conv | BatchNorm | Scale):
            if type(inside) is not type(layer):
                return None
            layers[node.name] = _spread(layer, inside, masked, node.name, kept)
    return masked.with_layers(layers)


def _spread(
    layer: Any, inside: Any, masked: Network, name: str, kept: Mapping[str, Flags]
) -> Layer:
    shape = masked.shapes[name]
    parts = per_axis(kept[name].reshape(shape))
    if isinstance(layer, Scale):
        pair = []
        for whole, own in zip(layer.parameters, inside.parameters, strict=True):
            full = np.zeros(shape)
            full[np.ix_(*parts)] = np.broadcast_to(own, [int(p.sum()) for p in parts])
            pair.append(full if not kept[name].all() else whole)
        return Scale(*pair)
    rows = parts[0]
    if isinstance(layer, BatchNorm):
        weight, bias = np.zeros_like(layer.weight), np.zeros_like(layer.bias)
        weight[rows], bias[rows] = inside.weight, inside.bias
        norm: Layer = replace(layer, weight=weight, bias=bias)
        return norm
    weight, bias = np.zeros_like(layer.weight), np.zeros_like(layer.bias)
    bias[rows] = inside.bias
    source = masked.by_name[name].inputs[0]
    if source in kept and getattr(layer, "groups", 1) == 1:
        columns = per_axis(kept[source].reshape(masked.shapes[source]))[0]
        weight[np.ix_(rows, columns)] = inside.weight
    elif source in kept:
        weight[rows] = inside.weight
    full: Layer = replace(layer, weight=weight, bias=bias)
    return full
