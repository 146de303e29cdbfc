"""Size and coefficients of a network, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mipnet.network import Network
from mipnet.network.layers.base import Array, Shape
from mipnet.solver import SMALL


@dataclass(frozen=True)
class Coefficients:
    """Counts and range of a set of parameters, weights and biases alike.

    Attributes
    ----------
    parameters : int
    zeros : int
        Exactly zero.
    near_zeros : int
        Not zero, and so small that the solver would drop them.
    least, most : float or None
        Smallest and largest absolute value that is not zero; None where all are.
    """

    parameters: int
    zeros: int
    near_zeros: int
    least: float | None
    most: float | None

    @classmethod
    def of(cls, arrays: tuple[Array, ...]) -> Coefficients:
        """Count the entries of some arrays."""
        sizes = np.abs(np.concatenate([np.zeros(0), *(a.reshape(-1) for a in arrays)]))
        filled = sizes[sizes > 0.0]
        return cls(
            parameters=sizes.size,
            zeros=sizes.size - filled.size,
            near_zeros=int(np.count_nonzero(filled <= SMALL)),
            least=float(filled.min()) if filled.size else None,
            most=float(filled.max()) if filled.size else None,
        )


@dataclass(frozen=True)
class LayerDescription:
    """One layer.

    Attributes
    ----------
    name, kind : str
    inputs : tuple of str
        Names of the layers it reads.
    shape : tuple of int
        Of one output item.
    coefficients : Coefficients
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    shape: Shape
    coefficients: Coefficients


@dataclass(frozen=True)
class NetworkDescription:
    """A network.

    Attributes
    ----------
    source, dtype, fingerprint : str
    input_shape : tuple of int
    n_outputs : int
    bounds : tuple of two lists of float, or None
        Bounds of the flattened input.
    layers : tuple of LayerDescription
    coefficients : Coefficients
        Of all layers.
    """

    source: str
    dtype: str
    fingerprint: str
    input_shape: Shape
    n_outputs: int
    bounds: tuple[list[float], list[float]] | None
    layers: tuple[LayerDescription, ...]
    coefficients: Coefficients


def describe(network: Network) -> NetworkDescription:
    """Describe a network.

    Parameters
    ----------
    network : Network
    """
    bounds = network.input_bounds
    return NetworkDescription(
        source=network.source,
        dtype=network.dtype,
        fingerprint=network.fingerprint,
        input_shape=network.input_shape,
        n_outputs=network.n_outputs,
        bounds=None if bounds is None else (bounds[0].ravel().tolist(), bounds[1].ravel().tolist()),
        layers=tuple(
            LayerDescription(
                node.name,
                node.layer.kind,
                node.inputs,
                network.shapes[node.name],
                Coefficients.of(node.layer.parameters),
            )
            for node in network.nodes
        ),
        coefficients=Coefficients.of(
            tuple(p for node in network.nodes for p in node.layer.parameters)
        ),
    )
