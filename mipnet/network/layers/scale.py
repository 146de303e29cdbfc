"""Elementwise arithmetic with constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from mipnet.errors import NetworkError
from mipnet.network.layers.base import Array, Floats, Shape, register_layer
from mipnet.network.layers.diagonal import Diagonal
from mipnet.network.layers.linear import finite, recast


@register_layer("Scale")
@dataclass(frozen=True, eq=False)
class Scale(Diagonal):
    """Elementwise ``y = scale x + shift``: addition, subtraction, product, quotient by constants.

    Parameters
    ----------
    scale, shift : array, broadcastable to the shape of an item

    Raises
    ------
    NetworkError
        When a value is NaN or infinite, or they would change the shape of the item.
    """

    scale: npt.ArrayLike = 1.0
    shift: npt.ArrayLike = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", finite("Scale", "scale", self.scale))
        object.__setattr__(self, "shift", finite("Scale", "shift", self.shift))

    @property
    def parameters(self) -> tuple[Array, ...]:
        """``(scale, shift)``."""
        return np.asarray(self.scale), np.asarray(self.shift)

    def cast(self, dtype: npt.DTypeLike) -> Self:
        """See :meth:`Layer.cast`."""
        return recast(self, dtype, "scale", "shift")

    def output_shape(self, *shapes: Shape) -> Shape:
        """See :meth:`Layer.output_shape`."""
        constants = [p.shape for p in self.parameters]
        try:
            fits = np.broadcast_shapes(shapes[0], *constants) == shapes[0]
        except ValueError:
            fits = False
        if not fits:
            msg = f"Scale: constants of shapes {constants[0]} and {constants[1]} do not fit items "
            msg += f"of shape {shapes[0]}"
            raise NetworkError(msg)
        return shapes[0]

    def factor(self, shape: Shape) -> Floats:
        """See :meth:`Diagonal.factor`."""
        del shape
        return self.parameters[0]

    def offset(self, shape: Shape) -> Floats:
        """See :meth:`Linear.offset`."""
        del shape
        return self.parameters[1]
