"""A small random generator that a browser reproduces bit by bit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_STEP = np.uint32(0x6D2B79F5)


def uniform(count: int, seed: int = 0, start: int = 0) -> npt.NDArray[np.float64]:
    r"""Numbers in [0, 1) from mulberry32.

    Output ``i`` depends on ``seed`` and ``i`` only. In 32-bit arithmetic, from
    :math:`a = \mathrm{seed} + (i + 1) \cdot \mathtt{0x6D2B79F5}`::

        t = (a ^ a >>> 15) * (1 | a)
        t = t + (t ^ t >>> 7) * (61 | t) ^ t
        u = (t ^ t >>> 14) / 2 ** 32

    Parameters
    ----------
    count : int
    seed : int
    start : int
        Index of the first number.

    Returns
    -------
    array, shape (count,)

    Notes
    -----
    T. Ettinger, mulberry32, 2017, public domain.

    Examples
    --------
    >>> uniform(2, seed=1).round(9).tolist()
    [0.627073941, 0.002735721]
    """
    index = np.arange(start + 1, start + 1 + count, dtype=np.uint64)
    a = (np.uint64(seed & 0xFFFFFFFF) + index * np.uint64(_STEP)).astype(np.uint32)
    with np.errstate(over="ignore"):
        t = (a ^ (a >> np.uint32(15))) * (a | np.uint32(1))
        t = (t + (t ^ (t >> np.uint32(7))) * (t | np.uint32(61))) ^ t
    return np.asarray((t ^ (t >> np.uint32(14))).astype(np.float64) / 2.0**32)


def resamples(items: int, repeats: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Draw with replacement: positions below ``items``, shape (repeats, items).

    Row ``r`` uses the numbers ``r * items`` to ``(r + 1) * items - 1`` of :func:`uniform`; a
    position is ``floor(u * items)``.
    """
    drawn = uniform(items * repeats, seed).reshape(repeats, items)
    return np.floor(drawn * items).astype(np.int64)
