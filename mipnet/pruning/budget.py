"""From scores and a budget to kept units."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

#: What the budget is shared by.
SCOPES = ("layer", "global")


def count(keep: float, width: int) -> int:
    """Units to keep out of ``width``: ``keep * width`` to the nearest, halves up.

    At least one while ``keep > 0``, so that only ``keep = 0`` empties a layer.

    Examples
    --------
    >>> [count(0.5, 5), count(0.3, 10), count(0.01, 10), count(0.0, 10)]
    [3, 3, 1, 0]
    """
    # The inner rounding removes noise of the product: 0.145 * 100 is 14.499999999999998.
    nearest = math.floor(round(keep * width, 9) + 0.5)
    return max(nearest, min(1, width)) if keep > 0 else 0


def check_share(keep: object) -> None:
    """Raise MaskError unless this is a fraction of units to keep."""
    number = isinstance(keep, int | float | np.number) and not isinstance(keep, bool)
    if not number or not 0 <= float(keep) <= 1:  # type: ignore[arg-type]
        msg = f"keep must be a fraction of units in [0, 1], not {keep!r}"
        raise MaskError(msg)


def check_scope(scope: object) -> None:
    """Raise MaskError unless this is one of :data:`SCOPES`."""
    if scope not in SCOPES:
        msg = f"unknown scope {scope!r}; there are {', '.join(SCOPES)}"
        raise MaskError(msg)


def select(scores: Mapping[str, Array], keep: float, scope: str = "layer") -> dict[str, Indices]:
    """Units of highest score, by layer.

    Parameters
    ----------
    scores : mapping of str to array, shape (width,)
        Importance of each unit, higher is more important; no NaN.
    keep : float
        Fraction of units to keep, in [0, 1]; see :func:`count` for the rounding.
    scope : {"layer", "global"}
        Whether each layer keeps this fraction, or all layers together do. Either way no layer
        is emptied while ``keep > 0``. Ties go to the earlier unit, and to the earlier layer.

    Returns
    -------
    dict of str to array of int
        Sorted kept indices.

    Raises
    ------
    MaskError
        When ``keep`` or ``scope`` is not one of the values above.
    """
    check_share(keep)
    check_scope(scope)
    ranked = {name: np.argsort(-values, kind="stable") for name, values in scores.items()}
    if scope == "layer":
        counts = {name: count(float(keep), values.size) for name, values in scores.items()}
    else:
        counts = _shares(scores, ranked, float(keep))
    return {name: np.sort(order[: counts[name]]) for name, order in ranked.items()}


def _shares(
    scores: Mapping[str, Array], ranked: Mapping[str, Indices], keep: float
) -> dict[str, int]:
    """Units each layer keeps when all compete; the best one of each layer comes first."""
    widths = [values.size for values in scores.values()]
    pooled = np.concatenate([scores[name][order] for name, order in ranked.items()])
    owner = np.repeat(np.arange(len(widths)), widths)
    place = np.concatenate([np.arange(width) for width in widths])
    total = count(keep, pooled.size)
    if total:
        total = max(total, sum(width > 0 for width in widths))
    winners = np.lexsort((-pooled, place > 0))[:total]
    kept = np.bincount(owner[winners], minlength=len(widths))
    return {name: int(n) for name, n in zip(scores, kept, strict=True)}
