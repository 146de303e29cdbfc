"""Layers with kinks: every rule against rational arithmetic, every encoding against the layer."""

from __future__ import annotations

from fractions import Fraction
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formulations import AffineForm, Program, formulation
from mipnet.network import Interval, LinearForm
from mipnet.network.interval import Lines
from mipnet.network.layers import Abs, Clip, HardSigmoid, LeakyReLU, MaxPool, PReLU
from mipnet.solver import Status, solve
from tests.core_cases import wild
from tests.network.layers.exact_layers import EXACT, exact
from tests.network.layers.layer_cases import PIECEWISE, SPREAD, box, points

SEEDS = st.integers(0, 2**32 - 1)
MANY = settings(max_examples=40)
TINY = Fraction(1, 2**1000)


def dot(a: np.ndarray, b: np.ndarray) -> Fraction:
    return sum((x * y for x, y in zip(exact(a).ravel(), b.ravel(), strict=True)), Fraction(0))


def kinks(layer) -> list[float]:
    """Values at which a layer changes its piece, beside other values of its input."""
    if isinstance(layer, Clip | HardSigmoid):
        return [k for k in layer.line.kinks() if np.isfinite(k)]
    return [0.0]


def case(kind: str, seed: int):
    rng = np.random.default_rng(seed)
    layer, (shape,) = PIECEWISE[kind](rng)
    spread = SPREAD if rng.random() < 0.5 else (-1.0, 1.0)
    return rng, layer, shape, box(rng, shape, spread)


def inside(rng, layer, b: Interval) -> list[np.ndarray]:
    """Points of a box: ends, corners, kinks, others."""
    found = [x for (x,) in points(rng, [b])]
    return found + [np.clip(k, b.lower[0], b.upper[0]) for k in kinks(layer)]


@pytest.mark.parametrize("kind", PIECEWISE)
@MANY
@given(seed=SEEDS)
def test_intervals_are_the_exact_range(kind: str, seed: int) -> None:
    rng, layer, shape, b = case(kind, seed)
    found = layer.interval(b)
    assert found.lower.shape == (1, *layer.output_shape(shape))
    seen = np.stack([EXACT[kind](layer, exact(x)).ravel() for x in inside(rng, layer, b)])
    low, high = exact(found.lower).ravel(), exact(found.upper).ravel()
    assert (seen >= low).all()
    assert (seen <= high).all()
    slack = Fraction(1e-14) * (1 + abs(low) + abs(high))
    assert (seen.min(axis=0) - low <= slack).all()
    assert (high - seen.max(axis=0) <= slack).all()


@pytest.mark.parametrize("kind", PIECEWISE)
@MANY
@given(seed=SEEDS, given_slopes=st.booleans())
def test_backward_lies_below(kind: str, seed: int, given_slopes: bool) -> None:
    rng, layer, shape, b = case(kind, seed)
    targets, out = 3, layer.output_shape(shape)
    start = LinearForm(
        wild(rng, 1, targets, *out, spread=SPREAD), np.zeros((1, targets)), np.zeros((1, targets))
    )
    made = layer.relax(b)
    slopes = rng.uniform(-0.5, 1.5, size=(1, targets, *out)) if given_slopes else None
    (form,) = layer.backward(start, made, slopes)
    for x in inside(rng, layer, b):
        y = EXACT[kind](layer, exact(x))
        for t in range(targets):
            new = dot(form.coefficients[0, t], exact(x)) + Fraction(float(form.constant[0, t]))
            old = dot(start.coefficients[0, t], y)
            assert new - Fraction(float(form.error[0, t])) <= old + TINY


@pytest.mark.parametrize("kind", PIECEWISE)
@pytest.mark.parametrize("seed", range(6))
def test_backward_is_exact_where_nothing_is_unstable(kind: str, seed: int) -> None:
    rng, layer, shape, b = case(kind, seed)
    x = rng.uniform(b.lower, b.upper)
    near = Interval(x, x)
    assert not layer.unstable(near).any()
    out = layer.output_shape(shape)
    start = LinearForm(rng.normal(size=(1, 2, *out)), np.zeros((1, 2)), np.zeros((1, 2)))
    (form,) = layer.backward(start, layer.relax(near))
    y = layer.forward(x)[0]
    value = (form.coefficients * x[:, None]).reshape(2, -1).sum(axis=1) + form.constant[0]
    wanted = (start.coefficients[0] * y).reshape(2, -1).sum(axis=1)
    assert value == pytest.approx(wanted, abs=1e-12 * (1.0 + np.abs(x).max()), rel=1e-12)


