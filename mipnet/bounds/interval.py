"""Interval bounds: one forward sweep of the layers' interval rules."""

from __future__ import annotations

import time

from mipnet.bounds.data import Bounds
from mipnet.errors import RegionError
from mipnet.network import INPUT, Interval, Network
from mipnet.region import Region


def input_interval(network: Network, region: Region) -> Interval:
    """Bounding box of the region in the input shape of the network.

    Raises
    ------
    RegionError
        When the region has another number of inputs than the network.
    """
    if region.n_inputs != network.n_inputs:
        msg = f"the region has {region.n_inputs} inputs, the network {network.n_inputs}"
        raise RegionError(msg)
    return region.box().reshape(network.input_shape)


def interval_bounds(network: Network, region: Region) -> Bounds:
    """Interval bounds of every node (Moore 1966), rounded outward.

    Parameters
    ----------
    network : Network
    region : Region

    Returns
    -------
    Bounds
    """
    start = time.perf_counter()
    intervals = {INPUT: input_interval(network, region)}
    for node in network.nodes:
        intervals[node.name] = node.layer.interval(*(intervals[i] for i in node.inputs))
    methods = dict.fromkeys(intervals, "interval")
    return Bounds(network, intervals, methods, time.perf_counter() - start)
