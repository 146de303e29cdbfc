"""Writers, one file per format; importing this package registers them all."""

from mipnet.network.writers.base import WRITERS, Writer, register_writer, save
from mipnet.network.writers.npz import NpzWriter, save_npz
from mipnet.network.writers.onnx_file import OnnxWriter, to_onnx
from mipnet.network.writers.safetensors_file import SafetensorsWriter
from mipnet.network.writers.torch_module import to_torch

__all__ = [
    "WRITERS",
    "NpzWriter",
    "OnnxWriter",
    "SafetensorsWriter",
    "Writer",
    "register_writer",
    "save",
    "save_npz",
    "to_onnx",
    "to_torch",
]
