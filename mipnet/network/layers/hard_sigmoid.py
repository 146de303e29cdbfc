"""The piecewise-linear sigmoid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mipnet.errors import NetworkError
from mipnet.network.layers.base import register_layer
from mipnet.network.layers.ramp import Line, Ramp


@register_layer("HardSigmoid")
@dataclass(frozen=True, eq=False)
class HardSigmoid(Ramp):
    """Elementwise ``min(1, max(0, alpha x + beta))``.

    Parameters
    ----------
    alpha, beta : float
        1/6 and 1/2 as in torch when absent; ONNX's own default of ``alpha`` is 0.2.

    Raises
    ------
    NetworkError
        When ``alpha`` is not positive, or a number is not finite.
    """

    alpha: float = 1.0 / 6.0
    beta: float = 0.5

    def __post_init__(self) -> None:
        for name in ("alpha", "beta"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if not (np.isfinite(self.alpha) and np.isfinite(self.beta) and self.alpha > 0.0):
            msg = "HardSigmoid: alpha must be a positive number and beta finite, not "
            msg += f"{self.alpha} and {self.beta}"
            raise NetworkError(msg)

    @property
    def attributes(self) -> tuple[object, ...]:
        """``(alpha, beta)``."""
        return self.alpha, self.beta

    @property
    def line(self) -> Line:
        """See :attr:`Ramp.line`."""
        return Line(self.alpha, self.beta, 0.0, 1.0)
