"""Networks as plain data: a description in JSON beside named arrays.

What ``.safetensors`` and ``.npz`` files hold for networks of any layers. A description is

.. code-block:: json

    {"format": "mipnet", "version": 1, "input_shape": [1, 28, 28], "dtype": "float32", "nodes": [
      {"name": "conv", "kind": "Conv", "inputs": ["input"], "options": {"stride": [2, 2]},
       "arrays": {"weight": "conv.weight", "bias": "conv.bias"}},
      {"name": "relu", "kind": "ReLU"}]}

``inputs`` is the node before when absent. ``options`` and ``arrays`` are the parameters of the
layer; arrays are found by ``<name>.<parameter>`` when not named, or as torch's state dicts name
them, and biases may be missing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import NetworkError, ReadError, UnsupportedError
from mipnet.network.layers import Layer
from mipnet.network.layers.base import Array, Shape, layer_class, layer_kinds
from mipnet.network.network import INPUT, Network, Node
from mipnet.network.numbers import numeric

#: Most elements a result may have: what a file claims is not allocated unseen.
LARGEST = 10**8
FORMAT, VERSION = "mipnet", 1
#: Names of arrays in state dicts of torch, by layer and parameter.
TORCH = {
    ("BatchNorm", "mean"): "running_mean",
    ("BatchNorm", "variance"): "running_var",
    ("PReLU", "slope"): "weight",
}
#: Arrays a state dict leaves out where they are all zeros or ones.
NEUTRAL = {
    ("Affine", "bias"): 0.0,
    ("Conv", "bias"): 0.0,
    ("BatchNorm", "bias"): 0.0,
    ("BatchNorm", "weight"): 1.0,
}


def layer_data(layer: Layer) -> tuple[dict[str, Any], dict[str, Array]]:
    """Parameters of a layer: plain values, and arrays.

    Raises
    ------
    TypeError
        When the layer is no dataclass, or holds something that is neither.
    """
    options: dict[str, Any] = {}
    arrays: dict[str, Array] = {}
    for entry in fields(layer):  # type: ignore[arg-type]  # TypeError where it is none
        if not entry.init:
            continue
        value = getattr(layer, entry.name)
        if isinstance(value, np.ndarray):
            arrays[entry.name] = value
        elif not (entry.default is not MISSING and value == entry.default):
            options[entry.name] = _plain(value)
    return options, arrays


def _plain(value: Any) -> Any:
    """Return a value of a layer as JSON has it; infinite numbers as text."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else str(float(value))
    msg = f"holds a value of type {type(value).__name__}"
    raise TypeError(msg)


