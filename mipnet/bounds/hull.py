r"""Upper planes of the first neurons over a box, tighter than their triangles.

Over a box the least concave function above :math:`\max(0, w x + b)` is the minimum of planes

.. math:: y \le \sum_{i \in I} w_i (x_i - \breve L_i) + \frac{\ell(I)}{\breve U_h - \breve L_h}
          (x_h - \breve L_h)

(Tjandraatmadja et al., NeurIPS 2020, theorem 1), where :math:`\breve L, \breve U` are the ends of
the box where :math:`w x` is least and greatest, and :math:`\ell(I)` is :math:`w x + b` with the
inputs in :math:`I` at their least and the others at their greatest end. The plane that is lowest at
a point is found by sorting. Which planes matter for a target is found by cutting planes; their dual
values mix them into one plane for each neuron.

Any slope :math:`p` makes a valid plane with the offset :math:`\max_x \max(0, w x + b) - p x`, which
over a box is a maximum of two sums: the planes here are sound whatever the linear programs did.
"""

from __future__ import annotations

import numpy as np

from formulations import AffineForm, Program
from mipnet.bounds.chain import Chain, Hull
from mipnet.clocks import Stopwatch
from mipnet.network.layers.base import Array
from mipnet.region import Region
from mipnet.rounding import gamma, up
from mipnet.solver.sequence import LinearSequence

#: Rounds of cutting planes, and gain of a round, relative to all rounds, that ends them.
_ROUNDS, _GAIN = 12, 0.01
#: Violation of a plane, relative to the range of its neuron, that makes it a cut.
_VIOLATED = 1e-3


def planes(weight: Array, bias: Array, slopes: Array, lower: Array, upper: Array) -> Hull:
    """Return valid planes of given slopes.

    Parameters
    ----------
    weight, slopes : array, shape (n, n_inputs)
    bias : array, shape (n,)
    lower, upper : array, shape (n_inputs,)
    """
    reach = np.maximum(np.abs(lower), np.abs(upper))

    def highest(rows: Array, size: Array) -> Array:
        value = np.maximum(rows, 0.0) @ upper + np.minimum(rows, 0.0) @ lower
        return up(value, gamma(2 * reach.size + 6) * size)

    most = np.abs(slopes) @ reach
    active = (np.abs(weight) + np.abs(slopes)) @ reach + np.abs(bias)
    above = up(highest(weight - slopes, active) + bias, gamma(4) * active)
    offsets = np.maximum(highest(-slopes, most), above)
    return Hull(slopes, offsets, float((most + np.abs(offsets)).max(initial=0.0)))


def lowest_planes(weight: Array, bias: Array, lower: Array, upper: Array, point: Array) -> Array:
    """Slopes of the planes of the hull that are lowest at a point, shape (n, n_inputs).

    Parameters
    ----------
    weight : array, shape (n, n_inputs)
    bias : array, shape (n,)
    lower, upper, point : array, shape (n_inputs,)
    """
    low, high = np.where(weight >= 0.0, lower, upper), np.where(weight >= 0.0, upper, lower)
    width = high - low
    share = np.where(width == 0.0, 0.0, (point - low) / np.where(width == 0.0, 1.0, width))
    order = np.argsort(share, axis=1, kind="stable")
    drop = np.take_along_axis(weight * width, order, axis=1)
    most = (weight * high).sum(axis=1) + bias
    level = most[:, None] - np.cumsum(drop, axis=1)
    # Inputs before the first one that takes the level below zero keep their weight.
    turn = np.argmax(level < 0.0, axis=1)
    rank = np.argsort(order, axis=1, kind="stable")
    slopes = np.where(rank < turn[:, None], weight, 0.0)
    rows = np.arange(len(weight))
    before = np.where(turn > 0, level[rows, turn - 1], most)
    pivot = order[rows, turn]
    gap = width[rows, pivot]
    slopes[rows, pivot] = np.where(gap == 0.0, 0.0, before / np.where(gap == 0.0, 1.0, gap))
    return slopes


def hull_of(chain: Chain, region: Region, coefficients: Array, watch: Stopwatch) -> Hull | None:
    """Planes that make a linear function of the first stage's outputs as large as can be.

    Parameters
    ----------
    chain : Chain
    region : Region
        Its bounding box is what counts.
    coefficients : array, shape (n_out of the first stage,)
        Of the function to be minimised, over the outputs of the first stage.
    watch : Stopwatch

    Returns
    -------
    Hull or None
        None when the first linear program cannot be solved, or the weights are sparse.
    """
    stage = chain.stages[0]
    count = stage.unstable
    whole = stage.weight
    if not isinstance(whole, np.ndarray):
        return None
    weight, bias = whole[:count], stage.bias[:count]
    lower, upper = region.lower, region.upper
    concave = np.flatnonzero(coefficients[:count] < 0.0)
    program = Program()
    inputs = AffineForm.of_columns(program.add_columns(lower, upper))
    ends = stage.upper
    outputs = AffineForm.of_columns(program.add_columns(np.zeros(count), ends))
    program.add_rows(outputs - inputs.affine(weight, bias), lower=0.0, upper=np.inf)
    rise = ends / (ends - stage.lower)
    goal = outputs.affine(coefficients[None, :count], np.zeros(1))
    goal = goal + inputs.affine(coefficients[None, count:] @ whole[count:], np.zeros(1))
    slopes, owners = [rise[concave, None] * weight[concave]], [concave]
    found = planes(weight[concave], bias[concave], slopes[0], lower, upper)
    first = before = None
    for _ in range(_ROUNDS):
        above = outputs.select(owners[-1]) - inputs.affine(found.slopes, found.offsets)
        program.add_rows(above, lower=-np.inf, upper=0.0)
        task = LinearSequence(program.freeze(goal))
        duals = task.duals(task.arrays.cost, watch.left)
        if duals is None:
            return None
        point, reached = task.values[: lower.size], task.values[lower.size :]
        value = float(task.arrays.cost @ task.values)
        first = value if first is None else first
        cuts = np.abs(duals[count:])
        if watch.expired or (before is not None and value - before <= _GAIN * (value - first)):
            break
        before = value
        candidates = lowest_planes(weight[concave], bias[concave], lower, upper, point)
        found = planes(weight[concave], bias[concave], candidates, lower, upper)
        excess = reached[concave] - found.slopes @ point - found.offsets
        cut = excess > _VIOLATED * ends[concave]
        if not cut.any():
            break
        owners.append(concave[cut])
        slopes.append(candidates[cut])
        found = planes(weight[concave[cut]], bias[concave[cut]], candidates[cut], lower, upper)
    rows = np.concatenate(owners)[: cuts.size]
    total = np.zeros(count)
    np.add.at(total, rows, cuts)
    mixed = np.zeros((count, lower.size))
    np.add.at(mixed, rows, cuts[:, None] * np.concatenate(slopes)[: cuts.size])
    # A neuron no plane holds down keeps its triangle.
    plain = total <= 0.0
    mixed[~plain] /= total[~plain, None]
    mixed[plain] = rise[plain, None] * weight[plain]
    return planes(weight, bias, mixed, lower, upper)
