"""Tiles: rectangular blocks of the weights of a layer, as an array computes them.

Weights are taken as the K x N operand of a matrix product: row k belongs to input k (of a
convolution: channel and place in the kernel, row-major), column n to output n; the transpose of
an Affine weight. A tile of r x c covers r inputs and c outputs; the last ones along each side may
be cut off. Tiles are counted row by row of the grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.arguments import require
from mipnet.errors import MaskError
from mipnet.network import Affine, Network
from mipnet.network.layers import Conv

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TileGrid:
    """Tiles of one layer.

    Attributes
    ----------
    layer : str
    tile : (int, int)
        Inputs and outputs of a tile.
    shape : (int, int)
        K and N: inputs and outputs of the layer.
    """

    layer: str
    tile: tuple[int, int]
    shape: tuple[int, int]

    @property
    def counts(self) -> tuple[int, int]:
        """Tiles along the inputs and along the outputs."""
        return grid_counts(self.shape, self.tile)

    @property
    def width(self) -> int:
        """Number of tiles."""
        return math.prod(self.counts)

    @property
    def ids(self) -> npt.NDArray[np.int64]:
        """Every tile can be removed by itself."""
        return np.arange(self.width)


def tile_grids(network: Network, tile: int | tuple[int, int]) -> dict[str, TileGrid]:
    """Tiles of every Affine node and every convolution in one group, in network order.

    Raises
    ------
    MaskError
        When the sides of a tile are no whole numbers from 1 on.

    Examples
    --------
    >>> import numpy as np
    >>> net = Network.sequential([Affine(np.ones((5, 4)), np.zeros(5))])
    >>> tile_grids(net, 2)["affine0"].counts
    (2, 3)
    """
    size = tile_size(tile)
    require(network, Network, "network", MaskError)
    grids = {}
    for node in network.nodes:
        layer = node.layer
        if isinstance(layer, Affine) or (isinstance(layer, Conv) and layer.groups == 1):
            n = len(layer.weight)
            grids[node.name] = TileGrid(node.name, size, (layer.weight.size // n, n))
    return grids


def tile_size(tile: int | tuple[int, int]) -> tuple[int, int]:
    """Sides of a tile, checked; one number for both.

    Raises
    ------
    MaskError
        When they are no whole numbers from 1 on.
    """
    given: Any = tile
    sides = tuple(given) if isinstance(given, Sequence | np.ndarray) else (given, given)
    whole = all(isinstance(s, int | np.integer) and not isinstance(s, bool) for s in sides)
    if len(sides) != 2 or not whole or min(sides) < 1:
        msg = f"a tile has two sides, whole numbers from 1 on, not {tile!r}"
        raise MaskError(msg)
    return int(sides[0]), int(sides[1])


def tile_norms(weight: Array, tile: tuple[int, int]) -> Array:
    """Mean absolute weight of every tile of a layer, flat.

    Parameters
    ----------
    weight : array, shape (n_out, n_in) or (n_out, n_in, *kernel)
    tile : (int, int)
    """
    matrix = np.abs(weight.reshape(len(weight), -1).T)
    starts = [np.arange(0, size, side) for size, side in zip(matrix.shape, tile, strict=True)]
    sums = np.add.reduceat(np.add.reduceat(matrix, starts[0], axis=0), starts[1], axis=1)
    sides = [np.diff([*start, size]) for start, size in zip(starts, matrix.shape, strict=True)]
    return np.asarray(sums / np.outer(*sides)).reshape(-1)


def tile_elements(keep: Flags, tile: tuple[int, int], shape: tuple[int, ...]) -> Flags:
    """Elements of a weight of that shape that lie in kept tiles."""
    n, k = shape[0], math.prod(shape[1:])
    rows, columns = grid_counts((k, n), tile)
    grid = keep.reshape(rows, columns)
    spread = np.repeat(np.repeat(grid, tile[0], axis=0)[:k], tile[1], axis=1)[:, :n]
    return np.asarray(spread.T.reshape(shape))


def nonzero_tiles(weight: Array, tile: tuple[int, int]) -> Flags:
    """Tiles of a weight that hold anything other than 0, flat."""
    return tile_norms((weight != 0.0).astype(np.float64), tile) > 0.0


def grid_counts(shape: tuple[int, int], tile: tuple[int, int]) -> tuple[int, int]:
    """Tiles along both sides of a K x N matrix."""
    return -(-shape[0] // tile[0]), -(-shape[1] // tile[1])
