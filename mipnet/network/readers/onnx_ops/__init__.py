"""The ONNX operations that are read, one file for each group; importing this registers them."""

from mipnet.network.readers.onnx_ops import (
    activations,
    arithmetic,
    matrices,
    reductions,
    shapes,
    windows,
)
from mipnet.network.readers.onnx_ops.step import FLOATS, STEPS, LostError, Result, Step

__all__ = [
    "FLOATS",
    "STEPS",
    "LostError",
    "Result",
    "Step",
    "activations",
    "arithmetic",
    "matrices",
    "reductions",
    "shapes",
    "windows",
]
