"""Flattening of an array into a vector, row-major."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from mipnet.network.layers.base import Array, Floats, Shape, register_layer
from mipnet.network.layers.rearrange import Rearrange


@register_layer("Flatten")
@dataclass(frozen=True, eq=False)
class Flatten(Rearrange):
    """Row-major flattening of everything but the batch axis."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """See :meth:`Layer.output_shape`."""
        return (math.prod(shapes[0]),)

    def forward(self, *values: Floats) -> Floats:
        """See :meth:`Layer.forward`."""
        return values[0].reshape(values[0].shape[0], math.prod(values[0].shape[1:]))

    def pick(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """See :meth:`Rearrange.pick`."""
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))

    def put(self, y: Array, shape: Shape) -> Array:
        """See :meth:`Rearrange.put`."""
        return y.reshape(y.shape[0], *shape)
