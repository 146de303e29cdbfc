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
from mipnet.bounds.proof import Relaxed, prove
from mipnet.bounds.subproblems import Flags, Index, Subproblems
from mipnet.clocks import Stopwatch
from mipnet.network.layers.base import Array
from mipnet.region import Region
from mipnet.region.box import Box

#: Adam: step of the slopes, step of the multipliers relative to the coefficients at hand, decay.
_SLOPE_STEP, _MULTIPLIER_STEP, _DECAY = np.float32(0.1), np.float32(0.3), np.float32(0.95)
#: Share of a blend that is left when one term takes the rest.
_TRACE = np.float32(1e-3)
#: Exponent of one step of convex weights, for the terms farthest apart.
_BLEND = np.float32(1.0)
_FIRST, _SECOND = np.float32(0.2), np.float32(0.02)
#: A multiplier no step reaches.
_FAR = np.float32(1e30)


@dataclass(eq=False)
class Lean:
    """Relaxation of a batch in float32, made once for many passes.

    Attributes
    ----------
    rise, intercept : array, shape (batch, n_unstable)
        Upper lines.
    sign : array, shape (batch, n_unstable)
        1 where a neuron is fixed active, -1 where it is fixed inactive, 0 where it is unstable.
    free, active : array, shape (batch, n_unstable)
        1 where a neuron is unstable, and where it is fixed active; 0 elsewhere.
    box : two arrays, shape (batch, n_inputs), or None
        Ends of the boxes, where the subproblems have boxes of their own.
    """

    rise: Single
    intercept: Single
    sign: Single
    free: Single
    active: Single
    box: tuple[Single, Single] | None

    @classmethod
    def of(cls, batch: Subproblems) -> Lean:
        """Relaxation of the subproblems.

        All by arithmetic: choosing by masks without a pattern takes several times as long.
        """
        below, above = np.minimum(batch.lower, 0.0), np.maximum(batch.upper, 0.0)
        active = (batch.lower >= 0.0).astype(np.float32)
        # With both ends at zero it is in both phases, and counts as active.
        sign = active - ((batch.upper <= 0.0) & (batch.lower < 0.0))
        rise = above / np.maximum(above - below, np.float32(1e-37))
        free = np.float32(1.0) - np.abs(sign)
        box = None
        if batch.boxed:
            box = batch.box_lower.astype(np.float32), batch.box_upper.astype(np.float32)
        return cls(rise, -rise * below, sign, free, active, box)

    def select(self, items: Index | Flags) -> Lean:
        """Relaxation of some of the subproblems."""
        box = self.box and (self.box[0][items], self.box[1][items])
        return Lean(
            self.rise[items],
            self.intercept[items],
            self.sign[items],
            self.free[items],
            self.active[items],
            box,
        )

    def lines(self, chosen: Single) -> tuple[Single, Single]:
        """Slopes of the lower lines, and signed multipliers, shape (batch, n_unstable)."""
        return chosen * self.free + self.active, chosen * self.sign


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
    outputs : array of float32, shape (batch, n_stop)
        Where the way forth ends.
    pull : array of float32, shape (batch, unstable of the first stage), or None
        Derivatives with respect to the shares of the planes of a hull.
    """

    bound: Single
    points: Single
    coefficients: Single
    values: Single
    outputs: Single
    pull: Single | None

    @classmethod
    def empty(cls, batch: Subproblems, n_inputs: int) -> Pass:
        """Room for a pass over each subproblem."""
        size, width = batch.lower.shape
        wide = np.empty((2, size, width), dtype=np.float32)
        points = np.empty((size, n_inputs), dtype=np.float32)
        outputs = np.empty_like(batch.weights)
        return cls(np.empty(size, dtype=np.float32), points, wide[0], wide[1], outputs, None)

    def store(self, other: Pass, items: Index) -> None:
        """Take over a pass over some of the subproblems."""
        self.bound[items], self.points[items] = other.bound, other.points
        self.coefficients[items], self.values[items] = other.coefficients, other.values
        self.outputs[items] = other.outputs


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
        self._centre = np.float32(0.5) * (self._lower + self._upper)
        self._radius = np.float32(0.5) * (self._upper - self._lower)
        self._plain = isinstance(region, Box)

    def _minimiser(self, form: Single, lean: Lean) -> Single:
        if lean.box is not None:
            return np.where(form > 0.0, *lean.box)
        if self._plain:
            return np.asarray(self._centre - np.copysign(self._radius, form))
        return self.region.minimiser(form).astype(np.float32, copy=False)

    def back(
        self, weights: Single, lean: Lean, chosen: Single, record: Single | None = None
    ) -> tuple[Single, Single]:
        """Forms over the input, and their constants, by one pass in float32.

        Parameters
        ----------
        weights : array of float32, shape (batch, n_stop)
            Changed in place.
        lean : Lean
        chosen : array of float32, shape (batch, n_unstable)
        record : array of float32, shape (batch, n_unstable), optional
            Takes the coefficients over the outputs of the unstable neurons.
        """
        return self._back(weights, lean, lean.lines(chosen), chosen, record)

    def _back(
        self,
        weights: Single,
        lean: Lean,
        lines: tuple[Single, Single],
        chosen: Single,
        record: Single | None = None,
    ) -> tuple[Single, Single]:
        a = weights
        constant = np.zeros(len(weights), dtype=np.float32)
        hull, share = self.chain.hull, None
        fall, push = lines
        for stage in reversed(self.chain.stages):
            weight, bias = stage.single
            count = stage.unstable
            if count:
                span = stage.columns
                part = a[:, :count]
                if record is not None:
                    record[:, span] = part
                negative = np.minimum(part, 0.0)
                positive = part - negative
                if hull is not None and span.start == 0:
                    share = negative * (chosen[:, span] * lean.free[:, span])
                    negative -= share
                constant += np.einsum("bn,bn->b", negative, lean.intercept[:, span])
                negative *= lean.rise[:, span]
                positive *= fall[:, span]
                positive += negative
                np.subtract(positive, push[:, span], out=part)
            constant += a @ bias
            a = a @ weight
        if hull is not None and share is not None:
            slopes, offsets = hull.single
            a += share @ slopes
            constant += share @ offsets
        return a, constant

    def glance(self, weights: Single, lean: Lean, chosen: Single) -> Single:
        """Bounds in float32, by one pass back."""
        form, constant = self.back(weights.copy(), lean, chosen)
        if self._plain and lean.box is None:
            negative = np.minimum(form, 0.0)
            return np.asarray((form - negative) @ self._lower + negative @ self._upper + constant)
        return np.asarray(np.einsum("bn,bn->b", form, self._minimiser(form, lean)) + constant)

    def sweep(self, weights: Single, lean: Lean, chosen: Single) -> Pass:
        """One pass back and forth in float32."""
        coefficients = np.empty_like(lean.rise)
        values = np.empty_like(lean.rise)
        fall, push = lines = lean.lines(chosen)
        form, _ = self._back(weights.copy(), lean, lines, chosen, coefficients)
        points = x = self._minimiser(form, lean)
        gaps = None
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
                bound -= np.einsum("bn,bn->b", push[:, span], part)
                above = lean.rise[:, span] * part
                above += lean.intercept[:, span]
                if self.chain.hull is not None and span.start == 0:
                    slopes, offsets = self.chain.hull.single
                    free = lean.free[:, span]
                    gaps = (points @ slopes.T + offsets - above) * free
                    above += chosen[:, span] * free * gaps
                # The upper line where the coefficient is negative, else the lower one.
                part *= fall[:, span]
                above -= part
                above *= (coefficients[:, span] < 0.0).astype(np.float32)
                part += above
        bound += np.einsum("bn,bn->b", weights, x)
        if gaps is not None:
            # Where the upper line counts, the choice is the share of the plane.
            count = gaps.shape[1]
            pull = np.where(coefficients[:, :count] < 0.0, coefficients[:, :count] * gaps, 0.0)
            return Pass(bound, points, coefficients, values, x, pull)
        return Pass(bound, points, coefficients, values, x, None)

    def evaluate(self, points: Single, weights: Single) -> Single:
        """Values of the targets at points of the region, in float32, shape (batch,).

        The value of a blend is the largest of its terms, which no blend of them exceeds.
        """
        x = points
        for stage in self.chain.stages:
            weight, bias = stage.single
            x = x @ weight.T
            x += bias
            part = x[:, : stage.unstable]
            np.maximum(part, 0.0, out=part)
        return np.asarray(np.where(weights != 0.0, np.sign(weights) * x, -np.inf).max(axis=1))

    def favour(self, batch: Subproblems) -> None:
        """Start every blend from the one of its terms that gives the best bound, if one does.

        Boxes of one target are excluded by different terms; steps alone would take long to turn.
        """
        lean = Lean.of(batch)
        best = self.glance(batch.weights, lean, batch.chosen)
        total = np.abs(batch.weights).sum(axis=1)
        weights = batch.weights.copy()
        for column in np.flatnonzero(batch.weights.any(axis=0)):
            alone = np.where(batch.weights == 0.0, 0.0, _TRACE * batch.weights)
            part = (1.0 - _TRACE) * np.sign(batch.weights[:, column]) * total
            alone[:, column] += part.astype(np.float32)
            found = self.glance(alone, lean, batch.chosen)
            better = (found > best) & (batch.weights[:, column] != 0.0)
            best = np.where(better, found, best)
            weights[better] = alone[better]
        batch.weights = weights

    def improve(
        self, batch: Subproblems, steps: int, enough: Array, watch: Stopwatch | None = None
    ) -> Pass:
        """Choose slopes, multipliers and weights by gradient, in place.

        Parameters
        ----------
        batch : Subproblems
        steps : int
        enough : array, shape (batch,)
            A subproblem whose bound exceeds this is left alone from then on.
        watch : Stopwatch, optional
            Ends the steps.

        Returns
        -------
        Pass
            The last pass over each subproblem.
        """
        size = len(batch)
        live = np.arange(size)
        lean = Lean.of(batch)
        weights, chosen = batch.weights.copy(), batch.chosen.copy()
        best = np.full(size, -np.inf)
        blended = np.count_nonzero(weights, axis=1).max(initial=0) > 1
        last = Pass.empty(batch, self.region.n_inputs)
        state = _Adam(chosen.shape)
        for step in range(steps + 1):
            found = self.sweep(weights, lean, chosen)
            last.store(found, live)
            better = found.bound > best[live]
            best[live[better]] = found.bound[better]
            batch.chosen[live[better]] = chosen[better]
            if blended:
                batch.weights[live[better]] = weights[better]
            if step == steps or (watch is not None and watch.expired):
                break
            going = best[live] <= enough[live]
            if not going.any():
                break
            state.ascend(chosen, lean, found)
            if blended:
                weights = _reweigh(weights, found.outputs)
            if 4 * np.count_nonzero(going) < 3 * len(live):
                live, weights, chosen = live[going], weights[going], chosen[going]
                lean = lean.select(going)
                state.select(going)
        return last

    def certify(self, batch: Subproblems) -> tuple[Array, Array]:
        """Lower bounds in float64, rounded down, for the choices of each subproblem.

        Returns
        -------
        bounds : array, shape (batch,)
        forms : array, shape (batch, n_inputs)
        """
        form = batch.weights.astype(np.float64)
        relaxed = Relaxed.of(batch, batch.chosen.astype(np.float64))
        return prove(self.chain, form, relaxed, self.region)


def _reweigh(weights: Single, outputs: Single) -> Single:
    """Multiplicative step of convex weights towards the terms that are large.

    Weights of several signs on one target are left alone: only one-signed ones are convex.
    """
    gain = np.where(weights != 0.0, np.sign(weights) * outputs, np.float32(0.0))
    used = weights != 0.0
    high = np.where(used, gain, -np.inf).max(axis=1, keepdims=True)
    low = np.where(used, gain, np.inf).min(axis=1, keepdims=True)
    spread = np.maximum(high - low, np.float32(1e-12))
    scaled = weights * np.exp(_BLEND * (gain - high) / spread)
    total = np.abs(weights).sum(axis=1, keepdims=True)
    return np.asarray(scaled * (total / np.abs(scaled).sum(axis=1, keepdims=True)))


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
        gradient = np.maximum(found.coefficients, 0.0)
        gradient *= lean.free
        gradient -= lean.sign
        gradient *= found.values
        if found.pull is not None:
            count = found.pull.shape[1]
            gradient[:, :count] += lean.free[:, :count] * found.pull
        self.step += 1
        self.first += _FIRST * (gradient - self.first)
        self.second += _SECOND * (gradient * gradient - self.second)
        mean = self.first / (1.0 - (1.0 - _FIRST) ** self.step)
        size = np.sqrt(self.second / (1.0 - (1.0 - _SECOND) ** self.step))
        scale = np.abs(found.coefficients).sum(axis=1, keepdims=True) / max(1, chosen.shape[1])
        length = (np.float32(1.0) - lean.free) * (_MULTIPLIER_STEP * scale)
        length += _SLOPE_STEP * lean.free
        length *= _DECAY**self.step
        size += np.float32(1e-12)
        mean /= size
        mean *= length
        chosen += mean
        np.maximum(chosen, 0.0, out=chosen)
        # Slopes end at one, multipliers nowhere.
        np.minimum(chosen, np.float32(1.0) + _FAR * (np.float32(1.0) - lean.free), out=chosen)
