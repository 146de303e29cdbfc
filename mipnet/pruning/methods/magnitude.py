"""Size of the incoming weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mipnet.errors import MaskError
from mipnet.network import Network
from mipnet.pruning.base import Array, Pruner
from mipnet.pruning.registry import register_pruner
from mipnet.pruning.units import prunable_layers

ORDERS = {"l1": 1, "l2": 2}


@register_pruner("magnitude")
@dataclass(kw_only=True)
class Magnitude(Pruner):
    r"""Norm of a unit's incoming weights, :math:`s_j = \|W_{j,:}\|`.

    Li et al. rank the filters of one convolutional layer by their L1 norm; a neuron is a filter
    of size one. Norms of layers of different fan-in differ by scale: under
    ``scope="global"`` they are compared as they are.

    Parameters
    ----------
    norm : {"l1", "l2"}
    bias : bool
        Whether the bias counts as one more weight.
    """

    source = (
        "H. Li, A. Kadav, I. Durdanovic, H. Samet, H. P. Graf, Pruning Filters for Efficient "
        "ConvNets, ICLR 2017, arXiv:1608.08710, section 3.1 (L1 norm)"
    )
    needs = frozenset()

    norm: str = "l1"
    bias: bool = False

    def scores(
        self, network: Network, data: Array | None, rng: np.random.Generator
    ) -> Mapping[str, Array]:
        """See :meth:`Pruner.scores`."""
        del data, rng
        if self.norm not in ORDERS:
            msg = f"magnitude: unknown norm {self.norm!r}; there are {', '.join(ORDERS)}"
            raise MaskError(msg)
        found = {}
        for name in prunable_layers(network):
            weight, bias = network.by_name[name].layer.parameters
            rows = weight.reshape(len(weight), -1)
            rows = np.column_stack([rows, bias]) if self.bias else rows
            found[name] = np.asarray(np.linalg.norm(rows, ord=ORDERS[self.norm], axis=1))
        return found