@pytest.mark.parametrize("kind", sorted(set(PIECEWISE) - {"GlobalMaxPool", "MaxPool", "ReLU"}))
@MANY
@given(seed=SEEDS)
def test_brackets_lie_beyond_the_graph_exactly(kind: str, seed: int) -> None:
    """With no error term to hide behind."""
    rng, layer, _, b = case(kind, seed)
    lines = layer.bracket(b.lower, b.upper)
    pairs = [(lines.rise, lines.above, 1), (lines.fall, lines.below, -1)]
    pairs.append((lines.other, lines.under, -1))
    for x in map(exact, inside(rng, layer, b)):
        y = EXACT[kind](layer, x)
        for slope, shift, side in pairs:
            assert (side * (exact(slope[0]) * x + exact(shift[0]) - y) >= 0).all()


@pytest.mark.parametrize("kind", ["GlobalMaxPool", "MaxPool"])
@MANY
@given(seed=SEEDS)
def test_upper_lines_of_windows_lie_above_exactly(kind: str, seed: int) -> None:
    rng, layer, shape, b = case(kind, seed)
    intercept, below, above, _, _ = layer.relax(b)
    window = layer.window_of(shape)
    outputs = window.output(kind, shape)
    index = window.index(shape[1:], outputs)
    for x in inside(rng, layer, b):
        flat, y = exact(x).reshape(shape[0], -1), EXACT[kind](layer, exact(x))
        read = np.where(index >= 0, flat[:, np.maximum(index, 0)], Fraction(0))
        for weights, shift, side in ((above, intercept, 1), (below, 0.0 * intercept, -1)):
            w = exact(np.moveaxis(weights[0].reshape(window.volume, shape[0], -1), 0, -1))
            value = (w * read).sum(axis=-1).reshape(y.shape) + exact(shift[0])
            assert (side * (value - y) >= 0).all()


@pytest.mark.parametrize("kind", PIECEWISE)
@MANY
@given(seed=SEEDS)
def test_forward_lines_contain_the_exact_values(kind: str, seed: int) -> None:
    """Behind lines that differ in slope and constant, at points of their own."""
    rng, layer, shape, _ = case(kind, seed)
    n, size = 2, prod(shape)
    lower = rng.normal(size=(size, n))
    turn = rng.normal(size=(size, n)) * (rng.random((size, 1)) < 0.7)
    centre = rng.normal(size=size) * 10.0 ** rng.uniform(-2, 3)
    # Over the unit box the upper line is nowhere below the lower one.
    lift = np.abs(turn).sum(axis=1) * (1.0 + 1e-9) + rng.random(size) * (rng.random(size) < 0.5)
    ends = np.abs(lower).sum(axis=1), np.abs(lower + turn).sum(axis=1)
    reach = 1e-9 * (1.0 + np.abs(centre))
    bounds = Interval((centre - ends[0] - reach)[None], (centre + lift + ends[1] + reach)[None])
    lines = Lines(lower[None], (lower + turn)[None], centre[None], (centre + lift)[None],
                  np.zeros((1, size)))  # fmt: skip
    found = layer.lines(layer.relax(bounds.reshape(shape)), np.ones((1, n)), lines)
    for _ in range(4):
        x = exact(rng.choice([-1.0, 1.0, 0.3, -0.7], size=n))
        low = exact(lower) @ x + exact(centre)
        high = exact(lower + turn) @ x + exact(centre + lift)
        share = exact(rng.choice([0.0, 1.0, 0.5], size=size))
        y = EXACT[kind](layer, (low + share * (high - low)).reshape(shape)).ravel()
        for i, value in enumerate(y):
            least = dot(found.lower[0, i], x) + Fraction(float(found.lower_constant[0, i]))
            most = dot(found.upper[0, i], x) + Fraction(float(found.upper_constant[0, i]))
            error = Fraction(float(found.error[0, i])) * Fraction(1 + 1e-7) + TINY
            assert least - error <= value <= most + error


