"""Intermediate results of a model while it is read: affine views of nodes already written.

Each element of a result is ``scale * base[index] + shift``. Elementwise constants, reshapes,
transposes, selections and broadcasts only change the view; what reads the result absorbs it, or has
it written as layers (:mod:`mipnet.network.readers.graph`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mipnet.errors import NetworkError, ReadError
from mipnet.network.layers.base import Shape
from mipnet.network.numbers import Array

#: Most elements an intermediate result may have: what a file claims is not allocated unseen.
MAX_ELEMENTS = 10**8
#: What to do about sizes that do not fit.
RESIZE = "make its sizes those of the layer before it, or the other way round"

Operation = Literal["add", "sub", "rsub", "mul", "div"]


class RefusalError(Exception):
    """One step of a model cannot be read; the reader lists the reason with its other refusals."""


class PartError(RefusalError):
    """A step that is read as part of an activation only stands without the rest, and is named."""


class MisfitError(NetworkError):
    """A layer does not fit what it reads; its own sizes still tell what it would give.

    Attributes
    ----------
    result : Value
        Unknown values of the declared sizes, with which the layers behind it are checked.
    """

    def __init__(self, message: str, result: Value) -> None:
        super().__init__(message)
        self.result = result


@contextmanager
def located(source: str) -> Iterator[None]:
    """Put the source in front of the messages of errors raised inside."""
    try:
        yield
    except (NetworkError, ReadError) as error:
        kind = NetworkError if isinstance(error, NetworkError) else ReadError
        raise kind(f"{source}: {error}") from error


@contextmanager
def named(name: str) -> Iterator[None]:
    """Put the name of a layer in front of the messages of errors raised inside."""
    try:
        yield
    except NetworkError as error:
        msg = f"layer {name!r}: {error}"
        raise NetworkError(msg) from error


@dataclass(frozen=True, eq=False)
class Product:
    """``weight @ node + bias``, a matrix product whose layer is not written yet.

    Attributes
    ----------
    name, before : str
        Name of the layer to be, and of the node it reads.
    weight : array, shape (n_out, n_in)
    bias : array, shape (n_out,)
    """

    name: str
    before: str
    weight: Array
    bias: Array


@dataclass(frozen=True, eq=False)
class Pending:
    """Part of an activation that is no layer by itself, such as the error function of a GELU.

    Attributes
    ----------
    kind : {"erf", "power", "cubic", "tanh", "pad"}
        ``tanh`` is the hyperbolic tangent of a ``cubic``, ``x + factor x^3``; ``pad`` is padding
        with minus infinity, which a maximum takes in.
    name : str
        Name of the step, for messages.
    source : Value
        What it is a function of.
    factor : float
        Coefficient of the cube, or exponent of a power.
    rate : float
        What the cubic is multiplied with inside the tangent.
    widths : tuple of int
        Padding before and behind every axis.
    """

    kind: Literal["erf", "power", "cubic", "tanh", "pad"]
    name: str
    source: Value
    factor: float = 0.0
    rate: float = 1.0
    widths: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, eq=False)
class Move:
    """One step of a view that a layer can do.

    Attributes
    ----------
    kind : {"transpose", "slice", "repeat", "scale"}
    shape : tuple of int
        Shape before the step, batch axis included.
    data : tuple
        Axes; starts, ends, axes and steps; axis and count; scale and shift.
    """

    kind: Literal["transpose", "slice", "repeat", "scale"]
    shape: Shape
    data: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Value:
    """One intermediate result: ``scale * base.flat[index] + shift``, batch axis of one included.

    Attributes
    ----------
    base : str, Product, Pending or None
        What it is a view of; None when an unsupported step lies before it, so that the steps
        behind that one can still be checked.
    size : int
        Number of elements of the base.
    index : int array
    scale, shift : array, shape of ``index``
    moves : tuple of Move, or None
        Layers that make the view, reshapes aside; None when there are none for it.
    batched : bool
        Whether the first axis is the batch axis.
    arithmetic, reshaping : str
        Name of the last step of each kind, for the layer that must be written for it.
    channels, width : int or None
        What is known of the shape of a lost result: sizes of its second and of its last axis.
    open : bool
        Whether a lost result is a view of an input of unknown shape.
    """

    base: str | Product | Pending | None
    size: int
    index: npt.NDArray[np.int64]
    scale: Array
    shift: Array
    moves: tuple[Move, ...] | None = ()
    batched: bool = True
    arithmetic: str = "scale"
    reshaping: str = "flatten"
    channels: int | None = None
    width: int | None = None
    open: bool = False

    @property
    def shape(self) -> Shape:
        """Shape of the result."""
        return self.index.shape

    @property
    def lost(self) -> bool:
        """Whether an unsupported step lies before this result."""
        return self.base is None

    @property
    def unknown(self) -> Value:
        """The lost result of a step that changes the shape of this lost one."""
        return OPEN if self.open else LOST

    @property
    def plain(self) -> bool:
        """Whether the view only moves elements."""
        return bool(np.all(self.scale == 1.0) and np.all(self.shift == 0.0))

    @property
    def whole(self) -> bool:
        """Whether every element of the base occurs once."""
        return self.index.size == self.size and bool(
            np.bincount(self.index.ravel(), minlength=self.size).all()
        )

    def view(
        self,
        name: str,
        change: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
        move: tuple[Literal["transpose", "slice", "repeat"], tuple[Any, ...]] | None = None,
        *,
        batched: bool | None = None,
    ) -> Value:
        """Rearranged result.

        Parameters
        ----------
        name : str
            Name of the step.
        change : callable
            Rearranges, repeats or selects elements of an array of this shape.
        move : tuple, optional
            Kind and data of the step as a :class:`Move`; a reshape needs none.
        batched : bool, optional
            Whether the first axis still is the batch axis; kept as long as it has one element
            when absent.
        """
        if self.lost:
            return self.unknown
        try:
            local = change(np.arange(self.index.size).reshape(self.shape))
        except (ValueError, IndexError, TypeError, OverflowError) as error:
            msg = f"layer {name!r}: does not fit the shape {self.shape} before it: {error}"
            raise NetworkError(msg) from error
        if not local.size:
            msg = f"layer {name!r}: nothing is left of shape {self.shape}: {local.shape}"
            raise NetworkError(msg)
        if local.size == self.index.size and np.array_equal(
            local.ravel(), np.arange(self.index.size)
        ):
            moves = self.moves
        elif move is None or self.moves is None:
            moves = None
        else:
            moves = (*self.moves, Move(move[0], self.shape, move[1]))
        index, scale, shift = (a.ravel()[local] for a in (self.index, self.scale, self.shift))
        if batched is None:
            batched = self.batched and local.shape[:1] == (1,)
        value = replace(
            self, index=index, scale=scale, shift=shift, moves=moves, batched=batched,
            reshaping=name,
        )  # fmt: skip
        if value.plain and value.straight:
            return replace(value, moves=())
        return value

    @property
    def straight(self) -> bool:
        """Whether the elements are those of the base in their order."""
        return self.index.size == self.size and np.array_equal(
            self.index.ravel(), np.arange(self.size)
        )

    def apply(self, name: str, operation: Operation, constant: Array) -> Value:
        """Elementwise arithmetic with a constant, broadcast as NumPy does; ``rsub``: ``c - x``."""
        if operation == "div" and not np.all(constant):
            msg = f"layer {name!r}: divides by zero; correct the constant"
            raise NetworkError(msg)
        if self.lost:
            return self._beside(name, constant)
        value = self.broadcast(name, constant.shape)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            one, zero = np.ones(()), np.zeros(())
            factor, added = {
                "add": (one, constant),
                "sub": (one, -constant),
                "rsub": (-one, constant),
                "mul": (constant, zero),
                "div": (1.0 / constant, zero),
            }[operation]
            if operation == "div":
                scale, shift = value.scale / constant, value.shift / constant
            else:
                scale, shift = value.scale * factor, value.shift * factor + added
            moves = value.moves
            if moves is not None:
                if moves and moves[-1].kind == "scale" and moves[-1].shape == value.shape:
                    before = moves[-1].data
                    factor, added = before[0] * factor, before[1] * factor + added
                    moves = moves[:-1]
                data = (np.asarray(factor), np.asarray(added))
                if np.any(data[0] != 1.0) or np.any(data[1]):
                    moves = (*moves, Move("scale", value.shape, data))
        return replace(value, scale=scale, shift=shift, moves=moves, arithmetic=name)

    def _beside(self, name: str, constant: Array) -> Value:
        """Lost result behind arithmetic with a constant, as far as its width tells."""
        if constant.size == 1:
            return self
        if constant.ndim != 1 or self.width is None:
            return self.unknown
        if self.width not in (1, constant.size):
            msg = f"layer {name!r}: a constant of shape {constant.shape} does not fit vectors of "
            msg += f"{self.width} before it; {RESIZE}"
            raise MisfitError(msg, self)
        return replace(self, width=constant.size)

    def broadcast(self, name: str, shape: Shape) -> Value:
        """Repeat the result along its axes of size 1 until it has the shape it broadcasts to."""
        try:
            target = np.broadcast_shapes(self.shape, shape)
        except ValueError as error:
            msg = f"layer {name!r}: a constant of shape {shape} does not fit {self.shape}; {RESIZE}"
            raise MisfitError(msg, self) from error
        if self.lost or target == self.shape:
            return self.unknown if self.lost else self
        bounded(name, target)
        rank = len(target)
        value = self
        if len(value.shape) < rank:
            full = (*(1,) * (rank - len(value.shape)), *value.shape)
            value = value.view(name, lambda a: a.reshape(full), batched=False)
        for axis, count in enumerate(target):
            if value.shape[axis] != count:
                value = value.view(name, _repeated(axis, count), ("repeat", (axis, count)))
        return value

    def transpose(self, name: str, axes: Sequence[int]) -> Value:
        """Return the result with its axes in another order."""
        order = tuple(int(a) for a in axes)
        if self.lost:
            return self.unknown
        if sorted(order) != list(range(len(self.shape))):
            msg = f"layer {name!r}: {order} is no order of the axes of shape {self.shape}"
            raise NetworkError(msg)
        batched = self.batched and order[:1] == (0,)
        return self.view(
            name, lambda a: np.transpose(a, order), ("transpose", order), batched=batched
        )

    def slice(self, name: str, axis: int, start: int, end: int, step: int = 1) -> Value:
        """Range of one axis; ends are clipped and negative ones count from the end, as in NumPy."""
        if self.lost:
            return self.unknown
        if not -len(self.shape) <= axis < len(self.shape):
            msg = f"layer {name!r}: shape {self.shape} has no axis {axis}"
            raise NetworkError(msg)
        axis %= len(self.shape)
        past = step < 0 and end < -self.shape[axis]
        part = (slice(None),) * axis + (slice(start, None if past else end, step),)
        return self.view(name, lambda a: a[part], ("slice", (start, end, axis, step)))

    def reshape(self, name: str, sizes: Sequence[int]) -> Value:
        """Return the result in another shape; one size may be -1."""
        return self.view(name, lambda a: reshaped(a, sizes))


def _repeated(axis: int, count: int) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]]:
    return lambda a: np.repeat(a, count, axis)


def reshaped(values: npt.NDArray[Any], sizes: Sequence[int]) -> npt.NDArray[Any]:
    """Reshape, refusing the negative sizes other than -1 that NumPy takes for it."""
    if min(sizes, default=0) < -1:
        msg = f"negative size in {list(sizes)}"
        raise ValueError(msg)
    return values.reshape(sizes)


def bounded(name: str, shape: Shape) -> None:
    """Refuse results too large to be meant.

    Raises
    ------
    NetworkError
        When there are more than :data:`MAX_ELEMENTS` elements.
    """
    if math.prod(shape) > MAX_ELEMENTS:
        msg = f"layer {name!r}: a result of shape {shape} has more than {MAX_ELEMENTS} elements"
        raise NetworkError(msg)


def compressed(values: Array) -> Array:
    """Values with every axis along which they are constant reduced to one element."""
    for axis in range(values.ndim):
        first = values.take([0], axis)
        if np.all(values == first):
            values = first
    return values


#: Result of a step that cannot be read, and the input while its shape is not known.
LOST = Value(None, 1, np.zeros((), np.int64), np.ones(()), np.zeros(()))
OPEN = replace(LOST, open=True)
