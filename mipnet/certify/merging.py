"""Units that combine others of their layer, and readers that make up for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import qr, solve_triangular

from mipnet.network import Flatten, Layer, Network, ReLU
from mipnet.network.layers import AvgPool, Conv, GlobalAvgPool
from mipnet.pruning.units import Group, is_reader

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

#: Residual of a linear combination, relative to its terms, that counts as rounding.
DEPENDENT = 1e-13
#: What a linear combination of units passes as it is, rectifiers where the units are active.
CARRIERS = (ReLU, Flatten, AvgPool, GlobalAvgPool)


def mergeable(network: Network, group: Group) -> bool:
    """Whether readers can take linear combinations in place of the units of a group.

    Parameters
    ----------
    network : Network
    group : Group
        Of neurons, or of channels, which may pass means but no other pooling.
    """
    readers = [network.by_name[name] for name in group.readers]
    return (
        is_reader(network.by_name[group.layer])
        and group.simple
        and not group.partners
        and all(isinstance(network.by_name[name].layer, CARRIERS) for name in group.path)
        and all(is_reader(node) for node in readers)
        and len({source for node in readers for source in node.inputs}) == 1
    )


def merged(
    network: Network, group: Group, active: Flags
) -> tuple[dict[str, Layer], Indices] | None:
    r"""Readers that take over dependent units, and the units that can go.

    With :math:`w_j = \sum_k \alpha_k w_k` the unit is :math:`\sum_k \alpha_k z_k` and a constant,
    at every place of a channel: its readers take :math:`\alpha_k W_{:,j}`, and the constant joins
    their biases. Where zeros are put around channels there is no constant that holds at the border
    too; there the biases have to combine like the weights.

    Parameters
    ----------
    network : Network
    group : Group
        A :func:`mergeable` one.
    active : array of bool, shape (width,)
        Units that no rectifier changes.

    Returns
    -------
    (dict of str to Layer, array of int), or None
        None where no unit combines others.
    """
    layer: Any = network.by_name[group.layer].layer
    parts: dict[str, Any] = {name: network.by_name[name].layer for name in group.readers}
    path = [network.by_name[name].layer for name in group.path]
    padded = any(_padded(part) for part in (*path, *parts.values()))
    rows = layer.weight.reshape(group.width, -1)
    if padded:
        rows = np.column_stack([rows, layer.bias])
    basis, gone, alpha = dependent(rows, np.flatnonzero(active))
    if not gone.size:
        return None
    shift = layer.bias[gone] - alpha @ layer.bias[basis]
    if padded:
        shift = np.zeros_like(shift)
    layers: dict[str, Layer] = {}
    for name, part in parts.items():
        weight = part.weight.reshape(len(part.weight), group.width, -1).copy()
        lost = weight[:, gone].copy()
        weight[:, basis] += np.einsum("rgp,gb->rbp", lost, alpha)
        bias = part.bias + lost.sum(axis=2) @ shift
        layers[name] = replace(part, weight=weight.reshape(part.weight.shape), bias=bias)
    return layers, gone


def dependent(rows: Array, candidates: Indices) -> tuple[Indices, Indices, Array]:
    """Independent rows, those that combine them up to rounding, and the combinations.

    Parameters
    ----------
    rows : array, shape (width, n)
    candidates : array of int
        Rows to look at.
    """
    nothing = candidates[:0], candidates[:0], np.zeros((0, 0))
    chosen = rows[candidates]
    if len(candidates) < 2 or not chosen.any():
        return nothing
    _, r, order = qr(chosen.T, mode="economic", pivoting=True)
    size = np.abs(np.diag(r))
    rank = int((size > DEPENDENT * size[0] * max(chosen.shape)).sum())
    basis, rest = candidates[order[:rank]], candidates[order[rank:]]
    if not rest.size:
        return nothing
    alpha = solve_triangular(r[:rank, :rank], r[:rank, rank:]).T
    return basis, rest, np.asarray(alpha)


def _padded(layer: Layer) -> bool:
    if not isinstance(layer, Conv | AvgPool):
        return False
    return any((*layer.window.before, *layer.window.after))
