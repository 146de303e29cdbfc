"""Convolution over any number of spatial axes (cross-correlation, as every framework has it)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from mipnet.errors import NetworkError
from mipnet.network.layers.base import Array, Floats, Shape, register_layer
from mipnet.network.layers.linear import Linear, finite, recast
from mipnet.network.layers.window import Sizes, Window

#: Largest number of elements of all windows of a batch laid out at once (32 MiB).
_CHUNK = 2**22


@register_layer("Conv")
@dataclass(frozen=True, eq=False)
class Conv(Linear):
    """Convolution of items (channels, *spatial); Conv1d, Conv2d and Conv3d by the kernel's axes.

    Parameters
    ----------
    weight : array, shape (n_out, n_in / groups, *kernel)
    bias : array, shape (n_out,)
    stride, dilation : int or one for each spatial axis
    padding : int, one for each spatial axis, or all beginnings and then all ends (ONNX ``pads``)
        Zeros put around the item.
    groups : int

    Raises
    ------
    NetworkError
        When shapes, groups or sizes do not fit, or a weight or bias is NaN or infinite.
    """

    weight: Array
    bias: Array
    stride: Sizes = 1
    padding: Sizes = 0
    dilation: Sizes = 1
    groups: int = 1

    def __post_init__(self) -> None:
        weight = finite("Conv", "weight", self.weight)
        if weight.ndim < 3:
            msg = "Conv: weight must have shape (n_out, n_in / groups, *kernel), got "
            msg += f"{weight.shape}"
            raise NetworkError(msg)
        bias = finite("Conv", "bias", self.bias)
        if bias.shape != weight.shape[:1]:
            msg = f"Conv: a weight of shape {weight.shape} needs a bias of shape "
            msg += f"{weight.shape[:1]}, not {bias.shape}"
            raise NetworkError(msg)
        if self.groups < 1 or len(weight) % self.groups:
            msg = f"Conv: {len(weight)} output channels do not divide into {self.groups} groups"
            raise NetworkError(msg)
        window = Window.make("Conv", weight.shape[2:], self.stride, self.padding, self.dilation)
        for name, value in (
            ("weight", weight),
            ("bias", bias),
            ("stride", window.stride),
            ("padding", (*window.before, *window.after)),
            ("dilation", window.dilation),
        ):
            object.__setattr__(self, name, value)

    @cached_property
    def window(self) -> Window:
        """Geometry of the kernel."""
        kernel = self.weight.shape[2:]
        return Window.make("Conv", kernel, self.stride, self.padding, self.dilation)

    @property
    def parameters(self) -> tuple[Array, ...]:
        """``(weight, bias)``."""
        return self.weight, self.bias

    @property
    def attributes(self) -> tuple[object, ...]:
        """Stride, padding, dilation, groups."""
        return self.stride, self.padding, self.dilation, self.groups

    def cast(self, dtype: npt.DTypeLike) -> Self:
        """See :meth:`Layer.cast`."""
        return recast(self, dtype, "weight", "bias")

    def output_shape(self, *shapes: Shape) -> Shape:
        """See :meth:`Layer.output_shape`."""
        (shape,) = shapes
        outputs = self.window.output("Conv", shape)
        wanted = self.weight.shape[1] * self.groups
        if shape[0] != wanted:
            msg = f"Conv: weight of shape {self.weight.shape} in {self.groups} group(s) takes "
            msg += f"{wanted} channels, not {shape[0]} (shape {shape})"
            raise NetworkError(msg)
        return (len(self.weight), *outputs)

    def times(self, x: Floats, *, absolute: bool = False) -> Floats:
        """See :meth:`Linear.times`: windows laid out as rows of one matrix product a group."""
        outputs = self.window.output("Conv", x.shape[1:])
        kernel = self._absolute_kernel if absolute else self._kernel
        result = np.empty((len(x), len(self.weight), *outputs), dtype=kernel.dtype)
        for part in self._batches(x, outputs):
            y = np.matmul(self._rows(x[part], outputs), kernel.transpose(0, 2, 1))
            y = y.reshape(self.groups, -1, *outputs, kernel.shape[1])
            y = np.moveaxis(np.moveaxis(y, -1, 1), 2, 0)
            result[part] = y.reshape(len(y), len(self.weight), *outputs)
        return result

    def adjoint(self, y: Array, shape: Shape) -> Array:
        """See :meth:`Linear.adjoint`: windows added back where they were taken from."""
        outputs, spatial = y.shape[2:], shape[1:]
        result = np.empty((len(y), *shape))
        for part in self._batches(y, outputs):
            items = y[part].reshape(-1, self.groups, len(self.weight) // self.groups, *outputs)
            rows = np.moveaxis(np.moveaxis(items, 1, 0), 2, -1)
            windows = np.matmul(rows.reshape(self.groups, -1, rows.shape[-1]), self._kernel)
            windows = windows.reshape(
                self.groups, -1, *outputs, self.weight.shape[1], self.window.volume
            )
            # (groups, n, *outputs, channels, volume) to (volume, n, groups, channels, *outputs)
            windows = np.moveaxis(np.moveaxis(windows, (-1, -2), (0, 3)), 1, 2)
            padded = self.window.blank(windows.shape[1], shape[0], spatial, outputs)
            for target, window in zip(self.window.parts(padded, outputs), windows, strict=True):
                np.add(target, window.reshape(target.shape), out=target)
            result[part] = self.window.crop(padded, spatial)
        return result

    def matrix(self, shape: Shape) -> sp.csr_array:
        """See :meth:`Linear.matrix`; kept for the next time."""
        known: dict[Shape, sp.csr_array] = self.__dict__.setdefault("_matrices", {})
        if shape not in known:
            known[shape] = self._matrix(shape)
        return known[shape]

    def terms(self, shape: Shape) -> int:
        """See :meth:`Linear.terms`."""
        del shape
        return int(np.prod(self.weight.shape[1:]))

    def offset(self, shape: Shape) -> Array:
        """See :meth:`Linear.offset`."""
        return self.bias.reshape(-1, *(1,) * (len(shape) - 1))

    @cached_property
    def _kernel(self) -> Array:
        """Weights as matrices, shape (groups, n_out / groups, n_in / groups * volume)."""
        return self.weight.reshape(self.groups, len(self.weight) // self.groups, -1)

    @cached_property
    def _absolute_kernel(self) -> Array:
        return np.abs(self._kernel)

    def _batches(self, x: Floats, outputs: Shape) -> list[slice]:
        """Parts of a batch whose windows fit into memory."""
        one = self.weight.shape[1] * self.groups * self.window.volume * int(np.prod(outputs))
        step = max(1, _CHUNK // max(1, one))
        return [slice(first, first + step) for first in range(0, len(x), step)]

    def _rows(self, x: Floats, outputs: Shape) -> Floats:
        """Windows as rows, shape (groups, n * number of windows, n_in / groups * volume)."""
        patches = self.window.patches(self.window.pad(x, outputs), outputs)
        axes = len(outputs)
        split = patches.reshape(len(x), self.groups, -1, *patches.shape[2:])
        # (n, groups, channels, *outputs, *kernel) to (groups, n, *outputs, channels, *kernel)
        order = (1, 0, *range(3, 3 + axes), 2, *range(3 + axes, 3 + 2 * axes))
        return split.transpose(order).reshape(self.groups, -1, self._kernel.shape[2])

    def _matrix(self, shape: Shape) -> sp.csr_array:
        outputs = self.window.output("Conv", shape)
        index = self.window.index(shape[1:], outputs)
        windows, volume = index.shape
        per_group = self.weight.shape[1]
        n_out, size = len(self.weight), int(np.prod(shape[1:]))
        group = np.arange(n_out) // (n_out // self.groups)
        channel = group[:, None] * per_group + np.arange(per_group)
        # Entries (output channel, window, input channel, element of the window).
        columns = channel[:, None, :, None] * size + index[None, :, None, :]
        kernel = self.weight.reshape(n_out, 1, per_group, volume)
        values = np.where(index[None, :, None, :] >= 0, kernel, 0.0)
        filled = values != 0.0
        counts = filled.reshape(n_out * windows, -1).sum(axis=1)
        starts = np.concatenate([[0], np.cumsum(counts)])
        found = sp.csr_array(
            (values[filled], columns[filled], starts), shape=(n_out * windows, shape[0] * size)
        )
        found.sort_indices()
        return found
