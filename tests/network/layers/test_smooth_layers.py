"""Smooth layers against arithmetic of forty digits: lines, pieces and bands hold the function."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formulations import AffineForm, Program, formulation
from mipnet.errors import BoundsError, NetworkError
from mipnet.network import Interval, LinearForm
from mipnet.network.layers import GELU, HardSwish, Sigmoid, SiLU, Softplus, Tanh, curve
from mipnet.network.layers.smooth import Smooth
from mipnet.solver import Status, solve

SEEDS = st.integers(0, 2**32 - 1)
MANY = settings(max_examples=25)

LAYERS: dict[str, Callable[[float], Smooth]] = {
    "gelu": GELU,
    "gelu-tanh": lambda e: GELU(e, approximate="tanh"),
    "hard swish": HardSwish,
    "sigmoid": Sigmoid,
    "silu": SiLU,
    "softplus": Softplus,
    "softplus-8": lambda e: Softplus(e, beta=8.0),
    "tanh": Tanh,
}


@pytest.fixture(autouse=True, scope="module")
def _forty_digits() -> Iterator[None]:
    before, mpmath.mp.dps = mpmath.mp.dps, 40
    yield
    mpmath.mp.dps = before


def truth(name: str, x: object) -> mpmath.mpf:
    """Value of the function in forty digits."""
    t = mpmath.mpf(x)
    if name == "gelu":
        return t * mpmath.erfc(-t / mpmath.sqrt(2)) / 2
    if name == "gelu-tanh":
        inner = mpmath.sqrt(2 / mpmath.pi) * (t + mpmath.mpf(0.044715) * t**3)
        return t / (1 + mpmath.exp(-2 * inner))
    if name == "hard swish":
        return t * min(max(t + 3, 0), 6) / 6
    if name == "silu":
        return t / (1 + mpmath.exp(-t))
    if name.startswith("softplus"):
        beta = 8 if name.endswith("8") else 1
        return mpmath.log1p(mpmath.exp(beta * t)) / beta
    return mpmath.tanh(t) if name == "tanh" else 1 / (1 + mpmath.exp(-t))


def interval(rng: np.random.Generator) -> tuple[float, float]:
    """Of any place and width, from a hair to hundreds."""
    centre, half = rng.normal() * 10.0 ** rng.uniform(-2, 1.3), 10.0 ** rng.uniform(-9, 2)
    lower, upper = centre - half * rng.random(), centre + half * rng.random()
    return float(lower), float(max(lower, upper))


def samples(rng: np.random.Generator, lower: float, upper: float, layer: Smooth) -> list[float]:
    bends = [end for end, _ in layer.parts] + ([] if layer.lowest is None else [layer.lowest[0]])
    inside = [float(b) for b in bends if lower <= b <= upper]
    return [lower, upper, *inside, *rng.uniform(lower, upper, size=8).tolist()]


@pytest.mark.parametrize("name", LAYERS)
def test_computed_values_are_within_the_error_they_count_with(name: str) -> None:
    layer, rng = LAYERS[name](0.01), np.random.default_rng(0)
    sizes = 10.0 ** rng.uniform(-8, 2.3, size=150) * rng.choice([-1.0, 1.0], size=150)
    bends = [end for end, _ in layer.parts if math.isfinite(end)]
    x = np.concatenate([sizes, rng.normal(size=60) * 3.0, [0.0], bends])
    low, high = layer._offset(np.zeros_like(x), x)
    # The library is several times better than what it is granted.
    spread = 0.25 * (high - low)
    for i, v in enumerate(x.tolist()):
        assert low[i] + spread[i] <= truth(name, v) <= high[i] - spread[i]
    straight = {-3.0, 3.0} if name == "hard swish" else set()
    for v, d in zip(x.tolist(), layer.derivative(x).tolist(), strict=True):
        if v not in straight:
            assert (
                abs(mpmath.diff(lambda t: truth(name, t), v) - d)
                <= 0.25 * curve._DERIVATIVE + 1e-15
            )


@pytest.mark.parametrize("name", LAYERS)
def test_parts_bend_the_way_they_say(name: str) -> None:
    layer, rng = LAYERS[name](0.01), np.random.default_rng(1)
    begin = -math.inf
    for end, sign in layer.parts:
        low, high = max(begin, -12.0), min(end, 12.0)
        for _ in range(40):
            a, c = np.sort(rng.uniform(low, high, size=2)).tolist()
            middle = (mpmath.mpf(a) + mpmath.mpf(c)) / 2
            bend = truth(name, a) + truth(name, c) - 2 * truth(name, middle)
            assert bend * sign >= -(mpmath.mpf(10) ** -30) if sign else abs(bend) < 1e-30
        # Up to their very ends.
        for edge, step in ((begin, 1e-7), (end, -1e-7)):
            if sign and math.isfinite(edge):
                second = mpmath.diff(lambda t: truth(name, t), mpmath.mpf(edge) + step, 2)
                assert second * sign > 0
        begin = end


@pytest.mark.parametrize("name", LAYERS)
@MANY
@given(seed=SEEDS)
def test_intervals_hold_the_function(name: str, seed: int) -> None:
    rng, layer = np.random.default_rng(seed), LAYERS[name](0.01)
    lower, upper = interval(rng)
    found = layer.interval(Interval(np.array([[lower]]), np.array([[upper]])))
    values = [truth(name, v) for v in samples(rng, lower, upper, layer)]
    low, high = found.lower[0, 0], found.upper[0, 0]
    assert all(low <= v <= high for v in values)
    size = 1e-12 * (1e-3 + abs(float(min(values))) + abs(float(max(values))))
    assert low >= float(min(values)) - size
    assert high <= float(max(values)) + size


@pytest.mark.parametrize("name", LAYERS)
@MANY
@given(seed=SEEDS)
def test_lines_hold_the_function(name: str, seed: int) -> None:
    """Also lines of slopes that no search would pick."""
    rng, layer = np.random.default_rng(seed), LAYERS[name](0.01)
    ends = [interval(rng) for _ in range(3)]
    lower, upper = (np.array(side) for side in zip(*ends, strict=True))
    b = layer.bracket(lower[None], upper[None])
    wild = rng.normal(size=3) * 10.0 ** rng.uniform(-3, 1, size=3)
    ends_of_wild = layer.above(wild, lower, upper), layer.below(wild, lower, upper)
    lines = [
        (b.rise[0], b.above[0], b.fall[0], b.below[0]),
        (wild, ends_of_wild[0], wild, ends_of_wild[1]),
    ]
    for rise, above, fall, below in lines:
        for i in range(3):
            for v in samples(rng, float(lower[i]), float(upper[i]), layer):
                t, y = mpmath.mpf(v), truth(name, v)
                assert mpmath.mpf(rise[i]) * t + mpmath.mpf(above[i]) >= y
                assert mpmath.mpf(fall[i]) * t + mpmath.mpf(below[i]) <= y


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_lines_hold_however_badly_the_search_went(
    name: str, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curve, "_STEPS", steps)
    rng, layer = np.random.default_rng(steps), LAYERS[name](0.01)
    lower, upper = np.sort(rng.uniform(-5.0, 5.0, size=(2, 40)), axis=0)
    slope = layer.derivative(rng.uniform(lower, upper))
    above, below = layer.above(slope, lower, upper), layer.below(slope, lower, upper)
    x = lower + (upper - lower) * np.linspace(0.0, 1.0, 201)[:, None]
    assert (layer.value(x) <= slope * x + above + 1e-12).all()
    assert (layer.value(x) >= slope * x + below - 1e-12).all()


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("seed", range(12))
def test_lines_are_near_the_hull_in_the_middle(name: str, seed: int) -> None:
    rng, layer = np.random.default_rng(seed), LAYERS[name](0.01)
    lower, upper = np.sort(rng.uniform(-6.0, 6.0, size=2))
    b = layer.bracket(np.array([[lower]]), np.array([[upper]]))
    x = np.linspace(lower, upper, 401)
    y, middle = layer.value(x), 0.5 * (lower + upper)
    left, right = x[:200, None], x[None, 201:]
    chords = y[:200, None] + (middle - left) / (right - left) * (y[None, 201:] - y[:200, None])
    least = min(chords.min(), y[200])
    most = max(chords.max(), y[200])
    spread = 0.002 * (y.max() - y.min()) + 1e-9
    assert most - 1e-9 <= b.rise[0, 0] * middle + b.above[0, 0] <= most + spread
    assert least - spread <= b.fall[0, 0] * middle + b.below[0, 0] <= least + 1e-9


@pytest.mark.parametrize("name", LAYERS)
@MANY
@given(seed=SEEDS)
def test_pieces_hold_the_function_within_the_error(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = LAYERS[name](10.0 ** rng.uniform(-4, -0.5))
    ends = [interval(rng) for _ in range(4)]
    lower, upper = (np.array(side) for side in zip(*ends, strict=True))
    found = layer.pieces(lower, upper)
    assert found.owner.tolist() == sorted(found.owner.tolist())
    assert (found.left[found.first] == lower).all()
    assert (found.high - found.low).max() <= layer.error
    for i in range(4):
        own = np.flatnonzero(found.owner == i)
        assert found.right[own[-1]] == upper[i]
        assert (found.right[own] >= found.left[own]).all()
        assert (found.left[own[1:]] == found.right[own[:-1]]).all()
        for side in (found.low, found.high):
            assert (side[own[1:], 0] == side[own[:-1], 1]).all()
        for k in rng.choice(own, size=min(4, own.size)):
            left, right = float(found.left[k]), float(found.right[k])
            for v in samples(rng, left, right, layer)[:6]:
                share = 0.0 if right == left else (v - left) / (right - left)
                low, high = ((1.0 - share) * s[k, 0] + share * s[k, 1]
                             for s in (found.low, found.high))  # fmt: skip
                y = truth(name, v)
                slack = 1e-14 * (1.0 + abs(float(y)))
                assert low - slack <= y <= high + slack


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("error", [0.05, 1e-3, 1e-5])
def test_as_few_pieces_as_the_error_needs(name: str, error: float) -> None:
    """Half the error needs about the square root of 2 times the pieces, and uses its band up."""
    counts, bands = [], []
    for e in (error, 0.5 * error):
        pieces = LAYERS[name](e).pieces(np.array([-8.0]), np.array([8.0]))
        counts.append(pieces.owner.size)
        bands.append((pieces.high - pieces.low).max() / e)
    assert all(0.85 <= band <= 1.0 for band in bands)
    assert counts[1] <= 1.5 * counts[0] + 2


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("seed", range(3))
def test_backward_and_lines_lie_below(name: str, seed: int) -> None:
    rng, layer = np.random.default_rng(seed), LAYERS[name](0.01)
    lower, upper = np.sort(rng.uniform(-5.0, 5.0, size=(2, 1, 4)), axis=0)
    made = layer.relax(Interval(lower, upper))
    start = LinearForm(rng.normal(size=(1, 3, 4)), np.zeros((1, 3)), np.zeros((1, 3)))
    (form,) = layer.backward(start, made)
    for x in (lower[0], upper[0], *rng.uniform(lower[0], upper[0], size=(4, 4))):
        y = [truth(name, v) for v in x.tolist()]
        for t in range(3):
            old = mpmath.fdot(start.coefficients[0, t].tolist(), y)
            new = mpmath.fdot(form.coefficients[0, t].tolist(), x.tolist())
            new += mpmath.mpf(form.constant[0, t]) - mpmath.mpf(form.error[0, t])
            assert new <= old
    x = rng.uniform(lower, upper)[:, None]
    value = layer.follow(start.coefficients, made, None, np.repeat(x, 3, axis=1))
    at = (form.coefficients * x).sum(axis=2) + form.constant
    assert (start.coefficients * value).sum(axis=2) == pytest.approx(at)
    assert layer.start(made) is None


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("chosen", ["big_m", "triangle"])
def test_the_program_stays_in_its_band(name: str, chosen: str) -> None:
    """At fixed inputs the value may be anything in the band, and nothing outside it."""
    layer = LAYERS[name](0.02)
    lower, upper = np.array([[-4.0, -1.0, 0.3]]), np.array([[5.0, 1.5, 0.35]])
    b = Interval(lower, upper)
    rng = np.random.default_rng(0)
    for _ in range(3):
        point = rng.uniform(lower, upper)
        program = Program()
        x = AffineForm.of_columns(program.add_columns(point[0], point[0]))
        y = layer.encode(program, x, bounds=(b,), formulation=formulation(chosen))
        assert (program.n_integers > 0) == (chosen == "big_m")
        full = program.complete(np.arange(3, dtype=np.int32), point[0])
        assert program.freeze().violation(full) <= 1e-12
        assert y.evaluate(full).tolist() == layer.forward(point)[0].tolist()
        for i in range(3):
            wanted = float(layer.forward(point)[0, i])
            reached = []
            for sign in (1.0, -1.0):
                form = y.affine(sign * np.eye(3)[i : i + 1], np.zeros(1))
                answer = solve(program.freeze(form))
                assert answer.status is Status.OPTIMAL
                reached.append(sign * answer.bound)
            assert reached[0] <= wanted + 1e-9
            assert reached[1] >= wanted - 1e-9
            if chosen == "big_m":
                assert reached[1] - reached[0] <= layer.error + 1e-6


def test_narrow_bounds_cost_no_binary_and_little_band() -> None:
    layer, program = Sigmoid(0.02), Program()
    b = Interval(np.array([[1.0]]), np.array([[1.1]]))
    x = AffineForm.of_columns(program.add_columns([1.0], [1.1]))
    layer.encode(program, x, bounds=(b,), formulation=formulation("big_m"))
    arrays = program.freeze()
    assert (arrays.n_binaries, arrays.n_rows) == (0, 1)
    assert arrays.row_upper[0] - arrays.row_lower[0] < 2e-4


@pytest.mark.parametrize("name", LAYERS)
def test_layers_with_programs_can_be_pickled(name: str) -> None:
    layer, program = LAYERS[name](0.05), Program()
    b = Interval(np.array([[-1.0]]), np.array([[2.0]]))
    x = AffineForm.of_columns(program.add_columns([-1.0], [2.0]))
    layer.encode(program, x, bounds=(b,), formulation=formulation("big_m"))
    twin = pickle.loads(pickle.dumps(program))  # noqa: S301 (our own bytes)
    columns = np.zeros(1, dtype=np.int32)
    point = np.array([0.7])
    assert twin.complete(columns, point).tolist() == program.complete(columns, point).tolist()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sigmoid(0.0), "Sigmoid: the error.*at least 1e-06, not 0.0"),
        (lambda: Tanh(np.nan), "error"),
        (lambda: GELU(np.inf), "error"),
        (lambda: GELU(approximate="erf"), "'none' or 'tanh', not 'erf'"),
        (lambda: Softplus(beta=0.0), "beta must be a positive"),
    ],
)
def test_bad_parameters(make: Callable[[], Smooth], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        make()


def test_inputs_too_large_for_the_error_are_refused() -> None:
    """At 1e10 the function itself is not known to a millionth."""
    with pytest.raises(BoundsError, match="too large for pieces with an error of 1e-06"):
        Softplus(1e-6).pieces(np.array([-1.0]), np.array([1e10]))
