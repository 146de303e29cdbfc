r"""Bounds of subproblems that fix the phases of some neurons (beta-CROWN, Wang et al. 2021).

A subproblem is a region and bounds of the unstable neurons, some of which became one-sided by
splitting. A neuron known to satisfy :math:`s\,z \ge 0` lends its constraint a multiplier
:math:`\beta \ge 0`: :math:`f \ge f - \beta s z` on the subproblem, for every :math:`\beta`. Slopes
of the unstable neurons and multipliers of the fixed ones are chosen together by gradient, in
float32 and for many subproblems at once; what they prove is then computed in float64, with every
rounding error charged.

The gradient costs one pass back and one forth. Back: the coefficients of the form over every
stage. Forth: the point of the region that minimises the form, followed along the lines the
coefficients picked; where it arrives is the bound, and the values it takes on the way are the
derivatives.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mipnet.bounds.chain import Chain, Single
from mipnet.bounds.subproblems import Flags, Index, Subproblems
from mipnet.network.layers.base import Array
from mipnet.region import Region
from mipnet.region.box import Box
from mipnet.rounding import UNIT, down, up

#: Adam: step of the slopes, step of the multipliers relative to the coefficients at hand, decay.
_SLOPE_STEP, _MULTIPLIER_STEP, _DECAY = np.float32(0.1), np.float32(0.3), np.float32(0.95)
_FIRST, _SECOND = np.float32(0.2), np.float32(0.02)


@dataclass(eq=False)
class Lean:
    """Relaxation of a batch in float32, made once for many passes.

    Attributes
    ----------
    rise, intercept : array, shape (batch, n_unstable)
        Upper lines.
    sign : array, shape (batch, n_unstable)
        1 where a neuron is fixed active, -1 where it is fixed inactive, 0 where it is unstable.
    """

    rise: Single
    intercept: Single
    sign: Single

    @classmethod
    def of(cls, batch: Subproblems) -> Lean:
        """Relaxation of the subproblems."""
        open_ = batch.open
        width = np.where(open_, batch.upper - batch.lower, np.float32(1.0))
        on = batch.lower >= 0.0
        rise = np.where(open_, batch.upper / width, on.astype(np.float32))
        intercept = np.where(open_, -rise * batch.lower, np.float32(0.0))
        sign = np.where(open_, np.float32(0.0), np.where(on, np.float32(1.0), np.float32(-1.0)))
        return cls(rise, intercept, sign)

    def select(self, items: Index | Flags) -> Lean:
        """Relaxation of some of the subproblems."""
        return Lean(self.rise[items], self.intercept[items], self.sign[items])


@dataclass(eq=False)
class Pass:
    """One pass back and forth.

    Attributes
    ----------
    bound : array of float32, shape (batch,)
    points : array of float32, shape (batch, n_inputs)
        Minimisers of the forms.
    coefficients, values : array of float32, shape (batch, n_unstable)
        Coefficients over the outputs of the unstable neurons; their inputs on the way forth.
    """

    bound: Single
    points: Single
    coefficients: Single
    values: Single


class BetaBounder:
    """Bounds subproblems of a chain over a region.

    Parameters
    ----------
    chain : Chain
    region : Region
    """

    def __init__(self, chain: Chain, region: Region) -> None:
        self.chain, self.region = chain, region
        self._lower = region.lower.astype(np.float32)
        self._upper = region.upper.astype(np.float32)
        self._plain = isinstance(region, Box)

    def _minimiser(self, form: Single) -> Single:
        if self._plain:
            return np.where(form > 0.0, self._lower, self._upper)
        wide = form.astype(np.float64)
        region = self.region
        return region.project(region.centre + region.ascent(-wide)).astype(np.float32)

    def _back(
        self, weights: Single, lean: Lean, chosen: Single, record: Single | None = None
    ) -> tuple[Single, Single]:
        """Forms over the input, and their constants."""
        a = weights
        constant = np.zeros(len(weights), dtype=np.float32)
        for stage in reversed(self.chain.stages):
            weight, bias = stage.single
            count = stage.unstable
            if count:
                span = stage.columns
                part = a[:, :count]
                negative = np.minimum(part, 0.0)
                if record is not None:
                    record[:, span] = part
                sign, pick = lean.sign[:, span], chosen[:, span]
                fall = np.where(sign == 0.0, pick, lean.rise[:, span])
                constant += np.einsum("bn,bn->b", negative, lean.intercept[:, span])
                a[:, :count] = (
                    negative * lean.rise[:, span] + (part - negative) * fall - sign * pick
                )
            constant += a @ bias
            a = a @ weight
        return a, constant

    def glance(self, weights: Single, lean: Lean, chosen: Single) -> Single:
        """Bounds in float32, by one pass back."""
        form, constant = self._back(weights.copy(), lean, chosen)
        if self._plain:
            negative = np.minimum(form, 0.0)
            return np.asarray((form - negative) @ self._lower + negative @ self._upper + constant)
        return np.asarray(np.einsum("bn,bn->b", form, self._minimiser(form)) + constant)

    def sweep(self, weights: Single, lean: Lean, chosen: Single) -> Pass:
        """One pass back and forth in float32."""
        coefficients = np.empty_like(lean.rise)
        values = np.empty_like(lean.rise)
        form, _ = self._back(weights.copy(), lean, chosen, coefficients)
        points = x = self._minimiser(form)
        bound = np.zeros(len(weights), dtype=np.float32)
        for stage in self.chain.stages:
            weight, bias = stage.single
            x = x @ weight.T
            x += bias
            count = stage.unstable
            if count:
                span = stage.columns
                part = x[:, :count]
                values[:, span] = part
                sign, pick, rise = lean.sign[:, span], chosen[:, span], lean.rise[:, span]
                bound -= np.einsum("bn,bn->b", sign * pick, part)
                fall = np.where(sign == 0.0, pick, rise)
                below = coefficients[:, span] < 0.0
                x[:, :count] = np.where(below, rise * part + lean.intercept[:, span], fall * part)
        bound += np.einsum("bn,bn->b", weights, x)
        return Pass(bound, points, coefficients, values)

    def evaluate(self, points: Single, weights: Single) -> Single:
        """Values of the targets at points of the region, in float32, shape (batch,)."""
        x = points
        for stage in self.chain.stages:
            weight, bias = stage.single
            x = x @ weight.T
            x += bias
            part = x[:, : stage.unstable]
            np.maximum(part, 0.0, out=part)
        return np.asarray(np.einsum("bn,bn->b", weights, x))

    def improve(self, batch: Subproblems, steps: int, enough: Array) -> Pass:
        """Choose slopes and multipliers by gradient; updates ``chosen`` and ``bound`` in place.

        Parameters
        ----------
        batch : Subproblems
        steps : int
        enough : array, shape (batch,)
            A subproblem whose bound exceeds this is left alone from then on.

        Returns
        -------
        Pass
            The last pass over each subproblem.
        """
        size = len(batch)
        live = np.arange(size)
        lean = Lean.of(batch)
        weights, chosen = batch.weights, batch.chosen.copy()
        last: Pass | None = None
        state = _Adam(chosen.shape)
        for step in range(steps + 1):
            found = self.sweep(weights, lean, chosen)
            if last is None:
                last = found
            else:
                _store(last, found, live)
            better = found.bound > batch.bound[live]
            batch.bound[live[better]] = found.bound[better]
            batch.chosen[live[better]] = chosen[better]
            if step == steps:
                break
            going = batch.bound[live] <= enough[live]
            if not going.any():
                break
            state.ascend(chosen, lean, found)
            if 4 * np.count_nonzero(going) < 3 * len(live):
                live, weights, chosen = live[going], weights[going], chosen[going]
                lean = lean.select(going)
                state.select(going)
        assert last is not None
        return last

    def certify(self, batch: Subproblems) -> Array:
        """Lower bounds in float64, rounded down, for the choices of each subproblem.

        Returns
        -------
        array, shape (batch,)
        """
        a = batch.weights.astype(np.float64)
        constant, error = np.zeros(len(batch)), np.zeros(len(batch))
        for stage in reversed(self.chain.stages):
            count = stage.unstable
            # Everything rounded at this stage is at most a few units of |a| times the values.
            scale = np.abs(a).sum(axis=1)
            if count:
                span = stage.columns
                lower = batch.lower[:, span].astype(np.float64)
                upper = batch.upper[:, span].astype(np.float64)
                open_ = (lower < 0.0) & (upper > 0.0)
                on = lower >= 0.0
                width = np.where(open_, upper - lower, 1.0)
                rise = np.where(open_, np.minimum(upper / width, 1.0), on)
                # Any slope is sound when the intercept covers both ends of the interval.
                ends = np.maximum(
                    up(-(rise * lower), UNIT * np.abs(lower)),
                    up(upper - rise * upper, 4.0 * UNIT * np.abs(upper)),
                )
                intercept = np.where(open_, ends, 0.0)
                pick = batch.chosen[:, span].astype(np.float64)
                fall = np.where(open_, np.clip(pick, 0.0, 1.0), rise)
                multiplier = np.where(open_, 0.0, np.where(on, 1.0, -1.0) * np.maximum(pick, 0.0))
                part = a[:, :count]
                negative = np.minimum(part, 0.0)
                shift = np.einsum("bn,bn->b", negative, intercept)
                constant += shift
                error += stage.error_factor * (np.abs(shift) + np.abs(constant))
                a[:, :count] = negative * rise + (part - negative) * fall - multiplier
                scale += np.abs(a).sum(axis=1)
            constant += a @ stage.bias
            error += 2.0 * stage.error_factor * (scale * stage.size + np.abs(constant))
            a = a @ stage.weight
        least = self.region.minimise(a[:, None])[:, 0]
        return down(least + constant, error + 4.0 * UNIT * np.abs(least + constant))


def _store(last: Pass, found: Pass, live: Index) -> None:
    last.bound[live], last.points[live] = found.bound, found.points
    last.coefficients[live], last.values[live] = found.coefficients, found.values


@dataclass
class _Adam:
    """Adam with projection, on slopes and multipliers at once."""

    shape: tuple[int, ...]
    step: int = 0
    first: Single = field(init=False)
    second: Single = field(init=False)

    def __post_init__(self) -> None:
        self.first = np.zeros(self.shape, dtype=np.float32)
        self.second = np.zeros(self.shape, dtype=np.float32)

    def select(self, items: Flags) -> None:
        self.first, self.second = self.first[items], self.second[items]

    def ascend(self, chosen: Single, lean: Lean, found: Pass) -> None:
        """One step, in place."""
        free = lean.sign == 0.0
        gradient = np.where(free, np.maximum(found.coefficients, 0.0), -lean.sign) * found.values
        self.step += 1
        self.first += _FIRST * (gradient - self.first)
        self.second += _SECOND * (gradient * gradient - self.second)
        mean = self.first / (1.0 - (1.0 - _FIRST) ** self.step)
        size = np.sqrt(self.second / (1.0 - (1.0 - _SECOND) ** self.step))
        scale = np.abs(found.coefficients).mean(axis=1, keepdims=True)
        length = np.where(free, _SLOPE_STEP, _MULTIPLIER_STEP * scale) * _DECAY**self.step
        chosen += length * mean / (size + np.float32(1e-12))
        np.maximum(chosen, 0.0, out=chosen)
        np.minimum(chosen, 1.0, out=chosen, where=free)
