"""Weights that are almost 0: how many there are, and what dropping them costs at most."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mipnet.arguments import require
from mipnet.certify.difference import DifferenceBounds, difference_bounds
from mipnet.errors import QueryError
from mipnet.network import Affine, Layer, Network
from mipnet.network.layers import Conv
from mipnet.region import Region

#: Solvers take coefficients of this size, and below, for 0.
SMALL = 1e-9


@dataclass(frozen=True)
class NearZeros:
    """Near-zero weights of one layer.

    Attributes
    ----------
    layer : str
    weights, zeros, near_zeros : int
        Weights in all, those that are 0, and those of at most ``threshold`` that are not.
    largest : float
        Largest absolute value among them; 0 where there is none.
    """

    layer: str
    weights: int
    zeros: int
    near_zeros: int
    largest: float


@dataclass(frozen=True)
class Dropped:
    """A network without its near-zero weights.

    Attributes
    ----------
    network : Network
    layers : tuple of NearZeros
        What was dropped.
    difference : DifferenceBounds
        Proven bounds of the outputs of the original minus those of ``network`` over the region.
    """

    network: Network
    layers: tuple[NearZeros, ...]
    difference: DifferenceBounds

    @property
    def count(self) -> int:
        """Weights that were dropped."""
        return sum(layer.near_zeros for layer in self.layers)


def near_zeros(network: Network, threshold: float = SMALL) -> tuple[NearZeros, ...]:
    """Count near-zero weights of every Affine and Conv layer; biases are no coefficients.

    Parameters
    ----------
    network : Network
    threshold : float
        Largest absolute value that counts.

    Raises
    ------
    QueryError
        When the threshold is no finite number from 0 on.
    """
    _check(network, threshold)
    found = []
    for node in network.nodes:
        if isinstance(node.layer, Affine | Conv):
            size = np.abs(node.layer.weight)
            small = size[(size > 0.0) & (size <= threshold)]
            zeros = int((size == 0.0).sum())
            largest = float(small.max(initial=0.0))
            found.append(NearZeros(node.name, size.size, zeros, small.size, largest))
    return tuple(found)


def drop_near_zeros(
    network: Network,
    region: Region | tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    threshold: float = SMALL,
    *,
    refinement: str = "none",
) -> Dropped:
    """Set near-zero weights to 0, with a proven bound of what that does to the outputs.

    Parameters
    ----------
    network : Network
    region : Region or (lower, upper), optional
        Where the bound holds; the input bounds of the network when absent.
    threshold : float
    refinement : {"none", "mip"}
        See :func:`difference_bounds`.

    Returns
    -------
    Dropped

    Raises
    ------
    QueryError
        When the threshold is no finite number from 0 on.
    RegionError
        When the region does not fit.

    Examples
    --------
    >>> net = Network.sequential([Affine([[1.0, 1e-12]], [0.0])])
    >>> found = drop_near_zeros(net, (-1.0, 1.0))
    >>> found.count, 1e-12 <= found.difference.largest < 1.001e-12
    (1, True)
    """
    _check(network, threshold)
    layers: dict[str, Layer] = {}
    for node in network.nodes:
        if isinstance(node.layer, Affine | Conv):
            weight = node.layer.weight
            kept = np.where(np.abs(weight) <= threshold, 0.0, weight)
            layers[node.name] = replace(node.layer, weight=kept)
    small = network.with_layers(layers)
    difference = difference_bounds(network, small, region, refinement=refinement)
    return Dropped(small, near_zeros(network, threshold), difference)


def _check(network: Network, threshold: float) -> None:
    require(network, Network, "network", QueryError)
    real = isinstance(threshold, int | float | np.number) and not isinstance(threshold, bool)
    if not real or not 0.0 <= threshold < np.inf:
        msg = f"the threshold must be a finite number from 0 on, not {threshold!r}"
        raise QueryError(msg)
