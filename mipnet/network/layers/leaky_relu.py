"""The leaky rectified linear unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mipnet.errors import NetworkError
from mipnet.network.layers.base import Floats, Shape, register_layer
from mipnet.network.layers.hinge import Hinge


@register_layer("LeakyReLU")
@dataclass(frozen=True, eq=False)
class LeakyReLU(Hinge):
    """Elementwise ``x`` above zero, ``slope x`` below it.

    Parameters
    ----------
    slope : float
        ``negative_slope`` of torch, ``alpha`` of ONNX; any finite number.

    Raises
    ------
    NetworkError
        When the slope is not finite.
    """

    slope: float = 0.01

    def __post_init__(self) -> None:
        object.__setattr__(self, "slope", float(self.slope))
        if not np.isfinite(self.slope):
            msg = f"LeakyReLU: the slope must be finite, not {self.slope}"
            raise NetworkError(msg)

    @property
    def attributes(self) -> tuple[object, ...]:
        """The slope."""
        return (self.slope,)

    def sides(self, shape: Shape) -> tuple[Floats, Floats]:
        """See :meth:`Hinge.sides`."""
        del shape
        return np.asarray(self.slope), np.ones(())
