"""SASP: the weakest tiles of all layers go together, tiles being what an array computes at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError
from mipnet.network import Affine, Layer, Network
from mipnet.network.layers import Conv
from mipnet.pruning.base import Array, Choice, Job, Pruner
from mipnet.pruning.mask import Mask
from mipnet.pruning.registry import register_pruner
from mipnet.pruning.tiles import TileGrid, tile_grids, tile_norms

Flags = npt.NDArray[np.bool_]

TIES = ("sasp", "exact")
WEIGHTS = ("fp32", "int8")
#: Largest 8-bit weight; -128 is not used.
LARGEST = 127


@register_pruner("sasp")
@dataclass(kw_only=True)
class SASP(Pruner):
    r"""Tile pruning for systolic arrays (SASP).

    Weights are cut into tiles of the size of the array, so that a tile of zeros is a fold that is
    left out. The score of a tile is its mean absolute weight; of tiles cut off at the edge, that of
    the weights that are there. Scores of all layers are pooled: with :math:`T` tiles and rate
    :math:`p` the threshold is the score of index :math:`\lfloor pT \rfloor` in ascending order,
    and every tile at or below it becomes zero: at least :math:`\lfloor pT \rfloor + 1`. Nothing
    is trained.

    Without a budget (``keep=None``) this rule decides. With one, the tiles of highest score stay,
    exactly as many as it says, and at least one of every layer.

    Parameters
    ----------
    tile : int or (int, int)
        Inputs and outputs of a tile: rows and columns of the array.
    rate : float
        Share of the tiles to zero, in [0, 1]. Unlike in the authors' scripts, 0 removes nothing and
        1 all.
    ties : {"sasp", "exact"}
        ``exact`` zeroes the floor(rate T) weakest tiles and no more.
    weights : {"fp32", "int8"}
        ``int8`` rounds what is left to 8 bits: see :func:`quantised`.
    layers : sequence of str, optional
        Layers whose tiles compete; when absent, all but those that make the output. The paper takes
        the feed-forward layers of a transformer.
    """

    source = (
        "P. Palacios, R. Medina, J.-L. Rouas, G. Ansaloni, D. Atienza, Systolic Arrays and "
        "Structured Pruning Co-design for Efficient Transformers in Edge Systems, GLSVLSI 2025, "
        "arXiv:2411.10285; rule as in the co-authors' scripts (rouas/fvllmonti)"
    )
    needs = frozenset()
    decides = True

    scope: str = "global"
    tile: int | tuple[int, int] = 16
    rate: float = 0.2
    ties: str = "sasp"
    weights: str = "fp32"
    layers: tuple[str, ...] | None = None

    def units(self, network: Network) -> Mapping[str, TileGrid]:
        """Tiles of the layers that compete."""
        grids = tile_grids(network, self.tile)
        if self.layers is None:
            last = output_layers(network)
            return {name: grid for name, grid in grids.items() if name not in last}
        unknown = sorted(set(self.layers) - set(grids))
        if unknown:
            msg = f"sasp: layers {unknown} have no tiles; layers with tiles: {list(grids)}"
            raise MaskError(msg)
        return {name: grid for name, grid in grids.items() if name in self.layers}

    def scores(
        self, network: Network, data: Array | None, rng: np.random.Generator
    ) -> Mapping[str, Array]:
        """See :meth:`Pruner.scores`."""
        del data, rng
        return {
            name: tile_norms(network.by_name[name].layer.parameters[0], grid.tile)
            for name, grid in self.units(network).items()
        }

    def choose(self, job: Job) -> Choice:
        """See :meth:`Pruner.choose`."""
        if self.weights not in WEIGHTS:
            msg = f"sasp: weights must be one of {', '.join(WEIGHTS)}, not {self.weights!r}"
            raise MaskError(msg)
        if job.asked is not None:
            return super().choose(job)
        scores = self.scores(job.network, job.inputs, job.rng)
        return Choice(kept_tiles(scores, self.rate, self.ties), scores)

    def finish(self, job: Job, masked: Network, mask: Mask) -> Network:
        """Round the weights that are left, where asked to."""
        del job, mask
        return quantised(masked) if self.weights == "int8" else masked


def kept_tiles(scores: Mapping[str, Array], rate: float, ties: str = "sasp") -> dict[str, Flags]:
    """Tiles above SASP's threshold.

    Parameters
    ----------
    scores : mapping of str to array
        Of the tiles of every layer, in any shape.
    rate : float
        Share to zero, in [0, 1]; 0 removes nothing and 1 all.
    ties : {"sasp", "exact"}
        ``sasp`` zeroes every tile at or below the score of index floor(rate T); ``exact`` the
        floor(rate T) weakest, earlier ones first.

    Returns
    -------
    dict of str to array of bool
        Of the shape of the scores.

    Raises
    ------
    MaskError
        When the rate is no share, or the rule for ties is unknown.

    Examples
    --------
    >>> scores = {"w": np.array([1.0, 5.0, 2.0, 3.0])}
    >>> kept_tiles(scores, 0.25)["w"].tolist(), kept_tiles(scores, 0.25, "exact")["w"].tolist()
    ([False, True, False, True], [False, True, True, True])
    """
    number = isinstance(rate, int | float | np.number) and not isinstance(rate, bool)
    if not number or not 0 <= rate <= 1:
        msg = f"the rate of tiles to zero must lie between 0 and 1, not {rate!r}"
        raise MaskError(msg)
    if ties not in TIES:
        msg = f"unknown rule {ties!r} for ties; there are {', '.join(TIES)}"
        raise MaskError(msg)
    pooled = np.concatenate([values.reshape(-1) for values in scores.values()])
    count = int(rate * pooled.size)
    kept = np.ones(pooled.size, bool)
    order = np.argsort(pooled, kind="stable")
    kept[order[:count]] = False
    if ties == "sasp" and 0 < rate < 1:
        kept &= pooled > pooled[order[count]]
    parts = np.split(kept, np.cumsum([values.size for values in scores.values()])[:-1])
    return {n: p.reshape(scores[n].shape) for n, p in zip(scores, parts, strict=True)}


def output_layers(network: Network) -> set[str]:
    """Affine and Conv nodes that reach the output without another one in between."""
    found: set[str] = set()
    waiting, seen = [network.output], set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in network.by_name:
            continue
        seen.add(name)
        node = network.by_name[name]
        if isinstance(node.layer, Affine | Conv):
            found.add(name)
        else:
            waiting += node.inputs
    return found


def quantise(weight: Array) -> tuple[npt.NDArray[np.int8], float]:
    r"""Integers and scale of a weight, :math:`w \approx s q`.

    Symmetric, one scale for the whole tensor: :math:`s = \max|w| / 127` and
    :math:`q = \mathrm{clip}(\mathrm{round}(w / s), -127, 127)`. A tensor of zeros has scale 0.
    """
    scale = float(np.max(np.abs(weight), initial=0.0)) / LARGEST
    if scale == 0.0:
        return np.zeros(weight.shape, np.int8), 0.0
    rounded = np.clip(np.round(weight / scale), -LARGEST, LARGEST)
    return rounded.astype(np.int8), scale


def quantised(network: Network) -> Network:
    """Network whose Affine and Conv weights are 8-bit integers times one scale for each layer.

    Biases stay as they are. The error of a weight is at most half its scale.
    """
    layers: dict[str, Layer] = {}
    for node in network.nodes:
        if isinstance(node.layer, Affine | Conv):
            integers, scale = quantise(node.layer.weight)
            layer: Any = node.layer
            layers[node.name] = replace(layer, weight=scale * integers.astype(np.float64))
    return network.with_layers(layers)
