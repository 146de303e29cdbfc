"""The model a network was read from, run by onnxruntime: a second opinion on every answer."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np

from mipnet.errors import QueryError
from mipnet.network import Network
from mipnet.network.layers.base import Array
from mipnet.network.readers.base import has_suffix, head, is_instance, is_path

#: Largest accepted difference between network and model, relative to the size of the outputs.
AGREEMENT = 1e-3

_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}


class OnnxReference:
    """An onnxruntime session on the source of a network.

    Parameters
    ----------
    source : path, bytes or onnx.ModelProto
    n_inputs : int
    threads : int

    Raises
    ------
    ImportError
        When onnxruntime is not installed.
    QueryError
        When onnxruntime does not take the model.

    Attributes
    ----------
    name : str
        Program and version.
    """

    def __init__(self, source: Any, n_inputs: int, threads: int = 1) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4
        try:
            self.session = ort.InferenceSession(
                _model(source), sess_options=options, providers=["CPUExecutionProvider"]
            )
        # The exceptions of onnxruntime share no class of their own.
        except Exception as error:
            msg = f"onnxruntime does not take the model: {_short(error)}"
            raise QueryError(msg) from error
        self.name = f"onnxruntime {ort.__version__}"
        entry = next(i for i in self.session.get_inputs())
        self.entry, self.dtype = entry.name, _TYPES.get(entry.type, np.float32)
        shape = [d if isinstance(d, int) and d > 0 else 1 for d in entry.shape]
        self.shape = shape if int(np.prod(shape)) == n_inputs else [1, n_inputs]

    def __call__(self, point: Array) -> Array:
        """Evaluate one point; outputs flat, in float64.

        Raises
        ------
        QueryError
            When onnxruntime fails.
        """
        with np.errstate(over="ignore"):
            values = np.asarray(point, dtype=self.dtype).reshape(self.shape)
        try:
            outputs = self.session.run(None, {self.entry: values})[0]
        except Exception as error:
            msg = f"onnxruntime fails: {_short(error)}"
            raise QueryError(msg) from error
        return np.asarray(outputs, dtype=np.float64).reshape(-1)


def reference(source: object, network: Network, threads: int = 1) -> tuple[Any, str]:
    """Return an :class:`OnnxReference` and its name, or None and why there is none.

    Raises
    ------
    QueryError
        When onnxruntime is installed and does not take the model.
    """
    is_bytes = isinstance(source, (bytes, bytearray, memoryview)) and head(source, 2) != b"PK"
    is_onnx = has_suffix(source, ".onnx", ".onnx.gz") or is_instance(source, "onnx", "ModelProto")
    if not (is_bytes or is_onnx):
        return None, "not an ONNX model"
    try:
        made = OnnxReference(source, network.n_inputs, threads)
    except ImportError:
        return None, "onnxruntime is not installed"
    return made, made.name


def disagreement(network: Network, model: OnnxReference, points: Array) -> str:
    """Say where network and model differ by more than rounding explains; empty when nowhere.

    Parameters
    ----------
    network : Network
    model : OnnxReference
    points : array, shape (batch, n_inputs)
    """
    # Both see the points as the model would.
    seen = points.astype(model.dtype).astype(np.float64)
    theirs = np.stack([model(point) for point in seen])
    trace = network.trace(seen.reshape(-1, *network.input_shape))
    ours = np.asarray(trace[network.output], dtype=np.float64).reshape(len(seen), -1)
    if ours.shape != theirs.shape:
        return f"{theirs.shape[1]} outputs of the model, {ours.shape[1]} of the network as read"
    # Rounding scales with the largest value on the way, not with the outputs alone.
    size = max(float(np.abs(values).max(initial=0.0)) for values in trace.values())
    worst = float(np.abs(ours - theirs).max(initial=0.0))
    if worst <= AGREEMENT * size:
        return ""
    return f"the network as read differs from {model.name} by {worst:.3g} at a point"


def _model(source: Any) -> Any:
    if is_path(source):
        path = Path(source)
        # A path, not its bytes: weights may lie in files beside it.
        return gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else str(path)
    return bytes(source) if not hasattr(source, "SerializeToString") else source.SerializeToString()


def _short(error: Exception) -> str:
    """First part of a message, in one line."""
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:297] + "..."
