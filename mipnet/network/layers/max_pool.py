"""Maximum pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from mipnet.network.layers.base import Shape, register_layer
from mipnet.network.layers.maximum import Maximum
from mipnet.network.layers.window import Sizes, Window


@register_layer("MaxPool")
@dataclass(frozen=True, eq=False)
class MaxPool(Maximum):
    """Largest element of every window of every channel of items (channels, *spatial).

    Parameters
    ----------
    kernel : sequence of int
        Size of the window on every spatial axis.
    stride : int or one for each spatial axis, optional
        The kernel when absent.
    padding : int, one for each spatial axis, or all beginnings and then all ends (ONNX ``pads``)
        Padding is never the largest element.
    dilation : int or one for each spatial axis
    ceil : bool
        ``ceil_mode`` of the frameworks.

    Raises
    ------
    NetworkError
        When the sizes do not fit, or a window would hold nothing but padding.
    """

    kernel: Sequence[int]
    stride: Sizes | None = None
    padding: Sizes = 0
    dilation: Sizes = 1
    ceil: bool = False

    def __post_init__(self) -> None:
        # Fail when made, not at first use.
        _ = self.window

    @cached_property
    def window(self) -> Window:
        """Geometry of the window."""
        stride = self.kernel if self.stride is None else self.stride
        return Window.make(
            "MaxPool", self.kernel, stride, self.padding, self.dilation, ceil=self.ceil
        )

    @property
    def attributes(self) -> tuple[object, ...]:
        """Geometry."""
        return self.window.attributes

    def window_of(self, shape: Shape) -> Window:
        """See :meth:`Maximum.window_of`."""
        del shape
        return self.window
