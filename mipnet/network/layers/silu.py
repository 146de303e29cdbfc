"""The sigmoid linear unit, also called swish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.network.layers.base import Array, register_layer
from mipnet.network.layers.sigmoid import logistic
from mipnet.network.layers.smooth import ERROR, Smooth

#: Where the curvature changes its sign.
_BEND = 2.3993572805154676


@register_layer("SiLU")
@dataclass(frozen=True, eq=False)
class SiLU(Smooth):
    """Elementwise ``x / (1 + exp(-x))``; see :class:`Smooth` for its encoding.

    Parameters
    ----------
    error : float
        Largest error of the pieces of the encoding, at least 1e-6.
    """

    error: float = ERROR

    parts = ((-_BEND, -1), (_BEND, 1), (np.inf, -1))
    reach = (-0.2785, np.inf)
    lowest = (-1.2784645427610738, -0.278464542761074)

    def value(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """See :meth:`Curve.value`."""
        return np.asarray(x * logistic(x))

    def symbolic(self, x: Any, functions: Any) -> Any:
        """See :meth:`Smooth.symbolic`."""
        return 0.5 * x * (1.0 + functions.tanh(0.5 * x))

    def derivative(self, x: Array) -> Array:
        """See :meth:`Curve.derivative`."""
        share = logistic(x)
        return np.asarray(share + x * share * logistic(-x))
