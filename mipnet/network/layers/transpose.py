"""Another order of the axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import NetworkError
from mipnet.network.layers.base import Array, Shape, register_layer
from mipnet.network.layers.rearrange import Rearrange


@register_layer("Transpose")
@dataclass(frozen=True, eq=False)
class Transpose(Rearrange):
    """Permutation of the axes of every item; the batch axis stays where it is.

    Parameters
    ----------
    axes : sequence of int
        Axis of the input item that each axis of the output item is, counted from 0 without the
        batch axis (the ``perm`` of ONNX, its leading 0 dropped and the rest lowered by one).

    Raises
    ------
    NetworkError
        When they are no permutation, or of another number than the item has.
    """

    axes: Sequence[int]

    def __post_init__(self) -> None:
        axes = tuple(int(a) for a in self.axes)
        if sorted(axes) != list(range(len(axes))):
            msg = f"Transpose: {axes} is no permutation of the axes 0 to {len(axes) - 1}"
            raise NetworkError(msg)
        object.__setattr__(self, "axes", axes)

    @property
    def attributes(self) -> tuple[object, ...]:
        """The permutation."""
        return (tuple(self.axes),)

    def output_shape(self, *shapes: Shape) -> Shape:
        """See :meth:`Layer.output_shape`."""
        if len(shapes[0]) != len(self.axes):
            msg = f"Transpose: {len(self.axes)} axes {self.axes} do not fit shape {shapes[0]}"
            raise NetworkError(msg)
        return tuple(shapes[0][a] for a in self.axes)

    def pick(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """See :meth:`Rearrange.pick`."""
        return x.transpose(0, *(a + 1 for a in self.axes))

    def put(self, y: Array, shape: Shape) -> Array:
        """See :meth:`Rearrange.put`."""
        del shape
        return y.transpose(0, *(int(a) + 1 for a in np.argsort(self.axes)))
