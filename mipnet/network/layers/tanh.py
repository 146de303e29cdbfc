"""The hyperbolic tangent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.network.layers.base import Array, register_layer
from mipnet.network.layers.smooth import ERROR, Smooth


@register_layer("Tanh")
@dataclass(frozen=True, eq=False)
class Tanh(Smooth):
    """Elementwise ``tanh x``; see :class:`Smooth` for its encoding.

    Parameters
    ----------
    error : float
        Largest error of the pieces of the encoding, at least 1e-6.
    """

    error: float = ERROR

    parts = ((0.0, 1), (np.inf, -1))
    reach = (-1.0, 1.0)

    def value(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """See :meth:`Curve.value`."""
        return np.asarray(np.tanh(x))

    def symbolic(self, x: Any, functions: Any) -> Any:
        """See :meth:`Smooth.symbolic`."""
        return functions.tanh(x)

    def derivative(self, x: Array) -> Array:
        """See :meth:`Curve.derivative`."""
        decay = np.exp(-2.0 * np.abs(x))
        return np.asarray(4.0 * decay / (1.0 + decay) ** 2)
