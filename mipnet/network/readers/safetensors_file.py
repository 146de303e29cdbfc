"""safetensors files and state dicts, with an architecture or of fully connected networks."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mipnet.errors import NetworkError, ReadError, UnsupportedError
from mipnet.network.architecture import parsed, rebuilt
from mipnet.network.layers.base import Shape
from mipnet.network.network import INPUT, Network
from mipnet.network.numbers import numeric
from mipnet.network.readers.base import (
    Reader,
    existing_file,
    has_suffix,
    head,
    is_path,
    item_shape,
    register_reader,
)
from mipnet.network.readers.combine import relu
from mipnet.network.readers.graph import Graph
from mipnet.network.readers.products import dense
from mipnet.network.readers.values import Value, located

#: NumPy types of the safetensors types; BF16 is the upper half of a float32.
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
DTYPES |= {
    f"{kind}{bits}": f"<{kind.lower()}{bits // 8}" for kind in "IU" for bits in (8, 16, 32, 64)
}
DTYPES["BOOL"] = "?"
#: Entry of the metadata that lists layers and activations in order.
LAYERS = "mipnet.layers"
#: Entry of the metadata with the architecture, which says everything.
ARCHITECTURE = "mipnet.architecture"
ACTIVATIONS = ("relu", "flatten", "identity")
TENSOR = re.compile(r"(?:(.*)\.)?(weight|bias)(_orig|_mask)?", re.DOTALL)


@register_reader("safetensors")
class SafetensorsReader(Reader):
    """State dicts: with an architecture, networks of any layers; without one, linear layers.

    The architecture (:mod:`mipnet.network.architecture`) is the metadata entry
    ``mipnet.architecture``, or given as ``architecture``. Without it, layers are taken in natural
    order of their names (``fc2`` before ``fc10``) with ReLU in between and none after the last.
    Where that is not the model, its order stands in the metadata entry ``mipnet.layers``, or is
    given as ``layers``: a JSON list of layer names and of ``relu``, ``flatten``, ``identity``, for
    example ``["fc1", "relu", "fc2"]``; then nothing is added.
    A missing bias is zero. ``weight_orig`` with ``weight_mask``, as torch's pruning stores them,
    are multiplied; biases alike.
    """

    takes = ".safetensors file, or a state dict with '<layer>.weight' and '<layer>.bias'"

    def accepts(self, source: object) -> bool:
        """See :meth:`Reader.accepts`."""
        if isinstance(source, Mapping):
            return "W0" not in source and all(isinstance(key, str) for key in source)
        start = head(source, 9)
        return has_suffix(source, ".safetensors") or (
            len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") < 10**8
        )

    def read(
        self,
        source: Any,
        *,
        layers: Sequence[str] | None = None,
        architecture: Mapping[str, Any] | str | None = None,
        input_shape: Shape | int | None = None,
    ) -> Network:
        """Read a file, its bytes or a state dict.

        Parameters
        ----------
        source : path, bytes or mapping of arrays or tensors
        layers : sequence of str, optional
            Order of layers and activations; overrides the metadata.
        architecture : mapping or str, optional
            Description of the network, as data or JSON; overrides the metadata.
        input_shape : tuple of int or int, optional
            Shape of one input item; a vector when absent.
        """
        if isinstance(source, Mapping):
            origin, tensors = "state dict", dict(source)
            metadata: dict[str, Any] = {}
        else:
            origin = str(source) if is_path(source) else "safetensors"
            tensors, metadata = _contents(source, origin)
        if layers is None and architecture is None:
            architecture = metadata.get(ARCHITECTURE)
        if architecture is not None:
            return _described(tensors, architecture, input_shape, origin)
        listed = _listed(origin, metadata[LAYERS]) if LAYERS in metadata else None
        parameters = _parameters(origin, tensors)
        order = _order(origin, parameters, layers if layers is not None else listed)
        graph = Graph(origin)
        with located(origin):
            if input_shape is None:
                first = parameters[next(step for step in order if step in parameters)]
                weight = first["weight"] if "weight" in first else first["weight_orig"]
                input_shape = int(np.shape(weight)[1])
            value = graph.start(item_shape(input_shape))
            return graph.finish(_build(graph, value, order, parameters))


def _described(
    tensors: dict[str, Any], architecture: object, input_shape: Shape | int | None, origin: str
) -> Network:
    """Network of an architecture; masked parameters are multiplied."""
    description = parsed(architecture, origin)
    if input_shape is not None:
        description["input_shape"] = list(item_shape(input_shape))
    sides = [tensors.pop(f"{INPUT}.{key}", None) for key in ("lower", "upper")]
    for key in [k for k in tensors if k.endswith("_mask")]:
        name = key.removesuffix("_mask")
        layer, _, kind = name.rpartition(".")
        if f"{name}_orig" in tensors:
            parts = {f"{kind}_orig": tensors.pop(f"{name}_orig"), f"{kind}_mask": tensors.pop(key)}
            tensors[name] = _merged(parts, layer, kind)
    network = rebuilt(description, tensors, origin)
    if all(side is None for side in sides):
        return network
    ends = (-np.inf, np.inf)
    with located(origin):
        bounds = (
            e if s is None else numeric(s, "bounds")[0] for e, s in zip(ends, sides, strict=True)
        )
        return network.with_input_bounds(*bounds)


def _build(
    graph: Graph, value: Value, order: Sequence[str], parameters: Mapping[str, Any]
) -> Value:
    for step in order:
        if step in parameters:
            weight, bias = (_merged(parameters[step], step, kind) for kind in ("weight", "bias"))
            value = dense(graph, step, value, weight, bias)
        elif step.lower() == "relu":
            value = relu(graph, "relu", value)
        elif step.lower() == "flatten":
            value = value.view("flatten", lambda a: a.reshape(1, -1))
    return value


def _merged(entry: Mapping[str, Any], layer: str, kind: str) -> Any:
    """Parameter with its mask applied; None when the layer has none."""
    if kind in entry:
        return entry[kind]
    if f"{kind}_orig" not in entry:
        return None
    original, single = numeric(entry[f"{kind}_orig"], f"{kind}_orig of {layer!r}")
    mask, _ = numeric(entry[f"{kind}_mask"], f"{kind}_mask of {layer!r}")
    if mask.shape != original.shape:
        msg = (
            f"layer {layer!r}: {kind}_orig of shape {original.shape} and {kind}_mask of shape "
            f"{mask.shape} differ"
        )
        raise NetworkError(msg)
    product = original * mask
    return product.astype(np.float32) if single else product


def _parameters(origin: str, tensors: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Tensors by layer and kind.

    Raises
    ------
    UnsupportedError
        When tensors belong to other layers than linear ones; all of them are listed.
    """
    layers: dict[str, dict[str, Any]] = {}
    refused = []
    for key, tensor in tensors.items():
        match = TENSOR.fullmatch(key)
        axes = np.ndim(tensor)
        expected = {"weight": 2, "bias": 1}
        if match is None or axes != expected[match[2]]:
            reason = "not the weight or bias of a linear layer"
            refused.append(f"{key!r} (tensor of shape {tuple(np.shape(tensor))}): {reason}")
        else:
            layers.setdefault(match[1] or "", {})[match[2] + (match[3] or "")] = tensor
    for layer, entry in layers.items():
        for kind in ("weight", "bias"):
            parts = {f"{kind}_orig", f"{kind}_mask"} & set(entry)
            if len(parts) == 1 or (parts and kind in entry):
                found = sorted(key for key in entry if key.startswith(kind))
                refused.append(f"{layer!r}: needs {kind}, or {kind}_orig and {kind}_mask; {found}")
        if not {"weight", "weight_orig"} & set(entry):
            refused.append(f"{layer!r}: has a bias and no weight")
    if refused:
        raise UnsupportedError(origin, refused)
    if not layers:
        msg = f"{origin}: holds no '<layer>.weight'; it holds {sorted(tensors)}"
        raise ReadError(msg)
    return layers


