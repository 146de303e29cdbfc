"""Applying a mask without changing shapes."""

from __future__ import annotations

from mipnet.errors import MaskError
from mipnet.network import Affine, Network
from mipnet.pruning.mask import Mask
from mipnet.pruning.units import prunable_layers


def apply(network: Network, mask: Mask) -> Network:
    r"""Masked network: same shapes, removed units switched off.

    For a removed unit ``j`` of a layer, row ``j`` of its weight, entry ``j`` of its bias and
    column ``j`` of every reader become exactly 0, so that its activation is 0 and nobody reads
    it. With compensation ``c`` (Mask), readers first take :math:`b \mathrel{+}= W_{:,j} c_j`,
    with the original ``W`` and the values ``c`` replacing the activation after any ReLU.
    A reader's own removed rows stay 0 whatever is added.

    Parameters
    ----------
    network : Network
    mask : Mask

    Returns
    -------
    Network

    Raises
    ------
    MaskError
        When the mask does not fit the network.
    """
    mask.check(network)
    groups = prunable_layers(network)
    arrays = {
        node.name: (node.layer.weight.copy(), node.layer.bias.copy())
        for node in network.nodes
        if isinstance(node.layer, Affine)
    }
    for name, layer in mask.layers.items():
        for reader in groups[name].readers:
            weight, bias = arrays[reader]
            if layer.compensation is not None:
                bias += weight[:, layer.removed] @ layer.compensation
            weight[:, layer.removed] = 0.0
    for name, layer in mask.layers.items():
        weight, bias = arrays[name]
        weight[layer.removed] = 0.0
        bias[layer.removed] = 0.0
    touched = {r for name in mask.layers for r in (name, *groups[name].readers)}
    return network.with_layers({name: Affine(*arrays[name]) for name in touched})


def check_masked(network: Network, mask: Mask) -> None:
    """Raise unless the removed units of a network are switched off, as :func:`apply` does.

    Parameters
    ----------
    network : Network
        In whatever state of training; layers and widths must be those of the mask.
    mask : Mask

    Raises
    ------
    MaskError
        When the mask does not fit, or a removed unit has a weight left.
    """
    mask.check(network, same_weights=False)
    groups = prunable_layers(network)
    for name, layer in mask.layers.items():
        weight, bias = network.by_name[name].layer.parameters
        parts = [weight[layer.removed], bias[layer.removed]]
        readers = (network.by_name[reader].layer for reader in groups[name].readers)
        parts += [reader.parameters[0][:, layer.removed] for reader in readers]
        if any(part.any() for part in parts):
            msg = f"layer {name!r}: removed units still have weights; apply the mask first"
            raise MaskError(msg)
