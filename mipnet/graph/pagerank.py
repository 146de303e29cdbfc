r"""Weighted PageRank along the layers of a network (MLP-Rank).

D. Hoffmann, MLP-Rank: a graph-theoretical approach to structured pruning of deep neural networks
based on weighted PageRank centrality; formulas as in the code the authors published
(github.com/amazon-science/mlp-rank-pruning).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mipnet.arguments import number, numbers, require
from mipnet.errors import GraphError

Array = npt.NDArray[np.float64]


def mlp_rank(
    weights: Sequence[npt.ArrayLike],
    activations: Sequence[npt.ArrayLike],
    start: npt.ArrayLike,
    *,
    gamma: float = 0.9,
    theta: float = 0.5,
    modified: bool = False,
) -> list[Array]:
    r"""Rank the neurons of every layer, from the input towards the output.

    .. math::
        r_l \propto \gamma \left(\theta W^n_l + (1 - \theta) B^n_l\right) r_{l-1}
            + (1 - \gamma) \frac{a_l}{\sum a_l}

    with :math:`W^n_l = |W_l|` and :math:`B^n_l` its support (0/1), each column (input) scaled to
    sum 1; the modified variant is :math:`r_l \propto (|W_l| \, r_{l-1}) \odot a_l`. Every
    :math:`r_l` is scaled to sum 1.

    A column without weights passes nothing on; a layer nothing reaches is ranked equal.

    Parameters
    ----------
    weights : sequence of array, shape (n_l, n_{l-1})
        One for each layer, in order.
    activations : sequence of array, shape (n_l,)
        :math:`a_l`, the L2 norm of the outputs of each neuron over a calibration set.
    start : array, shape (n_0,)
        The same for the inputs of the first layer.
    gamma, theta : float
        Damping, and weight of sizes against support; each in [0, 1].
    modified : bool
        The variant, which takes neither.

    Returns
    -------
    list of array, shape (n_l,)

    Raises
    ------
    GraphError
        When shapes do not fit, values are negative or not finite, or a factor lies outside [0, 1].
    """
    for name, value in (("gamma", gamma), ("theta", theta)):
        number(value, name, GraphError, (0.0, 1.0))
    for name, rows in (("weights", weights), ("activations", activations)):
        require(rows, (Sequence, np.ndarray), f"{name}, one entry for each layer,", GraphError)
    if len(weights) != len(activations):
        msg = f"{len(weights)} layers need as many activations, got {len(activations)}"
        raise GraphError(msg)
    rank = _shares(_norms(start, "start"))
    ranks = []
    for index, (weight, activation) in enumerate(zip(weights, activations, strict=True)):
        size = np.abs(numbers(weight, f"weights of layer {index}", GraphError))
        norm = _norms(activation, f"activations of layer {index}")
        if size.shape != (norm.size, rank.size) or not np.isfinite(size).all():
            msg = (
                f"layer {index}: weights must be finite, of shape {(norm.size, rank.size)} "
                f"(neurons, inputs); got shape {size.shape}"
            )
            raise GraphError(msg)
        if modified:
            found = (size @ rank) * norm
        else:
            mixed = theta * _columns(size) + (1.0 - theta) * _columns((size > 0.0).astype(float))
            found = gamma * (mixed @ rank) + (1.0 - gamma) * _shares(norm)
        rank = _shares(found)
        ranks.append(rank)
    return ranks


def _columns(size: Array) -> Array:
    total = size.sum(axis=0)
    return np.asarray(np.divide(size, total, out=np.zeros_like(size), where=total > 0.0))


def _shares(values: Array) -> Array:
    total = values.sum()
    shares: Array = values / total if total > 0.0 else np.full(values.size, 1.0 / values.size)
    return shares


def _norms(values: npt.ArrayLike, name: str) -> Array:
    array = numbers(values, name, GraphError)
    if array.ndim != 1 or not array.size or not (np.isfinite(array) & (array >= 0.0)).all():
        msg = f"{name} must be finite numbers from 0 on, at least one; got shape {array.shape}"
        raise GraphError(msg)
    return array
