"""Random choice: the control every method must beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mipnet.network import Network
from mipnet.pruning.base import Array, Pruner
from mipnet.pruning.registry import register_pruner
from mipnet.pruning.units import prunable_layers


@register_pruner("random")
@dataclass(kw_only=True)
class Random(Pruner):
    """Independent uniform scores."""

    source = "control: uniform random scores"
    needs = frozenset()

    def scores(
        self, network: Network, data: Array | None, rng: np.random.Generator
    ) -> Mapping[str, Array]:
        """See :meth:`Pruner.scores`."""
        del data
        return {name: rng.random(g.width) for name, g in prunable_layers(network).items()}
