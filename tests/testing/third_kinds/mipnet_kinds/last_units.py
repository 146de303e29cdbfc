"""A pruning method in one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mipnet.network import Network
from mipnet.pruning import Pruner, prunable_layers, register_pruner


@register_pruner("last_units")
@dataclass(kw_only=True)
class LastUnits(Pruner):
    """Keeps the units with the highest index."""

    source: ClassVar[str] = "control: position in the layer"
    needs: ClassVar[frozenset[str]] = frozenset()

    def scores(
        self, network: Network, data: np.ndarray | None, rng: np.random.Generator
    ) -> Mapping[str, np.ndarray]:
        return {n: np.arange(g.width, dtype=float) for n, g in prunable_layers(network).items()}
