"""Batch normalisation with running statistics, as it is at inference."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from mipnet.errors import NetworkError
from mipnet.network.layers.base import Array, Floats, Shape, register_layer
from mipnet.network.layers.diagonal import Diagonal
from mipnet.network.layers.linear import finite, recast


@register_layer("BatchNorm")
@dataclass(frozen=True, eq=False)
class BatchNorm(Diagonal):
    r"""Normalisation of every channel of items (channels, *spatial), or of every feature.

    .. math:: y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    It is held as the map :math:`y = a x + c` with
    :math:`a = \gamma / \sqrt{\sigma^2 + \epsilon}` and :math:`c = \beta - \mu a` rounded to
    float64 once. :func:`mipnet.network.rewrite.fold` takes it into a neighbouring layer.

    Parameters
    ----------
    weight, bias : array, shape (channels,)
        :math:`\gamma` and :math:`\beta`.
    mean, variance : array, shape (channels,)
        Running statistics :math:`\mu` and :math:`\sigma^2`.
    epsilon : float

    Raises
    ------
    NetworkError
        When shapes differ, a value is NaN or infinite, or a variance plus epsilon is not positive.
    """

    weight: Array
    bias: Array
    mean: Array
    variance: Array
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("weight", "bias", "mean", "variance"):
            object.__setattr__(self, name, finite("BatchNorm", name, getattr(self, name)))
        shapes = [p.shape for p in self.parameters]
        if len(shapes[0]) != 1 or len(set(shapes)) != 1:
            msg = "BatchNorm: weight, bias, mean and variance must be vectors of one length, not "
            msg += f"of shapes {shapes}"
            raise NetworkError(msg)
        object.__setattr__(self, "epsilon", float(self.epsilon))
        bad = np.flatnonzero(~(self.variance + self.epsilon > 0.0))
        if bad.size:
            msg = f"BatchNorm: variance {self.variance[bad[0]]} plus epsilon {self.epsilon} is not "
            msg += f"positive, first at channel {bad[0]}"
            raise NetworkError(msg)

    @property
    def parameters(self) -> tuple[Array, ...]:
        """``(weight, bias, mean, variance)``."""
        return self.weight, self.bias, self.mean, self.variance

    @property
    def attributes(self) -> tuple[object, ...]:
        """Epsilon."""
        return (self.epsilon,)

    def cast(self, dtype: npt.DTypeLike) -> Self:
        """See :meth:`Layer.cast`."""
        return recast(self, dtype, "weight", "bias", "mean", "variance")

    def output_shape(self, *shapes: Shape) -> Shape:
        """See :meth:`Layer.output_shape`."""
        if not shapes[0] or shapes[0][0] != self.weight.size:
            msg = f"BatchNorm: {self.weight.size} channels do not fit items of shape {shapes[0]}"
            raise NetworkError(msg)
        return shapes[0]

    @cached_property
    def slope(self) -> Array:
        """``a`` of every channel."""
        root = np.sqrt(self.variance + np.asarray(self.epsilon, self.variance.dtype))
        return np.asarray(self.weight / root)

    @cached_property
    def intercept(self) -> Array:
        """``c`` of every channel."""
        return np.asarray(self.bias - self.mean * self.slope)

    def factor(self, shape: Shape) -> Floats:
        """See :meth:`Diagonal.factor`."""
        return self.slope.reshape(-1, *(1,) * (len(shape) - 1))

    def offset(self, shape: Shape) -> Floats:
        """See :meth:`Linear.offset`."""
        return self.intercept.reshape(-1, *(1,) * (len(shape) - 1))
