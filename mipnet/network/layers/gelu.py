"""The Gaussian error linear unit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mipnet.errors import NetworkError
from mipnet.network.layers.base import Array, register_layer
from mipnet.network.layers.sigmoid import logistic
from mipnet.network.layers.smooth import ERROR, Smooth

#: ``sqrt(8 / pi)`` and the cubic term of the approximation by tanh.
_STEEP, _CUBIC = math.sqrt(8.0 / math.pi), 0.044715


@register_layer("GELU")
@dataclass(frozen=True, eq=False)
class GELU(Smooth):
    r"""Elementwise :math:`x \Phi(x)` with the normal distribution function.

    See :class:`Smooth` for its encoding.

    Parameters
    ----------
    error : float
        Largest error of the pieces of the encoding, at least 1e-6.
    approximate : {"none", "tanh"}
        ``"tanh"``: :math:`\frac{x}{2} (1 + \tanh(\sqrt{2/\pi} (x + 0.044715 x^3)))`.

    Raises
    ------
    NetworkError
        When the approximation is unknown.
    """

    error: float = ERROR
    approximate: Literal["none", "tanh"] = "none"

    reach = (-0.1701, np.inf)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.approximate not in ("none", "tanh"):
            msg = f"GELU: approximate must be 'none' or 'tanh', not {self.approximate!r}"
            raise NetworkError(msg)

    @property
    def parts(self) -> tuple[tuple[float, int], ...]:  # type: ignore[override]
        """See :attr:`Curve.parts`: inflections at the square root of 2, or near it."""
        bend = math.sqrt(2.0) if self.approximate == "none" else 1.418504008790828
        return (-bend, -1), (bend, 1), (math.inf, -1)

    @property
    def lowest(self) -> tuple[float, float]:  # type: ignore[override]
        """See :attr:`Curve.lowest`."""
        if self.approximate == "none":
            return -0.7517915246935645, -0.169971207479904
        return -0.7524614220710163, -0.170040750571255

    @property
    def attributes(self) -> tuple[object, ...]:
        """``(error, approximate)``."""
        return self.error, self.approximate

    def value(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """See :meth:`Curve.value`."""
        return np.asarray(x * self._share(x), dtype=x.dtype)

    @property
    def expressible(self) -> bool:
        """See :attr:`Smooth.expressible`: the error function is not elementary."""
        return self.approximate == "tanh"

    def symbolic(self, x: Any, functions: Any) -> Any:
        """See :meth:`Smooth.symbolic`."""
        inner = x + _CUBIC * x**3
        return 0.5 * x * (1.0 + functions.tanh(0.5 * _STEEP * inner))

    def derivative(self, x: Array) -> Array:
        """See :meth:`Curve.derivative`."""
        if self.approximate == "none":
            bell = np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
            return np.asarray(self._share(x) + x * bell)
        inner = _STEEP * (1.0 + 3.0 * _CUBIC * x * x)
        share = self._share(x)
        return np.asarray(share + x * share * self._share(-x) * inner)

    def _share(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Factor of ``x``."""
        if self.approximate == "none":
            from scipy.special import ndtr

            return np.asarray(ndtr(x))
        return logistic(_STEEP * (x + _CUBIC * x * x * x))
