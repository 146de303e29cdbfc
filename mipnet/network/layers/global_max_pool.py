"""Maximum over all spatial axes."""

from __future__ import annotations

from dataclasses import dataclass

from mipnet.network.layers.base import Shape, register_layer
from mipnet.network.layers.global_avg_pool import channels_of
from mipnet.network.layers.maximum import Maximum
from mipnet.network.layers.window import Window


@register_layer("GlobalMaxPool")
@dataclass(frozen=True, eq=False)
class GlobalMaxPool(Maximum):
    """Largest element of every channel of items (channels, *spatial), spatial axes of size 1."""

    def window_of(self, shape: Shape) -> Window:
        """See :meth:`Maximum.window_of`: the whole item."""
        channels_of("GlobalMaxPool", shape)
        return Window.make("GlobalMaxPool", shape[1:], 1, 0, 1)
