"""Layers without a kink: every rule against rational arithmetic."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formulations import AffineForm, Program, formulation
from mipnet.network import Interval, Layer, LinearForm, ReLU
from mipnet.network.interval import Lines
from tests.core_cases import wild
from tests.network.layers.exact_layers import EXACT, exact
from tests.network.layers.layer_cases import LINEAR, SPREAD, box, points

SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=12)
TINY = Fraction(1, 2**1000)


def dot(a: np.ndarray, b: np.ndarray) -> Fraction:
    return sum((x * y for x, y in zip(exact(a).ravel(), b.ravel(), strict=True)), Fraction(0))


def rows(layer: Layer, shapes) -> tuple[np.ndarray, np.ndarray]:
    """Exact matrix over all inputs, flattened one after the other, and offsets."""
    sizes = [prod(s) for s in shapes]

    def image(flat: np.ndarray) -> np.ndarray:
        parts = np.split(exact(flat), np.cumsum(sizes)[:-1])
        items = [p.reshape(s) for p, s in zip(parts, shapes, strict=True)]
        return np.asarray(EXACT[layer.kind](layer, *items)).reshape(-1)

    offset = image(np.zeros(sum(sizes)))
    return np.stack([image(unit) - offset for unit in np.eye(sum(sizes))], axis=1), offset


def flat(boxes: list[Interval]) -> tuple[np.ndarray, np.ndarray]:
    lower = np.concatenate([b.lower.ravel() for b in boxes])
    return lower, np.concatenate([b.upper.ravel() for b in boxes])


@pytest.mark.parametrize("kind", LINEAR)
@FEW
@given(seed=SEEDS)
def test_intervals_are_the_exact_range_rounded_outward(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer, shapes = LINEAR[kind](rng)
    boxes = [box(rng, s) for s in shapes]
    found = layer.interval(*boxes)
    assert found.lower.shape == (1, *layer.output_shape(*shapes))
    matrix, offset = rows(layer, shapes)
    lower, upper = map(exact, flat(boxes))
    for i, row in enumerate(matrix):
        least = sum(np.where(row > 0, row * lower, row * upper), offset[i])
        most = sum(np.where(row > 0, row * upper, row * lower), offset[i])
        low, high = (Fraction(float(side.reshape(-1)[i])) for side in (found.lower, found.upper))
        assert low <= least <= most <= high
        size = sum(abs(row) * np.maximum(abs(lower), abs(upper)), abs(offset[i]))
        slack = Fraction(1e-13) * size + TINY
        assert least - low <= slack
        assert high - most <= slack


@pytest.mark.parametrize("kind", LINEAR)
@FEW
@given(seed=SEEDS)
def test_backward_is_the_exact_composition(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer, shapes = LINEAR[kind](rng)
    boxes = [box(rng, s) for s in shapes]
    targets, shape = 2, layer.output_shape(*shapes)
    start = LinearForm(
        wild(rng, 1, targets, *shape, spread=SPREAD),
        wild(rng, 1, targets, spread=SPREAD),
        np.zeros((1, targets)),
    )
    forms = layer.backward(start, layer.relax(*boxes))
    assert [f.coefficients.shape[2:] for f in forms] == shapes
    for x in points(rng, boxes):
        y = np.asarray(EXACT[kind](layer, *map(exact, x)))
        for t in range(targets):
            old = dot(start.coefficients[0, t], y) + Fraction(start.constant[0, t])
            new = sum(
                dot(f.coefficients[0, t], exact(v)) + Fraction(float(f.constant[0, t]))
                for f, v in zip(forms, x, strict=True)
            )
            error = sum(Fraction(float(f.error[0, t])) for f in forms)
            assert abs(new - old) <= error + TINY


@pytest.mark.parametrize("kind", LINEAR)
@FEW
@given(seed=SEEDS)
def test_forward_lines_contain_the_exact_values(kind: str, seed: int) -> None:
    """Through a ReLU first, so that the two lines differ."""
    rng = np.random.default_rng(seed)
    layer, shapes = LINEAR[kind](rng)
    boxes = [box(rng, s) for s in shapes]
    relu, sizes = ReLU(), [prod(s) for s in shapes]
    ends = np.cumsum([0, *sizes])
    lower, upper = flat(boxes)
    inputs = np.maximum(abs(lower), abs(upper))[None]
    lines, after = [], []
    for first, last, b in zip(ends[:-1], ends[1:], boxes, strict=True):
        eye, zero = np.eye(ends[-1])[None, first:last], np.zeros((1, last - first))
        lines.append(relu.lines(relu.relax(b), inputs, Lines(eye, eye, zero, zero, zero)))
        after.append(relu.interval(b))
    found = layer.lines(layer.relax(*after), inputs, *lines)
    for x in points(rng, boxes):
        values = [np.maximum(v, 0.0) for v in x]
        y = np.asarray(EXACT[kind](layer, *map(exact, values))).reshape(-1)
        at = exact(np.concatenate([v.ravel() for v in x]))
        for i, value in enumerate(y):
            low = dot(found.lower[0, i], at) + Fraction(float(found.lower_constant[0, i]))
            high = dot(found.upper[0, i], at) + Fraction(float(found.upper_constant[0, i]))
            error = Fraction(float(found.error[0, i])) * Fraction(1 + 1e-7) + TINY
            assert low - error <= value <= high + error


@pytest.mark.parametrize("kind", LINEAR)
@FEW
@given(seed=SEEDS)
def test_forward_lines_of_affine_inputs_are_exact_but_for_their_error(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer, shapes = LINEAR[kind](rng)
    n, sizes = 2, [prod(s) for s in shapes]
    maps = [(rng.normal(size=(size, n)), rng.normal(size=size)) for size in sizes]
    lines = [Lines(m[None], m[None], c[None], c[None], np.zeros((1, len(c)))) for m, c in maps]
    reach = [np.abs(m).sum(axis=1) + np.abs(c) for m, c in maps]
    boxes = [
        Interval(-r.reshape(1, *s), r.reshape(1, *s)) for r, s in zip(reach, shapes, strict=True)
    ]
    found = layer.lines(layer.relax(*boxes), np.ones((1, n)), *lines)
    x = exact(rng.uniform(-1.0, 1.0, size=n))
    inputs = [(exact(m) @ x + exact(c)).reshape(s) for (m, c), s in zip(maps, shapes, strict=True)]
    y = np.asarray(EXACT[kind](layer, *inputs)).reshape(-1)
    for i, value in enumerate(y):
        error = Fraction(float(found.error[0, i])) * Fraction(1 + 1e-7) + TINY
        for side, shift in (
            (found.lower, found.lower_constant),
            (found.upper, found.upper_constant),
        ):
            assert abs(dot(side[0, i], x) + Fraction(float(shift[0, i])) - value) <= error


def test_sums_that_cancel_are_rounded_outward() -> None:
    """Of 2^53 + 1 - 2^53 nothing would be left."""
    from mipnet.network.layers import Add

    ends = [np.full((1, 1), v) for v in (2.0**53, 1.0, -(2.0**53))]
    found = Add((1.0, 1.0, 1.0)).interval(*(Interval(v, v) for v in ends))
    assert found.lower[0, 0] <= 1.0 <= found.upper[0, 0]


@pytest.mark.parametrize("kind", LINEAR)
@FEW
@given(seed=SEEDS)
def test_forward_gradient_and_forms_agree(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer, shapes = LINEAR[kind](rng)
    batch = 3
    x = [rng.normal(size=(batch, *s)) for s in shapes]
    y = layer.forward(*x)
    assert y.shape == (batch, *layer.output_shape(*shapes))
    assert layer.cast("f4").forward(*(v.astype("f4") for v in x)).dtype == np.float32
    size = 1e-12 * (1.0 + np.abs(layer.forward(*(np.abs(v) for v in x))).max())
    # The gradient is the adjoint of the forward pass.
    pull = rng.normal(size=y.shape)
    zero = layer.forward(*(np.zeros_like(v) for v in x))
    back = layer.gradient(pull, *x)
    moved = sum(float((g * v).sum()) for g, v in zip(back, x, strict=True))
    scale = sum(float((np.abs(g) * np.abs(v)).sum()) for g, v in zip(back, x, strict=True))
    assert abs(float((pull * (y - zero)).sum()) - moved) <= 1e-11 * (scale + size * 1e12)
    # The forms of the encoding are the forward pass.
    program = Program()
    ends = np.cumsum([0, *(prod(s) for s in shapes)])
    columns = program.add_columns(np.full(ends[-1], -9.0), np.full(ends[-1], 9.0))
    forms = [AffineForm.of_columns(columns[first:last]) for first, last in pairwise(ends)]
    boxes = tuple(Interval(v[:1] - 1.0, v[:1] + 1.0) for v in x)
    out = layer.encode(program, *forms, bounds=boxes, formulation=formulation("big_m"))
    flat_x = np.concatenate([v[0].ravel() for v in x])
    assert program.n_rows == 0
    assert out.evaluate(flat_x) == pytest.approx(y[0].ravel(), abs=size, rel=1e-12)


@pytest.mark.parametrize("kind", LINEAR)
@pytest.mark.parametrize("seed", range(3))
def test_rules_over_batches_equal_single_boxes(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer, shapes = LINEAR[kind](rng)
    singles = [[box(rng, s) for s in shapes] for _ in range(3)]
    many = [
        Interval(*(np.concatenate([getattr(s[k], side) for s in singles])
                   for side in ("lower", "upper")))
        for k in range(len(shapes))
    ]  # fmt: skip
    found, made = layer.interval(*many), layer.relax(*many)
    shape = layer.output_shape(*shapes)
    form = LinearForm(rng.normal(size=(3, 2, *shape)), np.zeros((3, 2)), np.zeros((3, 2)))
    forms = layer.backward(form, made)
    for b, single in enumerate(singles):
        one = layer.interval(*single)
        size = 1e-12 * (np.abs(one.lower) + np.abs(one.upper)).max() + 1e-300
        assert np.abs(found.lower[b] - one.lower[0]).max() <= size
        assert np.abs(found.upper[b] - one.upper[0]).max() <= size
        part = LinearForm(form.coefficients[b : b + 1], form.constant[:1], form.error[:1])
        for k, f in enumerate(layer.backward(part, layer.relax(*single))):
            scale = np.abs(f.coefficients).max(initial=1e-300)
            gap = np.abs(forms[k].coefficients[b] - f.coefficients[0]).max()
            assert gap <= 1e-12 * scale


def test_masked_channels_have_exact_bounds() -> None:
    """A pruned filter is its bias: no rounding, so its phase is known and costs no binary."""
    from mipnet.network.layers import Conv

    weight = np.ones((2, 1, 2, 2))
    weight[0] = 0.0
    found = Conv(weight, [0.1, 0.0]).interval(
        Interval(-np.ones((1, 1, 3, 3)), np.ones((1, 1, 3, 3)))
    )
    assert (found.lower[0, 0] == 0.1).all()
    assert (found.upper[0, 0] == 0.1).all()
    assert (found.upper[0, 1] > 4.0).all()


def test_selections_are_never_rounded() -> None:
    rng = np.random.default_rng(0)
    for kind in ("Concat", "Flatten", "Identity", "Reshape", "Slice", "Transpose"):
        layer, shapes = LINEAR[kind](rng)
        boxes = [box(rng, s) for s in shapes]
        found = layer.interval(*boxes)
        assert found.lower.tolist() == layer.forward(*(b.lower for b in boxes)).tolist()
        start = LinearForm(rng.normal(size=(1, 2, *found.lower.shape[1:])), *np.zeros((2, 1, 2)))
        assert not any(f.error.any() for f in layer.backward(start, layer.relax(*boxes)))
