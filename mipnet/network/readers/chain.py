"""Chains of layers out of the affine, reshaping and ReLU steps of a framework's graph.

Every intermediate result is an affine view of a node already written: each of its elements is
``scale * base[index] + shift``. Elementwise constants, reshapes, transposes and broadcasts only
change the view; a matrix product absorbs the view in front of it, and the view behind it is
absorbed when its layer is written. Sums and products of parameters are rounded to float64.
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
from mipnet.network.layers import Affine, Flatten, Layer, ReLU
from mipnet.network.layers.base import Shape
from mipnet.network.network import INPUT, Network, Node
from mipnet.network.readers.base import Array, numeric

#: Largest matrix written for an operation that is none in its file: about 0.8 GB.
MAX_ENTRIES = 10**8

Operation = Literal["add", "sub", "rsub", "mul", "div"]


class RefusalError(Exception):
    """One step of a model cannot be read; the reader lists the reason with its other refusals."""


def reshaped(values: npt.NDArray[Any], sizes: Sequence[int]) -> npt.NDArray[Any]:
    """Reshape, refusing the negative sizes other than -1 that NumPy takes for it."""
    if min(sizes, default=0) < -1:
        msg = f"negative size in {list(sizes)}"
        raise ValueError(msg)
    return values.reshape(sizes)


@contextmanager
def located(source: str) -> Iterator[None]:
    """Put the source in front of the messages of errors raised inside."""
    try:
        yield
    except (NetworkError, ReadError) as error:
        raise type(error)(f"{source}: {error}") from error


@dataclass(frozen=True, eq=False)
class Product:
    """``weight @ node``, a matrix product whose layer is not written yet.

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
class Value:
    """One intermediate result: ``scale * base.flat[index] + shift``, batch axis of one included.

    Attributes
    ----------
    base : str, Product or None
        Node or product it is a view of; None when an unsupported step lies before it, so that
        the steps behind that one can still be checked.
    index : int array
    scale, shift : array, shape of ``index``
    arithmetic, reshaping : str
        Name of the last step of each kind, for the layer that must be written for it.
    """

    base: str | Product | None
    index: npt.NDArray[np.int64]
    scale: Array
    shift: Array
    arithmetic: str = "affine"
    reshaping: str = "flatten"

    @property
    def shape(self) -> Shape:
        """Shape of the result."""
        return self.index.shape

    @property
    def lost(self) -> bool:
        """Whether an unsupported step lies before this result."""
        return self.base is None

    @property
    def plain(self) -> bool:
        """Whether the view only reorders."""
        return bool(np.all(self.scale == 1.0) and np.all(self.shift == 0.0))

    def view(self, name: str, change: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Value:
        """Rearranged result.

        Parameters
        ----------
        name : str
            Name of the step.
        change : callable
            Rearranges, repeats or selects elements of an array of this shape.
        """
        if self.lost:
            return self
        try:
            index, scale, shift = map(change, (self.index, self.scale, self.shift))
        except (ValueError, IndexError) as error:
            msg = f"layer {name!r}: does not fit the shape {self.shape} before it: {error}"
            raise NetworkError(msg) from error
        return replace(self, index=index, scale=scale, shift=shift, reshaping=name)

    def apply(self, name: str, operation: Operation, constant: Array) -> Value:
        """Elementwise arithmetic with a constant, broadcast as NumPy does; ``rsub``: ``c - x``."""
        if self.lost:
            return self
        try:
            shape = np.broadcast_shapes(self.shape, constant.shape)
        except ValueError as error:
            msg = f"layer {name!r}: a constant of shape {constant.shape} does not fit {self.shape}"
            raise NetworkError(msg) from error
        if operation == "div" and not np.all(constant):
            msg = f"layer {name!r}: divides by zero"
            raise NetworkError(msg)
        index = np.broadcast_to(self.index, shape)
        scale: Array = np.broadcast_to(self.scale, shape)
        shift: Array = np.broadcast_to(self.shift, shape)
        with np.errstate(over="ignore", invalid="ignore"):
            if operation == "add":
                shift = shift + constant
            elif operation == "sub":
                shift = shift - constant
            elif operation == "rsub":
                scale, shift = -scale, constant - shift
            elif operation == "mul":
                scale, shift = scale * constant, shift * constant
            else:
                scale, shift = scale / constant, shift / constant
        return replace(self, index=index, scale=scale, shift=shift, arithmetic=name)


LOST = Value(None, np.zeros((), np.int64), np.ones(()), np.zeros(()))


class Chain:
    """The layers written so far.

    Parameters
    ----------
    source : str
        Where the model comes from, for messages and reports.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.nodes: list[Node] = []
        self.shapes: dict[str, Shape] = {}
        self.precisions: list[bool] = []
        #: Length of the vectors that the first product behind a lost value takes.
        self.width: int | None = None
        self.products = 0

    def start(self, item: Shape, shape: Shape | None = None) -> Value:
        """Return the network input: shape of one item, and with its batch axis (1 in front)."""
        self.shapes[INPUT] = item
        return self._whole(INPUT, (1, *item) if shape is None else shape)

    def constant(self, values: Any, what: str) -> Array:
        """Return a parameter of the model as float64; its precision counts for the network's.

        Raises
        ------
        ReadError
            When it does not hold real numbers.
        NetworkError
            When it holds NaN or infinite values.
        """
        array, single = numeric(values, what)
        if single is not None and not isinstance(values, (bool, int, float)):
            self.precisions.append(single)
        bad = np.argwhere(~np.isfinite(array))
        if bad.size:
            msg = (
                f"{what}: {len(bad)} value(s) are NaN or infinite, first at "
                f"{bad[0].tolist()}; retrain or repair the model"
            )
            raise NetworkError(msg)
        return array

    def matmul(self, name: str, value: Value, constant: Array, *, left: bool = False) -> Value:
        """Product ``value @ constant``, ``constant @ value`` when ``left``, as NumPy's matmul."""
        if value.lost:
            if self.width is None and constant.ndim:
                self.width = constant.shape[-1 if left else max(-2, -constant.ndim)]
            return value
        try:
            pair = (constant, np.zeros(value.shape)) if left else (np.zeros(value.shape), constant)
            shape = np.matmul(*pair).shape
        except ValueError as error:
            order = "from the left" if left else "from the right"
            msg = (
                f"layer {name!r}: a matrix of shape {constant.shape} multiplied "
                f"{order} does not fit shape {value.shape} of {self.origin(value)}"
            )
            raise NetworkError(msg) from error
        if isinstance(value.base, Product):
            value = self._written(value)
        weight = self._matrix(name, value.shape, constant, left=left)
        base, weight, bias = self._absorb(value, weight)
        self.products += 1
        product = Product(name, base, weight, bias)
        return replace(self._whole("", shape), base=product)

    def origin(self, value: Value) -> str:
        """Where a value comes from, in words: the last affine layer, or the input."""
        name = value.base.name if isinstance(value.base, Product) else value.base
        for node in reversed(self.nodes):
            if node.name == name and not isinstance(node.layer, Affine):
                name = node.inputs[0]
        return "the input" if name == INPUT else f"layer {name!r}"

    def _matrix(self, name: str, shape: Shape, constant: Array, *, left: bool) -> Array:
        """Matrix of the product over the flattened result."""
        size = math.prod(shape)
        if constant.ndim == 2 and size == (shape[-2:][0] if left else shape[-1]):
            return constant if left else constant.T
        # Products of several rows repeat the constant: the images of the unit vectors.
        core = shape if len(shape) > 1 else ((size, 1) if left else (1, size))
        vector = (None, slice(None)) if left else (slice(None), None)
        matrix = constant if constant.ndim > 1 else constant[vector]
        ones = (1,) * max(0, matrix.ndim - len(core))
        self._guard(name, size * max(size, matrix.size))
        units = np.eye(size).reshape(size, *ones, *core)
        images = np.matmul(matrix, units) if left else np.matmul(units, matrix)
        return np.asarray(images.reshape(size, -1).T)

    def _absorb(self, value: Value, weight: Array) -> tuple[str, Array, Array]:
        """Node, weight and bias of ``weight @ value`` for a view of a node."""
        base = self._vector(value)
        size = self.shapes[base][0]
        index, scale = value.index.ravel(), value.scale.ravel()
        bias = np.zeros(len(weight))
        if not value.plain:
            with np.errstate(over="ignore", invalid="ignore"):
                weight, bias = weight * scale, weight @ value.shift.ravel()
        if np.array_equal(index, np.arange(size)):
            return base, weight, bias
        self._guard(base, len(weight) * size)
        spread = np.zeros((len(weight), size))
        if len(np.unique(index)) == len(index):
            spread[:, index] = weight
        else:
            np.add.at(spread.T, index, weight.T)
        return base, spread, bias

    def _vector(self, value: Value) -> str:
        """Node of a view, flattened when it is not a vector."""
        base = str(value.base)
        if len(self.shapes[base]) == 1:
            return base
        return self._emit(self._unique(value.reshaping), Flatten(), base)

    def _written(self, value: Value) -> Value:
        """Value as a node of its own, its view absorbed into an affine layer."""
        if isinstance(value.base, Product):
            product, weight, bias = value.base, value.base.weight, value.base.bias
            rows, scale = value.index.ravel(), value.scale.ravel()
            if not np.array_equal(rows, np.arange(len(weight))):
                weight, bias = weight[rows], bias[rows]
            with np.errstate(over="ignore", invalid="ignore"):
                if not np.all(scale == 1.0):
                    # Adding zero turns the negative zeros of a product with zero into zeros.
                    weight, bias = weight * scale[:, None] + 0.0, bias * scale + 0.0
                bias = bias + value.shift.ravel()
            name, before = self._unique(product.name), product.before
        else:
            size = value.index.size
            self._guard(value.arithmetic, size * size)
            before, weight, bias = self._absorb(value, np.eye(size))
            name = self._unique(value.arithmetic)
        try:
            layer = Affine(weight, bias)
        except NetworkError as error:
            msg = f"layer {name!r}: {error}"
            raise NetworkError(msg) from error
        return self._whole(self._emit(name, layer, before), value.shape)

    def relu(self, name: str, value: Value) -> Value:
        """Elementwise ``max(0, x)``; a mere reordering stays a view of its result."""
        if value.lost:
            return value
        if isinstance(value.base, Product) or not value.plain:
            value = self._written(value)
        return replace(value, base=self._emit(self._unique(name), ReLU(), str(value.base)))

    def finish(
        self,
        value: Value,
        *,
        dtype: str | None = None,
        input_bounds: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    ) -> Network:
        """Network whose output is ``value``; steps the output does not need are left out.

        Parameters
        ----------
        value : Value
        dtype : {"float64", "float32"}, optional
            Precision of a model without parameters.
        input_bounds : tuple of two arrays, optional
            As for :class:`Network`.
        """
        if isinstance(value.base, str) and value.plain:
            size = math.prod(self.shapes[value.base])
            if not np.array_equal(value.index.ravel(), np.arange(size)):
                value = self._written(value)
            elif len(value.shape) <= 2:
                value = replace(value, base=self._vector(value))
        else:
            value = self._written(value)
        if value.base == INPUT:
            value = self._written(value)
        needed = {str(value.base)}
        for node in reversed(self.nodes):
            if node.name in needed:
                needed.update(node.inputs)
        nodes = tuple(node for node in self.nodes if node.name in needed)
        if self.precisions or dtype is None:
            dtype = "float32" if self.precisions and all(self.precisions) else "float64"
        network = Network(nodes, self.shapes[INPUT], dtype, source=self.source)
        return network if input_bounds is None else network.with_input_bounds(*input_bounds)

    def _whole(self, base: str, shape: Shape) -> Value:
        size = math.prod(shape)
        return Value(base, np.arange(size).reshape(shape), np.ones(shape), np.zeros(shape))

    def _emit(self, name: str, layer: Layer, before: str) -> str:
        self.shapes[name] = layer.output_shape(self.shapes[before])
        self.nodes.append(Node(name, layer, (before,)))
        return name

    def _unique(self, name: str) -> str:
        """Return the name, numbered when taken; a name is taken from here on."""
        chosen, count = name or "layer", 0
        while chosen in self.shapes:
            count += 1
            chosen = f"{name or 'layer'}_{count}"
        self.shapes[chosen] = ()
        return chosen

    def _guard(self, name: str, entries: int) -> None:
        if entries > MAX_ENTRIES:
            msg = (
                f"layer {name!r}: needs a dense matrix of {entries} entries, above "
                f"the limit of {MAX_ENTRIES}; flatten or simplify the model first"
            )
            raise NetworkError(msg)
