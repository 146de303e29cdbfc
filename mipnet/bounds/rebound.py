"""Bounds of the hidden neurons of subproblems, made anew after their boxes were halved.

What was stable stays stable, so only the neurons still unstable are bounded: a batch of small boxes
with a few such neurons each costs little more than those.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mipnet.bounds.chain import Chain, Single
from mipnet.bounds.proof import Relaxed, prove
from mipnet.bounds.subproblems import Index, Subproblems
from mipnet.network.layers.base import Array
from mipnet.region import Region

#: Weight of the linear part of a bound in the choice of the axis: halving it helps one of the two
#: children, halving what makes the relaxations loose helps both.
_LINEAR = 0.3
#: Rows of one product, so that its arrays stay in the cache.
_ROWS = 1024


@dataclass(eq=False)
class Shares:
    """How much each input contributes to the ranges of the unstable neurons.

    Attributes
    ----------
    owners, columns : list of array of int
        Subproblem and neuron of every row.
    widths : list of array, shape (rows, n_inputs)
    """

    owners: list[Index] = field(default_factory=list)
    columns: list[Index] = field(default_factory=list)
    widths: list[Array] = field(default_factory=list)


def rebound(chain: Chain, region: Region, batch: Subproblems) -> Shares:
    """Bound the unstable neurons of subproblems with boxes; updates the batch in place.

    Parameters
    ----------
    chain : Chain
    region : Region
    batch : Subproblems
        With boxes of their own. One that turns out empty gets an infinite bound.

    Returns
    -------
    Shares
    """
    shares = Shares()
    width = batch.box_upper - batch.box_lower
    relaxed = Relaxed.blank(batch)
    for k, stage in enumerate(chain.stages):
        span = stage.columns
        open_ = (batch.lower[:, span] < 0.0) & (batch.upper[:, span] > 0.0)
        owners, neurons = np.nonzero(open_)
        for first in range(0, owners.size, _ROWS):
            own, neuron = owners[first : first + _ROWS], neurons[first : first + _ROWS]
            count = np.arange(own.size)
            rows = np.zeros((2 * own.size, stage.n_out))
            rows[count, neuron], rows[own.size + count, neuron] = 1.0, -1.0
            bounds, forms = prove(Chain(chain.stages[: k + 1]), rows, relaxed, region, own)
            _update(batch, own, span.start + neuron, bounds)
            reach = np.maximum(np.abs(forms[: own.size]), np.abs(forms[own.size :]))
            shares.owners.append(own)
            shares.columns.append(span.start + neuron)
            shares.widths.append(reach * width[own])
        relaxed.fill(batch, span)
    return shares


def _update(batch: Subproblems, own: Index, column: Index, bounds: Array) -> None:
    """Take over bounds: lower ends first, then negated upper ends."""
    low, high = bounds[: own.size], -bounds[own.size :]
    lower = np.nextafter(low.astype(np.float32), np.float32(-np.inf))
    upper = np.nextafter(high.astype(np.float32), np.float32(np.inf))
    lower = np.maximum(batch.lower[own, column], lower)
    upper = np.minimum(batch.upper[own, column], upper)
    batch.lower[own, column], batch.upper[own, column] = lower, upper
    # A neuron that became stable owns a multiplier from now on.
    settled = (lower >= 0.0) | (upper <= 0.0)
    batch.chosen[own[settled], column[settled]] = 0.0
    batch.bound[own[lower > upper]] = np.inf


def axes(batch: Subproblems, shares: Shares, coefficients: Single, forms: Array) -> Index:
    """Input to halve next: the one that makes the relaxations loosest.

    Parameters
    ----------
    batch : Subproblems
    shares : Shares
    coefficients : array, shape (batch, n_unstable)
        Of the targets over the outputs of the unstable neurons.
    forms : array, shape (batch, n_inputs)
        Forms of the targets over the input.
    """
    width = batch.box_upper - batch.box_lower
    score = _LINEAR * np.abs(forms) * width
    for own, column, widths in zip(shares.owners, shares.columns, shares.widths, strict=True):
        lower = batch.lower[own, column].astype(np.float64)
        upper = batch.upper[own, column].astype(np.float64)
        open_ = (lower < 0.0) & (upper > 0.0)
        slope = coefficients[own, column].astype(np.float64)
        above = -lower * upper / np.where(open_, upper - lower, 1.0)
        below = np.minimum(upper, -lower)
        cost = np.where(slope < 0.0, -slope * above, slope * below)
        cost = np.where(open_, cost, 0.0) / np.maximum(widths.sum(axis=1), 1e-300)
        np.add.at(score, own, cost[:, None] * widths)
    # A box nothing depends on is halved along its longest edge.
    flat = ~(score.max(axis=1) > 0.0)
    score[flat] = width[flat]
    return np.asarray(np.argmax(score, axis=1))
