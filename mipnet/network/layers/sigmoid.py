"""The logistic sigmoid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.network.layers.base import Array, register_layer
from mipnet.network.layers.smooth import ERROR, Smooth


@register_layer("Sigmoid")
@dataclass(frozen=True, eq=False)
class Sigmoid(Smooth):
    """Elementwise ``1 / (1 + exp(-x))``; see :class:`Smooth` for its encoding.

    Parameters
    ----------
    error : float
        Largest error of the pieces of the encoding, at least 1e-6.
    """

    error: float = ERROR

    parts = ((0.0, 1), (np.inf, -1))
    reach = (0.0, 1.0)

    def value(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """See :meth:`Curve.value`."""
        return logistic(x)

    def symbolic(self, x: Any, functions: Any) -> Any:
        """See :meth:`Smooth.symbolic`; without overflow."""
        return 0.5 * (1.0 + functions.tanh(0.5 * x))

    def derivative(self, x: Array) -> Array:
        """See :meth:`Curve.derivative`."""
        return np.asarray(logistic(x) * logistic(-x))


def logistic(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``1 / (1 + exp(-x))`` without overflow, accurate where it is small."""
    decay = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0.0, 1.0, decay) / (1.0 + decay), dtype=x.dtype)
