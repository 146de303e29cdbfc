"""Performance profiles: how often a method is within a factor of the best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mipnet.errors import QueryError

Array = npt.NDArray[np.float64]


def ratios_to_best(
    times: npt.ArrayLike,
    solved: npt.ArrayLike,
    shown: Sequence[int] | None = None,
    *,
    floor: float = 0.0,
) -> Array:
    r"""Ratio of every time to the best one of its instance, among the methods shown.

    .. math:: r_{im} = \frac{t_{im}}{\min_{m' \in S,\ \text{solved}} t_{im'}}

    Parameters
    ----------
    times : array_like, shape (instances, methods)
        Seconds.
    solved : array_like of bool, shape (instances, methods)
    shown : sequence of int, optional
        Columns to compare; all when absent. Leaving a method out changes the ratios of the
        others: a profile has to be computed anew, not merely drawn with a line less.
    floor : float
        Times below count as this: differences of timer noise are no differences.

    Returns
    -------
    array, shape (instances, len(shown))
        Infinite where a method did not solve an instance.

    Raises
    ------
    QueryError
        When shapes differ or a solved time is not a positive number (after the floor).

    Notes
    -----
    E. Dolan, J. More, Benchmarking optimization software with performance profiles, Mathematical
    Programming 91, 2002, section 2.
    """
    t = np.maximum(np.asarray(times, dtype=np.float64), floor)
    won = np.asarray(solved, dtype=bool)
    if t.ndim != 2 or t.shape != won.shape:
        msg = f"times {t.shape} and solved {won.shape} must be two tables of one shape"
        raise QueryError(msg)
    columns = np.arange(t.shape[1]) if shown is None else np.asarray(shown, dtype=np.int64)
    t, won = t[:, columns], won[:, columns]
    if not bool(np.all(t[won] > 0.0)):
        msg = "a solved time is 0, negative or NaN; give a floor for times too short to measure"
        raise QueryError(msg)
    if not t.shape[1]:
        return t
    kept = np.where(won, t, np.inf)
    best = kept.min(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.where(won, kept / best, np.inf)


def profile(ratios: npt.ArrayLike) -> tuple[Array, Array]:
    r"""Step function of one method: share of the instances within a factor of the best.

    .. math:: \rho(\tau) = \frac1n \bigl|\{ i : r_i \le \tau \}\bigr|

    Parameters
    ----------
    ratios : array_like, shape (instances,)
        One column of :func:`ratios_to_best`.

    Returns
    -------
    factors : array
        Where the function steps, rising.
    shares : array
        Its value from there on. It ends at the share of the instances that were solved.

    Examples
    --------
    >>> factors, shares = profile([1.0, 4.0, 1.0, np.inf])
    >>> factors.tolist(), shares.tolist()
    ([1.0, 4.0], [0.5, 0.75])
    """
    r = np.asarray(ratios, dtype=np.float64).reshape(-1)
    factors, counts = np.unique(r[np.isfinite(r)], return_counts=True)
    return factors, np.cumsum(counts) / max(1, r.size)


def profile_at(ratios: npt.ArrayLike, factors: npt.ArrayLike) -> Array:
    """Values of the profiles of all methods at given factors.

    Parameters
    ----------
    ratios : array_like, shape (instances, methods)
    factors : array_like, shape (k,)

    Returns
    -------
    array, shape (k, methods)
    """
    r = np.asarray(ratios, dtype=np.float64)
    tau = np.asarray(factors, dtype=np.float64).reshape(-1)
    return np.asarray((r[None] <= tau[:, None, None]).mean(axis=1))
