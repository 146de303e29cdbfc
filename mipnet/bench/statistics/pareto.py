"""Points no other point beats in everything."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def pareto_front(values: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    r"""Whether each point is undominated, all coordinates being costs.

    Point :math:`q` dominates :math:`p` when :math:`q \le p` in every coordinate and
    :math:`q < p` in one.

    Parameters
    ----------
    values : array_like, shape (points, objectives)
        Smaller is better; change the sign of what should be large. Points with NaN are dominated.

    Returns
    -------
    array of bool, shape (points,)

    Examples
    --------
    >>> pareto_front([[1.0, 3.0], [2.0, 2.0], [2.0, 3.0], [1.0, 3.0]]).tolist()
    [True, True, False, True]
    """
    v = np.asarray(values, dtype=np.float64)
    known = ~np.any(np.isnan(v), axis=1)
    not_above = np.all(v[None] <= v[:, None], axis=2)
    below = np.any(v[None] < v[:, None], axis=2)
    return np.asarray(known & ~np.any(not_above & below, axis=1))
