"""Shrinking a network: removed and dead units go, constant ones fold into the next bias."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mipnet.network import Affine, Network, Node
from mipnet.pruning.agreement import check_agreement
from mipnet.pruning.apply import apply
from mipnet.pruning.mask import Mask
from mipnet.pruning.units import CARRIERS, live_nodes, prunable_layers

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Constants:
    """Which elements of a node never change, and their values (0 elsewhere)."""

    known: Flags
    value: Array


def compact(network: Network, mask: Mask | None = None) -> Network:
    """Shrunk network of the same function.

    In every layer of :func:`~mipnet.pruning.units.prunable_layers` a unit goes when

    - it is removed by the mask (see :func:`~mipnet.pruning.apply.apply`),
    - it is constant: all its weights on changing inputs are 0. Its value, ``max(0, b)`` after a
      ReLU, is folded into the biases of its readers, which may make these constant in turn;
    - it is dead: no unit that stays has a weight other than 0 on it.

    Only exact zeros count. Input and output keep their shapes, surviving nodes their names. When
    a layer loses all units, everything behind it is constant: what remains is an Affine node
    with zero weights on the network input, and the nodes between it and the output.

    Parameters
    ----------
    network : Network
    mask : Mask, optional
        Applied first; without it, only constant and dead units go.

    Returns
    -------
    Network
        Equal to the masked network up to float64 rounding. Folded biases are kept in float64,
        also when :attr:`Network.dtype` says float32.

    Raises
    ------
    MaskError
        When the mask does not fit, or when masked and shrunk network differ on a sample of
        inputs by more than rounding explains, naming the first layer that does.
    """
    masked = network if mask is None else apply(network, mask)
    small, kept = shrink(masked)
    check_agreement(masked, small, kept)
    return small


def shrink(network: Network) -> tuple[Network, dict[str, Flags]]:
    """Shrunk network, and which elements of each surviving node it kept (flattened).

    Unchecked: use :func:`compact`.
    """
    constants = _constants(network)
    kept = _kept(network, constants)
    nodes = []
    for node in network.nodes:
        if node.name not in kept or not kept[node.name].any():
            continue
        if not isinstance(node.layer, Affine):
            nodes.append(node)
            continue
        source = node.inputs[0]
        layer = _sliced(node.layer, kept[node.name], kept[source], constants[source].value)
        if kept[source].any():
            nodes.append(replace(node, layer=layer))
        else:
            # All inputs are folded away: the constants hang on the first vector, which is the
            # network input or its flattening and hence whole.
            anchor = next(n for n, s in network.shapes.items() if n in kept and len(s) == 1)
            zeros = np.zeros((layer.bias.size, network.shapes[anchor][0]))
            nodes.append(Node(node.name, Affine(zeros, layer.bias), (anchor,)))
    small = replace(network, nodes=tuple(nodes))
    live = live_nodes(small)
    small = replace(small, nodes=tuple(node for node in nodes if node.name in live))
    return small, {name: flags for name, flags in kept.items() if name in live}


def _sliced(layer: Affine, rows: Flags, columns: Flags, value: Array) -> Affine:
    if rows.all() and columns.all():
        return layer
    weight = layer.weight[rows]
    bias = layer.bias[rows] + weight[:, ~columns] @ value[~columns]
    return Affine(weight[:, columns], bias)


def _constants(network: Network) -> dict[str, _Constants]:
    """Constant elements of every node, by one pass towards the output."""
    found = {name: _nothing(shape) for name, shape in network.shapes.items()}
    for node in network.nodes:
        if isinstance(node.layer, Affine):
            source = found[node.inputs[0]]
            weight = node.layer.weight
            known = ~(weight[:, ~source.known] != 0.0).any(axis=1)
            value: Array = weight[:, source.known] @ source.value[source.known] + node.layer.bias
            found[node.name] = _Constants(known, np.where(known, value, 0.0))
        elif isinstance(node.layer, CARRIERS):
            source = found[node.inputs[0]]
            shape = network.shapes[node.inputs[0]]
            carried = node.layer.forward(source.value.reshape(1, *shape)).reshape(-1)
            found[node.name] = _Constants(source.known, np.where(source.known, carried, 0.0))
    return found


def _kept(network: Network, constants: Mapping[str, _Constants]) -> dict[str, Flags]:
    """Elements to keep of every node the output needs, by one pass towards the input.

    Only layers of removable units may lose any; what other kinds of layer read is whole.
    """
    groups, live = prunable_layers(network), live_nodes(network)
    needed = {name: np.zeros(c.known.size, bool) for name, c in constants.items()}
    kept = {name: np.ones_like(flags) for name, flags in needed.items() if name in live}
    for node in reversed(network.nodes):
        if node.name not in live:
            continue
        if node.name in groups:
            kept[node.name] = needed[node.name] & ~constants[node.name].known
        for source in node.inputs:
            if isinstance(node.layer, Affine):
                needed[source] |= (node.layer.weight[kept[node.name]] != 0.0).any(axis=0)
            elif isinstance(node.layer, CARRIERS):
                needed[source] |= needed[node.name]
    for name, group in groups.items():
        kept.update({carrier: kept[name] for carrier in group.path if carrier in live})
    return kept


def _nothing(shape: tuple[int, ...]) -> _Constants:
    size = int(np.prod(shape))
    return _Constants(np.zeros(size, bool), np.zeros(size))
