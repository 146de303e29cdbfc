"""Gains of splitting neurons when all unstable ones lie in the first stage.

There the output of a neuron enters the form over the input by itself, so fixing it changes the form
by a multiple of one row of weights (and of one plane of the hull). What every child is worth before
any further step follows without a pass of its own, so many neurons can be tried.
"""

from __future__ import annotations

import numpy as np

from mipnet.bounds.beta import BetaBounder, Lean
from mipnet.bounds.chain import Single
from mipnet.bounds.subproblems import Index, Subproblems
from mipnet.region.box import Box

#: Entries of the array of forms made at once.
_CELLS = 2**17


def applies(bounder: BetaBounder, batch: Subproblems) -> bool:
    """Whether the children of these subproblems can be bounded without a pass."""
    first = bounder.chain.stages[0]
    direct = isinstance(first.weight, np.ndarray) and 0 < bounder.chain.n_unstable == first.unstable
    return direct and isinstance(bounder.region, Box) and not batch.boxed


def child_bounds(
    bounder: BetaBounder, batch: Subproblems, lean: Lean, items: Index, columns: Index
) -> Single:
    """Bounds in float32 of the children of subproblems, for several neurons each.

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
    chain, region = bounder.chain, bounder.region
    record = np.empty_like(lean.rise)
    form, constant = bounder.back(batch.weights.copy(), lean, batch.chosen, record)
    weight, bias = (part[: chain.n_unstable] for part in chain.stages[0].single)
    centre = (0.5 * (region.lower + region.upper)).astype(np.float32)
    radius = (0.5 * (region.upper - region.lower)).astype(np.float32)
    # Forms from here on are scaled: their values at the centre, and their widths.
    middle, wide = weight @ centre + bias, weight * radius
    form, constant = form[items] * radius, (constant + form @ centre)[items, None]
    take = items[:, None], columns
    part, pick, rise = record[take], batch.chosen[take], lean.rise[take]
    above, below = np.minimum(part, 0.0), np.maximum(part, 0.0)
    share = np.zeros_like(part)
    if chain.hull is not None:
        share = above * pick
        above = above - share
    # What the neuron adds to the form while it is unstable: multiples of its row and its plane.
    slope = above * rise + below * pick
    off = constant - above * lean.intercept[take] - slope * middle[columns]
    on = off + part * middle[columns]
    planes = None
    if chain.hull is not None:
        slopes, offsets = chain.hull.single
        planes = slopes * radius
        shift = share * (slopes @ centre + offsets)[columns]
        off, on = off - shift, on - shift
    found = np.stack([on, off])
    step = max(1, _CELLS // max(1, columns.shape[1] * len(radius)))
    for first in range(0, len(items), step):
        rows = slice(first, first + step)
        ways = wide[columns[rows]]
        rest = form[rows, None, :] - slope[rows, :, None] * ways
        if planes is not None:
            rest -= share[rows, :, None] * planes[columns[rows]]
        found[1, rows] -= np.abs(rest).sum(axis=2)
        ways *= part[rows, :, None]
        rest += ways
        found[0, rows] -= np.abs(rest).sum(axis=2)
    return np.asarray(found, dtype=np.float32)
