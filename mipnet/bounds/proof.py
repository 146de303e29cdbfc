"""What the choices of subproblems prove, in float64 with every rounding error charged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mipnet.bounds.chain import Chain
from mipnet.bounds.subproblems import Flags, Index, Subproblems
from mipnet.network.layers.base import Array
from mipnet.region import Region
from mipnet.rounding import UNIT, down, gamma, up


@dataclass(eq=False)
class Relaxed:
    """Sound relaxation of the unstable neurons of a batch.

    Attributes
    ----------
    intercept : array, shape (batch, n_unstable)
        Of the upper lines, which lie above both ends of every interval.
    fall, turn : array, shape (batch, n_unstable)
        Slopes of the lower lines, and what the upper lines are steeper.
    multiplier : array, shape (batch, n_unstable), or None
        Signed multipliers of the neurons that are fixed.
    share : array, shape (batch, n_unstable), or None
        Shares of the planes of a hull in the upper lines.
    box : two arrays, shape (batch, n_inputs), or None
        Ends of the boxes, where the subproblems have boxes of their own.
    """

    intercept: Array
    fall: Array
    turn: Array
    multiplier: Array | None
    share: Array | None
    box: tuple[Array, Array] | None

    @classmethod
    def blank(cls, batch: Subproblems) -> Relaxed:
        """Room for a relaxation without multipliers, to be filled stage by stage."""
        arrays = np.zeros((3, *batch.lower.shape))
        box = (batch.box_lower, batch.box_upper) if batch.boxed else None
        return cls(arrays[0], arrays[1], arrays[2], None, None, box)

    @classmethod
    def of(cls, batch: Subproblems, chosen: Array) -> Relaxed:
        """Relaxation of subproblems with their own slopes and multipliers.

        Parameters
        ----------
        batch : Subproblems
        chosen : array, shape (batch, n_unstable)
        """
        made = cls.blank(batch)
        open_, on = made.fill(batch, slice(None), chosen)
        made.multiplier = np.where(open_, 0.0, np.maximum(chosen, 0.0))
        np.negative(made.multiplier, out=made.multiplier, where=~on)
        made.share = np.where(open_, np.clip(chosen, 0.0, 1.0), 0.0)
        return made

    def fill(
        self, batch: Subproblems, columns: slice, chosen: Array | None = None
    ) -> tuple[Flags, Flags]:
        """Relax some of the neurons; tells which of them are unstable, and which active.

        Parameters
        ----------
        batch : Subproblems
        columns : slice
        chosen : array, shape (batch, n_unstable), optional
            Slopes of the lower lines; those of plain CROWN when absent.
        """
        lower = batch.lower[:, columns].astype(np.float64)
        upper = batch.upper[:, columns].astype(np.float64)
        open_, on = (lower < 0.0) & (upper > 0.0), lower >= 0.0
        rise = np.where(open_, np.minimum(upper / np.where(open_, upper - lower, 1.0), 1.0), on)
        # Any slope is sound when the intercept covers both ends of the interval.
        ends = np.maximum(
            up(-(rise * lower), UNIT * np.abs(lower)),
            up(upper - rise * upper, 4.0 * UNIT * np.abs(upper)),
        )
        self.intercept[:, columns] = np.where(open_, ends, 0.0)
        slope = upper > -lower if chosen is None else np.clip(chosen[:, columns], 0.0, 1.0)
        fall = np.where(open_, slope, rise)
        self.fall[:, columns], self.turn[:, columns] = fall, rise - fall
        return open_, on


def prove(
    chain: Chain,
    form: Array,
    relaxed: Relaxed,
    region: Region,
    owners: Index | None = None,
) -> tuple[Array, Array]:
    """Lower bounds of linear functions of the last stage, before any ReLU behind it.

    Parameters
    ----------
    chain : Chain
    form : array, shape (rows, n_out of the last stage)
        Changed in place.
    relaxed : Relaxed
    region : Region
    owners : array of int, shape (n,), optional
        Subproblems of the rows, in blocks of ``n``; row by row when absent.

    Returns
    -------
    bounds : array, shape (rows,)
        Rounded down.
    forms : array, shape (rows, n_inputs)
        The forms over the input that prove them.
    """
    rows = len(form)
    blocks = 1 if owners is None else rows // max(1, len(owners))
    constant, error = np.zeros(rows), np.zeros(rows)
    a = form
    stages, hull, extra = chain.stages, chain.hull, None
    last = len(stages) - 1
    for k, stage in zip(range(last, -1, -1), reversed(stages), strict=True):
        # Everything rounded at this stage is at most a few units of |a| times the values.
        scale = np.abs(a).sum(axis=1)
        if stage.unstable and k < last:
            span = stage.columns if owners is None else (owners, stage.columns)
            part = a.reshape(blocks, rows // max(1, blocks), a.shape[1])[:, :, : stage.unstable]
            negative = np.minimum(part, 0.0)
            if hull is not None and relaxed.share is not None and stage.first == 0:
                extra = (negative * _pick(relaxed.share, span)).reshape(rows, stage.unstable)
                part -= extra.reshape(part.shape)
                negative -= extra.reshape(part.shape)
            intercept = _pick(relaxed.intercept, span)
            shift = np.einsum("kbn,bn->kb", negative, intercept).reshape(-1)
            constant += shift
            error += stage.error_factor * (np.abs(shift) + np.abs(constant))
            negative *= _pick(relaxed.turn, span)
            part *= _pick(relaxed.fall, span)
            part += negative
            if relaxed.multiplier is not None:
                part -= _pick(relaxed.multiplier, span)
            scale += np.abs(a).sum(axis=1)
        constant += a @ stage.bias
        error += 2.0 * stage.error_factor * (scale * stage.size + np.abs(constant))
        a = a @ stage.weight
    if hull is not None and extra is not None:
        a = a + extra @ hull.slopes
        constant += extra @ hull.offsets
        factor = gamma(2 * sum(hull.slopes.shape) + 8)
        error += factor * (2.0 * np.abs(extra).sum(axis=1) * hull.size + np.abs(constant))
    ends: tuple[Array, ...] = () if relaxed.box is None else relaxed.box
    if owners is not None:
        ends = tuple(np.tile(end[owners], (blocks, 1)) for end in ends)
    least = region.minimise(a[:, None], *ends)[:, 0]
    return down(least + constant, error + 4.0 * UNIT * np.abs(least + constant)), a


def _pick(values: Array, span: slice | tuple[Index, slice]) -> Array:
    return values[:, span] if isinstance(span, slice) else values[span]
