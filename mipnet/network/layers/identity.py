"""The layer that does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from mipnet.network.layers.base import Array, Shape, register_layer
from mipnet.network.layers.rearrange import Rearrange


@register_layer("Identity")
@dataclass(frozen=True, eq=False)
class Identity(Rearrange):
    """``y = x``; what Dropout is at inference.

    :func:`mipnet.network.rewrite.fold` leaves it out.
    """

    def output_shape(self, *shapes: Shape) -> Shape:
        """See :meth:`Layer.output_shape`."""
        return shapes[0]

    def pick(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """See :meth:`Rearrange.pick`."""
        return x

    def put(self, y: Array, shape: Shape) -> Array:
        """See :meth:`Rearrange.put`."""
        del shape
        return y
