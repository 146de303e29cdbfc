"""Certified bounds of every neuron over a region."""

from __future__ import annotations

from mipnet.bounds.cascade import lp_bounds
from mipnet.bounds.crown import crown_bounds
from mipnet.bounds.data import Bounds, PhaseCount, Violation
from mipnet.bounds.interval import interval_bounds
from mipnet.errors import BoundsError
from mipnet.network import Network
from mipnet.region import Region

#: Names of the bounding methods, cheapest first.
METHODS = ("interval", "crown", "lp")


def compute_bounds(
    network: Network,
    region: Region,
    method: str = "crown",
    *,
    budget: float | None = None,
    threads: int = 1,
) -> Bounds:
    """Bounds of every neuron of a network over a region.

    Parameters
    ----------
    network : Network
    region : Region
    method : {"interval", "crown", "lp"}
        ``lp`` adds linear programs for the neurons CROWN leaves unstable, while they pay.
    budget : float, optional
        Seconds for the linear programs.
    threads : int
        Linear programs solved at once.

    Raises
    ------
    BoundsError
        When the method is unknown.
    RegionError
        When the region does not fit the network.
    """
    if method == "interval":
        return interval_bounds(network, region)
    if method == "crown":
        return crown_bounds(network, region)
    if method == "lp":
        return lp_bounds(network, region, budget=budget, threads=threads)
    msg = f"unknown bounding method {method!r}; known: {', '.join(METHODS)}"
    raise BoundsError(msg)


__all__ = [
    "METHODS",
    "Bounds",
    "PhaseCount",
    "Violation",
    "compute_bounds",
    "crown_bounds",
    "interval_bounds",
    "lp_bounds",
]
