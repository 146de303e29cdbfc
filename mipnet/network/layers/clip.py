"""Values cut off below and above: Clip, Hardtanh, ReLU6."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mipnet.errors import NetworkError
from mipnet.network.layers.base import register_layer
from mipnet.network.layers.ramp import Line, Ramp


@register_layer("Clip")
@dataclass(frozen=True, eq=False)
class Clip(Ramp):
    """Elementwise ``min(high, max(low, x))``.

    Parameters
    ----------
    low, high : float
        ``min`` and ``max`` of ONNX and torch; one of them may be infinite. ReLU6 is ``Clip(0, 6)``,
        Hardtanh ``Clip(-1, 1)``.

    Raises
    ------
    NetworkError
        When ``low`` is not below ``high``, or both are infinite.
    """

    low: float = -np.inf
    high: float = np.inf

    def __post_init__(self) -> None:
        low, high = float(self.low), float(self.high)
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)
        if not low < high or not (np.isfinite(low) or np.isfinite(high)):
            msg = f"Clip: needs low < high, at least one of them finite, not [{low}, {high}]"
            raise NetworkError(msg)
        if low == np.inf or high == -np.inf:
            msg = f"Clip: nothing lies within [{low}, {high}]"
            raise NetworkError(msg)

    @property
    def attributes(self) -> tuple[object, ...]:
        """``(low, high)``."""
        return self.low, self.high

    @property
    def line(self) -> Line:
        """See :attr:`Ramp.line`."""
        return Line(1.0, 0.0, self.low, self.high)
