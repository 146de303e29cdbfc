"""ONNX files: any graph of the operations in :mod:`mipnet.network.readers.onnx_ops`."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING, Any, cast

from mipnet.errors import MissingPackageError, ReadError
from mipnet.network.layers.base import Shape
from mipnet.network.network import Network
from mipnet.network.readers.base import (
    Reader,
    existing_file,
    has_suffix,
    head,
    is_instance,
    is_path,
    register_reader,
)
from mipnet.network.readers.onnx_functions import ForeignFunctionError, inlined
from mipnet.network.readers.onnx_walk import Walk
from mipnet.network.readers.values import located

if TYPE_CHECKING:
    from onnx import ModelProto

#: Largest file that is unpacked: packed files of a kilobyte can hold gigabytes.
MAX_BYTES = 2**31


@register_reader("onnx")
class OnnxReader(Reader):
    """Files with one input of floating type, of operations that are read.

    A symbolic, missing or zero first dimension of the input is a batch of one. Casts between
    floating types count as the identity: the network is the real function, and its ``dtype`` tells
    the precision of the parameters. Functions stored in the model are inlined.
    """

    takes = ".onnx or .onnx.gz file, its bytes, or an onnx.ModelProto"

    def accepts(self, source: object) -> bool:
        """See :meth:`Reader.accepts`."""
        if isinstance(source, (bytes, bytearray, memoryview)):
            start = head(source, 9)
            return start[:2] != b"PK" and start[8:] != b"{"
        return has_suffix(source, ".onnx", ".onnx.gz") or is_instance(source, "onnx", "ModelProto")

    def read(
        self, source: Any, *, input_shape: Shape | int | None = None, output: str | None = None
    ) -> Network:
        """Read a model.

        Parameters
        ----------
        source : path, bytes or onnx.ModelProto
        input_shape : tuple of int or int, optional
            Shape of one input item, where the model leaves it open.
        output : str, optional
            Name of the tensor to take as output; needed when the model has several outputs.

        Raises
        ------
        MissingPackageError
            When onnx is not installed.
        ReadError
            When the file is missing, truncated or damaged.
        UnsupportedError
            When steps cannot be read; all of them are listed.
        NetworkError
            When shapes do not fit or a parameter is NaN or infinite.
        """
        origin = str(source) if is_path(source) else "onnx"
        model = _model(source, origin)
        try:
            with located(origin):
                try:
                    return Walk(inlined(model), origin).network(input_shape, output)
                except ForeignFunctionError:
                    everything = inlined(model, whole=True)
                    return Walk(everything, origin).network(input_shape, output)
        except UnicodeDecodeError as error:
            msg = f"{origin}: damaged: holds a name that is no text (UTF-8)"
            raise ReadError(msg) from error


def _model(source: Any, origin: str) -> ModelProto:
    try:
        import onnx
    except ImportError as error:
        raise MissingPackageError("onnx", "reading ONNX", "onnx") from error
    if isinstance(source, onnx.ModelProto):
        return source
    path = existing_file(source) if is_path(source) else None
    try:
        if path is None:
            model = onnx.load_model_from_string(bytes(source))
        elif path.suffix.lower() == ".gz":
            with gzip.open(path) as stream:
                raw = stream.read(MAX_BYTES)
            model = onnx.load_model_from_string(raw)
        else:
            model = onnx.load(os.fspath(path))
    except Exception as error:
        msg = f"{origin}: truncated, damaged or not an ONNX model: {_text(error)}"
        raise ReadError(msg) from error
    if not model.graph.node or not model.graph.output or not model.opset_import:
        msg = f"{origin}: truncated, damaged or not an ONNX model: no nodes, outputs or opset"
        raise ReadError(msg)
    return cast("ModelProto", model)


def _text(error: Exception) -> str:
    """Message of an error, also where it quotes bytes that are no text."""
    return str(error).encode("utf-8", "replace").decode()
