"""Mean compensation: what removed units contributed on average joins the biases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mipnet.arguments import require
from mipnet.errors import MaskError, NetworkError
from mipnet.network import Network
from mipnet.pruning.apply import removed_units
from mipnet.pruning.mask import Mask
from mipnet.pruning.units import reader, units_of

Array = npt.NDArray[np.float64]

#: What can make up for removed units.
COMPENSATIONS = ("none", "mean")
#: Elements of all values of a trace that are held at once (256 MiB).
_ELEMENTS = 2**25


def mean_shifts(network: Network, mask: Mask, inputs: Array) -> Mapping[str, Array]:
    r"""Find what to add to the biases of readers: :math:`\mathbb{E}[W_{:,R} h_R]`, R removed.

    The mean is over the inputs and, in convolutions, over all places of the output, padding
    included; activations are those of the network without any mask (An, Zhao, Yu, Tang, Wang,
    AAAI 2024, arXiv:2312.11983, equation 5, for linear layers).

    Parameters
    ----------
    network : Network
    mask : Mask
        Of neurons and channels; tiles are not compensated.
    inputs : array, shape (batch, *input_shape)

    Returns
    -------
    mapping of str to array, shape (n_out,)
        For :attr:`Mask.bias`.

    Raises
    ------
    MaskError
        When the mask does not fit the network.
    NetworkError
        When the inputs do not fit, or there are none.
    """
    units = units_of(network)
    require(mask, Mask, "mask", MaskError).check(network)
    inputs, _ = network.batch(inputs)
    if not len(inputs):
        msg = "the mean over no inputs is none: give some"
        raise NetworkError(msg)
    removed, _ = removed_units(units, mask)
    parts = {}
    for node in network.nodes:
        layer = reader(node)
        if layer is not None and removed[units.columns[node.name]].any():
            spread = (1, -1, *(1,) * (layer.weight.ndim - 2))
            gone = removed[units.columns[node.name]].reshape(spread)
            parts[node.name] = replace(
                layer, weight=layer.weight * gone, bias=np.zeros_like(layer.bias)
            )
    sums = {name: np.zeros(len(part.bias)) for name, part in parts.items()}
    size = sum(int(np.prod(shape)) for shape in network.shapes.values())
    step = max(1, _ELEMENTS // size)
    for first in range(0, len(inputs), step):
        trace = network.trace(inputs[first : first + step])
        for name, part in parts.items():
            out = part.forward(trace[network.by_name[name].inputs[0]])
            sums[name] += out.reshape(*out.shape[:2], -1).mean(axis=2).sum(axis=0)
    return {name: total / len(inputs) for name, total in sums.items()}
