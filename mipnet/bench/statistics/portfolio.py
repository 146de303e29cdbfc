"""All methods together: the virtual best, and what each of them adds to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mipnet.bench.statistics.means import penalised_average
from mipnet.errors import QueryError

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]


def virtual_best(
    times: npt.ArrayLike, solved: npt.ArrayLike, shown: Sequence[int] | None = None
) -> tuple[Array, Flags, Indices]:
    """Best method of every instance, as if an oracle chose.

    Parameters
    ----------
    times : array_like, shape (instances, methods)
        Seconds.
    solved : array_like of bool, shape (instances, methods)
    shown : sequence of int, optional
        Methods to choose from; all when absent.

    Returns
    -------
    times : array, shape (instances,)
        Least time of those that solved the instance; where none did, the least time spent.
    solved : array of bool, shape (instances,)
    choice : array of int, shape (instances,)
        Column of the best method, the first of equals; -1 where none solved the instance.
    """
    t, won = _tables(times, solved)
    columns = np.arange(t.shape[1]) if shown is None else np.asarray(shown, dtype=np.int64)
    if not columns.size:
        msg = "the best of no method is not defined; show at least one"
        raise QueryError(msg)
    kept = np.where(won[:, columns], t[:, columns], np.inf)
    any_solved: Flags = np.any(won[:, columns], axis=1)
    choice = np.where(any_solved, columns[kept.argmin(axis=1)], -1)
    best = np.where(any_solved, kept.min(axis=1), t[:, columns].min(axis=1))
    return best, any_solved, choice


def marginal_contribution(
    times: npt.ArrayLike, solved: npt.ArrayLike, limit: npt.ArrayLike, factor: float = 2.0
) -> Array:
    r"""Loss of the virtual best when one method is taken away.

    .. math:: \operatorname{PAR}_k(\mathrm{VBS}(S \setminus \{m\})) -
              \operatorname{PAR}_k(\mathrm{VBS}(S))

    Parameters
    ----------
    times : array_like, shape (instances, methods)
    solved : array_like of bool, shape (instances, methods)
    limit : array_like, shape () or (instances,)
        Time limits.
    factor : float
        Penalty, see :func:`~mipnet.bench.statistics.means.penalised_average`.

    Returns
    -------
    array, shape (methods,)
        From 0 on; a method alone contributes the whole penalty it saves.

    Notes
    -----
    L. Xu, F. Hutter, H. Hoos, K. Leyton-Brown, Evaluating component solver contributions to
    portfolio-based algorithm selectors, SAT 2012, section 3.
    """
    t, won = _tables(times, solved)
    count = t.shape[1]
    whole = _score(t, won, range(count), limit, factor)
    rest = [
        _score(t, won, [k for k in range(count) if k != left_out], limit, factor)
        for left_out in range(count)
    ]
    return np.asarray(rest) - whole


def wins_ties_losses(
    times: npt.ArrayLike, solved: npt.ArrayLike, tolerance: float = 0.05
) -> npt.NDArray[np.int64]:
    """Compare methods pair by pair.

    Parameters
    ----------
    times : array_like, shape (instances, methods)
    solved : array_like of bool, shape (instances, methods)
        Solving an instance beats not solving it; if neither did, it is a tie.
    tolerance : float
        Times within this share of the larger one tie.

    Returns
    -------
    array of int, shape (methods, methods, 3)
        Entry ``[a, b]``: instances where ``a`` wins, ties and loses against ``b``.
    """
    t, won = _tables(times, solved)
    value = np.where(won, t, np.inf)
    a, b = value[:, :, None], value[:, None, :]
    with np.errstate(invalid="ignore"):
        near = (np.abs(a - b) <= tolerance * np.maximum(a, b)) & np.isfinite(a) & np.isfinite(b)
    tie = near | (np.isinf(a) & np.isinf(b))
    counts = [((a < b) & ~tie).sum(axis=0), tie.sum(axis=0), ((a > b) & ~tie).sum(axis=0)]
    return np.stack(counts, axis=-1).astype(np.int64)


def _score(
    times: Array, solved: Flags, shown: Sequence[int], limit: npt.ArrayLike, factor: float
) -> float:
    if not shown:
        most = np.broadcast_to(np.asarray(limit, dtype=np.float64), (len(times),))
        return float(factor * most.mean())
    best, any_solved, _ = virtual_best(times, solved, list(shown))
    return penalised_average(best, any_solved, limit, factor)


def _tables(times: npt.ArrayLike, solved: npt.ArrayLike) -> tuple[Array, Flags]:
    t, won = np.asarray(times, dtype=np.float64), np.asarray(solved, dtype=bool)
    if t.ndim != 2 or t.shape != won.shape:
        msg = f"times {t.shape} and solved {won.shape} must be two tables of one shape"
        raise QueryError(msg)
    return t, won
