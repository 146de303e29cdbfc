"""Which neuron to split: estimates for all, bounds of the children for the best few.

The estimate of a neuron is what the bound would gain, at the point that minimises the current form,
if the neuron were followed exactly instead of along its line; a second estimate is the intercept
its upper line costs. The candidates of both lists are compared by the bounds of their children,
one pass back each (filtered smart branching, De Palma et al. 2021), combined by the product rule of
strong branching (Achterberg et al., Oper. Res. Lett. 33, 2005).
"""

from __future__ import annotations

import numpy as np

from mipnet.bounds import one_layer
from mipnet.bounds.beta import BetaBounder, Lean, Pass
from mipnet.bounds.chain import Single
from mipnet.bounds.subproblems import Index, Subproblems
from mipnet.network.layers.base import Array

#: Candidates taken from each of the two lists of estimates, where each takes a pass or not.
_CANDIDATES, _MANY = 3, 32
#: Share of the distance still to go that counts as the least gain of a child.
_LEAST = 1e-3

#: Slope, activity, sign, freedom, intercept and multiplier of a neuron just fixed in either phase.
_PHASES = (1.0, 1.0, 1.0, 0.0, 0.0, 0.0), (0.0, 0.0, -1.0, 0.0, 0.0, 0.0)


def estimates(batch: Subproblems, last: Pass) -> tuple[Single, Single]:
    """Two estimates of the gain of splitting each neuron, -1 for neurons that are fixed.

    Returns
    -------
    local, intercept : array of float32, shape (batch, n_unstable)
    """
    lean, fixed = Lean.of(batch), ~batch.open
    values, part = last.values, last.coefficients
    exact = np.maximum(values, 0.0)
    negative = np.minimum(part, 0.0)
    local = negative * (exact - lean.rise * values - lean.intercept)
    local += (part - negative) * (exact - batch.chosen * values)
    np.maximum(local, 0.0, out=local)
    intercept = -negative * lean.intercept
    local[fixed] = intercept[fixed] = -1.0
    return local, intercept


def choose(
    bounder: BetaBounder, batch: Subproblems, last: Pass, target: Array
) -> tuple[Index, Index]:
    """Neuron to split in each subproblem.

    Parameters
    ----------
    bounder : BetaBounder
    batch : Subproblems
    last : Pass
        Over the same subproblems.
    target : array, shape (batch,)
        The bound at which a subproblem is settled.

    Returns
    -------
    items : array of int
        Subproblems that have a neuron to split.
    columns : array of int
        The neuron of each.
    """
    local, intercept = estimates(batch, last)
    items = np.flatnonzero(batch.open.any(axis=1))
    if not items.size:
        return items, items
    direct = one_layer.applies(bounder, batch)
    few = min(_MANY if direct else _CANDIDATES, local.shape[1])
    lists = [np.argpartition(-s[items], few - 1, axis=1)[:, :few] for s in (local, intercept)]
    columns = np.concatenate(lists, axis=1)
    before = batch.bound[items, None]
    tried = one_layer.child_bounds if direct else child_bounds
    found = tried(bounder, batch, Lean.of(batch), items, columns)
    reach = np.maximum(target[items, None] - before, 1e-12)
    gains = np.clip((found - before) / reach, _LEAST, 1.0)
    score = gains[0] * gains[1]
    score[~batch.open[items[:, None], columns]] = -1.0
    # Ties (no child gains anything) go to the best estimate.
    score += (
        1e-9
        * np.take_along_axis(local[items], columns, axis=1)
        / (1e-12 + local[items].max(axis=1, keepdims=True))
    )
    best = np.argmax(score, axis=1)
    return items, columns[np.arange(items.size), best]


def child_bounds(
    bounder: BetaBounder, batch: Subproblems, lean: Lean, items: Index, columns: Index
) -> Single:
    """Bounds in float32 of the children of subproblems, by one pass back for each.

    Parameters
    ----------
    bounder : BetaBounder
    batch : Subproblems
    lean : Lean
        Of the batch.
    items : array of int, shape (rows,)
        Subproblems.
    columns : array of int, shape (rows, count)
        Neurons to try in each.

    Returns
    -------
    array, shape (2, rows, count)
        With the neuron at least zero, then at most zero.
    """
    weights, chosen, lean = batch.weights[items], batch.chosen[items], lean.select(items)
    found = np.empty((2, *columns.shape), dtype=np.float32)
    rows = np.arange(len(items))
    parts = (lean.rise, lean.active, lean.sign, lean.free, lean.intercept, chosen)
    # One entry of every row changes; copies of whole batches would cost more than the passes.
    for k, column in enumerate(columns.T):
        before = [part[rows, column] for part in parts]
        for phase, values in enumerate(_PHASES):
            for part, value in zip(parts, values, strict=True):
                part[rows, column] = value
            found[phase, :, k] = bounder.glance(weights, lean, chosen)
        for part, known in zip(parts, before, strict=True):
            part[rows, column] = known
    return found