def _order(
    origin: str, parameters: Mapping[str, Any], listed: Sequence[str] | None
) -> Sequence[str]:
    """Layers and activations in order."""
    if listed is None:
        names = sorted(parameters, key=natural)
        return [step for name in names for step in (name, "relu")][:-1]
    unknown = [s for s in listed if s not in parameters and s.lower() not in ACTIVATIONS]
    unused = [name for name in parameters if name not in listed]
    if unknown or unused:
        msg = (
            f"{origin}: the list of layers {list(listed)} names {unknown}, which are neither "
            f"layers nor {ACTIVATIONS}, and leaves out {unused}"
        )
        raise ReadError(msg)
    return listed


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key that compares numbers in names by value: ``fc2`` before ``fc10``."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _contents(
    source: str | os.PathLike[str] | bytes, origin: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and metadata of a file."""
    import safetensors

    raw = existing_file(source).read_bytes() if is_path(source) else bytes(source)  # type: ignore[arg-type]
    try:
        entries = safetensors.deserialize(raw)  # type: ignore[no-untyped-call]
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    except (safetensors.SafetensorError, ValueError) as error:
        msg = f"{origin}: truncated, damaged or not a safetensors file: {error}"
        raise ReadError(msg) from error
    unknown = [f"{key!r} (type {t['dtype']})" for key, t in entries if t["dtype"] not in DTYPES]
    if unknown:
        raise UnsupportedError(origin, unknown)
    return {key: _decoded(tensor) for key, tensor in entries}, header.get("__metadata__", {})


def _listed(origin: str, text: str) -> list[str]:
    try:
        listed = json.loads(text)
    except ValueError:
        listed = None
    if isinstance(listed, list) and all(isinstance(step, str) for step in listed):
        return listed
    msg = f"{origin}: metadata {LAYERS!r} must be a JSON list of names, got {text!r}"
    raise ReadError(msg)


def _decoded(tensor: Mapping[str, Any]) -> Any:
    values = np.frombuffer(tensor["data"], DTYPES[tensor["dtype"]]).reshape(tensor["shape"])
    if tensor["dtype"] == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values
