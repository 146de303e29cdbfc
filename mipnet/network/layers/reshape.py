"""Another shape for the same elements, row-major."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from mipnet.errors import NetworkError
from mipnet.network.layers.base import Array, Shape, register_layer
from mipnet.network.layers.rearrange import Rearrange


@register_layer("Reshape")
@dataclass(frozen=True, eq=False)
class Reshape(Rearrange):
    """Row-major reshape of every item: reshapes, squeezes, unsqueezes.

    Parameters
    ----------
    shape : sequence of int
        Shape of one output item, without the batch axis; one size may be -1.

    Raises
    ------
    NetworkError
        When the sizes do not fit the items.
    """

    shape: Sequence[int]

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if shape.count(-1) > 1 or min(shape, default=0) < -1:
            msg = f"Reshape: at most one size may be -1 and none smaller, got {shape}"
            raise NetworkError(msg)
        object.__setattr__(self, "shape", shape)

    @property
    def attributes(self) -> tuple[object, ...]:
        """The shape."""
        return (tuple(self.shape),)

    def output_shape(self, *shapes: Shape) -> Shape:
        """See :meth:`Layer.output_shape`."""
        size, rest = math.prod(shapes[0]), math.prod(n for n in self.shape if n != -1)
        free = -1 in self.shape
        if size != rest and not (free and rest and size % rest == 0):
            msg = f"Reshape: {shapes[0]} has {size} elements, which do not fit {self.shape}"
            raise NetworkError(msg)
        return tuple(n if n != -1 else size // rest for n in self.shape)

    def pick(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """See :meth:`Rearrange.pick`."""
        return x.reshape(x.shape[0], *self.output_shape(x.shape[1:]))

    def put(self, y: Array, shape: Shape) -> Array:
        """See :meth:`Rearrange.put`."""
        return y.reshape(y.shape[0], *shape)
