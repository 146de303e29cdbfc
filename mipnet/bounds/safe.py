r"""Bounds of linear programs that hold whatever the solver did.

For ``min c.v`` over rows ``rl <= A v <= ru`` and finite columns ``l <= v <= u``, any vector ``d``
gives

.. math::

    \min c.v \ge \sum_i (d_i^+ rl_i - d_i^- ru_i) + \sum_j \min(r_j l_j, r_j u_j),
    \qquad r = c - A^T d

(Neumaier and Shcherbina, Math. Prog. 99, 2004). Duals from a solver make it tight; rounding is
bounded term by term, so no tolerance of the solver enters.
"""

from __future__ import annotations

import numpy as np

from formulations import ProgramArrays
from mipnet.network.layers.base import Array
from mipnet.rounding import down, gamma


def dual_bounds(arrays: ProgramArrays, costs: Array, duals: Array) -> Array:
    """Proven lower bounds of linear objectives over the relaxation of a program.

    Parameters
    ----------
    arrays : ProgramArrays
        With finite column bounds.
    costs : array, shape (k, n_columns)
    duals : array, shape (k, n_rows)
        Any finite row duals.

    Returns
    -------
    array, shape (k,)
        Without the offset of the program.
    """
    # A dual that leans on a side that is not there proves nothing: take it as zero.
    leans_lower = (duals > 0.0) & np.isfinite(arrays.row_lower)
    leans_upper = (duals < 0.0) & np.isfinite(arrays.row_upper)
    d = np.where(leans_lower | leans_upper, duals, 0.0)
    side = np.where(leans_lower, arrays.row_lower, np.where(leans_upper, arrays.row_upper, 0.0))
    reduced = costs - np.asarray((arrays.matrix.T @ d.T).T)
    magnitude = np.abs(costs) + np.asarray((abs(arrays.matrix).T @ np.abs(d).T).T)
    size = np.maximum(np.abs(arrays.lower), np.abs(arrays.upper))
    ends = np.minimum(reduced * arrays.lower, reduced * arrays.upper)
    rows, columns = d * side, arrays.n_columns
    value = rows.sum(axis=1) + ends.sum(axis=1)
    error = gamma(arrays.n_rows + 4) * (magnitude @ size)
    error += gamma(arrays.n_rows + columns + 4) * (np.abs(rows).sum(axis=1) + magnitude @ size)
    return down(value, error)
