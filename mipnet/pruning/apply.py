"""Applying a mask without changing shapes."""

from __future__ import annotations

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
