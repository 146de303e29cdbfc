"""The network that a reader writes, node by node.

A matrix product absorbs the view in front of it, and the view behind it is absorbed when its layer
is written. Elsewhere views become layers: Reshape, Transpose, Slice, Concat, Scale. Sums and
products of parameters are rounded to float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import NetworkError
from mipnet.network.layers import (
    Affine,
    Concat,
    Conv,
    Flatten,
    Identity,
    Layer,
    Reshape,
    Scale,
    Slice,
    Transpose,
)
from mipnet.network.layers.base import Shape
from mipnet.network.network import INPUT, Network, Node
from mipnet.network.numbers import Array, numeric
from mipnet.network.readers.disputes import Dispute
from mipnet.network.readers.values import (
    Move,
    PartError,
    Pending,
    Product,
    Value,
    bounded,
    compressed,
    named,
)

#: Largest matrix written for an operation that is none in its file: about 0.8 GB.
MAX_ENTRIES = 10**8


class Graph:
    """The layers written so far.

    Parameters
    ----------
    source : str
        Where the model comes from, for messages and reports.
    tell : callable, optional
        Takes errors about values of parameters, which are replaced to go on; raised when absent.
    """

    def __init__(self, source: str, tell: Callable[[NetworkError], None] | None = None) -> None:
        self.source, self.tell = source, tell
        self.nodes: list[Node] = []
        self.shapes: dict[str, Shape] = {}
        self.layers: dict[str, Node] = {}
        self.precisions: list[bool] = []
        #: Length of the vectors that the first product takes: of an input of unknown shape, of
        #: any result of unknown shape.
        self.width: int | None = None
        self.guess: int | None = None
        #: Whether a convolution reads an input of unknown shape, which is no vector then.
        self.images = False
        #: Nodes of a size that a layer before them disputes.
        self.disputes: dict[str, tuple[Dispute, ...]] = {}
        self.products = 0
        self._written: dict[int, tuple[object, str]] = {}
        self._shaped: dict[tuple[str, Shape], str] = {}
        self._moved: dict[tuple[object, ...], str] = {}
        #: Padded results by address, with what was padded, how far and with what.
        self.padded: dict[int, tuple[Value, Value, tuple[tuple[int, int], ...], float]] = {}

    def start(self, item: Shape, shape: Shape | None = None) -> Value:
        """Return the network input: shape of one item, and with its batch axis (1 in front)."""
        bounded(INPUT, item)
        self.shapes[INPUT] = item
        full = (1, *item) if shape is None else shape
        return self.value(INPUT, full, batched=full == (1, *item))

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
            if self.tell is None:
                raise NetworkError(msg)
            self.tell(NetworkError(msg))
            array = np.where(np.isfinite(array), array, 1.0)
        return array

    def value(self, base: str | Product | Pending, shape: Shape, *, batched: bool = True) -> Value:
        """Return the whole of a node, product or pending step as a result of that shape."""
        bounded(str(getattr(base, "name", base)), shape)
        size = math.prod(shape)
        index = np.arange(size).reshape(shape)
        return Value(base, size, index, np.ones(shape), np.zeros(shape), (), batched)

    def ghost(self, name: str, shape: Shape, dispute: Dispute | None = None) -> Value:
        """Return a stand-in for a result that cannot be read, to check what follows by its shape.

        Parameters
        ----------
        name : str
            Step that would give it.
        shape : tuple of int
        dispute : Dispute, optional
            Another size that an axis may have to get.
        """
        bounded(name, shape)
        node = self.unique(name)
        self.shapes[node] = item(shape)
        if dispute is not None:
            self.disputes[node] = (dispute,)
        return self.value(node, shape, batched=shape[:1] in ((), (1,)))

    def complete(self, value: Value) -> None:
        """Refuse a part of an activation without its rest.

        Raises
        ------
        PartError
            When it is one.
        """
        if isinstance(value.base, Pending):
            part = "a maximum" if value.base.kind == "pad" else "a GELU"
            msg = (
                f"{value.base.name!r}: is supported as part of {part} only; follow it by the rest "
            )
            msg += "of that, or use a layer of docs/layers.md"
            raise PartError(msg)

    def finished(self, value: Any) -> Any:
        """Return a stand-in for a part of an activation; anything else as it is."""
        if not isinstance(value, Value) or not isinstance(value.base, Pending):
            return value
        return self.ghost(value.base.name, value.shape)

    def accepted(self, value: Value, given: int, wanted: int, message: str) -> bool:
        """Whether a layer takes a size, or goes by what a layer before it declares."""
        fits = given == wanted
        for dispute in self.disputes.get(str(value.base), ()):
            if fits and self.tell is not None:
                dispute.settle(self.tell)
            elif not dispute.settled and wanted * dispute.given == given * dispute.declared:
                dispute.waiting.append(NetworkError(message))
                return True
        return fits

    def emit(self, name: str, layer: Layer, *before: str) -> str:
        """Append a layer and return its name, numbered when it was taken."""
        with named(name):
            shape = layer.output_shape(*(self.shapes[n] for n in before))
            bounded(name, shape)
        name = self.unique(name)
        self.shapes[name] = shape
        self.layers[name] = Node(name, layer, before)
        self.nodes.append(self.layers[name])
        if not isinstance(layer, Affine | Conv):
            self.disputes[name] = tuple(d for b in before for d in self.disputes.get(b, ()))
        return name

    def unique(self, name: str) -> str:
        """Return the name, numbered when taken; a name is taken from here on."""
        chosen, count = name or "layer", 0
        while chosen in self.shapes:
            count += 1
            chosen = f"{name or 'layer'}_{count}"
        self.shapes[chosen] = ()
        return chosen

    def origin(self, value: Value) -> str:
        """Where a value comes from, in words: the last layer with weights, or the input."""
        base = value.base
        name = base.name if isinstance(base, Product | Pending) else base
        for node in reversed(self.nodes):
            if node.name == name and not isinstance(node.layer, Affine | Conv):
                name = node.inputs[0]
        return "the input" if name == INPUT else f"layer {name!r}"

    def settled(self, value: Value) -> Value:
        """Value whose base is a node: a product is written with the view behind it."""
        self.complete(value)
        if not isinstance(value.base, Product):
            return value
        if id(value) in self._written:
            return self.value(self._written[id(value)][1], value.shape, batched=value.batched)
        product, weight, bias = value.base, value.base.weight, value.base.bias
        if value.index.size > len(weight):
            # Rows that repeat: the product once, and its copies.
            if id(product) not in self._written:
                whole = self.settled(self.value(product, (len(weight),)))
                self._written[id(product)] = (product, str(whole.base))
            return replace(value, base=self._written[id(product)][1])
        rows, scale = value.index.ravel(), value.scale.ravel()
        if not np.array_equal(rows, np.arange(len(weight))):
            weight, bias = weight[rows], bias[rows]
        with np.errstate(over="ignore", invalid="ignore"):
            if not np.all(scale == 1.0):
                # Adding zero turns the negative zeros of a product with zero into zeros.
                weight, bias = weight * scale[:, None] + 0.0, bias * scale + 0.0
            bias = bias + value.shift.ravel()
        with named(product.name):
            layer = Affine(weight, bias)
        name = self.emit(product.name, layer, product.before)
        # The key is an address: the value is kept so that no other gets it.
        self._written[id(value)] = (value, name)
        return self.value(name, value.shape, batched=value.batched)

    def anchored(self, value: Value) -> Value:
        """Value that several steps read: written once, unless it only moves elements of a node."""
        if value.lost or isinstance(value.base, Pending):
            return value
        value = self.settled(value)
        if value.plain and value.moves is not None:
            return value
        return self.value(self.node(value), value.shape, batched=value.batched)

    def node(self, value: Value) -> str:
        """Return the node that holds a value: its item shape, its order."""
        value = self.settled(value)
        name = str(value.base)
        if value.straight and not value.plain:
            # Nothing moved in the end: the arithmetic alone, in the order of the base.
            parts = (compressed(a) for a in (value.scale, value.shift))
            move = Move("scale", value.shape, tuple(parts))
            name = self._moves(name, move, value)
        elif value.moves is None:
            name = self._dense(value)
        else:
            for move in value.moves:
                name = self._moves(name, move, value)
        return self.shaped(name, item(value.shape), value.reshaping)

    def shaped(self, name: str, shape: Shape, label: str) -> str:
        """Return a node with the elements of another one, row-major, and the given shape."""
        while self.shapes[name] != shape and isinstance(
            getattr(self.layers.get(name), "layer", None), Reshape | Flatten
        ):
            (name,) = self.layers[name].inputs
        if self.shapes[name] == shape:
            return name
        if (name, shape) not in self._shaped:
            layer = Flatten() if len(shape) == 1 else Reshape(shape)
            self._shaped[name, shape] = self.emit(label, layer, name)
        return self._shaped[name, shape]

    def _moves(self, name: str, move: Move, value: Value) -> str:
        """Node behind one step of a view."""
        inner = len(move.shape) > 1 and move.shape[0] == 1 and _keeps_first(move)
        shape = move.shape[1:] if inner else move.shape or (1,)
        before = self.shaped(name, shape, value.reshaping)
        key = (before, move.kind, move.shape, _plain(move))
        if key not in self._moved:
            label = value.arithmetic if move.kind == "scale" else value.reshaping
            layer = _layer(move, int(inner))
            self._moved[key] = self.emit(label, layer, *(before,) * layer.arity)
        return self._moved[key]

    def vector(self, value: Value) -> str:
        """Node of the base of a view, flattened when it is not a vector."""
        base = str(value.base)
        return self.shaped(base, (math.prod(self.shapes[base]),), value.reshaping)

    def absorb(self, value: Value, weight: Array) -> tuple[str, Array, Array]:
        """Node, weight and bias of ``weight @ value`` for a view of a node."""
        base = self.vector(value)
        size = self.shapes[base][0]
        index, scale = value.index.ravel(), value.scale.ravel()
        bias = np.zeros(len(weight))
        if not value.plain:
            with np.errstate(over="ignore", invalid="ignore"):
                weight, bias = weight * scale, weight @ value.shift.ravel()
        if np.array_equal(index, np.arange(size)):
            return base, weight, bias
        self.guard(base, len(weight) * size)
        spread = np.zeros((len(weight), size))
        if len(np.unique(index)) == len(index):
            spread[:, index] = weight
        else:
            np.add.at(spread.T, index, weight.T)
        return base, spread, bias

    def _dense(self, value: Value) -> str:
        """Write a view that no other layer makes as a matrix."""
        size = value.index.size
        self.guard(value.reshaping, size * max(size, value.size))
        before, weight, bias = self.absorb(value, np.eye(size))
        with named(value.reshaping):
            layer = Affine(weight, bias)
        return self.emit(value.reshaping, layer, before)

    def guard(self, name: str, entries: int) -> None:
        """Refuse a matrix of more than :data:`MAX_ENTRIES` entries."""
        if entries > MAX_ENTRIES:
            msg = (
                f"layer {name!r}: needs a dense matrix of {entries} entries, above "
                f"the limit of {MAX_ENTRIES}; flatten or simplify the model first"
            )
            raise NetworkError(msg)

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
        value = self.settled(value)
        shape = item(value.shape)
        lengthy = value.index.size == max(shape) and len(self.shapes[str(value.base)]) == 1
        if len(value.shape) <= 2 or lengthy:
            shape = (value.index.size,)
        output = self.shaped(self.node(value), shape, value.reshaping)
        if output == INPUT:
            output = self.emit("identity", Identity(), INPUT)
        needed = {output}
        for node in reversed(self.nodes):
            if node.name in needed:
                needed.update(node.inputs)
        nodes = tuple(node for node in self.nodes if node.name in needed)
        # The output is the last node, whatever was written behind it.
        nodes = (*(n for n in nodes if n.name != output), self.layers[output])
        if self.precisions or dtype is None:
            dtype = "float32" if self.precisions and all(self.precisions) else "float64"
        network = Network(nodes, self.shapes[INPUT], dtype, source=self.source)
        return network if input_bounds is None else network.with_input_bounds(*input_bounds)


def item(shape: Shape) -> Shape:
    """Shape of one item of a result: without its batch axis, where it has one."""
    return shape[1:] if len(shape) > 1 and shape[0] == 1 else shape or (1,)


def _keeps_first(move: Move) -> bool:
    """Whether a step leaves the first axis alone."""
    if move.kind == "transpose":
        return bool(move.data[0] == 0)
    if move.kind == "slice":
        return bool(move.data[2] != 0)
    return move.kind == "scale" or bool(move.data[0] != 0)


def _plain(move: Move) -> tuple[object, ...]:
    """Return the data of a step as something to look it up by."""
    if move.kind != "scale":
        return move.data
    arrays = (np.asarray(a) for a in move.data)
    return tuple((a.shape, a.tobytes()) for a in arrays)


def _layer(move: Move, dropped: int) -> Layer:
    """Layer of a step, for items without the first ``dropped`` axes."""
    if move.kind == "transpose":
        return Transpose([a - dropped for a in move.data[dropped:]])
    if move.kind == "slice":
        start, end, axis, step = move.data
        return Slice((start,), (end,), (axis - dropped,), (step,))
    if move.kind == "repeat":
        axis, count = move.data
        return Concat(count, axis - dropped)
    rank = max(len(move.shape), 1)
    constants = (c[0] if dropped and c.ndim == rank else c for c in move.data)
    return Scale(*constants)
