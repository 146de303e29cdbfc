"""ONNX files of networks of any layers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from mipnet.errors import MissingPackageError, QueryError, UnsupportedError
from mipnet.network.architecture import layer_data, stored
from mipnet.network.network import INPUT, Network
from mipnet.network.onnx_double import BODIES, DOMAIN, OPSET
from mipnet.network.writers import onnx_layers
from mipnet.network.writers.base import Writer, register_writer
from mipnet.network.writers.onnx_draft import RULES, Draft

if TYPE_CHECKING:
    from onnx import ModelProto

#: Version of the file format; older runtimes read it too.
IR_VERSION = 9
#: Entries of the metadata that hold input bounds.
BOUNDS = ("mipnet.lower", "mipnet.upper")

__all__ = ["OnnxWriter", "onnx_layers", "to_onnx"]


def to_onnx(network: Network, *, dtype: str | None = None) -> ModelProto:
    """Return a network as an ONNX model with a free batch axis.

    In double precision, layers that onnxruntime has in single precision only become functions
    that are stored in the model (:mod:`mipnet.network.onnx_double`).

    Parameters
    ----------
    network : Network
    dtype : {"float32", "float64"}, optional
        That of the network when absent, or float64 where float32 would round a parameter.

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    MissingPackageError
        When onnx is not installed.
    QueryError
        When the dtype is another, or a parameter has no value in it.
    UnsupportedError
        When a layer has no rule for ONNX; all of them are listed.
    """
    try:
        from onnx import helper
    except ImportError as error:
        raise MissingPackageError("onnx", "writing ONNX", "onnx") from error
    chosen = _dtype(network, dtype)
    draft = _drafted(network, chosen)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(chosen))
    ends = [
        helper.make_tensor_value_info(name, kind, ["batch", *network.shapes[name]])
        for name in (INPUT, network.output)
    ]
    graph = helper.make_graph(draft.nodes, "mipnet", ends[:1], ends[1:], draft.stored)
    opsets = [helper.make_opsetid("", OPSET)]
    if draft.functions:
        opsets.append(helper.make_opsetid(DOMAIN, 1))
    model = helper.make_model(
        graph, opset_imports=opsets, ir_version=IR_VERSION, functions=draft.functions,
        producer_name="mipnet",
    )  # fmt: skip
    if network.input_bounds is not None:
        texts = [json.dumps(bound.ravel().tolist()) for bound in network.input_bounds]
        helper.set_model_props(model, dict(zip(BOUNDS, texts, strict=True)))
    return model


def _drafted(network: Network, chosen: str) -> Draft:
    """Nodes, constants and functions of a network in a precision."""
    refused = [
        f"{node.name!r} ({node.layer.kind}): no rule for ONNX; save as safetensors or npz"
        for node in network.nodes
        if node.layer.kind not in RULES
    ]
    if refused:
        raise UnsupportedError("ONNX", refused)
    draft = Draft(chosen, {INPUT, *network.by_name})
    for node in network.nodes:
        inputs, shapes = list(node.inputs), [network.shapes[i] for i in node.inputs]
        if chosen == "float64" and node.layer.kind in BODIES:
            arrays = [
                draft.constant(getattr(node.layer, key), f"{node.name}.{key}")
                for key in layer_data(node.layer)[1]
            ]
            draft.call(node.layer, shapes[0], [*inputs, *arrays], node.name)
        else:
            RULES[node.layer.kind](draft, node.layer, inputs, node.name, shapes)
    return draft


def _dtype(network: Network, given: str | None) -> str:
    """Precision to write in."""
    if given not in (None, "float32", "float64"):
        msg = f"dtype must be float32 or float64, not {given!r}"
        raise QueryError(msg)
    single = np.finfo(np.float32)
    for node in network.nodes:
        for values in node.layer.parameters:
            if given == "float32" and values.size and np.abs(values).max() > float(single.max):
                msg = f"layer {node.name!r}: a parameter is beyond float32; write float64"
                raise QueryError(msg)
    if given is not None:
        return given
    lossless = all(
        stored(values, network.dtype).dtype == network.dtype
        for node in network.nodes
        for values in node.layer.parameters
    )
    return network.dtype if lossless else "float64"


@register_writer("onnx")
class OnnxWriter(Writer):
    """ONNX files; see :func:`to_onnx`."""

    suffixes = (".onnx",)

    def content(self, network: Network, *, dtype: str | None = None) -> bytes:
        """See :func:`to_onnx`."""
        model = to_onnx(network, dtype=dtype)
        if model.ByteSize() >= 2**31:
            msg = "the model has more than 2 GiB, the most an ONNX file holds; save as safetensors"
            raise QueryError(msg)
        return model.SerializeToString(deterministic=True)  # type: ignore[no-any-return]
