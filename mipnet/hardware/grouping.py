"""Grouping units so that the unions of their supports are small."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: Up to so many units all ways of grouping them are compared.
EXACT = 12


def grouped(supports: Flags, size: int, sweeps: int) -> Ints:
    """Order units so that successive ones of each group of ``size`` share their supports.

    Parameters
    ----------
    supports : array of bool, shape (units, strips)
        Strips of tiles that each unit needs; a group needs the union.
    size : int
        Units of a group; the last group may have fewer.
    sweeps : int
        Rounds of exchanges.

    Returns
    -------
    array of int64, shape (units,)
        The best order for up to ``EXACT`` units. For more, groups start with the largest support
        left and take units that add least to it; then units of two groups are exchanged while
        that helps.
    """
    count = len(supports)
    if count <= EXACT:
        return _best(supports, size)
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


def _best(supports: Flags, size: int) -> Ints:
    """Compare all groupings, set of units left by set of units left."""
    count = len(supports)
    needs = [int("".join("01"[flag] for flag in row) or "0", 2) for row in supports.astype(int)]

    @cache
    def split(left: tuple[int, ...]) -> tuple[int, tuple[tuple[int, ...], ...]]:
        if not left:
            return 0, ()
        # The group with fewer units is taken once: it is due while the rest does not divide.
        sizes = {min(size, len(left)), len(left) % size or size}
        found = []
        for others in (o for s in sizes for o in combinations(left[1:], s - 1)):
            group = (left[0], *others)
            union = 0
            for unit in group:
                union |= needs[unit]
            cost, groups = split(tuple(unit for unit in left if unit not in group))
            found.append((union.bit_count() + cost, (group, *groups)))
        return min(found)

    _, groups = split(tuple(range(count)))
    order = sorted(groups, key=len, reverse=True)
    return np.array([unit for group in order for unit in group], dtype=np.int64)


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
