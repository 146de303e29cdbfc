"""The parametric rectified linear unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from mipnet.errors import NetworkError
from mipnet.network.layers.base import Array, Floats, Shape, register_layer
from mipnet.network.layers.hinge import Hinge
from mipnet.network.layers.linear import finite, recast


@register_layer("PReLU")
@dataclass(frozen=True, eq=False)
class PReLU(Hinge):
    """Elementwise ``x`` above zero, ``slope x`` below it, a learnt slope for each channel.

    Parameters
    ----------
    slope : array, broadcastable to the shape of an item
        As ONNX has it: shape (channels, 1, 1) for an image. The vector of torch needs those axes
        added.

    Raises
    ------
    NetworkError
        When a slope is NaN or infinite, or they would change the shape of the item.
    """

    slope: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "slope", finite("PReLU", "slope", self.slope))

    @property
    def parameters(self) -> tuple[Array, ...]:
        """``(slope,)``."""
        return (self.slope,)

    def cast(self, dtype: npt.DTypeLike) -> Self:
        """See :meth:`Layer.cast`."""
        return recast(self, dtype, "slope")

    def output_shape(self, *shapes: Shape) -> Shape:
        """See :meth:`Layer.output_shape`."""
        try:
            fits = np.broadcast_shapes(shapes[0], self.slope.shape) == shapes[0]
        except ValueError:
            fits = False
        if not fits:
            msg = f"PReLU: slopes of shape {self.slope.shape} do not fit items of shape {shapes[0]}"
            raise NetworkError(msg)
        return shapes[0]

    def sides(self, shape: Shape) -> tuple[Floats, Floats]:
        """See :meth:`Hinge.sides`."""
        del shape
        return self.slope, np.ones(())