def described(network: Network, where: str) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return the description of a network, and its arrays by name.

    Parameters
    ----------
    network : Network
    where : str
        What is written, for messages.

    Raises
    ------
    UnsupportedError
        When a layer cannot be written; all of them are listed.
    """
    nodes: list[dict[str, Any]] = []
    arrays: dict[str, npt.NDArray[Any]] = {}
    refused: list[str] = []
    for node in network.nodes:
        entry: dict[str, Any] = {"name": node.name, "kind": node.layer.kind}
        entry["inputs"] = list(node.inputs)
        try:
            options, found = layer_data(node.layer)
        except TypeError as error:
            refused.append(f"{node.name!r} ({node.layer.kind}): {error}")
            continue
        if options:
            entry["options"] = options
        if found:
            entry["arrays"] = {key: f"{node.name}.{key}" for key in found}
        arrays |= {f"{node.name}.{key}": stored(v, network.dtype) for key, v in found.items()}
        nodes.append(entry)
    if refused:
        raise UnsupportedError(where, refused)
    description = {"format": FORMAT, "version": VERSION, "input_shape": list(network.input_shape)}
    return {**description, "dtype": network.dtype, "nodes": nodes}, arrays


def stored(values: Array, dtype: str) -> npt.NDArray[Any]:
    """Values in the dtype of the model where that loses nothing, else in float64."""
    with np.errstate(over="ignore"):
        cast = values.astype(dtype)
    return cast if np.array_equal(cast, values) else values


def parsed(given: object, where: str) -> dict[str, Any]:
    """Return a description given as text or as data.

    Raises
    ------
    ReadError
        When it is none, or of a newer version.
    """
    try:
        data = json.loads(given) if isinstance(given, (str, bytes)) else given
    except ValueError as error:
        msg = f"{where}: the architecture is no JSON: {error}"
        raise ReadError(msg) from error
    except RecursionError as error:
        msg = f"{where}: the architecture is nested too deeply"
        raise ReadError(msg) from error
    if not isinstance(data, Mapping) or not isinstance(data.get("nodes"), list):
        msg = f"{where}: the architecture must be an object with a list of nodes"
        raise ReadError(msg)
    version = data.get("version", VERSION)
    if data.get("format", FORMAT) != FORMAT or version != VERSION:
        msg = f"{where}: the architecture has format {data.get('format')!r} and version {version!r}"
        msg += f"; this package reads {FORMAT!r}, version {VERSION}"
        raise ReadError(msg)
    return dict(data)


def rebuilt(description: Mapping[str, Any], arrays: Mapping[str, Any], where: str) -> Network:
    """Return the network of a description (see :func:`parsed`) and its arrays.

    Raises
    ------
    ReadError
        When the two do not fit each other; arrays that nothing names are an error too.
    UnsupportedError
        When there are layers of unknown kinds; all of them are listed.
    NetworkError
        When shapes do not fit, or a parameter is NaN or infinite.
    """
    builder = _Builder(description, arrays, where)
    return builder.network()


class _Builder:
    """One pass over a description."""

    def __init__(self, description: Mapping[str, Any], arrays: Mapping[str, Any], where: str):
        self.description, self.arrays, self.where = description, arrays, where
        self.used: set[str] = set()
        self.singles: list[bool] = []
        self.shapes: dict[str, Shape] = {}

    def fail(self, text: str) -> ReadError:
        """Return the error of a description that is wrong."""
        return ReadError(f"{self.where}: {text}")

    def network(self) -> Network:
        entries = self.description["nodes"]
        shape = self.description.get("input_shape")
        if not _integers(shape) or not shape or min(shape) < 1:
            msg = f"input_shape must be a list of positive integers, got {shape!r}"
            raise self.fail(msg)
        self.shapes[INPUT] = tuple(shape)
        for k, entry in enumerate(entries):
            if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
                msg = f"node {k} of the architecture is no object with a name: {entry!r}"
                raise self.fail(msg)
        kinds = layer_kinds()
        unknown = [
            f"{e['name']!r} ({e.get('kind')}): no such layer; registered: {', '.join(kinds)}"
            for e in entries
            if e.get("kind") not in kinds
        ]
        if unknown:
            raise UnsupportedError(self.where, unknown)
        nodes: list[Node] = []
        for entry in entries:
            nodes.append(self.node(entry, nodes[-1].name if nodes else INPUT))
        unused = [
            key for key in self.arrays
            if key not in self.used and not key.endswith("num_batches_tracked")
        ]  # fmt: skip
        if unused:
            msg = f"the architecture names no layer for the arrays {unused}"
            raise self.fail(msg)
        dtype = self.description.get("dtype")
        if dtype is None:
            dtype = "float32" if self.singles and all(self.singles) else "float64"
        try:
            return Network(tuple(nodes), self.shapes[INPUT], dtype, source=self.where)
        except NetworkError as error:
            msg = f"{self.where}: {error}"
            raise NetworkError(msg) from error

    def node(self, entry: Mapping[str, Any], before: str) -> Node:
        name, cls = entry["name"], layer_class(entry["kind"])
        inputs, options = entry.get("inputs", [before]), entry.get("options", {})
        named = entry.get("arrays", {})
        texts = isinstance(inputs, list) and all(isinstance(i, str) for i in inputs)
        if not texts or not isinstance(options, Mapping) or not isinstance(named, Mapping):
            msg = f"layer {name!r}: inputs must be names, options and arrays objects"
            raise self.fail(msg)
        known = {f.name: f for f in fields(cls) if f.init}  # type: ignore[arg-type]
        odd = sorted({*options, *named} - set(known))
        if odd:
            msg = f"layer {name!r} ({cls.kind}) has no parameters {odd}; it has {list(known)}"
            raise self.fail(msg)
        values = {key: _restored(value) for key, value in options.items()}
        first = self.shapes.get(inputs[0]) if inputs else None
        for key, field in known.items():
            required = field.default is MISSING or (cls.kind, key) in NEUTRAL
            if key not in values:
                array = self.array(entry, key, first, required=required)
                values |= {} if array is None else {key: array}
        self.fill(cls.kind, values)
        try:
            layer = cls(**values)
            self.shapes[name] = layer.output_shape(*(self.shapes[i] for i in inputs))
            if math.prod(self.shapes[name]) > LARGEST:
                msg = f"a result of shape {self.shapes[name]} has more than {LARGEST} elements"
                raise NetworkError(msg)
        except NetworkError as error:
            msg = f"{self.where}: layer {name!r}: {error}"
            raise NetworkError(msg) from error
        except KeyError as error:
            msg = f"layer {name!r} reads {error}, which no layer before it is"
            raise self.fail(msg) from error
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            msg = f"layer {name!r} ({cls.kind}): its parameters do not fit: {error}"
            raise self.fail(msg) from error
        return Node(name, layer, tuple(inputs))

    def fill(self, kind: str, values: dict[str, Any]) -> None:
        """Put in what a state dict leaves out."""
        like = values.get("weight", values.get("mean"))
        for (owner, key), neutral in NEUTRAL.items():
            if owner == kind and key not in values and like is not None:
                values[key] = np.full(len(like), neutral)

    def array(
        self, entry: Mapping[str, Any], key: str, shape: Shape | None, *, required: bool
    ) -> Any:
        """Array of a parameter; None where it may be missing and is."""
        name, kind = entry["name"], entry["kind"]
        given = entry.get("arrays", {}).get(key)
        alias = f"{name}.{TORCH.get((kind, key), key)}"
        for candidate in [f"{name}.{key}", alias] if given is None else [given]:
            if candidate in self.arrays:
                self.used.add(candidate)
                values, single = numeric(self.arrays[candidate], f"{self.where}: {candidate}")
                if single is not None:
                    self.singles.append(single)
                if (kind, key) == ("PReLU", "slope") and candidate == alias and values.size > 1:
                    values = values.reshape(-1, *(1,) * (len(shape or ()) - 1))
                return values
        if required and (given is not None or (kind, key) not in NEUTRAL):
            msg = (
                f"layer {name!r} ({kind}) lacks its {key}: no array {given or alias!r}; there are "
            )
            msg += f"{sorted(self.arrays)}"
            raise self.fail(msg)
        return None


def _restored(value: Any) -> Any:
    if value in ("inf", "-inf"):
        return float(value)
    return tuple(_restored(v) for v in value) if isinstance(value, list) else value


def _integers(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(type(n) is int for n in value)
