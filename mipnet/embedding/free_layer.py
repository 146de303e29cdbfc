"""Weights as decisions: one layer of a network over given data."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo
from pyomo.common.modeling import unique_component_name

from mipnet.embedding.batch import NetworkBatch
from mipnet.embedding.block_data import loaded_network
from mipnet.errors import EmbeddingError
from mipnet.network.combine import split
from mipnet.network.layers import Affine

Array = npt.NDArray[np.float64]


def add_free_layer(
    model: Any,
    network: Any,
    layer: str,
    data: npt.ArrayLike,
    *,
    radius: npt.ArrayLike,
    name: str = "free_layer",
    **options: Any,
) -> Any:
    """Embed a network over given inputs with the weights of one layer as variables.

    What the layer gives is then linear in its weights, and the network behind it is embedded as
    ever: the program stays linear. It answers what the least change of weights is that repairs
    given predictions, or what predictions all weights within a radius have in common.

    Parameters
    ----------
    model : ConcreteModel or block
    network : Network, or anything :func:`mipnet.load` reads
    layer : str
        An Affine layer that everything passes through.
    data : array_like, shape (k, n_inputs)
        Numbers; inputs cannot be variables at the same time.
    radius : array_like
        How far each weight and bias may move, finite and not negative; a number, or an array of
        the shape ``(n_out, n_in + 1)`` with the bias in the last column.
    name : str
        Name of the block; a number is appended where it is taken.
    **options
        Of :class:`mipnet.NetworkBlock`.

    Returns
    -------
    Block
        ``weight[i, j]`` and ``bias[i]``, variables that start at the network's own; ``outputs[r,
        k]``, the outputs of row ``r``, an Expression; ``behind``, the :class:`NetworkBatch` of
        what follows the layer, if anything does.

    Raises
    ------
    NetworkError
        When there is no such layer, or something goes around it.
    EmbeddingError
        When the radius or the data do not fit.
    """
    net = loaded_network(network)
    before, free, behind = split(net, layer)
    points, _ = net.batch(data)
    if not len(points) or not np.isfinite(points).all():
        msg = f"expected rows of {net.n_inputs} finite inputs"
        raise EmbeddingError(msg)
    hidden = (points if before is None else before(points)).reshape(len(points), -1)
    block = pyo.Block(concrete=True)
    _add_weights(block, free, radius)
    rows = []
    for h in hidden.tolist():
        terms = [[block.weight[i, j] * v for j, v in enumerate(h) if v] for i in block.bias]
        rows.append([block.bias[i] + sum(t) for i, t in enumerate(terms)])
    if behind is not None:
        block.behind = NetworkBatch(behind, rows, **options)
        rows = [list(outputs.values()) for outputs in block.behind.outputs.values()]
    block.outputs = pyo.Expression(range(len(rows)), range(net.n_outputs))
    for (r, k), place in block.outputs.items():
        place.set_value(rows[r][k])
    model.add_component(unique_component_name(model, name), block)
    return block


def _add_weights(block: Any, layer: Affine, radius: npt.ArrayLike) -> None:
    """Variables around the weights of a layer."""
    centre = np.column_stack([layer.weight, layer.bias])
    try:
        reach = np.broadcast_to(np.asarray(radius, dtype=np.float64), centre.shape)
    except (TypeError, ValueError) as error:
        msg = f"the radius has to be a number or an array of the shape {centre.shape}: {error}"
        raise EmbeddingError(msg) from error
    if not (np.isfinite(reach).all() and (reach >= 0.0).all()):
        msg = "the radius has to be finite and not negative"
        raise EmbeddingError(msg)
    count, width = layer.weight.shape
    block.weight = pyo.Var(range(count), range(width))
    block.bias = pyo.Var(range(count))
    for i in range(count):
        for j in range(width + 1):
            var = block.weight[i, j] if j < width else block.bias[i]
            var.setlb(centre[i, j] - reach[i, j])
            var.setub(centre[i, j] + reach[i, j])
            var.set_value(float(centre[i, j]))
