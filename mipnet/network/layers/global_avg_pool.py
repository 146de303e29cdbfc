"""Mean over all spatial axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mipnet.errors import NetworkError
from mipnet.network.layers.base import Array, Floats, Shape, register_layer
from mipnet.network.layers.linear import Linear


@register_layer("GlobalAvgPool")
@dataclass(frozen=True, eq=False)
class GlobalAvgPool(Linear):
    """Mean of every channel of items (channels, *spatial); the spatial axes stay, of size 1."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """See :meth:`Layer.output_shape`."""
        return channels_of("GlobalAvgPool", shapes[0])

    def times(self, x: Floats, *, absolute: bool = False) -> Floats:
        """See :meth:`Linear.times`."""
        del absolute
        return np.asarray(x.mean(axis=tuple(range(2, x.ndim)), keepdims=True))

    def adjoint(self, y: Array, shape: Shape) -> Array:
        """See :meth:`Linear.adjoint`."""
        return np.broadcast_to(y / np.prod(shape[1:]), (len(y), *shape))

    def matrix(self, shape: Shape) -> sp.csr_array:
        """See :meth:`Linear.matrix`."""
        size = int(np.prod(shape[1:]))
        return sp.csr_array(sp.kron(sp.eye_array(shape[0]), np.full((1, size), 1.0 / size)))

    def terms(self, shape: Shape) -> int:
        """See :meth:`Linear.terms`."""
        return int(np.prod(shape[1:]))


def channels_of(kind: str, shape: Shape) -> Shape:
    """Shape of an item whose spatial axes are reduced to one element each.

    Raises
    ------
    NetworkError
        When the item has no spatial axis.
    """
    if len(shape) < 2:
        msg = f"{kind}: takes items (channels, *spatial), not shape {shape}"
        raise NetworkError(msg)
    return (shape[0], *(1,) * (len(shape) - 1))
