"""A layer in one file: a valley with two slopes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mipnet.network.layers import register_layer
from mipnet.network.layers.base import Shape
from mipnet.network.layers.hinge import Hinge


@register_layer("Vee")
@dataclass(frozen=True, eq=False)
class Vee(Hinge):
    """Elementwise ``max(-left x, right x)``."""

    left: float = 0.5
    right: float = 2.0

    @property
    def attributes(self) -> tuple[object, ...]:
        return self.left, self.right

    def sides(self, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
        del shape
        return np.full((), -self.left), np.full((), self.right)