@pytest.mark.parametrize("kind", PIECEWISE)
@pytest.mark.parametrize("seed", range(8))
def test_followed_lines_are_the_picked_ones(kind: str, seed: int) -> None:
    """The form at a point is the sum over the lines there, and slopes do what ``gain`` says."""
    rng, layer, shape, _ = case(kind, seed)
    b = box(rng, shape, (-1.0, 1.0))
    out, made = layer.output_shape(shape), layer.relax(b)
    start = LinearForm(rng.normal(size=(1, 2, *out)), np.zeros((1, 2)), np.zeros((1, 2)))
    x = rng.uniform(b.lower, b.upper, size=(2, *shape))[None]
    own = layer.start(made)
    choices = [None] if own is None else [None, rng.uniform(size=(1, 2, *out))]
    for slopes in choices:
        (form,) = layer.backward(start, made, slopes)
        value = (form.coefficients * x).reshape(2, -1).sum(axis=1) + form.constant[0]
        y = layer.follow(start.coefficients, made, slopes, x)
        assert value == pytest.approx((start.coefficients * y).reshape(2, -1).sum(axis=1))
    if own is None:
        return
    (default,) = layer.backward(start, made)
    (same,) = layer.backward(start, made, np.repeat(own[:, None], 2, axis=1))
    assert default.coefficients.tolist() == same.coefficients.tolist()
    step = 0.25
    moved = np.clip(slopes, 0.0, 1.0 - step)
    ahead = layer.follow(np.ones((1, 2, *out)), made, moved + step, x)
    here = layer.follow(np.ones((1, 2, *out)), made, moved, x)
    gain = layer.gain(made, x) * layer.unstable(b)[:, None]
    assert ahead - here == pytest.approx(step * gain)


@pytest.mark.parametrize(
    "layer", [Abs(), LeakyReLU(0.1), LeakyReLU(3.0), LeakyReLU(-1.5), Clip(0.0, 6.0), Clip(-1.0),
              Clip(high=2.0), HardSigmoid(0.2, 0.5)]
)  # fmt: skip
@pytest.mark.parametrize("seed", range(10))
def test_lines_touch_the_hull_in_the_middle(layer, seed: int) -> None:
    """No sound line lies nearer to the graph at the middle of the interval."""
    rng = np.random.default_rng(seed)
    lower, upper = np.sort(rng.uniform(-10.0, 12.0, size=2))
    b = layer.bracket(np.array([[lower]]), np.array([[upper]]))
    x = np.unique([lower, upper, *np.linspace(lower, upper, 201), *kinks(layer)])
    x = x[(x >= lower) & (x <= upper)]
    y = layer.forward(x)
    middle = 0.5 * (lower + upper)
    left, right = np.flatnonzero(x <= middle), np.flatnonzero(x >= middle)
    share = (middle - x[left, None]) / np.maximum(x[right] - x[left, None], 1e-300)
    chords = y[left, None] + share * (y[right] - y[left, None])
    rise, above = float(b.rise[0, 0]), float(b.above[0, 0])
    assert rise * middle + above == pytest.approx(chords.max(), abs=1e-9)
    s = float(b.start[0, 0])
    fall = (1 - s) * b.fall[0, 0] + s * b.other[0, 0]
    below = (1 - s) * b.below[0, 0] + s * b.under[0, 0]
    assert fall * middle + below == pytest.approx(chords.min(), abs=1e-9)


def extremes(layer, b: Interval, cost: np.ndarray, name: str) -> tuple[float, float]:
    """Least and largest ``cost . y`` of the encoding over a box."""
    program = Program()
    x = AffineForm.of_columns(program.add_columns(b.lower.ravel(), b.upper.ravel()))
    chosen = formulation(name)
    y = layer.encode(program, x, bounds=(b,), formulation=chosen)
    found = []
    for sign in (1.0, -1.0):
        answer = solve(program.freeze(y.affine(sign * cost[None], np.zeros(1))))
        assert answer.status is Status.OPTIMAL
        found.append(sign * answer.bound)
    return found[0], found[1]


