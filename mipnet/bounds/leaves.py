"""Subproblems with no neuron left to split: linear programs, whose duals are the multipliers."""

from __future__ import annotations

import numpy as np

from formulations import AffineForm, Program
from mipnet.bounds.chain import Chain
from mipnet.bounds.subproblems import Flags, Subproblems
from mipnet.clocks import Stopwatch
from mipnet.errors import SolverError
from mipnet.network.layers.base import Array
from mipnet.region import Region
from mipnet.solver.sequence import LinearSequence

#: Price of violating a sign by one, relative to the largest coefficient of the objective: what an
#: empty subproblem is proven with.
_PRICE = 1e4


def settle_leaves(chain: Chain, region: Region, batch: Subproblems, watch: Stopwatch) -> None:
    """Multipliers of subproblems without unstable neurons, by a linear program each, in place.

    Only the multipliers are taken from the solver; what they prove is certified like any other
    choice.

    Parameters
    ----------
    chain : Chain
    region : Region
    batch : Subproblems
    watch : Stopwatch
    """
    for i in range(len(batch)):
        if watch.expired:
            return
        try:
            found = _multipliers(chain, region, batch, i, watch.left)
        except SolverError:
            # What the gradient found stays.
            continue
        if found is not None:
            batch.chosen[i] = found


def _multipliers(
    chain: Chain, region: Region, batch: Subproblems, i: int, time_limit: float | None
) -> Array | None:
    """Duals of the signs of all neurons, at the minimum of the target of a subproblem."""
    on = batch.lower[i] >= 0.0
    rows, offsets, cost = _linear(chain, on, batch.weights[i].astype(np.float64))
    sign = np.where(on, 1.0, -1.0)
    program = Program()
    lower, upper = region.lower, region.upper
    if batch.boxed:
        lower, upper = batch.box_lower[i], batch.box_upper[i]
    inputs = AffineForm.of_columns(program.add_columns(lower, upper))
    # Neurons of very different size would hide each other's signs: every row in its own unit.
    unit = np.maximum(np.abs(rows).sum(axis=1), np.abs(offsets))
    unit[unit == 0.0] = 1.0
    scaled = sign[:, None] * rows / unit[:, None]
    excess = program.add_columns([0.0], [2.0 * float(np.abs([lower, upper]).max()) + 2.0])
    short = AffineForm.of_columns(excess).select(np.zeros(len(rows), dtype=np.intp))
    program.add_rows(inputs.affine(scaled, sign * offsets / unit) + short, lower=0.0, upper=np.inf)
    price = _PRICE * float(np.abs(cost).max(initial=0.0))
    goal = inputs.affine(cost[None], np.zeros(1)) + AffineForm.of_columns(excess).affine(
        np.array([[price]]), np.zeros(1)
    )
    arrays = program.freeze(goal)
    duals = LinearSequence(arrays).duals(arrays.cost, time_limit)
    return None if duals is None else np.maximum(duals, 0.0) / unit


def _linear(chain: Chain, on: Flags, weights: Array) -> tuple[Array, Array, Array]:
    """Neurons and target as linear functions of the input, for given phases.

    Returns
    -------
    rows : array, shape (n_unstable, n_inputs)
    offsets : array, shape (n_unstable,)
    cost : array, shape (n_inputs,)
    """
    form = np.eye(chain.stages[0].weight.shape[1])
    offset = np.zeros(len(form))
    rows, offsets = [], []
    for stage in chain.stages:
        form, offset = stage.weight @ form, stage.weight @ offset + stage.bias
        count = stage.unstable
        rows.append(form[:count].copy())
        offsets.append(offset[:count].copy())
        off = ~on[stage.columns]
        form[:count][off] = 0.0
        offset[:count][off] = 0.0
    return np.concatenate(rows), np.concatenate(offsets), weights @ form
