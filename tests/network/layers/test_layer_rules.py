"""Every layer: its rules agree with its forward pass, and malformed layers are refused."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mipnet.errors import NetworkError
from mipnet.network import Affine, Flatten, Interval, Layer, LinearForm, ReLU, register_layer
from mipnet.network.interval import Lines
from mipnet.network.layers import LAYERS
from mipnet.rounding import INFLATE
from tests import oracle
from tests.core_cases import wild

SEEDS = st.integers(0, 2**32 - 1)
SPREAD = (-12.0, 6.0)


def exact(value: float) -> Fraction:
    return Fraction(float(value))


def exact_affine(weight: np.ndarray, bias: np.ndarray, x: np.ndarray) -> list[Fraction]:
    return [
        sum((exact(w) * exact(v) for w, v in zip(row, x, strict=True)), exact(b))
        for row, b in zip(weight, bias, strict=True)
    ]


def random_box(rng: np.random.Generator, n: int, spread: tuple[float, float] = SPREAD) -> Interval:
    one, other = wild(rng, n, spread=spread), wild(rng, n, spread=spread)
    other = np.where(rng.random(n) > 0.7, one, other)
    return Interval(np.minimum(one, other)[None], np.maximum(one, other)[None])


@given(SEEDS)
def test_affine_interval_contains_its_exact_range(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, n = rng.integers(1, 4), rng.integers(1, 7)
    weight, bias = wild(rng, m, n, spread=SPREAD), wild(rng, m, spread=SPREAD)
    box = random_box(rng, n)
    found = Affine(weight, bias).interval(box)
    for i, row in enumerate(weight):
        at_least = np.where(row > 0, box.lower[0], box.upper[0])
        at_most = np.where(row > 0, box.upper[0], box.lower[0])
        least = exact_affine(row[None], bias[i : i + 1], at_least)[0]
        most = exact_affine(row[None], bias[i : i + 1], at_most)[0]
        low, high = exact(found.lower[0, i]), exact(found.upper[0, i])
        assert low <= least <= most <= high
        # Outward, but only by rounding.
        size = np.abs(row) @ box.magnitude[0] + abs(bias[i])
        slack = Fraction(1e-13) * exact(size) + Fraction(1, 2**1000)
        assert least - low <= slack
        assert high - most <= slack


@given(SEEDS)
def test_affine_interval_over_batches(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = Affine(rng.normal(size=(3, 4)), rng.normal(size=3))
    boxes = [random_box(rng, 4) for _ in range(3)]
    lower, upper = (np.concatenate([getattr(b, s) for b in boxes]) for s in ("lower", "upper"))
    many = layer.interval(Interval(lower, upper))
    for i, box in enumerate(boxes):
        single = layer.interval(box)
        size = np.abs(layer.weight) @ box.magnitude[0] + np.abs(layer.bias)
        assert np.all(np.abs(many.lower[i] - single.lower[0]) <= 1e-13 * size)
        assert np.all(np.abs(many.upper[i] - single.upper[0]) <= 1e-13 * size)


def test_neurons_without_weights_have_exact_bounds() -> None:
    """A pruned neuron is its bias: no rounding, so its phase is known and costs no binary."""
    found = Affine(np.zeros((3, 2)), [0.0, 0.1, -3.0]).interval(
        Interval(np.full((1, 2), -1.0), np.ones((1, 2)))
    )
    assert found.lower.tolist() == found.upper.tolist() == [[0.0, 0.1, -3.0]]


@given(SEEDS)
def test_affine_backward_is_the_exact_composition(seed: int) -> None:
    """The new form minus its error lies below the old one, at exact rational points."""
    rng = np.random.default_rng(seed)
    m, n, targets = rng.integers(1, 5, size=3)
    layer = Affine(wild(rng, m, n, spread=SPREAD), wild(rng, m, spread=SPREAD))
    box = random_box(rng, n)
    start = LinearForm(
        wild(rng, 1, targets, m, spread=SPREAD),
        wild(rng, 1, targets, spread=SPREAD),
        np.zeros((1, targets)),
    )
    (form,) = layer.backward(start, layer.relax(box))
    for x in (box.lower[0], box.upper[0], rng.uniform(box.lower[0], box.upper[0])):
        y = exact_affine(layer.weight, layer.bias, x)
        for t in range(targets):
            old = sum(exact(a) * v for a, v in zip(start.coefficients[0, t], y, strict=True))
            old += exact(start.constant[0, t])
            new = exact_affine(form.coefficients[0, t][None], form.constant[0, t : t + 1], x)[0]
            assert abs(new - old) <= exact(form.error[0, t]) + Fraction(1, 2**1000)


@given(SEEDS, st.booleans())
def test_relu_backward_lies_below(seed: int, given_slopes: bool) -> None:
    rng = np.random.default_rng(seed)
    n, targets = rng.integers(1, 6), 3
    box = random_box(rng, n)
    start = LinearForm(
        wild(rng, 1, targets, n, spread=SPREAD), np.zeros((1, targets)), np.zeros((1, targets))
    )
    slopes = rng.uniform(-0.5, 1.5, size=(1, targets, n)) if given_slopes else None
    (form,) = ReLU().backward(start, ReLU().relax(box), slopes)
    inside = rng.uniform(box.lower[0], box.upper[0], size=(3, n))
    for x in (box.lower[0], box.upper[0], np.clip(0.0, box.lower[0], box.upper[0]), *inside):
        for t in range(targets):
            old = sum(
                exact(a) * max(exact(v), Fraction(0))
                for a, v in zip(start.coefficients[0, t], x, strict=True)
            )
            new = exact_affine(form.coefficients[0, t][None], form.constant[0, t : t + 1], x)[0]
            assert new - exact(form.error[0, t]) <= old + Fraction(1, 2**1000)


def test_relu_backward_is_exact_for_stable_neurons() -> None:
    box = Interval(np.array([[1.0, -3.0]]), np.array([[2.0, -1.0]]))
    start = LinearForm(np.array([[[1.5, 2.0], [-1.5, -2.0]]]), np.zeros((1, 2)), np.zeros((1, 2)))
    (form,) = ReLU().backward(start, ReLU().relax(box))
    assert form.coefficients.tolist() == [[[1.5, 0.0], [-1.5, 0.0]]]
    assert form.constant.tolist() == [[0.0, 0.0]]


def test_relu_takes_the_smaller_triangle() -> None:
    """The lower line follows the larger side: slope 1 if U > -L, else 0; the upper is the chord."""
    box = Interval(np.array([[-1.0, -3.0]]), np.array([[3.0, 1.0]]))
    start = LinearForm(np.array([[[1.0, 1.0], [-1.0, -1.0]]]), np.zeros((1, 2)), np.zeros((1, 2)))
    (form,) = ReLU().backward(start, ReLU().relax(box))
    assert form.coefficients == pytest.approx(np.array([[[1.0, 0.0], [-0.75, -0.25]]]))
    assert form.constant == pytest.approx(np.array([[0.0, -1.5]]))


@given(SEEDS)
def test_forward_lines_contain_the_exact_values(seed: int) -> None:
    """Lines of an affine layer, a ReLU and another affine layer, at exact rational points."""
    rng = np.random.default_rng(seed)
    n, m, k = (int(v) for v in rng.integers(1, 5, size=3))
    centre = rng.uniform(-8, 4)
    spread = (centre - 2.0, centre + 2.0)
    layers = [
        Affine(wild(rng, m, n, spread=spread), wild(rng, m, spread=spread)),
        ReLU(),
        Affine(wild(rng, k, m, spread=spread), wild(rng, k, spread=spread)),
    ]
    box = random_box(rng, n, spread)
    zero = np.zeros((1, n))
    values, lines = box, Lines(np.eye(n)[None], np.eye(n)[None], zero, zero, zero)
    bounds = []
    for layer in layers:
        lines = layer.lines(layer.relax(values), box.magnitude, lines)
        values = layer.interval(values)
        bounds.append(lines)
    for x in (box.lower[0], box.upper[0], rng.uniform(box.lower[0], box.upper[0])):
        trace = oracle.exact_trace(
            [layers[0].weight, layers[2].weight], [layers[0].bias, layers[2].bias], x
        )
        for found, exact_values in zip(
            bounds, (trace[0], [max(v, Fraction(0)) for v in trace[0]], trace[1]), strict=True
        ):
            low = exact_affine(found.lower[0], found.lower_constant[0], x)
            high = exact_affine(found.upper[0], found.upper_constant[0], x)
            for i, v in enumerate(exact_values):
                error = exact(found.error[0, i]) + Fraction(1, 2**1000)
                assert low[i] - error <= v <= high[i] + error


def test_relu_forward_interval_and_gradient() -> None:
    x = np.array([[-1.0, 0.0, 2.0]])
    assert ReLU().forward(x).tolist() == [[0.0, 0.0, 2.0]]
    assert ReLU().forward(x.astype("f4")).dtype == np.float32
    assert ReLU().gradient(np.full((1, 3), 5.0), x)[0].tolist() == [[0.0, 0.0, 5.0]]
    found = ReLU().interval(Interval(np.array([[-2.0, -2.0, 1.0]]), np.array([[-1.0, 1.0, 2.0]])))
    assert (found.lower.tolist(), found.upper.tolist()) == ([[0, 0, 1]], [[0, 1, 2]])


def test_flatten_is_row_major_in_every_rule() -> None:
    layer = Flatten()
    x = np.arange(12.0).reshape(2, 2, 3)
    assert layer.forward(x).tolist() == [list(range(6)), list(range(6, 12))]
    assert layer.output_shape((2, 3)) == (6,)
    assert layer.gradient(layer.forward(x), x)[0].tolist() == x.tolist()
    box = layer.interval(Interval(x, x + 1.0))
    assert box.upper.tolist() == (layer.forward(x) + 1.0).tolist()
    form = LinearForm(np.arange(6.0).reshape(1, 1, 6), np.zeros((1, 1)), np.zeros((1, 1)))
    (back,) = layer.backward(form, layer.relax(Interval(x[:1], x[:1])))
    assert back.coefficients.tolist() == np.arange(6.0).reshape(1, 1, 2, 3).tolist()


@given(SEEDS)
def test_merging_forms_adds_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    box = random_box(rng, 3)
    one, other = (
        LinearForm(
            wild(rng, 1, 2, 3, spread=SPREAD),
            wild(rng, 1, 2, spread=SPREAD),
            np.abs(wild(rng, 1, 2, spread=SPREAD)),
        )
        for _ in range(2)
    )
    both = one.merge(other, box.magnitude)
    x = rng.uniform(box.lower[0], box.upper[0])
    for t in range(2):
        single = [
            exact_affine(f.coefficients[0, t][None], f.constant[0, t : t + 1], x)[0]
            - exact(f.error[0, t]) * exact(INFLATE if f is both else 1.0)
            for f in (one, other, both)
        ]
        assert single[2] <= single[0] + single[1]


@pytest.mark.parametrize(
    ("weight", "bias", "message"),
    [
        ([[np.nan, 1.0]], [0.0], "1 weight value.*NaN or infinite, first at neuron 0"),
        ([[1.0], [np.inf]], [0.0, 0.0], "weight.*neuron 1"),
        ([[1.0], [1.0]], [0.0, -np.inf], "bias.*neuron 1"),
        ([[1.0]], [np.nan], "bias.*neuron 0"),
        ([[1.0, 2.0]], [0.0, 0.0], r"\(1, 2\) and \(2,\)"),
        ([1.0, 2.0], [0.0], "shape"),
        ([[1.0]], 0.0, "shape"),
    ],
)
def test_bad_affine_layers_are_refused(weight: list, bias: list, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        Affine(weight, bias)


@pytest.mark.parametrize("weight", [[[1.0, 2.0], [3.0]], [["a"]], np.array([[1 + 2j]])])
def test_weights_that_are_no_real_matrix_are_refused(weight: object) -> None:
    with pytest.raises(NetworkError):
        Affine(weight, [0.0])


def test_incomplete_layer_fails_when_registered() -> None:
    class Half(Layer):
        def forward(self, *values):
            return values[0]

    with pytest.raises(TypeError, match=r"'Half'.*backward.*encode.*interval"):
        register_layer("Half")(Half)
    assert "Half" not in LAYERS


def test_taken_kind_fails_when_registered() -> None:
    with pytest.raises(TypeError, match="taken"):
        register_layer("ReLU")(ReLU)


def test_registered_kinds_are_the_class_names() -> None:
    assert LAYERS["Affine"] is Affine
    assert all(cls.kind == kind for kind, cls in LAYERS.items())
