"""Elements of a network that never change, and their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mipnet.network import INPUT, Layer, Network
from mipnet.network.layers import Add, Concat, ReLU
from mipnet.network.layers.elementwise import Elementwise
from mipnet.network.layers.linear import Linear
from mipnet.network.layers.maximum import Maximum
from mipnet.network.layers.rearrange import Rearrange

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Constants:
    """Which elements of a node never change.

    Attributes
    ----------
    known : array of bool, of the shape of an item
    value : array, of the same shape
        Their values; 0 elsewhere.
    """

    known: Flags
    value: Array


def constants_of(network: Network) -> dict[str, Constants]:
    """Constant elements of every node, by one pass towards the output.

    Only exact zeros count: an element is constant when all its weights on changing elements are 0.
    """
    nothing = np.zeros(network.input_shape)
    found = {INPUT: Constants(nothing > 0.0, nothing)}
    for node in network.nodes:
        sources = [found[name] for name in node.inputs]
        known = _known(node.layer, [~s.known for s in sources], network.shapes[node.name])
        value = np.zeros(network.shapes[node.name])
        if known.any():
            out = node.layer.forward(*(s.value[None] for s in sources))[0]
            value = np.where(known, out, 0.0)
        found[node.name] = Constants(known, value)
    return found


def _known(layer: Layer, changing: Sequence[Flags], shape: tuple[int, ...]) -> Flags:
    """Find the outputs that depend on no changing element."""
    items = [flags[None].astype(np.float64) for flags in changing]
    if isinstance(layer, Linear):
        reached = layer.times(items[0], absolute=True)[0]
    elif isinstance(layer, Add):
        reached = np.sum([flags * abs(s) for flags, s in zip(items, layer.scales, strict=True)], 0)[
            0
        ]
    elif isinstance(layer, Elementwise | ReLU):
        reached = items[0][0]
    elif isinstance(layer, Maximum | Rearrange | Concat):
        reached = layer.forward(*items)[0]
    else:
        reached = np.full(shape, float(any(flags.any() for flags in changing)))
    return np.asarray(reached == 0.0)
