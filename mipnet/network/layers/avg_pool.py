"""Average pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from mipnet.network.layers.base import Array, Floats, Shape, register_layer
from mipnet.network.layers.linear import Linear
from mipnet.network.layers.window import Sizes, Window


@register_layer("AvgPool")
@dataclass(frozen=True, eq=False)
class AvgPool(Linear):
    """Mean of every window of every channel of items (channels, *spatial).

    Parameters
    ----------
    kernel : sequence of int
        Size of the window on every spatial axis.
    stride : int or one for each spatial axis, optional
        The kernel when absent.
    padding : int, one for each spatial axis, or all beginnings and then all ends (ONNX ``pads``)
    dilation : int or one for each spatial axis
    ceil : bool
        ``ceil_mode`` of the frameworks.
    count_padding : bool
        Whether padding counts in the mean (``count_include_pad``); what lies past the padding,
        with ``ceil``, never does.

    Raises
    ------
    NetworkError
        When the sizes do not fit.
    """

    kernel: Sequence[int]
    stride: Sizes | None = None
    padding: Sizes = 0
    dilation: Sizes = 1
    ceil: bool = False
    count_padding: bool = True

    def __post_init__(self) -> None:
        # Fail when made, not at first use.
        _ = self.window

    @cached_property
    def window(self) -> Window:
        """Geometry of the window."""
        stride = self.kernel if self.stride is None else self.stride
        return Window.make(
            "AvgPool", self.kernel, stride, self.padding, self.dilation, ceil=self.ceil
        )

    @property
    def attributes(self) -> tuple[object, ...]:
        """Geometry, and what counts."""
        return *self.window.attributes, self.count_padding

    def output_shape(self, *shapes: Shape) -> Shape:
        """See :meth:`Layer.output_shape`."""
        return (shapes[0][0], *self.window.output("AvgPool", shapes[0]))

    def times(self, x: Floats, *, absolute: bool = False) -> Floats:
        """See :meth:`Linear.times`."""
        del absolute
        outputs = self.window.output("AvgPool", x.shape[1:])
        total = np.zeros((*x.shape[:2], *outputs), dtype=x.dtype)
        for part in self.window.parts(self.window.pad(x, outputs), outputs):
            total += part
        return total / self._counts(x.shape[1:]).astype(x.dtype)

    def adjoint(self, y: Array, shape: Shape) -> Array:
        """See :meth:`Linear.adjoint`."""
        outputs, spatial = y.shape[2:], shape[1:]
        share = y / self._counts(shape)
        padded = self.window.blank(len(y), shape[0], spatial, outputs)
        for target in self.window.parts(padded, outputs):
            np.add(target, share, out=target)
        return self.window.crop(padded, spatial)

    def matrix(self, shape: Shape) -> sp.csr_array:
        """See :meth:`Linear.matrix`."""
        outputs = self.window.output("AvgPool", shape)
        index = self.window.index(shape[1:], outputs)
        filled = index >= 0
        rows = np.nonzero(filled)[0]
        weights = 1.0 / self._counts(shape).reshape(-1)
        one = sp.csr_array(
            (weights[rows], (rows, index[filled])), shape=(len(index), int(np.prod(shape[1:])))
        )
        return sp.csr_array(sp.block_diag([one] * shape[0], format="csr"))

    def terms(self, shape: Shape) -> int:
        """See :meth:`Linear.terms`."""
        del shape
        return self.window.volume

    def _counts(self, shape: Shape) -> Array:
        """Return what every window divides its sum by, of the spatial shape of the output."""
        outputs = self.output_shape(shape)[1:]
        return self.window.counts(shape[1:], outputs, padding=self.count_padding)
