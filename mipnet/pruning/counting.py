"""How large a network is: multiplications and weight tiles."""

from __future__ import annotations

import math

from mipnet.network import Affine, Network
from mipnet.network.layers import Conv
from mipnet.pruning.tiles import nonzero_tiles, tile_grids


def n_macs(network: Network) -> int:
    """Multiplications by a weight of Affine and Conv layers for one input, zeros included.

    Examples
    --------
    >>> import numpy as np
    >>> n_macs(Network.sequential([Affine(np.ones((3, 2)), np.zeros(3))]))
    6
    """
    total = 0
    for node in network.nodes:
        if isinstance(node.layer, Affine):
            total += node.layer.weight.size
        elif isinstance(node.layer, Conv):
            total += node.layer.weight.size * math.prod(network.shapes[node.name][1:])
    return total


def n_tiles(network: Network, tile: int | tuple[int, int]) -> int:
    """Tiles of Affine and Conv layers that hold a weight other than 0 (:mod:`.tiles`)."""
    total = 0
    for name, grid in tile_grids(network, tile).items():
        total += int(nonzero_tiles(network.by_name[name].layer.parameters[0], grid.tile).sum())
    return total
