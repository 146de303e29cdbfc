"""Projected-gradient search for points of a region where a linear output function is large."""

from __future__ import annotations

import numpy as np

from mipnet.network import Network
from mipnet.network.layers.base import Array
from mipnet.region import Region


def ascend(
    network: Network, region: Region, weights: Array, points: Array, *, steps: int = 60
) -> tuple[Array, Array]:
    """Maximise ``weights . outputs`` from many start points at once.

    Projected gradient ascent (Madry et al., ICLR 2018) with a linearly falling step. The step
    direction is the steepest one for the norm of the region, so an l1 ball moves few
    coordinates far instead of all of them a little.

    Parameters
    ----------
    network : Network
    region : Region
    weights : array, shape (batch, n_outputs)
        One linear function for each item of the batch.
    points : array, shape (batch, n_inputs)
        Start points; projected to the region first.
    steps : int

    Returns
    -------
    points : array, shape (batch, n_inputs)
        Best point seen of each item, inside the region.
    values : array, shape (batch,)
        Its value.
    """
    shape = (points.shape[0], *network.input_shape)
    seeds = weights.reshape(points.shape[0], *network.shapes[network.output])
    current = region.project(points)
    best, best_value = current, np.full(points.shape[0], -np.inf)
    for step in range(steps + 1):
        outputs, gradient = network.gradient(current.reshape(shape), seeds)
        values = (outputs * seeds).reshape(points.shape[0], -1).sum(axis=-1)
        better = values > best_value
        best = np.where(better[:, None], current, best)
        best_value = np.where(better, values, best_value)
        length = 0.5 * (1.0 - step / (steps + 1))
        current = region.project(current + length * region.ascent(gradient.reshape(current.shape)))
    return best, best_value


def start_points(region: Region, rng: np.random.Generator, count: int) -> Array:
    """``count`` start points: the centre first, then random points of the region."""
    return np.concatenate([region.centre[None], region.sample(rng, max(0, count - 1))])
