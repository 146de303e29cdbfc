"""safetensors files: a state dict, and the architecture in the metadata."""

from __future__ import annotations

import json

import numpy as np

from mipnet.network.architecture import described
from mipnet.network.network import INPUT, Network
from mipnet.network.writers.base import Writer, register_writer

#: Entry of the metadata that holds the architecture.
ARCHITECTURE = "mipnet.architecture"


@register_writer("safetensors")
class SafetensorsWriter(Writer):
    """Networks of any layers: tensors ``<layer>.<parameter>``, and the architecture as JSON.

    Input bounds are the tensors ``input.lower`` and ``input.upper``.
    """

    suffixes = (".safetensors",)

    def content(self, network: Network) -> bytes:
        """See :meth:`Writer.content`."""
        from safetensors.numpy import save

        description, arrays = described(network, "safetensors")
        if network.input_bounds is not None:
            for key, bound in zip(("lower", "upper"), network.input_bounds, strict=True):
                arrays[f"{INPUT}.{key}"] = bound
        tensors = {key: np.ascontiguousarray(values) for key, values in arrays.items()}
        return save(tensors, metadata={ARCHITECTURE: json.dumps(description)})
