"""Packing surviving weights into few tiles by permuting units.

Permuting the outputs of a layer (and the inputs of its readers along) does not change a network,
but may gather its zeros into whole tiles. For removed units alone, sorting is optimal. For a
pattern of single zeros the problem is hard (grouping sets so that their unions are small); the
answer comes with a lower bound, and says whether it is known to be best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError
from mipnet.hardware.costs import freeze
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
        Weights or flags of what is kept. A unit mask stands for the outputs of a layer.
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
            order = _grouped(seen.T if axis else seen, side, sweeps)
            trial = list(orders)
            trial[axis] = orders[axis][order]
            found = int(tile_any(flags[np.ix_(*trial)], (rows, columns)).sum())
            if found < best:
                best, orders = found, trial
    return Packing(
        inputs=orders[0],
        outputs=orders[1],
        tile=(rows, columns),
        tiles=-(-flags.shape[0] // rows) * -(-flags.shape[1] // columns),
        tiles_before=before,
        tiles_after=best,
        lower_bound=_bound(flags, (rows, columns), axes),
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


def _grouped(supports: Flags, size: int, sweeps: int) -> Ints:
    """Order of units, so that successive ones of each group of ``size`` share their supports.

    Greedy: a group starts with the largest support left and takes units that add least to it;
    then units of two groups are exchanged while that helps.
    """
    count = len(supports)
    left = np.ones(count, bool)
    weight = supports.sum(axis=1)
    groups: list[list[int]] = []
    while left.any():
        start = int(np.argmax(np.where(left, weight, -1)))
        group, union = [start], supports[start].copy()
        left[start] = False
        while len(group) < size and left.any():
            added = (supports & ~union).sum(axis=1)
            # Of those that add least the one that fills most.
            score = np.where(left, added * (supports.shape[1] + 1) - weight, np.iinfo(int).max)
            unit = int(np.argmin(score))
            group.append(unit)
            union |= supports[unit]
            left[unit] = False
        groups.append(group)
    for _ in range(sweeps):
        if not _exchange(supports, groups):
            break
    return np.array([unit for group in groups for unit in sorted(group)], dtype=np.int64)


def _exchange(supports: Flags, groups: list[list[int]]) -> bool:
    """Exchange pairs of units that lower the sum of the unions; whether any did."""
    counts = [supports[group].sum(axis=0) for group in groups]
    improved = False
    for a in range(len(groups)):
        for b in range(a + 1, len(groups)):
            first, second = supports[groups[a]], supports[groups[b]]
            # Sums of both groups after exchanging unit i of one with unit j of the other.
            moved = second[None].astype(int) - first[:, None].astype(int)
            after = (counts[a] + moved > 0).sum(axis=2) + (counts[b] - moved > 0).sum(axis=2)
            i, j = np.unravel_index(int(after.argmin()), after.shape)
            if after[i, j] < (counts[a] > 0).sum() + (counts[b] > 0).sum():
                counts[a] = counts[a] + moved[i, j]
                counts[b] = counts[b] - moved[i, j]
                groups[a][i], groups[b][j] = groups[b][j], groups[a][i]
                improved = True
    return improved


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
