"""Certified bounds of every neuron over a region."""

from __future__ import annotations

from collections.abc import Callable

from mipnet.bounds.cascade import lp_bounds
from mipnet.bounds.crown import crown_bounds
from mipnet.bounds.data import Bounds, PhaseCount, Violation
from mipnet.bounds.interval import interval_bounds
from mipnet.errors import BoundsError
from mipnet.network import Network
from mipnet.region import Region

_METHODS: dict[str, Callable[[Network, Region], Bounds]] = {
    "interval": interval_bounds,
    "crown": crown_bounds,
    "lp": lp_bounds,
}


def compute_bounds(network: Network, region: Region, method: str = "crown") -> Bounds:
    """Bounds of every neuron of a network over a region.

    Parameters
    ----------
    network : Network
    region : Region
    method : {"crown", "interval", "lp"}

    Raises
    ------
    BoundsError
        When the method is unknown.
    RegionError
        When the region does not fit the network.
    """
    if method not in _METHODS:
        msg = f"unknown bounding method {method!r}; known: {', '.join(sorted(_METHODS))}"
        raise BoundsError(msg)
    return _METHODS[method](network, region)


__all__ = [
    "Bounds",
    "PhaseCount",
    "Violation",
    "compute_bounds",
    "crown_bounds",
    "interval_bounds",
    "lp_bounds",
]
