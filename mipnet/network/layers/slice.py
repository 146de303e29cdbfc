"""A part of an array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import NetworkError
from mipnet.network.layers.base import Array, Shape, register_layer
from mipnet.network.layers.rearrange import Rearrange


@register_layer("Slice")
@dataclass(frozen=True, eq=False)
class Slice(Rearrange):
    """Ranges of some axes of every item, as ONNX and NumPy have them.

    Parameters
    ----------
    starts, ends : sequence of int
        First element, and end, of each range; negative ones count from the end, and those past
        an end are clipped to it.
    axes : sequence of int, optional
        Axes of the item, without the batch axis; the first ones when absent.
    steps : sequence of int, optional
        Ones when absent; may be negative, not 0.

    Raises
    ------
    NetworkError
        When the numbers do not fit each other or the item, or nothing is left.
    """

    starts: Sequence[int]
    ends: Sequence[int]
    axes: Sequence[int] | None = None
    steps: Sequence[int] | None = None

    def __post_init__(self) -> None:
        count = len(self.starts)
        axes = range(count) if self.axes is None else self.axes
        steps = (1,) * count if self.steps is None else self.steps
        given = {"starts": self.starts, "ends": self.ends, "axes": axes, "steps": steps}
        for name, values in given.items():
            object.__setattr__(self, name, tuple(int(v) for v in values))
            if len(values) != count:
                msg = f"Slice: {count} starts, but {len(values)} {name}"
                raise NetworkError(msg)
        if 0 in steps:
            msg = "Slice: a step must not be 0"
            raise NetworkError(msg)

    @property
    def attributes(self) -> tuple[object, ...]:
        """``(starts, ends, axes, steps)``."""
        return tuple(zip(*self._ranges(), strict=True))

    def output_shape(self, *shapes: Shape) -> Shape:
        """See :meth:`Layer.output_shape`."""
        axes = [a % len(shapes[0]) for _, _, a, _ in self._ranges() if -len(shapes[0]) <= a]
        wrong = any(a >= len(shapes[0]) for _, _, a, _ in self._ranges())
        if wrong or len(axes) != len(self.starts) or len(set(axes)) != len(axes):
            msg = f"Slice: axes {self.axes} do not fit items of shape {shapes[0]}"
            raise NetworkError(msg)
        shape = tuple(
            len(range(n)[part]) for n, part in zip(shapes[0], self._parts(shapes[0]), strict=True)
        )
        if 0 in shape:
            msg = f"Slice: nothing is left of an item of shape {shapes[0]}: {shape}"
            raise NetworkError(msg)
        return shape

    def pick(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """See :meth:`Rearrange.pick`."""
        return x[(slice(None), *self._parts(x.shape[1:]))]

    def put(self, y: Array, shape: Shape) -> Array:
        """See :meth:`Rearrange.put`."""
        whole = np.zeros((len(y), *shape))
        whole[(slice(None), *self._parts(shape))] = y
        return whole

    def _ranges(self) -> list[tuple[int, int, int, int]]:
        axes, steps = self.axes or (), self.steps or ()
        return list(zip(self.starts, self.ends, axes, steps, strict=True))

    def _parts(self, shape: Shape) -> list[slice]:
        parts = [slice(None)] * len(shape)
        for start, end, axis, step in self._ranges():
            # Going down, an end before the first element has no negative number in NumPy.
            past = step < 0 and end < -shape[axis]
            parts[axis] = slice(start, None if past else end, step)
        return parts
