"""The softplus function."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import NetworkError
from mipnet.network.layers.base import Array, register_layer
from mipnet.network.layers.sigmoid import logistic
from mipnet.network.layers.smooth import ERROR, Smooth


@register_layer("Softplus")
@dataclass(frozen=True, eq=False)
class Softplus(Smooth):
    """Elementwise ``log(1 + exp(beta x)) / beta``; see :class:`Smooth` for its encoding.

    torch goes on with ``x`` where ``beta x`` exceeds its threshold; at the usual 20 that is less
    than 3e-9 away.

    Parameters
    ----------
    error : float
        Largest error of the pieces of the encoding, at least 1e-6.
    beta : float
        Positive.

    Raises
    ------
    NetworkError
        When ``beta`` is not a positive number.
    """

    error: float = ERROR
    beta: float = 1.0

    parts = ((np.inf, 1),)
    reach = (0.0, np.inf)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "beta", float(self.beta))
        if not (math.isfinite(self.beta) and self.beta > 0.0):
            msg = f"Softplus: beta must be a positive number, not {self.beta}"
            raise NetworkError(msg)

    @property
    def attributes(self) -> tuple[object, ...]:
        """``(error, beta)``."""
        return self.error, self.beta

    @property
    def scale(self) -> float:  # type: ignore[override]
        """See :attr:`Curve.scale`."""
        return 1.0 / self.beta

    @property
    def curvature(self) -> float:  # type: ignore[override]
        """See :attr:`Curve.curvature`."""
        return 0.25 * self.beta

    def value(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """See :meth:`Curve.value`."""
        t = self.beta * x
        return np.asarray((np.maximum(t, 0.0) + np.log1p(np.exp(-np.abs(t)))) / self.beta)

    def symbolic(self, x: Any, functions: Any) -> Any:
        """See :meth:`Smooth.symbolic`."""
        return functions.log(1.0 + functions.exp(self.beta * x)) / self.beta

    def derivative(self, x: Array) -> Array:
        """See :meth:`Curve.derivative`."""
        return logistic(self.beta * x)
