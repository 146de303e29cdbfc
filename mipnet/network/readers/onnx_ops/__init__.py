"""The ONNX operations that are read, one file for each group; importing this registers them."""

from mipnet.network.readers.onnx_ops import (
    activations,
    arithmetic,
    matrices,
    reductions,
    shapes,
    windows,
)
from mipnet.network.readers.onnx_ops.remedies import KEEPING, REMEDIES
from mipnet.network.readers.onnx_ops.step import FLOATS, STEPS, Result, Step

__all__ = [
    "FLOATS",
    "KEEPING",
    "REMEDIES",
    "STEPS",
    "Result",
    "Step",
    "activations",
    "arithmetic",
    "matrices",
    "reductions",
    "shapes",
    "windows",
]
