"""The immutable network: a typed DAG of layers over float64 arrays."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mipnet.errors import NetworkError
from mipnet.network.interval import Interval
from mipnet.network.layers import Affine, Layer
from mipnet.network.layers.base import Array, Floats, Shape, frozen

#: Name of the node that stands for the network input.
INPUT = "input"


@dataclass(frozen=True)
class Node:
    """One layer in its place.

    Attributes
    ----------
    name : str
        Unique name, used in every report and error.
    layer : Layer
        The operation.
    inputs : tuple of str
        Names of the nodes it reads; ``"input"`` is the network input.
    """

    name: str
    layer: Layer
    inputs: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Network:
    """A trained feed-forward network.

    Parameters
    ----------
    nodes : sequence of Node
        In topological order; the last one is the output.
    input_shape : tuple of int
        Shape of one input item.
    dtype : {"float64", "float32"}
        Floating type of the model it was read from; the arrays here are float64 regardless.
    input_bounds : tuple of two arrays, optional
        Bounds of the input that came with the model, each broadcastable to ``input_shape``.
    source : str
        Where the network came from, for reports.

    Raises
    ------
    NetworkError
        When names clash, a node reads an unknown or later node, or shapes do not fit.
    """

    nodes: tuple[Node, ...]
    input_shape: Shape
    dtype: str = "float64"
    input_bounds: tuple[Array, Array] | None = None
    source: str = "arrays"

    def __post_init__(self) -> None:
        nodes = tuple(self.nodes)
        object.__setattr__(self, "nodes", nodes)
        object.__setattr__(self, "input_shape", tuple(int(n) for n in self.input_shape))
        if not nodes:
            msg = "a network needs at least one layer"
            raise NetworkError(msg)
        if any(n < 1 for n in self.input_shape):
            msg = f"the input shape {self.input_shape} has no inputs; every side must be at least 1"
            raise NetworkError(msg)
        if self.dtype not in ("float32", "float64"):
            msg = f"dtype must be float32 or float64, not {self.dtype}"
            raise NetworkError(msg)
        known = {INPUT}
        for node in nodes:
            unknown = [i for i in node.inputs if i not in known]
            if node.name in known or unknown:
                what = f"reads unknown nodes {unknown}" if unknown else "has a name already taken"
                msg = f"layer {node.name!r} {what}"
                raise NetworkError(msg)
            if len(node.inputs) != node.layer.arity:
                msg = f"layer {node.name!r} takes {node.layer.arity} input(s), got {node.inputs}"
                raise NetworkError(msg)
            known.add(node.name)
        if self.input_bounds is not None:
            object.__setattr__(self, "input_bounds", self._checked_bounds(*self.input_bounds))
        # Fail at construction, not at first use.
        _ = self.shapes

    @classmethod
    def sequential(
        cls,
        layers: Sequence[Layer],
        input_shape: Shape | int | None = None,
        *,
        names: Sequence[str] | None = None,
        dtype: str = "float64",
        input_bounds: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
        source: str = "arrays",
    ) -> Self:
        """Chain of layers.

        Parameters
        ----------
        layers : sequence of Layer
        input_shape : tuple of int or int, optional
            Shape of one input item; taken from a first Affine layer when absent.
        names : sequence of str, optional
            Node names; ``affine0``, ``relu0``, ``affine1``, ... when absent.
        dtype, input_bounds, source
            As for :class:`Network`.
        """
        if input_shape is None:
            if not layers or not isinstance(layers[0], Affine):
                msg = "input_shape is needed unless the first layer is Affine"
                raise NetworkError(msg)
            input_shape = layers[0].weight.shape[1]
        shape = (input_shape,) if isinstance(input_shape, int) else tuple(input_shape)
        if names is None:
            names = default_names(layers)
        if len(names) != len(layers):
            msg = f"{len(layers)} layers need as many names, got {list(names)}"
            raise NetworkError(msg)
        previous = [INPUT, *names[:-1]]
        nodes = tuple(
            Node(name, layer, (before,))
            for name, layer, before in zip(names, layers, previous, strict=True)
        )
        bounds = None
        if input_bounds is not None:
            bounds = (np.asarray(input_bounds[0], float), np.asarray(input_bounds[1], float))
        return cls(nodes, shape, dtype, bounds, source)

    def _checked_bounds(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        try:
            lo = frozen(np.broadcast_to(np.asarray(lower, float), self.input_shape))
            up = frozen(np.broadcast_to(np.asarray(upper, float), self.input_shape))
        except ValueError as error:
            msg = f"input bounds of shapes {np.shape(lower)}, {np.shape(upper)} do not fit the "
            msg += f"input shape {self.input_shape}"
            raise NetworkError(msg) from error
        if not bool(np.all(lo <= up)):
            where = np.argwhere(~(lo <= up))[0].tolist()
            msg = f"input bounds are empty or NaN at input {where}"
            raise NetworkError(msg)
        return lo, up

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Shape of one item of every node, ``"input"`` included."""
        shapes: dict[str, Shape] = {INPUT: self.input_shape}
        for node in self.nodes:
            try:
                shapes[node.name] = node.layer.output_shape(*(shapes[i] for i in node.inputs))
            except NetworkError as error:
                msg = f"layer {node.name!r}: {error}"
                raise NetworkError(msg) from error
        return shapes

    @property
    def output(self) -> str:
        """Name of the output node."""
        return self.nodes[-1].name

    @property
    def n_inputs(self) -> int:
        """Number of scalar inputs."""
        return int(np.prod(self.input_shape))

    @property
    def n_outputs(self) -> int:
        """Number of scalar outputs."""
        return int(np.prod(self.shapes[self.output]))

    @property
    def n_parameters(self) -> int:
        """Number of stored parameters, zeros included."""
        return sum(p.size for node in self.nodes for p in node.layer.parameters)

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        """Nodes by name."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over wiring, shapes, attributes and parameters, hexadecimal."""
        digest = hashlib.sha256(repr(self.input_shape).encode())
        for node in self.nodes:
            digest.update(repr((node.name, node.layer.kind, node.inputs)).encode())
            if node.layer.attributes:
                digest.update(repr(node.layer.attributes).encode())
            for values in node.layer.parameters:
                digest.update(repr(values.shape).encode())
                digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
        return digest.hexdigest()

    def batch(self, x: npt.ArrayLike) -> tuple[Array, bool]:
        """Return inputs as (batch, *input_shape), and whether ``x`` was a single item.

        A flat vector of ``n_inputs`` values, or rows of such vectors, is accepted for any shape.

        Raises
        ------
        NetworkError
            When the size does not fit or the dtype is not numeric.
        """
        try:
            values = np.asarray(x, dtype=np.float64)
        except (TypeError, ValueError) as error:
            msg = f"inputs must be numbers: {error}"
            raise NetworkError(msg) from error
        if values.shape in {self.input_shape, (self.n_inputs,)}:
            return values.reshape(1, *self.input_shape), True
        fits = values.ndim >= 1 and (
            values.shape[1:] == self.input_shape or values.shape[1:] == (self.n_inputs,)
        )
        if not fits:
            msg = f"inputs of shape {values.shape} do not fit the input shape {self.input_shape}"
            raise NetworkError(msg)
        return values.reshape(values.shape[0], *self.input_shape), False

    def trace(self, values: Floats) -> dict[str, Floats]:
        """Values of every node for inputs of shape (batch, *input_shape)."""
        known: dict[str, Floats] = {INPUT: values}
        for node in self.nodes:
            known[node.name] = node.layer.forward(*(known[i] for i in node.inputs))
        return known

    def __call__(self, x: npt.ArrayLike) -> Array:
        """Evaluate the network in float64.

        Parameters
        ----------
        x : array_like, shape ``input_shape``, (n_inputs,) or (batch, ...)

        Returns
        -------
        array, shape ``output_shape`` or (batch, *output_shape)
        """
        values, single = self.batch(x)
        result = np.asarray(self.trace(values)[self.output], dtype=np.float64)
        return result[0] if single else result

    def replay(self, x: npt.ArrayLike, dtype: str | None = None) -> Array:
        """Evaluate with inputs, parameters and arithmetic in the dtype of the source model.

        Parameters
        ----------
        x : array_like
            As for :meth:`__call__`; rounded to ``dtype`` first.
        dtype : str, optional
            Floating type; the network's own when absent.
        """
        chosen = np.dtype(dtype or self.dtype)
        values, single = self.batch(x)
        known: dict[str, Floats] = {INPUT: values.astype(chosen)}
        for node in self.nodes:
            layer = node.layer.cast(chosen)
            known[node.name] = layer.forward(*(known[i] for i in node.inputs))
        result = np.asarray(known[self.output], dtype=np.float64)
        return result[0] if single else result

    def gradient(self, values: Array, weights: Array) -> Array:
        """Gradients of ``sum(weights * outputs)`` with respect to the inputs.

        Parameters
        ----------
        values : array, shape (batch, *input_shape)
        weights : array, shape (batch, *output_shape)

        Returns
        -------
        array, shape (batch, *input_shape)
        """
        known: dict[str, Array] = self.trace(values)  # type: ignore[assignment]
        flow: dict[str, Array] = {self.output: weights}
        for node in reversed(self.nodes):
            incoming = flow.pop(node.name, None)
            if incoming is None:
                continue
            parts = node.layer.gradient(incoming, *(known[i] for i in node.inputs))
            for name, part in zip(node.inputs, parts, strict=True):
                flow[name] = flow[name] + part if name in flow else part
        return flow.get(INPUT, np.zeros_like(values))

    def then(self, layer: Layer, name: str) -> Network:
        """Return this network followed by one more layer."""
        return replace(self, nodes=(*self.nodes, Node(name, layer, (self.output,))))

    def with_layers(self, layers: Mapping[str, Layer]) -> Network:
        """Return the network with some layers replaced, by node name."""
        unknown = sorted(set(layers) - set(self.by_name))
        if unknown:
            msg = f"no layers named {unknown}; layers are {list(self.by_name)}"
            raise NetworkError(msg)
        nodes = tuple(replace(n, layer=layers.get(n.name, n.layer)) for n in self.nodes)
        return replace(self, nodes=nodes)

    def with_input_bounds(self, lower: npt.ArrayLike, upper: npt.ArrayLike) -> Network:
        """Return the network with input bounds attached."""
        bounds = (np.asarray(lower, float), np.asarray(upper, float))
        return replace(self, input_bounds=bounds)

    def input_box(self) -> Interval:
        """Input bounds as an interval of batch one.

        Raises
        ------
        NetworkError
            When the network carries no bounds.
        """
        if self.input_bounds is None:
            msg = "the network carries no input bounds; give lower and upper bounds of the inputs"
            raise NetworkError(msg)
        return Interval(self.input_bounds[0][None], self.input_bounds[1][None])

    def __deepcopy__(self, memo: dict[int, Any]) -> Network:
        return self

    def __repr__(self) -> str:
        kinds = Counter(n.layer.kind for n in self.nodes)
        if set(kinds) <= {"Affine", "ReLU", "Flatten"}:
            affine = [n.layer for n in self.nodes if isinstance(n.layer, Affine)]
            what = "-".join(str(n) for n in (self.n_inputs, *(len(a.bias) for a in affine)))
        else:
            ends = ("x".join(map(str, self.shapes[n])) for n in (INPUT, self.output))
            counted = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
            what = f"{' -> '.join(ends)}, {counted}"
        return f"Network({what}, {self.n_parameters} parameters, from {self.source})"


def default_names(layers: Sequence[Layer]) -> list[str]:
    """Names ``affine0``, ``relu0``, ``affine1``, ...: kind and count."""
    counts: dict[str, int] = {}
    names = []
    for layer in layers:
        kind = layer.kind.lower()
        names.append(f"{kind}{counts.get(kind, 0)}")
        counts[kind] = counts.get(kind, 0) + 1
    return names
