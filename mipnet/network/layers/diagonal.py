"""Layers that scale and shift every element by itself."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import scipy.sparse as sp

from mipnet.network.layers.base import Array, Floats, Shape
from mipnet.network.layers.linear import Linear


class Diagonal(Linear):
    """Elementwise ``y = factor x + offset``."""

    @abstractmethod
    def factor(self, shape: Shape) -> Floats:
        """Factors, broadcastable to an item of that shape."""

    def times(self, x: Floats, *, absolute: bool = False) -> Floats:
        """See :meth:`Linear.times`."""
        factor = self.factor(x.shape[1:])
        return np.asarray(x * (np.abs(factor) if absolute else factor))

    def adjoint(self, y: Array, shape: Shape) -> Array:
        """See :meth:`Linear.adjoint`."""
        return np.asarray(y * self.factor(shape))

    def matrix(self, shape: Shape) -> sp.csr_array:
        """See :meth:`Linear.matrix`."""
        return sp.csr_array(sp.diags_array(np.broadcast_to(self.factor(shape), shape).reshape(-1)))

    def terms(self, shape: Shape) -> int:
        """See :meth:`Linear.terms`."""
        del shape
        return 1
