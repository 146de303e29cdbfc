"""What the choices of subproblems prove, in float64 with every rounding error charged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mipnet.bounds.chain import Stage
from mipnet.bounds.subproblems import Index, Subproblems
from mipnet.network.layers.base import Array
from mipnet.region import Region
from mipnet.rounding import UNIT, down, up


@dataclass(eq=False)
class Relaxed:
    """Sound relaxation of the unstable neurons of a batch.

    Attributes
    ----------
    rise, intercept : array, shape (batch, n_unstable)
        Upper lines, above both ends of every interval.
    fall : array, shape (batch, n_unstable)
        Slopes of the lower lines.
    multiplier : array, shape (batch, n_unstable), or None
        Signed multipliers of the neurons that are fixed.
    box : two arrays, shape (batch, n_inputs), or None
        Ends of the boxes, where the subproblems have boxes of their own.
    """

    rise: Array
    intercept: Array
    fall: Array
    multiplier: Array | None
    box: tuple[Array, Array] | None

    @classmethod
    def of(cls, batch: Subproblems, chosen: Array | None = None) -> Relaxed:
        """Relaxation of subproblems.

        Parameters
        ----------
        batch : Subproblems
        chosen : array, shape (batch, n_unstable), optional
            Slopes and multipliers; the slopes of plain CROWN and no multipliers when absent.
        """
        lower, upper = batch.lower.astype(np.float64), batch.upper.astype(np.float64)
        open_, on = (lower < 0.0) & (upper > 0.0), lower >= 0.0
        rise = np.where(open_, np.minimum(upper / np.where(open_, upper - lower, 1.0), 1.0), on)
        # Any slope is sound when the intercept covers both ends of the interval.
        ends = np.maximum(
            up(-(rise * lower), UNIT * np.abs(lower)),
            up(upper - rise * upper, 4.0 * UNIT * np.abs(upper)),
        )
        intercept = np.where(open_, ends, 0.0)
        box = (batch.box_lower, batch.box_upper) if batch.boxed else None
        if chosen is None:
            return cls(rise, intercept, np.where(open_, upper > -lower, rise), None, box)
        fall = np.where(open_, np.clip(chosen, 0.0, 1.0), rise)
        multiplier = np.where(on, 1.0, -1.0) * np.where(open_, 0.0, np.maximum(chosen, 0.0))
        return cls(rise, intercept, fall, multiplier, box)


def prove(
    stages: Sequence[Stage],
    form: Array,
    relaxed: Relaxed,
    region: Region,
    owners: Index | None = None,
) -> tuple[Array, Array]:
    """Lower bounds of linear functions of the last stage, before any ReLU behind it.

    Parameters
    ----------
    stages : sequence of Stage
        A chain, or the first stages of one.
    form : array, shape (rows, n_out of the last stage)
        Changed in place.
    relaxed : Relaxed
    region : Region
    owners : array of int, shape (rows,), optional
        Subproblem of every row; row by row when absent.

    Returns
    -------
    bounds : array, shape (rows,)
        Rounded down.
    forms : array, shape (rows, n_inputs)
        The forms over the input that prove them.
    """
    rows = len(form)
    constant, error = np.zeros(rows), np.zeros(rows)
    a = form
    last = len(stages) - 1
    for k, stage in zip(range(last, -1, -1), reversed(stages), strict=True):
        # Everything rounded at this stage is at most a few units of |a| times the values.
        scale = np.abs(a).sum(axis=1)
        if stage.unstable and k < last:
            span = stage.columns if owners is None else (owners, stage.columns)
            rise, fall = _pick(relaxed.rise, span), _pick(relaxed.fall, span)
            part = a[:, : stage.unstable]
            negative = np.minimum(part, 0.0)
            shift = np.einsum("bn,bn->b", negative, _pick(relaxed.intercept, span))
            constant += shift
            error += stage.error_factor * (np.abs(shift) + np.abs(constant))
            part = negative * rise + (part - negative) * fall
            if relaxed.multiplier is not None:
                part -= _pick(relaxed.multiplier, span)
            a[:, : stage.unstable] = part
            scale += np.abs(a).sum(axis=1)
        constant += a @ stage.bias
        error += 2.0 * stage.error_factor * (scale * stage.size + np.abs(constant))
        a = a @ stage.weight
    ends: tuple[Array, ...] = () if relaxed.box is None else relaxed.box
    if owners is not None:
        ends = tuple(end[owners] for end in ends)
    least = region.minimise(a[:, None], *ends)[:, 0]
    return down(least + constant, error + 4.0 * UNIT * np.abs(least + constant)), a


def _pick(values: Array, span: slice | tuple[Index, slice]) -> Array:
    return values[:, span] if isinstance(span, slice) else values[span]
