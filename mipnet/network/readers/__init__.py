"""Readers, one file per format; importing this package registers them all."""

from mipnet.network.readers.arrays import from_arrays
from mipnet.network.readers.base import READERS, Reader, load, register_reader
from mipnet.network.readers.npz import NpzProblem, read_problem
from mipnet.network.readers.onnx_file import OnnxReader
from mipnet.network.readers.safetensors_file import SafetensorsReader
from mipnet.network.readers.sklearn_model import SklearnReader
from mipnet.network.readers.torch_module import TorchReader
from mipnet.network.writers.npz import save_npz

__all__ = [
    "READERS",
    "NpzProblem",
    "OnnxReader",
    "Reader",
    "SafetensorsReader",
    "SklearnReader",
    "TorchReader",
    "from_arrays",
    "load",
    "read_problem",
    "register_reader",
    "save_npz",
]
