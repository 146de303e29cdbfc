"""SASP's tile pruning: the weakest tiles of all candidate matrices go together.

Palacios et al., GLSVLSI 2025 (arXiv 2411.10285), as done in the co-authors' scripts
(rouas/fvllmonti): a tile's score is the mean of its absolute weights; scores of all matrices are
pooled; with T tiles and rate p the threshold is the score of index floor(p T) in ascending order,
and every tile at or below it is zeroed: at least floor(p T) + 1 of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError
from mipnet.hardware.machine import one_of, sides
from mipnet.hardware.masks import TileMask, weights_of
from mipnet.pruning.methods.sasp import kept_tiles
from mipnet.pruning.tiles import grid_counts, tile_norms

Array = npt.NDArray[np.float64]


def tile_scores(weights: npt.ArrayLike, tile: object) -> Array:
    """Mean absolute weight of every tile; of a tile that is cut off, over what is there."""
    size = sides(tile)
    array = weights_of(weights).astype(np.float64)
    return tile_norms(array.T, size).reshape(grid_counts(array.shape, size))


def named_weights(weights: object) -> dict[str, npt.NDArray[Any]]:
    """Matrices of finite numbers by name.

    Raises
    ------
    MaskError
        When there is none, something else is among them, or they have no names.
    """
    if not isinstance(weights, Mapping):
        msg = "weights come as a mapping of names to matrices (K x N), such as {'fc': weights}, "
        msg += f"not as {type(weights).__name__}"
        raise MaskError(msg)
    if not weights:
        msg = "no weight matrix to prune tiles of"
        raise MaskError(msg)
    return {str(name): weights_of(w, f"weights of {name!r}") for name, w in weights.items()}


def prune_tiles(
    weights: Mapping[str, npt.ArrayLike], tile: object, rate: float, *, ties: str = "sasp"
) -> dict[str, TileMask]:
    """Tile masks of several matrices by one threshold.

    Parameters
    ----------
    weights : mapping of str to array_like, shape (K, N)
        Candidate matrices; SASP takes the feed-forward ones.
    tile : int, (int, int) or text such as "16x16"
        The array, for the tiles to be folds of it.
    rate : float
        Share of the tiles to zero, 0 to 1. Unlike in the scripts, 0 removes nothing and 1 all.
    ties : {"sasp", "exact"}
        ``sasp`` zeroes every tile at or below the threshold, at least floor(rate T) + 1;
        ``exact`` the floor(rate T) weakest, earlier ones first.

    Raises
    ------
    MaskError
        When the rate lies outside 0 to 1, something is no matrix of finite numbers, or the
        matrices are not named.

    Examples
    --------
    >>> w = [[1, 1, 5, 5], [1, 1, 5, 5], [2, 2, 3, 3], [2, 2, 3, 3]]
    >>> prune_tiles({"w": w}, 2, 0.25)["w"].keep.tolist()
    [[False, True], [False, True]]
    >>> prune_tiles({"w": w}, 2, 0.25, ties="exact")["w"].keep.tolist()
    [[False, True], [True, True]]
    """
    one_of("ties", ties, ("sasp", "exact"))
    size = sides(tile)
    scores = {name: tile_scores(matrix, size) for name, matrix in named_weights(weights).items()}
    kept = kept_tiles(scores, rate, ties)
    return {name: TileMask(kept[name], size, np.shape(weights[name])) for name in scores}
