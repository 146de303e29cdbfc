"""Certified bounds of every neuron over a region."""

from __future__ import annotations

import numpy.typing as npt

from mipnet.bounds.cascade import alpha_bounds, lp_bounds
from mipnet.bounds.crown import crown_bounds
from mipnet.bounds.data import Bounds, PhaseCount, Violation, as_region
from mipnet.bounds.interval import interval_bounds
from mipnet.bounds.milp import milp_bounds
from mipnet.bounds.storage import load_bounds, save_bounds
from mipnet.clocks import seconds
from mipnet.errors import BoundsError, QueryError
from mipnet.network import Network
from mipnet.region import Region

#: Names of the bounding methods, cheapest first.
METHODS = ("interval", "crown", "alpha", "lp", "milp")


def compute_bounds(
    network: Network,
    region: Region | tuple[npt.ArrayLike, npt.ArrayLike] | None,
    method: str = "crown",
    *,
    budget: float | None = None,
    threads: int = 1,
) -> Bounds:
    """Bounds of every neuron of a network over a region.

    Parameters
    ----------
    network : Network
    region : Region or (lower, upper)
    method : {"interval", "crown", "alpha", "lp", "milp"}
        ``alpha`` adds optimised slopes to CROWN; ``lp`` and ``milp`` add linear or mixed-integer
        programs to those, each for the neurons still unstable and while it pays.
    budget : float, optional
        Seconds for everything behind CROWN.
    threads : int
        Programs solved at once.

    Raises
    ------
    BoundsError
        When the method is unknown.
    QueryError
        When budget or threads make no sense.
    RegionError
        When the region does not fit the network.
    """
    region = as_region(network, region)
    budget = None if budget is None else seconds("budget", budget)
    if threads < 1:
        msg = f"threads must be at least 1, not {threads}"
        raise QueryError(msg)
    if method == "interval":
        return interval_bounds(network, region)
    if method == "crown":
        return crown_bounds(network, region)
    if method == "alpha":
        return alpha_bounds(network, region, budget=budget)
    if method == "lp":
        return lp_bounds(network, region, budget=budget, threads=threads)
    if method == "milp":
        return milp_bounds(network, region, budget=budget, threads=threads)
    msg = f"unknown bounding method {method!r}; known: {', '.join(METHODS)}"
    raise BoundsError(msg)


def first_bounds(
    network: Network, region: Region, method: str, *, budget: float | None = None
) -> Bounds:
    """Cheapest bounds a method starts with: intervals for ``interval``, else CROWN.

    Parameters
    ----------
    network : Network
    region : Region
    method : str
    budget : float, optional
        Seconds; neurons they do not suffice for keep interval bounds.

    Raises
    ------
    BoundsError
        When the method is unknown.
    """
    if method in METHODS[1:]:
        return crown_bounds(network, region, budget=budget)
    return compute_bounds(network, region, method)


__all__ = [
    "METHODS",
    "Bounds",
    "PhaseCount",
    "Violation",
    "alpha_bounds",
    "as_region",
    "compute_bounds",
    "crown_bounds",
    "first_bounds",
    "interval_bounds",
    "load_bounds",
    "lp_bounds",
    "milp_bounds",
    "save_bounds",
]
