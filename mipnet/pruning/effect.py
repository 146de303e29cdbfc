"""What the outputs lose with a unit, to first order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mipnet.network import Network
from mipnet.pruning.layout import Layout

Array = npt.NDArray[np.float64]


def effects(network: Network, inputs: Array, layout: Layout, *, centred: bool = True) -> Array:
    r"""Root mean square change of the outputs when a unit is replaced by a constant.

    .. math:: e_j = \sqrt{\tfrac1N \sum_n \sum_k \left(\sum_{i \in j}
        \frac{\partial f_k}{\partial h_i}(x_n) \, (h_i(x_n) - c_i)\right)^2}

    over the elements :math:`i` that hold the unit where layers read it, with :math:`c_i` their mean
    over the inputs, or 0.

    Parameters
    ----------
    network : Network
    inputs : array, shape (batch, *input_shape)
    layout : Layout
        Of the network.
    centred : bool
        Whether the constant is the mean.

    Returns
    -------
    array, shape (layout.count,)
    """
    trace = {name: np.asarray(v, dtype=np.float64) for name, v in network.trace(inputs).items()}
    held = {}
    for name in layout.sources:
        values = trace[name].reshape(len(inputs), -1)
        held[name] = values - values.mean(axis=0) if centred else values
    total = np.zeros(layout.count)
    shape = trace[network.output].shape
    for output in range(network.n_outputs):
        weights = np.zeros((len(inputs), network.n_outputs))
        weights[:, output] = 1.0
        change = np.zeros((len(inputs), layout.count))
        for name, slope in _slopes(network, trace, weights.reshape(shape), layout.sources).items():
            owner = layout.elements[name].reshape(-1)
            own = np.flatnonzero(owner >= 0)
            moved = slope.reshape(len(inputs), -1)[:, own] * held[name][:, own]
            np.add.at(change.T, owner[own], moved.T)
        total += np.square(change).mean(axis=0)
    return np.asarray(np.sqrt(total))


def _slopes(
    network: Network, trace: dict[str, Array], weights: Array, wanted: tuple[str, ...]
) -> dict[str, Array]:
    """Gradients of a weighted sum of outputs with respect to the output of some nodes."""
    flow, found = {network.output: weights}, {}
    for node in reversed(network.nodes):
        incoming = flow.pop(node.name, None)
        if incoming is None:
            continue
        if node.name in wanted:
            found[node.name] = incoming
        parts = node.layer.gradient(incoming, *(trace[name] for name in node.inputs))
        for name, part in zip(node.inputs, parts, strict=True):
            flow[name] = flow[name] + part if name in flow else part
    return found
