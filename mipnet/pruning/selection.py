"""From scores and a budget to the units that stay."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from mipnet.network import Network
from mipnet.pruning.apply import apply
from mipnet.pruning.budgets import Budget
from mipnet.pruning.compact import shrink
from mipnet.pruning.mask import Mask
from mipnet.pruning.tiles import TileGrid
from mipnet.pruning.units import Group

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

#: What a method chooses from, by layer.
Units = Mapping[str, Group | TileGrid]


def keep_best(
    network: Network, units: Units, scores: Mapping[str, Array], budget: Budget, scope: str
) -> dict[str, Indices]:
    """Units of highest score that keep to a budget.

    Units that fall together count as one, with the mean of their scores; those that cannot be
    removed are kept and do not count.

    Parameters
    ----------
    network : Network
        What the budget is measured on, compacted.
    units : mapping of str to Group or TileGrid
    scores : mapping of str to array, shape (width,)
    budget : Budget
    scope : {"layer", "global"}

    Raises
    ------
    MaskError
        When the budget cannot be met.
    """
    pooled, places = {}, {}
    for name, group in units.items():
        free = group.ids >= 0
        distinct, place = np.unique(group.ids[free], return_inverse=True)
        # Infinite scores have a mean too: sums of both signs are the only ones without.
        sums = np.bincount(place, scores[name][free], distinct.size)
        pooled[name] = sums / np.bincount(place, minlength=distinct.size)
        places[name] = np.full(free.size, -1)
        places[name][free] = place

    def spread(kept: Mapping[str, Indices]) -> dict[str, Indices]:
        return {
            name: np.flatnonzero((place < 0) | np.isin(place, kept[name]))
            for name, place in places.items()
        }

    def small(kept: Mapping[str, Indices]) -> Network:
        return small_network(network, spread(kept), units)

    return spread(budget.choose(network, pooled, scope, small).kept)


def small_network(network: Network, kept: Mapping[str, npt.ArrayLike], units: Units) -> Network:
    """Shrink a network to the units kept; unchecked, for costs."""
    mask = Mask.from_kept(network, kept, tile=tile_of(units))
    return shrink(apply(network, mask))[0]


def tile_of(units: Units) -> tuple[int, int] | None:
    """Size of the tiles, where units are tiles."""
    return next((grid.tile for grid in units.values() if isinstance(grid, TileGrid)), None)
