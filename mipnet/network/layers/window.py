"""Windows that slide over spatial axes: what convolutions and poolings have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from functools import reduce
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import NetworkError
from mipnet.network.layers.base import Shape

Values = npt.NDArray[Any]
#: Largest kernel, dilation or padding; what a file claims is not allocated unseen.
LARGEST = 10**6
#: One number for every spatial axis, or one for all of them.
Sizes = int | Sequence[int]


@dataclass(frozen=True)
class Window:
    """Geometry of a sliding window; arrays are (n, channels, *spatial).

    Attributes
    ----------
    kernel, stride, dilation : tuple of int
        One number for each spatial axis.
    before, after : tuple of int
        Padding at the two ends of each axis.
    ceil : bool
        Whether a last window may reach past the padding, as long as it starts before its end.
    """

    kernel: Shape
    stride: Shape
    dilation: Shape
    before: Shape
    after: Shape
    ceil: bool = False

    @classmethod
    def make(
        cls,
        kind: str,
        kernel: Sizes,
        stride: Sizes,
        padding: Sizes,
        dilation: Sizes,
        *,
        ceil: bool = False,
    ) -> Window:
        """Window from what frameworks give.

        Parameters
        ----------
        kind : str
            Name of the layer, for messages.
        kernel : sequence of int
        stride, dilation : int or sequence of int
        padding : int or sequence of int
            One number for all sides, one for each axis, or all beginnings and then all ends (the
            ``pads`` of ONNX).
        ceil : bool

        Raises
        ------
        NetworkError
            When the kernel is no sequence, a size is not positive, a padding is negative, or their
            numbers do not fit.
        """
        if not np.iterable(kernel):
            msg = f"{kind}: kernel must hold one number for every spatial axis, such as "
            msg += f"({kernel}, {kernel}) for images, not {kernel!r}"
            raise NetworkError(msg)
        kernel = tuple(int(k) for k in kernel)
        axes = len(kernel)
        strides, dilations = (_spread(kind, what, v, (axes,)) for what, v in
                              (("stride", stride), ("dilation", dilation)))  # fmt: skip
        pads = _spread(kind, "padding", padding, (axes, 2 * axes))
        before, after = pads[:axes], pads[-axes:]
        if max((*kernel, *dilations, *pads), default=0) > LARGEST:
            msg = f"{kind}: kernel {kernel}, dilation {dilations} or padding {pads} is above "
            msg += str(LARGEST)
            raise NetworkError(msg)
        if not kernel or min((*kernel, *strides, *dilations)) < 1 or min(pads) < 0:
            msg = f"{kind}: kernel {kernel}, stride {strides} and dilation {dilations} must be at "
            msg += f"least 1, padding {pads} at least 0"
            raise NetworkError(msg)
        return cls(kernel, strides, dilations, before, after, ceil)

    @property
    def attributes(self) -> tuple[object, ...]:
        """Everything that sets the window apart, as plain values."""
        return astuple(self)

    @property
    def volume(self) -> int:
        """Number of elements a window reads in each channel."""
        return int(np.prod(self.kernel))

    @property
    def extents(self) -> Shape:
        """Size of a window, its holes included."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def output(self, kind: str, shape: Shape) -> Shape:
        """Spatial shape of the result for an item of shape (channels, *spatial).

        Raises
        ------
        NetworkError
            When the item has another number of axes, or is smaller than the window.
        """
        if len(shape) != len(self.kernel) + 1:
            msg = f"{kind}: a kernel of shape {self.kernel} takes items of {len(self.kernel) + 1} "
            msg += f"axes (channels first), not shape {shape}"
            raise NetworkError(msg)
        sizes = []
        for size, extent, stride, before, after in zip(
            shape[1:], self.extents, self.stride, self.before, self.after, strict=True
        ):
            room = size + before + after - extent
            if room < 0:
                msg = f"{kind}: a window of {self.extents} does not fit into {shape[1:]} padded by "
                msg += f"{self.before} and {self.after}"
                raise NetworkError(msg)
            count = room // stride + 1
            if self.ceil and room % stride and count * stride < size + before:
                count += 1
            sizes.append(count)
        return tuple(sizes)

    def pad(self, x: Values, outputs: Shape, fill: float = 0.0) -> Values:
        """Items with their padding, as far as windows reach."""
        widths = [(0, 0), (0, 0)]
        for size, b, a, reach in zip(
            x.shape[2:], self.before, self.after, self._reach(outputs), strict=True
        ):
            widths.append((b, max(a, reach - size - b)))
        if not any(map(any, widths)):
            return x
        return np.pad(x, widths, constant_values=fill)

    def crop(self, padded: Values, spatial: Shape) -> Values:
        """Items without their padding."""
        inner = [slice(b, b + n) for b, n in zip(self.before, spatial, strict=True)]
        return padded[(slice(None), slice(None), *inner)]

    def blank(self, n: int, channels: int, spatial: Shape, outputs: Shape) -> Values:
        """Zeros of the shape of padded items."""
        sizes = (
            max(size + b + a, reach)
            for size, b, a, reach in zip(
                spatial, self.before, self.after, self._reach(outputs), strict=True
            )
        )
        return np.zeros((n, channels, *sizes))

    def parts(self, padded: Values, outputs: Shape) -> Iterator[Values]:
        """One view (n, channels, *outputs) for each element of the window, row-major."""
        for offsets in product(*(range(k) for k in self.kernel)):
            where = [
                slice(o * d, o * d + s * (n - 1) + 1, s)
                for o, d, s, n in zip(offsets, self.dilation, self.stride, outputs, strict=True)
            ]
            yield padded[(slice(None), slice(None), *where)]

    def patches(self, padded: Values, outputs: Shape) -> Values:
        """All windows, a view of shape (n, channels, *outputs, *kernel)."""
        axes = tuple(range(2, padded.ndim))
        every = np.lib.stride_tricks.sliding_window_view(padded, self.extents, axes)
        where = [slice(0, s * (n - 1) + 1, s) for s, n in zip(self.stride, outputs, strict=True)]
        inner = [slice(None, None, d) for d in self.dilation]
        return every[(slice(None), slice(None), *where, *inner)]

    def counts(self, spatial: Shape, outputs: Shape, *, padding: bool) -> npt.NDArray[np.float64]:
        """Count the elements each window reads, with those of the padding or without them.

        What lies past the padding never counts.
        """
        axes = []
        for size, n, k, s, d, b, a in zip(
            spatial, outputs, self.kernel, self.stride, self.dilation, self.before, self.after,
            strict=True,
        ):  # fmt: skip
            place = s * np.arange(n)[:, None] + d * np.arange(k)
            first, end = (0, size + b + a) if padding else (b, size + b)
            axes.append(((place >= first) & (place < end)).sum(axis=1).astype(np.float64))
        return np.asarray(reduce(np.multiply.outer, axes))

    def index(self, spatial: Shape, outputs: Shape) -> npt.NDArray[np.int64]:
        """Flat spatial index each element of each window reads; -1 in the padding.

        Returns
        -------
        array of int, shape (number of windows, volume)
        """
        count = int(np.prod(spatial))
        numbers = np.arange(1.0, count + 1.0).reshape(1, 1, *spatial)
        found = self.patches(self.pad(numbers, outputs), outputs)
        return found.reshape(-1, self.volume).astype(np.int64) - 1

    def _reach(self, outputs: Shape) -> Shape:
        """First padded position on each axis that no window reads."""
        return tuple(
            s * (n - 1) + e for s, n, e in zip(self.stride, outputs, self.extents, strict=True)
        )


def _spread(kind: str, what: str, given: Sizes, counts: tuple[int, ...]) -> Shape:
    """One number for each place, as many places as the first of ``counts`` when one is given."""
    if isinstance(given, (int, np.integer)):
        return (int(given),) * counts[0]
    values = tuple(int(v) for v in given)
    if len(values) == 1:
        return values * counts[0]
    if len(values) not in counts:
        wanted = " or ".join(str(c) for c in counts)
        msg = f"{kind}: {what} needs {wanted} numbers, got {values}"
        raise NetworkError(msg)
    return values
