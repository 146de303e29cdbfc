"""One number for many times: shifted geometric means and penalised averages."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mipnet.errors import QueryError

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def shifted_geometric_mean(values: npt.ArrayLike, shift: float = 1.0) -> float:
    r"""Geometric mean of shifted values, shifted back.

    .. math:: \exp\Bigl(\frac1n \sum_i \log(v_i + s)\Bigr) - s

    Large values weigh less than in a mean, and small ones less than in a geometric mean. Runs that
    met a limit enter with the limit, which makes the result a lower bound.

    Parameters
    ----------
    values : array_like, shape (n,)
        From 0 on: seconds, or nodes.
    shift : float
        In the unit of the values; 1 s for short runs, 10 s for long ones, 100 for nodes.

    Returns
    -------
    float
        NaN for no values.

    Raises
    ------
    QueryError
        When a value is negative or NaN, or the shift is negative.

    Notes
    -----
    T. Achterberg, Constraint Integer Programming, PhD thesis, TU Berlin 2007, appendix A.3.

    Examples
    --------
    >>> round(shifted_geometric_mean([1.0, 7.0], shift=1.0), 12)
    3.0
    """
    v = np.asarray(values, dtype=np.float64).reshape(-1)
    if shift < 0.0 or not bool(np.all(v >= 0.0)):
        msg = f"values and shift must be numbers from 0 on, got shift {shift} and {v[~(v >= 0.0)]}"
        raise QueryError(msg)
    if not v.size:
        return float("nan")
    with np.errstate(divide="ignore"):
        return float(np.exp(np.mean(np.log(v + shift))) - shift)


def penalised_average(
    times: npt.ArrayLike, solved: npt.ArrayLike, limit: npt.ArrayLike, factor: float = 2.0
) -> float:
    r"""Penalised average runtime, PAR-k: what is not solved counts ``factor`` times the limit.

    .. math:: \frac1n \sum_i \begin{cases} t_i & \text{solved} \\ k L_i & \text{else} \end{cases}

    A score, not a time: ratios of it are no speed-ups.

    Parameters
    ----------
    times : array_like, shape (n,)
        Seconds.
    solved : array_like of bool, shape (n,)
    limit : array_like, shape () or (n,)
        Time limits.
    factor : float
        2 for PAR-2, 10 for PAR-10.

    Returns
    -------
    float
        NaN for no values.

    Raises
    ------
    QueryError
        When lengths differ, or a time or limit that counts is negative or NaN.

    Notes
    -----
    PAR-10: F. Hutter, H. Hoos, K. Leyton-Brown, T. Stuetzle, ParamILS, JAIR 36, 2009, section 6;
    PAR-2: the scoring of the SAT competitions.

    Examples
    --------
    >>> penalised_average([1.0, 60.0], [True, False], 60.0, factor=10.0)
    300.5
    """
    t = np.asarray(times, dtype=np.float64).reshape(-1)
    won = np.asarray(solved, dtype=bool).reshape(-1)
    given = np.asarray(limit, dtype=np.float64)
    if t.shape != won.shape or given.shape not in {(), t.shape}:
        msg = f"{t.size} times, {won.size} flags and limits of shape {given.shape} do not fit"
        raise QueryError(msg)
    most = np.broadcast_to(given, t.shape)
    counted = np.where(won, t, most)
    if not bool(np.all(counted >= 0.0)):
        msg = f"times and limits must be numbers from 0 on, got {counted[~(counted >= 0.0)]}"
        raise QueryError(msg)
    return float(np.mean(np.where(won, t, factor * most))) if t.size else float("nan")
