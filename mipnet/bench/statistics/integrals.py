"""How good a solver is before it ends: gaps over time."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mipnet.errors import QueryError

Array = npt.NDArray[np.float64]


def relative_gap(first: npt.ArrayLike, second: npt.ArrayLike) -> Array:
    r"""Distance of two objective values, between 0 and 1.

    .. math::

        \gamma(a, b) = \begin{cases} 0 & a = b \\ 1 & ab < 0 \\
        \dfrac{|a - b|}{\max(|a|, |b|)} & \text{else} \end{cases}

    and 1 where a value is missing (NaN or infinite).

    Parameters
    ----------
    first, second : array_like

    Returns
    -------
    array

    Notes
    -----
    T. Berthold, Measuring the impact of primal heuristics, Operations Research Letters 41, 2013,
    definition 1.
    """
    a, b = np.broadcast_arrays(
        np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    )
    known = np.isfinite(a) & np.isfinite(b)
    with np.errstate(invalid="ignore", divide="ignore"):
        far = np.abs(a - b) / np.maximum(np.abs(a), np.abs(b))
        gap = np.where(a == b, 0.0, np.where(a * b < 0.0, 1.0, far))
    return np.where(known, gap, 1.0)


def primal_integral(
    times: npt.ArrayLike, incumbents: npt.ArrayLike, best: float, end: float
) -> float:
    r"""Primal gap over time.

    .. math:: \int_0^T \gamma(\tilde x(t), x^*)\, dt

    Parameters
    ----------
    times : array_like, shape (k,)
        Seconds at which incumbents were found, rising.
    incumbents : array_like, shape (k,)
        Best value known from then on; NaN for none.
    best : float
        Optimal or best known value.
    end : float
        Seconds at which the integral ends: the time limit, or the end of the run.

    Returns
    -------
    float
        Seconds; 0 for a run that knew the best value from the start, ``end`` for one that never
        found anything.

    Notes
    -----
    T. Berthold, as above, definition 2.

    Examples
    --------
    >>> primal_integral([2.0, 5.0], [5.0, 10.0], best=10.0, end=20.0)
    3.5
    """
    return _integral(times, relative_gap(incumbents, best), end)


def primal_dual_integral(
    times: npt.ArrayLike, incumbents: npt.ArrayLike, bounds: npt.ArrayLike, end: float
) -> float:
    r"""Gap between incumbent and proven bound over time.

    .. math:: \int_0^T \gamma(\tilde x(t), \underline x(t))\, dt

    Parameters
    ----------
    times : array_like, shape (k,)
        Seconds, rising.
    incumbents, bounds : array_like, shape (k,)
        What is known from then on; NaN for nothing.
    end : float

    Returns
    -------
    float
        Seconds.

    Notes
    -----
    The measure solvers report; G. Gamrath et al., SCIP Optimization Suite 7.0, 2020, use it so.
    """
    return _integral(times, relative_gap(incumbents, bounds), end)


def running_best(values: npt.ArrayLike, *, maximise: bool) -> Array:
    """Best value so far; NaN before the first.

    Parameters
    ----------
    values : array_like, shape (k,)
        In the order of time; NaN for nothing new.
    maximise : bool
        Whether larger is better. The bound of a maximisation is the other way round.
    """
    sign = 1.0 if maximise else -1.0
    v = sign * np.asarray(values, dtype=np.float64)
    best = np.maximum.accumulate(np.where(np.isnan(v), -np.inf, v))
    return np.where(np.isneginf(best), np.nan, sign * best)


def final_gap(objective: float | None, bound: float | None) -> float:
    """Gap of value and bound at the end, as :func:`relative_gap`; 1 where one is missing."""
    return float(relative_gap(_number(objective), _number(bound)))


def times_to(
    times: npt.ArrayLike, incumbents: npt.ArrayLike, tolerance: float = 1e-6
) -> tuple[float, float]:
    """Seconds to the first incumbent and to the last one, NaN when there is none.

    Parameters
    ----------
    times : array_like, shape (k,)
        Rising.
    incumbents : array_like, shape (k,)
        Best so far; NaN for none.
    tolerance : float
        Relative gap within which an incumbent is as good as the last.
    """
    t, v = (np.asarray(x, dtype=np.float64).reshape(-1) for x in (times, incumbents))
    found = np.isfinite(v)
    if not found.any():
        return math.nan, math.nan
    as_good = found & (relative_gap(v, v[found][-1]) <= tolerance)
    return float(t[found][0]), float(t[as_good][0])


def _integral(times: npt.ArrayLike, gaps: Array, end: float) -> float:
    t = np.asarray(times, dtype=np.float64).reshape(-1)
    if t.size != gaps.size or np.any(np.diff(t) < 0.0) or not end >= 0.0:
        msg = "times must rise, one for each value, and the end must be a number from 0 on"
        raise QueryError(msg)
    inside = np.clip(t, 0.0, end)
    edges = np.concatenate([[0.0], inside, [end]])
    # Nothing is known before the first event.
    return float(np.diff(edges) @ np.concatenate([[1.0], gaps]))


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
