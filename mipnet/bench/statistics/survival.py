"""Solved instances against time, with runs that a limit cut short as censored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mipnet.errors import QueryError

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Survival:
    """Estimate of the share of instances that are still open after a time.

    Attributes
    ----------
    times : array, shape (k,)
        Where instances were solved, rising.
    open : array, shape (k,)
        Share still open from there on.
    at_risk : array of int, shape (k,)
        Runs that were under way right before.
    error : array, shape (k,)
        Standard error of ``open`` (Greenwood's formula).
    """

    times: Array
    open: Array
    at_risk: npt.NDArray[np.int64]
    error: Array


def cactus(times: npt.ArrayLike, solved: npt.ArrayLike) -> tuple[Array, npt.NDArray[np.int64]]:
    """Solved instances against the time each of them took.

    Parameters
    ----------
    times : array_like, shape (n,)
        Seconds.
    solved : array_like of bool, shape (n,)

    Returns
    -------
    times : array
        Of the solved runs, rising.
    counts : array of int
        Instances solved within that time. A run that was cut short is in neither.

    Examples
    --------
    >>> times, counts = cactus([3.0, 1.0, 60.0], [True, True, False])
    >>> times.tolist(), counts.tolist()
    ([1.0, 3.0], [1, 2])
    """
    t = np.asarray(times, dtype=np.float64).reshape(-1)
    won = np.asarray(solved, dtype=bool).reshape(-1)
    if t.shape != won.shape:
        msg = f"{t.size} times and {won.size} flags"
        raise QueryError(msg)
    if not bool(np.all(t[won] >= 0.0)):
        msg = f"times of solved runs must be numbers from 0 on, got {t[won][~(t[won] >= 0.0)]}"
        raise QueryError(msg)
    reached = np.sort(t[won])
    return reached, np.arange(1, reached.size + 1)


def kaplan_meier(times: npt.ArrayLike, solved: npt.ArrayLike) -> Survival:
    r"""Share of instances still open, when runs were stopped at different times.

    .. math::

        S(t) = \prod_{t_i \le t} \Bigl(1 - \frac{d_i}{n_i}\Bigr), \qquad
        \operatorname{se}(t) = S(t) \sqrt{\sum_{t_i \le t} \frac{d_i}{n_i (n_i - d_i)}}

    with :math:`d_i` solved at :math:`t_i` and :math:`n_i` still running right before. Where all
    runs have the same limit, it is one minus the cactus plot over the number of instances.

    Parameters
    ----------
    times : array_like, shape (n,)
        Seconds until solved, or until the run was stopped.
    solved : array_like of bool, shape (n,)
        False: stopped (censored). A run stopped at a time counts as running at that time.

    Returns
    -------
    Survival

    Notes
    -----
    E. Kaplan, P. Meier, Nonparametric estimation from incomplete observations, JASA 53, 1958,
    equation 2b; M. Greenwood, 1926, for the error.
    """
    t = np.asarray(times, dtype=np.float64).reshape(-1)
    won = np.asarray(solved, dtype=bool).reshape(-1)
    if t.shape != won.shape or not np.isfinite(t).all():
        msg = f"{t.size} times and {won.size} flags; times must be finite"
        raise QueryError(msg)
    steps, solved_at = np.unique(t[won], return_counts=True)
    at_risk = (t[None] >= steps[:, None]).sum(axis=1).astype(np.int64)
    left = at_risk - solved_at
    still = np.cumprod(left / np.maximum(at_risk, 1))
    # Where nobody is left, the share is 0 and so is its error.
    terms = np.divide(solved_at, at_risk * left, out=np.zeros(len(steps)), where=left > 0)
    error = still * np.sqrt(np.cumsum(terms))
    return Survival(steps, still, at_risk, error)
