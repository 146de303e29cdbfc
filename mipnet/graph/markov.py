r"""Markov chains over a graph of units, and their stationary distributions.

Units are ranked by the stationary distribution :math:`\pi = \pi P` of the chain with
:math:`P_{ij} = s_{ij} / \sum_k s_{ik}` (GOHSP-style: Yin et al., AAAI 2023, arXiv:2301.05345; the
normalisation is a reconstruction). With damping :math:`d`, PageRank (Page et al., 1999):
:math:`\pi = d \, \pi P + (1 - d) / n`.

For a symmetric affinity the undamped distribution is the share of each node in the sum of
degrees, :math:`\pi_i = \sum_j s_{ij} / \sum_{ij} s_{ij}`: the chain then says nothing that
:func:`degree` does not.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse.csgraph import connected_components

from mipnet.arguments import number, numbers
from mipnet.errors import GraphError

Array = npt.NDArray[np.float64]

METHODS = ("power", "eigenvector")


def transition(affinity: npt.ArrayLike) -> Array:
    """Row-stochastic matrix of an affinity.

    A node without any affinity goes anywhere with equal chance, as pages without links do in
    PageRank.

    Parameters
    ----------
    affinity : array, shape (n, n)
        Entries from 0 on; ``affinity[i, j]`` is the weight of the edge from i to j.

    Raises
    ------
    GraphError
        When the affinity is not square, or has an entry that is negative, NaN or infinite.
    """
    weights = _square(affinity)
    # Scaling by the largest entry first keeps the sums of huge and of tiny affinities finite.
    largest = weights.max(axis=1, keepdims=True, initial=0.0)
    scaled = np.divide(weights, largest, out=np.ones_like(weights), where=largest > 0.0)
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))


def degree(affinity: npt.ArrayLike) -> Array:
    """Share of every node in the sum of all affinities, by outgoing edges; equal when all are 0."""
    weights = _square(affinity)
    total = weights.sum()
    if total == 0.0:
        return np.full(len(weights), 1.0 / len(weights))
    return np.asarray(weights.sum(axis=1) / total)


def stationary(
    chain: npt.ArrayLike,
    *,
    damping: float = 1.0,
    method: str = "power",
    start: npt.ArrayLike | None = None,
    tolerance: float = 1e-12,
    max_iterations: int = 100_000,
) -> Array:
    """Stationary distribution of a chain.

    Parameters
    ----------
    chain : array, shape (n, n)
        Rows of sum 1, as :func:`transition` makes them.
    damping : float
        Chance to follow the chain, in [0, 1]; the rest of the time the walk jumps to any node. 1
        is no damping.
    method : {"power", "eigenvector"}
        Steps from ``start`` until one changes the distribution by less than ``tolerance`` in
        total, or the left eigenvector of eigenvalue 1. They agree.
    start : array, shape (n,), optional
        First distribution of the power iteration; uniform when absent.
    tolerance : float
    max_iterations : int

    Returns
    -------
    array, shape (n,)
        Entries from 0 on, of sum 1.

    Raises
    ------
    GraphError
        When the chain is none; when, undamped, it falls into several closed parts, so that there
        is no unique distribution; when the power iteration does not settle, as on a bipartite
        graph. Damping below 1 avoids both.

    Examples
    --------
    >>> print(stationary([[0.5, 0.5, 0.0], [0.25, 0.5, 0.25], [0.0, 0.5, 0.5]]).round(6))
    [0.25 0.5  0.25]
    """
    matrix = _chain(chain)
    damping = number(damping, "damping", GraphError, (0.0, 1.0))
    number(tolerance, "tolerance", GraphError, (0.0, 2.0))
    if not isinstance(max_iterations, int | np.integer) or max_iterations < 1:
        msg = f"max_iterations must be a whole number from 1 on, not {max_iterations!r}"
        raise GraphError(msg)
    if method not in METHODS:
        msg = f"unknown method {method!r}; there are {', '.join(METHODS)}"
        raise GraphError(msg)
    closed = _closed_parts(matrix)
    if damping == 1.0 and closed > 1:
        msg = (
            f"the graph falls into {closed} parts that the walk never leaves, so the stationary "
            "distribution is not unique: take damping below 1"
        )
        raise GraphError(msg)
    if method == "eigenvector":
        return _eigenvector(matrix, damping)
    return _power(matrix, damping, _start(start, len(matrix)), tolerance, max_iterations)


def _power(matrix: Array, damping: float, pi: Array, tolerance: float, steps: int) -> Array:
    jump = (1.0 - damping) / len(matrix)
    for _ in range(steps):
        after = damping * (pi @ matrix) + jump
        after /= after.sum()
        if np.abs(after - pi).sum() < tolerance:
            return np.asarray(after)
        pi = after
    msg = (
        f"the power iteration has not settled after {steps} steps (a bipartite graph goes to and "
        "fro): take damping below 1, or method='eigenvector'"
    )
    raise GraphError(msg)


def _eigenvector(matrix: Array, damping: float) -> Array:
    """Left eigenvector of eigenvalue 1 as the solution of a linear system of full rank."""
    n = len(matrix)
    system = np.eye(n) - damping * matrix.T
    right = np.full(n, (1.0 - damping) / n)
    # One balance is implied by the others; the sum of the distribution takes its place.
    system[-1], right[-1] = 1.0, 1.0
    found = np.maximum(np.linalg.solve(system, right), 0.0)
    return np.asarray(found / found.sum())


def _closed_parts(matrix: Array) -> int:
    """Count the sets of nodes that the chain never leaves."""
    count, part = connected_components(matrix, connection="strong")
    tail, head = np.nonzero(matrix)
    left = np.unique(part[tail][part[tail] != part[head]])
    return int(count - len(left))


def _start(start: npt.ArrayLike | None, n: int) -> Array:
    if start is None:
        return np.full(n, 1.0 / n)
    pi = numbers(start, "start", GraphError)
    if pi.shape != (n,) or not (np.isfinite(pi).all() and (pi >= 0.0).all() and pi.sum() > 0.0):
        msg = f"start must be {n} numbers from 0 on, not all 0"
        raise GraphError(msg)
    return np.asarray(pi / pi.sum())


def _square(values: npt.ArrayLike) -> Array:
    array = numbers(values, "weights of edges", GraphError)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or not array.size:
        msg = f"a graph of n nodes needs an array of shape (n, n), n >= 1; got {array.shape}"
        raise GraphError(msg)
    bad = ~(np.isfinite(array) & (array >= 0.0))
    if bad.any():
        i, j = np.argwhere(bad)[0].tolist()
        msg = f"the edge from {i} to {j} has weight {array[i, j]}; weights are finite, from 0 on"
        raise GraphError(msg)
    return array


def _chain(values: npt.ArrayLike) -> Array:
    matrix = _square(values)
    off = np.abs(matrix.sum(axis=1) - 1.0) > 1e-9
    if off.any():
        row = int(np.flatnonzero(off)[0])
        msg = f"row {row} sums to {matrix[row].sum()}, not 1: give transition(affinity)"
        raise GraphError(msg)
    return matrix
