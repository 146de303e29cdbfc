"""``.npz`` files: ``W0``, ``b0``, ... for chains; an architecture and arrays for everything."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.network.architecture import described, stored
from mipnet.network.layers import Affine, Flatten, ReLU
from mipnet.network.network import INPUT, Network
from mipnet.network.writers.base import Writer, register_writer, replace_file


@register_writer("npz")
class NpzWriter(Writer):
    """Networks of any layers, as the npz reader reads them."""

    suffixes = (".npz",)

    def content(
        self,
        network: Network,
        *,
        lower: npt.ArrayLike | None = None,
        upper: npt.ArrayLike | None = None,
        objective: npt.ArrayLike | None = None,
    ) -> bytes:
        """See :func:`save_npz`."""
        arrays = _chain(network) or _anything(network)
        own = (None, None) if network.input_bounds is None else network.input_bounds
        box = (own[0] if lower is None else lower, own[1] if upper is None else upper)
        for key, values in (("lb", box[0]), ("ub", box[1]), ("c", objective)):
            if values is not None:
                flat = np.asarray(values, float)
                arrays[key] = flat if flat.ndim == 0 else flat.ravel()
        stream = io.BytesIO()
        np.savez(stream, **arrays)
        return stream.getvalue()


def save_npz(
    network: Network,
    path: str | os.PathLike[str],
    lower: npt.ArrayLike | None = None,
    upper: npt.ArrayLike | None = None,
    objective: npt.ArrayLike | None = None,
) -> None:
    """Write a network as :func:`~mipnet.network.readers.npz.read_problem` reads it.

    A chain of Affine layers with ReLU in between is ``W0``, ``b0``, ``W1``, ...; where its names,
    its input shape or its layers are others, an ``architecture`` and the arrays it names.

    Parameters
    ----------
    network : Network
        Its own input bounds are written where ``lower`` or ``upper`` is None.
    path : path
        Written as it is; end it in ``.npz``.
    lower, upper : array_like, scalar or shape (n_in,), optional
    objective : array_like, scalar or shape (n_out,), optional

    Raises
    ------
    UnsupportedError
        When a layer of a third party holds what is neither number nor array.
    """
    content = NpzWriter().content(network, lower=lower, upper=upper, objective=objective)
    replace_file(Path(path), content)


def _chain(network: Network) -> dict[str, npt.ArrayLike] | None:
    """Weights and biases of a chain; None when the network is none."""
    before = INPUT
    for node in network.nodes:
        if node.inputs != (before,):
            return None
        before = node.name
    layers = [node for node in network.nodes if not isinstance(node.layer, Flatten)]
    alternate = all(isinstance(n.layer, (Affine, ReLU)[k % 2]) for k, n in enumerate(layers))
    if not alternate or len(layers) % 2 == 0:
        return None
    arrays: dict[str, npt.ArrayLike] = {}
    for k, node in enumerate(layers[::2]):
        arrays[f"W{k}"], arrays[f"b{k}"] = (
            stored(values, network.dtype) for values in node.layer.parameters
        )
    implied = [f"{'relu' if k % 2 else 'W'}{k // 2}" for k in range(len(layers))]
    if [node.name for node in network.nodes] != implied:
        description, _ = described(network, "npz")
        place = {node.name: k for k, node in enumerate(layers[::2])}
        for entry in description["nodes"]:
            if entry["name"] in place:
                k = place[entry["name"]]
                entry["arrays"] = {"weight": f"W{k}", "bias": f"b{k}"}
        arrays["architecture"] = np.array(json.dumps(description))
    return arrays


def _anything(network: Network) -> dict[str, Any]:
    description, arrays = described(network, "npz")
    return {**arrays, "architecture": np.array(json.dumps(description))}
