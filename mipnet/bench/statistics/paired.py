"""Two methods on the same questions: ratio with an interval, and a test."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mipnet.bench.statistics.generator import resamples
from mipnet.bench.statistics.means import shifted_geometric_mean
from mipnet.errors import QueryError

Array = npt.NDArray[np.float64]

#: Number of differences up to which the distribution of the rank sum is enumerated.
EXACT = 50


@dataclass(frozen=True)
class Ratio:
    """How two methods compare.

    Attributes
    ----------
    ratio : float
        Shifted geometric mean of the second over that of the first: below 1 the second is faster.
    low, high : float
        Bootstrap interval.
    pairs : int
    """

    ratio: float
    low: float
    high: float
    pairs: int


@dataclass(frozen=True)
class SignedRank:
    """Wilcoxon's test of whether differences are centred at zero.

    Attributes
    ----------
    statistic : float
        Smaller of the rank sums of positive and negative differences.
    p : float
        Two-sided; 1 when there is no difference at all.
    differences : int
        Those that are not zero.
    exact : bool
        Whether the distribution was enumerated.
    """

    statistic: float
    p: float
    differences: int
    exact: bool


def paired_ratio(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    shift: float = 1.0,
    level: float = 0.95,
    repeats: int = 2000,
    seed: int = 0,
) -> Ratio:
    r"""Ratio of shifted geometric means over pairs, with a percentile bootstrap interval.

    .. math:: \frac{\exp(\frac1n \sum_i \log(b_i + s)) - s}{\exp(\frac1n \sum_i \log(a_i + s)) - s}

    Whole groups are drawn with replacement: seeds of one instance are no independent instances.
    The interval runs between the :math:`(1 \mp \mathrm{level})/2` quantiles (linear between order
    statistics).

    Parameters
    ----------
    first, second : array_like, shape (n,)
        Seconds of the same questions.
    groups : array_like, shape (n,), optional
        What each pair belongs to; every pair is its own group when absent.
    shift : float
        Seconds.
    level : float
    repeats : int
        Bootstrap samples.
    seed : int
        Of :func:`~mipnet.bench.statistics.generator.resamples`; groups are numbered in the order
        they first occur.

    Returns
    -------
    Ratio
        NaN without pairs; pairs of different lengths raise :class:`QueryError`.

    Notes
    -----
    B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    a, b = (np.asarray(v, dtype=np.float64).reshape(-1) for v in (first, second))
    labels = list(range(a.size)) if groups is None else np.asarray(groups).reshape(-1).tolist()
    if not a.size == b.size == len(labels):
        msg = f"pairs need equal lengths, got {a.size}, {b.size} and {len(labels)} groups"
        raise QueryError(msg)
    for values in (a, b):
        if shift < 0.0 or not bool(np.all((values >= 0.0) & np.isfinite(values))):
            msg = "times and shift must be finite numbers from 0 on; leave out pairs without a time"
            raise QueryError(msg)
    if not a.size:
        return Ratio(math.nan, math.nan, math.nan, 0)
    numbers: dict[object, int] = {}
    member = np.array([numbers.setdefault(label, len(numbers)) for label in labels])
    logs = np.log(np.stack([a, b]) + shift)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.exp(_resampled_means(logs, member, repeats, seed)) - shift
        low, high = np.quantile(means[1] / means[0], [0.5 - level / 2, 0.5 + level / 2])
        whole = np.divide(shifted_geometric_mean(b, shift), shifted_geometric_mean(a, shift))
    return Ratio(float(whole), float(low), float(high), a.size)


def _resampled_means(rows: Array, member: npt.NDArray[np.int64], repeats: int, seed: int) -> Array:
    """Means of rows over groups drawn with replacement, shape (len(rows), repeats)."""
    count = int(member.max()) + 1
    sums = np.stack([np.bincount(member, weights=row, minlength=count) for row in rows])
    sizes = np.bincount(member, minlength=count).astype(np.float64)
    drawn = resamples(count, repeats, seed)
    return np.asarray(sums[:, drawn].sum(axis=2) / sizes[drawn].sum(axis=1))


def signed_rank(first: npt.ArrayLike, second: npt.ArrayLike) -> SignedRank:
    r"""Wilcoxon's signed-rank test of paired values.

    Differences of zero are left out, equal ones share their mean rank. Up to 50 differences the
    distribution of the rank sum over all :math:`2^n` signs is enumerated, ties included; beyond
    that the normal approximation with

    .. math:: \mu = \frac{n (n+1)}{4}, \qquad
              \sigma^2 = \frac{n (n+1) (2n+1)}{24} - \frac{1}{48} \sum_g (t_g^3 - t_g)

    is used, :math:`t_g` being the sizes of groups of equal differences.

    Parameters
    ----------
    first, second : array_like, shape (n,)

    Returns
    -------
    SignedRank

    Notes
    -----
    F. Wilcoxon, Individual comparisons by ranking methods, Biometrics Bulletin 1, 1945.
    """
    a, b = (np.asarray(v, dtype=np.float64).reshape(-1) for v in (first, second))
    if a.size != b.size:
        msg = f"pairs need equal lengths, got {a.size} and {b.size}"
        raise QueryError(msg)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        msg = "pairs must be finite numbers; leave pairs with a missing value out"
        raise QueryError(msg)
    difference = b - a
    difference = difference[difference != 0.0]
    n = difference.size
    if n == 0:
        return SignedRank(0.0, 1.0, 0, True)
    ranks, ties = midranks(np.abs(difference))
    above = float(ranks[difference > 0.0].sum())
    below = n * (n + 1) / 2 - above
    statistic = min(above, below)
    if n <= EXACT:
        return SignedRank(statistic, _enumerated(ranks, statistic), n, True)
    variance = n * (n + 1) * (2 * n + 1) / 24 - float((ties**3 - ties).sum()) / 48
    z = (statistic - n * (n + 1) / 4) / math.sqrt(variance)
    return SignedRank(statistic, min(1.0, math.erfc(-z / math.sqrt(2.0))), n, False)


def midranks(values: Array) -> tuple[Array, Array]:
    """Ranks from 1, equal values sharing their mean rank; and the sizes of the groups of equals."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - counts + 1 + last) / 2.0)[inverse], counts.astype(np.float64)


def _enumerated(ranks: Array, statistic: float) -> float:
    """Two-sided probability of a rank sum as small, every sign being equally likely."""
    doubled = np.round(2.0 * ranks).astype(np.int64)
    ways = np.zeros(int(doubled.sum()) + 1)
    ways[0] = 1.0
    for rank in doubled:
        ways[rank:] = ways[rank:] + ways[: ways.size - rank]
    tail = ways[: round(2.0 * statistic) + 1].sum() / 2.0**ranks.size
    return float(min(1.0, 2.0 * tail))
