"""Packing surviving weights into few tiles by permuting units.

Permuting the outputs of a layer (and the inputs of its readers along) does not change a network,
but may gather its zeros into whole tiles. For removed units alone, sorting is optimal. For a
pattern of single zeros the problem is hard (grouping sets so that their unions are small): few
units are grouped exactly, many by a heuristic. The answer comes with a lower bound, and says
whether it is known to be best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError
from mipnet.hardware.costs import freeze
from mipnet.hardware.grouping import EXACT, grouped
from mipnet.hardware.machine import sides, whole
from mipnet.hardware.masks import TileMask, tile_any, weights_of
from mipnet.pruning import LayerMask

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

AXES = ("outputs", "inputs", "both")


@dataclass(frozen=True, eq=False)
class Packing:
    """A permutation of units and what it gains.

    Attributes
    ----------
    inputs, outputs : array of int64
        Order of the K inputs, of the N outputs: position i holds unit ``inputs[i]``.
    tile : (int, int)
    tiles : int
        Tiles of the whole matrix.
    tiles_before, tiles_after : int
        Those that hold any weight, as it is and permuted.
    lower_bound : int
        No permutation of these axes needs fewer.
    """

    inputs: Ints
    outputs: Ints
    tile: tuple[int, int]
    tiles: int
    tiles_before: int
    tiles_after: int
    lower_bound: int

    def __post_init__(self) -> None:
        freeze(self)

    @property
    def gain(self) -> float:
        """Share of the tiles in use that packing frees."""
        return 1.0 - self.tiles_after / self.tiles_before if self.tiles_before else 0.0

    @property
    def optimal(self) -> bool:
        """Whether no permutation is better."""
        return self.tiles_after == self.lower_bound

    def __str__(self) -> str:
        known = "best" if self.optimal else f"at least {self.lower_bound}"
        return (
            f"{self.tiles_before} of {self.tiles} tiles in use, {self.tiles_after} when packed "
            f"({known}; {self.gain:.1%} fewer)"
        )


def pack(
    weights: npt.ArrayLike | TileMask | LayerMask,
    tile: object,
    *,
    inputs: int = 1,
    axes: str = "outputs",
    sweeps: int = 4,
) -> Packing:
    """Look for a permutation of units that needs few tiles.

    Parameters
    ----------
    weights : array_like, shape (K, N), TileMask or LayerMask
        Weights or flags of what is kept. A mask of units other than tiles stands for the outputs of
        a layer.
    tile : int, (int, int) or text such as "16x16"
    inputs : int
        Inputs K of the layer of a unit mask.
    axes : {"outputs", "inputs", "both"}
        What may be permuted.
    sweeps : int
        Rounds of improvement by exchanging units of two tiles.

    Returns
    -------
    Packing
        Never worse than the order it was given.

    Raises
    ------
    MaskError
        When the weights are no matrix or ``axes`` is unknown.

    Examples
    --------
    >>> pack([[1, 0, 2, 0]], (1, 2)).outputs
    array([0, 2, 1, 3])
    """
    if axes not in AXES:
        msg = f"axes {axes!r} is unknown; choose one of {', '.join(AXES)}"
        raise MaskError(msg)
    if isinstance(weights, LayerMask) and weights.tile is not None:
        weights = TileMask.from_units(weights)
    if isinstance(weights, LayerMask):
        return pack_units(weights.keep[None], whole("inputs", inputs), tile)
    flags = weights.elements if isinstance(weights, TileMask) else weights_of(weights) != 0
    rows, columns = sides(tile)
    orders = [np.arange(side) for side in flags.shape]
    best = int(tile_any(flags, (rows, columns)).sum())
    before = best
    for _ in range(1 if axes != "both" else 3):
        for axis, side in ((1, columns), (0, rows)):
            if axes not in {("inputs", "outputs")[axis], "both"}:
                continue
            now = flags[np.ix_(*orders)]
            other = (rows, 1) if axis else (1, columns)
            seen = tile_any(now, other)
            order = grouped(seen.T if axis else seen, side, sweeps)
            trial = list(orders)
            trial[axis] = orders[axis][order]
            found = int(tile_any(flags[np.ix_(*trial)], (rows, columns)).sum())
            if found < best:
                best, orders = found, trial
    exact = axes != "both" and flags.shape[AXES.index(axes) ^ 1] <= EXACT
    return Packing(
        inputs=orders[0],
        outputs=orders[1],
        tile=(rows, columns),
        tiles=-(-flags.shape[0] // rows) * -(-flags.shape[1] // columns),
        tiles_before=before,
        tiles_after=best,
        lower_bound=best if exact else _bound(flags, (rows, columns), axes),
    )


def pack_units(keep: Flags, inputs: int, tile: object) -> Packing:
    """Packing of a layer of which whole outputs are gone: the kept ones first, which is optimal.

    Parameters
    ----------
    keep : array of bool, shape (blocks, N)
        Outputs stay in their block, since blocks have inputs of their own.
    inputs : int
        K of each block, all of them in use.
    tile : int, (int, int) or text such as "16x16"
    """
    rows, columns = sides(tile)
    high = -(-inputs // rows)
    used = np.add.reduceat(keep.astype(np.int64), np.arange(0, keep.shape[1], columns), axis=1) > 0
    packed = high * int((-(-keep.sum(axis=1) // columns)).sum())
    order = np.argsort(~keep, axis=1, kind="stable")
    return Packing(
        inputs=np.arange(inputs * len(keep)),
        outputs=(order + keep.shape[1] * np.arange(len(keep))[:, None]).reshape(-1),
        tile=(rows, columns),
        tiles=high * used.size,
        tiles_before=high * int(used.sum()),
        tiles_after=packed,
        lower_bound=packed,
    )


def _bound(flags: Flags, tile: tuple[int, int], axes: str) -> int:
    """Tiles that every permutation needs."""
    rows, columns = tile
    if axes == "both":
        live_rows, live_columns = int(flags.any(axis=1).sum()), int(flags.any(axis=0).sum())
        weights = int(flags.sum())
        return max(
            -(-live_rows // rows), -(-live_columns // columns), -(-weights // (rows * columns))
        )
    strips = tile_any(flags, (rows, 1)) if axes == "outputs" else tile_any(flags, (1, columns)).T
    size = columns if axes == "outputs" else rows
    return int((-(-strips.sum(axis=1) // size)).sum())
