"""Sweeps over arrays, dataflows and tiles against accuracy and cost.

SASP's question: a larger array is faster, but its tiles are harder to empty. Which array, with how
many of its tiles pruned, is best at the accuracy one wants?
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import QueryError
from mipnet.hardware.cost import cost, read_workload
from mipnet.hardware.design import DesignPoint, DesignSpace
from mipnet.hardware.extract import weight_matrices, with_matrices
from mipnet.hardware.machine import sides
from mipnet.hardware.masks import TileMask
from mipnet.hardware.price import Energies
from mipnet.hardware.tiles import named_weights, prune_tiles
from mipnet.network import Network


def sweep(
    network_or_shapes: object,
    *,
    arrays: Sequence[object],
    rates: Sequence[float] = (0.0,),
    dataflows: Sequence[str] = ("ws",),
    tiles: Sequence[object] | None = None,
    weights: Mapping[str, npt.ArrayLike] | None = None,
    accuracy: Callable[[Any], float] | None = None,
    ties: str = "sasp",
    **options: Any,
) -> DesignSpace:
    """Cost and accuracy of tile-pruned models on many machines.

    Parameters
    ----------
    network_or_shapes : Network, anything :func:`mipnet.load` reads, or shapes
        As for :func:`~mipnet.hardware.cost.cost`.
    arrays, dataflows : sequence
    rates : sequence of float
        Shares of tiles to prune, see :func:`~mipnet.hardware.tiles.prune_tiles`.
    tiles : sequence, optional
        Tile sizes to prune with; those of the array itself when absent (SASP).
    weights : mapping of str to array_like, shape (K, N), optional
        Candidate matrices by GEMM; all of a network when absent.
    accuracy : callable, optional
        Takes the pruned network, or the pruned matrices by name where ``weights`` are given, and
        returns the accuracy. Called once per tile size and rate.
    ties : {"sasp", "exact"}
    **options
        Further arguments of :func:`~mipnet.hardware.cost.cost`.

    Raises
    ------
    QueryError
        When there is nothing to sweep over, shapes come without weights to prune, or an accuracy
        is NaN or no number.
    """
    arrays, rates = _several("arrays", arrays), _several("rates", rates)
    dataflows = _several("dataflows", dataflows)
    tiles = None if tiles is None else _several("tiles", tiles)
    workload, network = read_workload(network_or_shapes)
    matrices = weights
    if matrices is None and network is not None:
        matrices = weight_matrices(network)
    if matrices is None and any(rates):
        msg = "shapes have no weights: give weights= to prune their tiles"
        raise QueryError(msg)
    matrices = named_weights(matrices) if matrices is not None else {}
    models = _Models(network if weights is None else None, matrices, accuracy, ties)
    candidates = [
        models.pruned(tile, rate)
        for tile in dict.fromkeys(map(sides, arrays if tiles is None else tiles))
        for rate in rates
    ]
    return DesignSpace(
        tuple(
            _point(network or workload, candidate, array, {"dataflow": dataflow, **options})
            for array in dict.fromkeys(map(sides, arrays))
            for candidate in candidates
            if tiles is not None or candidate.tile == array
            for dataflow in dataflows
        )
    )


def _several(name: str, values: Any) -> tuple[Any, ...]:
    """Values to sweep over, at least one."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        msg = f"{name} lists what to sweep over, such as {name}=[{values!r}]"
        raise QueryError(msg)
    if not (listed := tuple(values)):
        msg = f"a sweep needs at least one array, dataflow, rate and tile size; {name} is empty"
        raise QueryError(msg)
    return listed


@dataclass(frozen=True, eq=False)
class _Candidate:
    """Masks of one tile size and rate, and what they do to the accuracy."""

    tile: tuple[int, int]
    rate: float
    masks: Mapping[str, TileMask]
    accuracy: float | None

    @property
    def pruned(self) -> float:
        """Share of the tiles that is zero."""
        tiles = sum(mask.keep.size for mask in self.masks.values())
        return 1.0 - sum(m.kept_tiles for m in self.masks.values()) / tiles if tiles else 0.0


@dataclass(frozen=True, eq=False)
class _Models:
    """Where pruned models come from and how they are measured."""

    network: Network | None
    weights: Mapping[str, npt.ArrayLike]
    accuracy: Callable[[Any], float] | None
    ties: str

    def pruned(self, tile: tuple[int, int], rate: float) -> _Candidate:
        """Prune and measure once."""
        masks = prune_tiles(self.weights, tile, rate, ties=self.ties) if self.weights else {}
        if self.accuracy is None:
            return _Candidate(tile, float(rate), masks, None)
        left = {name: np.where(m.elements, self.weights[name], 0) for name, m in masks.items()}
        model = left if self.network is None else with_matrices(self.network, left)
        answer: object = self.accuracy(model)
        try:
            found = float(answer)  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            msg = f"accuracy returned {answer!r} for tiles of {tile[0]}x{tile[1]} at rate "
            msg += f"{rate:g}; it must return one number"
            raise QueryError(msg) from error
        if math.isnan(found):
            msg = f"accuracy is NaN for tiles of {tile[0]}x{tile[1]} at rate {rate:g}: points "
            msg += "without an accuracy cannot be compared"
            raise QueryError(msg)
        return _Candidate(tile, float(rate), masks, found)


def _totals(energies: Iterable[Energies]) -> dict[str, float]:
    """Energy by table, of those that know the precision."""
    return {e.table.name: float(e.total.sum()) for e in energies if "mac" not in e.unpriced}


def _point(
    source: object, candidate: _Candidate, array: tuple[int, int], options: Mapping[str, Any]
) -> DesignPoint:
    masks = {name: mask.retile(array) for name, mask in candidate.masks.items()}
    found = cost(source, masks, array=array, **options)
    own = _Candidate(array, candidate.rate, masks, None)
    return DesignPoint(
        array=f"{array[0]}x{array[1]}",
        tile=f"{candidate.tile[0]}x{candidate.tile[1]}",
        dataflow=found.machine.dataflow,
        rate=candidate.rate,
        pruned=candidate.pruned,
        skippable=own.pruned,
        accuracy=candidate.accuracy,
        cycles=found.cycles,
        cycles_dense=found.before.cycles,
        dram_bytes=found.after.dram_bytes,
        dram_bytes_dense=found.before.dram_bytes,
        utilization=found.utilization,
        energies=_totals(found.energies),
        energies_dense=_totals(found.energies_before),
    )