@pytest.mark.parametrize("kind", PIECEWISE)
@pytest.mark.parametrize("seed", range(4))
def test_encoding_reaches_exactly_what_the_layer_reaches(kind: str, seed: int) -> None:
    """Over boxes, against samples and exact ranges; at points, against the forward pass."""
    rng = np.random.default_rng(seed)
    layer, (shape,) = PIECEWISE[kind](rng)
    if isinstance(layer, HardSigmoid):
        layer = HardSigmoid(0.2, 0.5)
    scale = 8.0 if isinstance(layer, Clip | HardSigmoid) else 2.0
    lower = rng.uniform(-scale, scale, size=(1, *shape))
    b = Interval(lower, lower + rng.uniform(0.0, scale, size=lower.shape))
    cost = rng.normal(size=prod(layer.output_shape(shape)))
    reach, (least, most) = layer.interval(b), extremes(layer, b, cost, "big_m")
    x = rng.uniform(b.lower, b.upper, size=(500, *shape))
    values = layer.forward(x).reshape(len(x), -1) @ cost
    assert least <= values.min() + 1e-6
    assert most >= values.max() - 1e-6
    if not isinstance(layer, MaxPool) or layer.window.stride == layer.window.extents:
        # Outputs of different elements or windows do not meet: each reaches its own range.
        ends = np.stack([side.ravel() * cost for side in (reach.lower, reach.upper)])
        assert least == pytest.approx(ends.min(axis=0).sum(), abs=1e-6)
        assert most == pytest.approx(ends.max(axis=0).sum(), abs=1e-6)
    loose = extremes(layer, b, cost, "triangle")
    assert loose[0] <= least + 1e-7
    assert loose[1] >= most - 1e-7
    point = x[:1]
    wanted = float(layer.forward(point).ravel() @ cost)
    assert fixed(layer, b, point, cost) == pytest.approx((wanted, wanted), abs=1e-6)


def fixed(layer, b: Interval, point: np.ndarray, cost: np.ndarray) -> tuple[float, float]:
    """Least and largest ``cost . y`` with the input fixed, bounds as for the whole box."""
    program = Program()
    x = AffineForm.of_columns(program.add_columns(point.ravel(), point.ravel()))
    y = layer.encode(program, x, bounds=(b,), formulation=formulation("big_m"))
    full = program.complete(np.arange(x.size, dtype=np.int32), point.ravel())
    assert program.freeze().violation(full) <= 1e-9
    assert y.evaluate(full) == pytest.approx(layer.forward(point).ravel(), abs=1e-12)
    found = []
    for sign in (1.0, -1.0):
        answer = solve(program.freeze(y.affine(sign * cost[None], np.zeros(1))))
        assert answer.status is Status.OPTIMAL
        found.append(sign * answer.bound)
    return found[0], found[1]


def test_phases_cost_binaries_only_where_they_are_open() -> None:
    lower = np.array([[-1.0, -3.0, 1.0, -9.0, 7.0, 1.0]])
    upper = np.array([[2.0, -1.0, 2.0, 9.0, 8.0, 9.0]])
    b = Interval(lower, upper)
    for layer, unstable, inactive, binaries in (
        (Abs(), "100100", "000000", 2),
        (Clip(0.0, 6.0), "100101", "010010", 4),
        (LeakyReLU(0.0), "100100", "010000", 2),
        (PReLU(np.ones(6)), "000000", "000000", 0),
    ):
        assert "".join("01"[int(v)] for v in layer.unstable(b)[0]) == unstable
        assert "".join("01"[int(v)] for v in layer.inactive(b)[0]) == inactive
        program = Program()
        x = AffineForm.of_columns(program.add_columns(lower[0], upper[0]))
        layer.encode(program, x, bounds=(b,), formulation=formulation("big_m"))
        assert program.n_integers == binaries


def test_windows_that_are_decided_cost_nothing() -> None:
    """One element dominates the first window; of the second only two compete."""
    lower = np.array([[[5.0, 0.0, 1.0, -4.0, 0.0, 2.0]]])
    upper = np.array([[[6.0, 5.0, 2.0, -3.0, 4.0, 3.0]]])
    layer, b = MaxPool((3,)), Interval(lower, upper)
    assert layer.unstable(b).astype(int).tolist() == [[[0, 0, 0, 0, 1, 1]]]
    assert layer.inactive(b).astype(int).tolist() == [[[0, 1, 1, 1, 0, 0]]]
    program = Program()
    x = AffineForm.of_columns(program.add_columns(lower.ravel(), upper.ravel()))
    y = layer.encode(program, x, bounds=(b,), formulation=formulation("big_m"))
    assert program.n_integers == 2
    assert y.select(np.array([0])).coefficients.indices.tolist() == [0]
