"""The torch functions, methods and modules that are read, one file for each group.

Parameters have torch's names and order, so that calls recorded from a model bind to them as they
are. What does not change the values of a batch of one in evaluation mode is the identity.
"""

from mipnet.network.readers.torch_ops import (
    activations,
    arithmetic,
    matrices,
    reductions,
    shapes,
    windows,
)
from mipnet.network.readers.torch_ops.modules import module_step
from mipnet.network.readers.torch_ops.remedies import KEEPING, remedy_of
from mipnet.network.readers.torch_ops.step import ALIASES, SCALARS, STEPS, Step

__all__ = [
    "ALIASES",
    "KEEPING",
    "SCALARS",
    "STEPS",
    "Step",
    "activations",
    "arithmetic",
    "matrices",
    "module_step",
    "reductions",
    "remedy_of",
    "shapes",
    "windows",
]
