"""The piecewise-quadratic swish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.network.layers.base import Array, register_layer
from mipnet.network.layers.smooth import ERROR, Smooth


@register_layer("HardSwish")
@dataclass(frozen=True, eq=False)
class HardSwish(Smooth):
    """Elementwise ``x min(6, max(0, x + 3)) / 6``; see :class:`Smooth` for its encoding.

    Parameters
    ----------
    error : float
        Largest error of the pieces of the encoding, at least 1e-6.
    """

    error: float = ERROR

    # Zero, a parabola, and the identity; the kinks between them are concave.
    parts = ((-3.0, 0), (3.0, 1), (np.inf, 0))
    curvature = 1.0 / 3.0
    reach = (-0.375, np.inf)
    lowest = (-1.5, -0.375)

    def value(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """See :meth:`Curve.value`."""
        return np.asarray(x * np.clip((x + 3.0) / 6.0, 0.0, 1.0), dtype=x.dtype)

    def symbolic(self, x: Any, functions: Any) -> Any:
        """See :meth:`Smooth.symbolic`."""
        t = x / 6.0 + 0.5
        return 0.5 * x * (abs(t) - abs(t - 1.0) + 1.0)

    def derivative(self, x: Array) -> Array:
        """See :meth:`Curve.derivative`; at the kinks that of the parabola."""
        return np.where(x < -3.0, 0.0, np.where(x > 3.0, 1.0, x / 3.0 + 0.5))
