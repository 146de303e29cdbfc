"""Projected-gradient search for points of a region where output functions are large."""

from __future__ import annotations

import numpy as np

from mipnet.clocks import Stopwatch
from mipnet.network import Network
from mipnet.network.layers.base import Array
from mipnet.region import Region

#: First steps of the later rounds of a descent, points that take part in them, and steps of the
#: first and of the later rounds: branch and bound polishes what it starts from.
LENGTHS, _KEPT, _STEPS = (0.1, 0.02, 0.004), 16, (40, 20)

#: Share of the seconds left that an attack may take.
SHARE = 0.2


def ascend(
    network: Network,
    region: Region,
    rows: Array,
    offsets: Array,
    points: Array,
    *,
    steps: int = 60,
    length: float = 0.5,
    watch: Stopwatch | None = None,
) -> tuple[Array, Array]:
    """Maximise ``min(rows @ outputs + offsets)`` from many start points at once.

    Projected gradient ascent (Madry et al., ICLR 2018) on the smallest row, with a linearly
    falling step. The step direction is the steepest one for the norm of the region, so an l1
    ball moves few coordinates far instead of all of them a little.

    Parameters
    ----------
    network : Network
    region : Region
    rows : array, shape (batch, r, n_outputs)
        One conjunction of linear functions for each item of the batch.
    offsets : array, shape (batch, r)
    points : array, shape (batch, n_inputs)
        Start points; projected to the region first.
    steps : int
    length : float
        First step, as a share of the region.
    watch : Stopwatch, optional
        No step begins once :data:`SHARE` of the seconds it has now are over.

    Returns
    -------
    points : array, shape (batch, n_inputs)
        Best point seen of each item, inside the region.
    values : array, shape (batch,)
        Its smallest row.
    """
    batch = points.shape[0]
    items = np.arange(batch)
    shape = (batch, *network.input_shape)
    current = region.project(points)
    best, best_value = current, np.full(batch, -np.inf)
    turn = share_of(watch)
    for step in range(steps + 1):
        outputs = network(current.reshape(shape)).reshape(batch, -1)
        values = np.einsum("bro,bo->br", rows, outputs) + offsets
        worst = np.argmin(values, axis=1)
        reached = values[items, worst]
        better = reached > best_value
        best = np.where(better[:, None], current, best)
        best_value = np.where(better, reached, best_value)
        if step == steps or turn.expired:
            break
        seeds = rows[items, worst].reshape(batch, *network.shapes[network.output])
        gradient = network.gradient(current.reshape(shape), seeds)
        share = length * (1.0 - step / (steps + 1))
        current = region.project(current + share * region.ascent(gradient.reshape(batch, -1)))
    return best, best_value


def share_of(watch: Stopwatch | None) -> Stopwatch:
    """Return a stopwatch over the part of the seconds left that an attack may take."""
    left = None if watch is None else watch.left
    return Stopwatch(None if left is None else SHARE * left)


def descend(
    network: Network, region: Region, points: Array, watch: Stopwatch | None = None
) -> tuple[Array, Array]:
    """Minimise the one output of a network from many start points, with shorter and shorter steps.

    Near a kink long steps jump to and fro; the best points go on with shorter ones.

    Parameters
    ----------
    network : Network
    region : Region
    points : array, shape (batch, n_inputs)
    watch : Stopwatch, optional
        As for :func:`ascend`.

    Returns
    -------
    points : array, shape (batch, n_inputs)
        Inside the region.
    values : array, shape (batch,)
    """
    rows = -np.ones((len(points), 1, 1))
    sides = np.zeros(rows.shape[:2])
    turn = share_of(watch)
    points, values = ascend(network, region, rows, sides, points, steps=_STEPS[0], watch=watch)
    for length in LENGTHS:
        if turn.expired:
            break
        kept = np.argsort(-values)[:_KEPT]
        points[kept], values[kept] = ascend(
            network,
            region,
            rows[kept],
            sides[kept],
            points[kept],
            steps=_STEPS[1],
            length=length,
            watch=watch,
        )
    return points, -values


def start_points(region: Region, rng: np.random.Generator, count: int) -> Array:
    """``count`` start points: the centre first, then random points of the region."""
    return np.concatenate([region.centre[None], region.sample(rng, max(0, count - 1))])
