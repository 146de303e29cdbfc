"""How much repetitions of one cell differ."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Spread:
    """Repetitions of one thing.

    Attributes
    ----------
    count : int
    least, median, most : float
    factor : float
        Geometric standard deviation: about two thirds of repetitions lie within the geometric
        mean divided and multiplied by it. 1 for a single one.
    """

    count: int
    least: float
    median: float
    most: float
    factor: float


def spread(values: npt.ArrayLike, floor: float = 1e-3) -> Spread:
    r"""Range and geometric standard deviation of repetitions.

    .. math:: \exp \sqrt{\tfrac{1}{n-1} \sum_i (\log v_i - \overline{\log v})^2}

    Parameters
    ----------
    values : array_like, shape (n,)
        Seconds, from 0 on.
    floor : float
        Values below count as this.

    Returns
    -------
    Spread
        NaN without values.
    """
    v = np.asarray(values, dtype=np.float64).reshape(-1)
    if not v.size:
        return Spread(0, math.nan, math.nan, math.nan, math.nan)
    logs = np.log(np.maximum(v, floor))
    factor = float(np.exp(np.std(logs, ddof=1))) if v.size > 1 else 1.0
    return Spread(v.size, float(v.min()), float(np.median(v)), float(v.max()), factor)
