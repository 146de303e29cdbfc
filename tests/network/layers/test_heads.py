"""Softmax and its logarithm: bounds, planes and bands hold them; order survives without them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formulations import AffineForm, Program, formulation
from formulations.argmax import argmax_rows, top_rows
from mipnet.errors import NetworkError
from mipnet.network import Affine, Flatten, Interval, LinearForm, Network, Node, ReLU
from mipnet.network.interval import Lines
from mipnet.network.layers import Clip, LogSoftmax, Reshape, Sigmoid, Softmax, Softplus, Tanh
from mipnet.network.rewrite import same_order
from mipnet.region import Box
from mipnet.search.adversarial import find_adversarial
from mipnet.solver import Status, solve

SEEDS = st.integers(0, 2**32 - 1)
MANY = settings(max_examples=30)
HEADS = [LogSoftmax, Softmax]


@pytest.fixture(autouse=True, scope="module")
def _forty_digits() -> Iterator[None]:
    before, mpmath.mp.dps = mpmath.mp.dps, 40
    yield
    mpmath.mp.dps = before


def truth(kind: type, x: np.ndarray) -> list[mpmath.mpf]:
    """Values along a vector, in forty digits."""
    terms = [mpmath.mpf(float(v)) for v in x]
    total = mpmath.fsum(mpmath.exp(t) for t in terms)
    logs = [t - mpmath.log(total) for t in terms]
    return logs if kind is LogSoftmax else [mpmath.exp(v) for v in logs]


def random_box(rng: np.random.Generator, count: int) -> Interval:
    """From boxes of a hair to boxes of thousands, logits far apart among them."""
    centre = rng.normal(size=(1, count)) * 10.0 ** rng.uniform(-2, 3)
    half = rng.random((1, count)) * 10.0 ** rng.uniform(-8, 3)
    return Interval(centre - half, centre + half * (rng.random((1, count)) > 0.2))


def inside(rng: np.random.Generator, box: Interval) -> list[np.ndarray]:
    ends = [np.where(rng.random(box.lower.shape[1]) < 0.5, box.lower[0], box.upper[0])
            for _ in range(3)]  # fmt: skip
    return [
        box.lower[0],
        box.upper[0],
        *ends,
        *rng.uniform(box.lower[0], box.upper[0], (3, box.lower.shape[1])),
    ]


@pytest.mark.parametrize("kind", HEADS)
@MANY
@given(seed=SEEDS)
def test_intervals_are_the_exact_range(kind: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 6))
    layer, box = kind(), random_box(rng, count)
    found = layer.interval(box)
    for i in range(count):
        own = np.arange(count) == i
        low, high = found.lower[0, i], found.upper[0, i]
        least = truth(kind, np.where(own, box.lower[0], box.upper[0]))[i]
        most = truth(kind, np.where(own, box.upper[0], box.lower[0]))[i]
        assert low <= least <= most <= high
        size = 1e-11 * (1.0 + np.abs(box.lower).max() + np.abs(box.upper).max())
        assert float(least) - low <= size
        assert high - float(most) <= size


@pytest.mark.parametrize("kind", HEADS)
@MANY
@given(seed=SEEDS)
def test_backward_lies_below(kind: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, targets = int(rng.integers(1, 6)), 3
    layer, box = kind(), random_box(rng, count)
    start = LinearForm(rng.normal(size=(1, targets, count)), *np.zeros((2, 1, targets)))
    made = layer.relax(box)
    (form,) = layer.backward(start, made)
    for x in inside(rng, box):
        y = truth(kind, x)
        for t in range(targets):
            old = mpmath.fdot(start.coefficients[0, t].tolist(), y)
            new = mpmath.fdot(form.coefficients[0, t].tolist(), x.tolist())
            new += mpmath.mpf(form.constant[0, t]) - mpmath.mpf(form.error[0, t])
            assert new <= old
        points = np.repeat(x[None, None], targets, axis=1)
        picked = layer.follow(start.coefficients, made, None, points)
        at = (form.coefficients * points).sum(axis=2) + form.constant
        size = 1e-9 * (1.0 + np.abs(box.lower).max() + np.abs(box.upper).max())
        assert (start.coefficients * picked).sum(axis=2) == pytest.approx(at, abs=size)


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("seed", range(6))
def test_forward_lines_hold(kind: type, axis: int, seed: int) -> None:
    """Along both axes of a table whose entries have lines that differ."""
    rng = np.random.default_rng(seed)
    shape, n = (2, 3), 2
    matrix, centre = rng.normal(size=(6, n)), rng.normal(size=6)
    slack, reach = rng.random(6), np.abs(matrix).sum(axis=1)
    box = Interval((centre - reach - slack)[None], (centre + reach + slack)[None]).reshape(shape)
    lines = Lines(matrix[None], matrix[None], (centre - slack)[None], (centre + slack)[None],
                  np.zeros((1, 6)))  # fmt: skip
    layer = kind(axis)
    found = layer.lines(layer.relax(box), np.ones((1, n)), lines)
    for _ in range(6):
        x = rng.uniform(-1.0, 1.0, size=n)
        values = (matrix @ x + centre + rng.uniform(-slack, slack) * 0.999).reshape(shape)
        y = layer.forward(values[None])[0].ravel()
        low = found.lower[0] @ x + found.lower_constant[0] - found.error[0]
        high = found.upper[0] @ x + found.upper_constant[0] + found.error[0]
        assert (low <= y + 1e-12).all()
        assert (high >= y - 1e-12).all()


def test_planes_close_in_with_the_box() -> None:
    """The gap of the two lines goes with the square of the width."""
    rng, gaps = np.random.default_rng(0), []
    centre = rng.normal(size=(1, 4))
    for half in (1e-1, 1e-2, 1e-3):
        for kind in HEADS:
            layer, box = kind(), Interval(centre - half, centre + half)
            start = LinearForm(np.array([[[1.0, 0, 0, 0], [-1.0, 0, 0, 0]]]), *np.zeros((2, 1, 2)))
            (form,) = layer.backward(start, layer.relax(box))
            at = (form.coefficients @ centre[0] + form.constant)[0]
            gaps.append(-(at[0] + at[1]) / half**2)
    assert max(gaps) <= 4.0


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_program_stays_in_its_band(kind: type, count: int) -> None:
    rng, layer = np.random.default_rng(count), kind(error=0.05)
    lower, upper = -rng.random((1, count)) * 3.0, rng.random((1, count)) * 3.0
    point = rng.uniform(lower, upper)
    program = Program()
    x = AffineForm.of_columns(program.add_columns(point[0], point[0]))
    bounds = (Interval(lower, upper),)
    y = layer.encode(program, x, bounds=bounds, formulation=formulation("big_m"))
    full = program.complete(np.arange(count, dtype=np.int32), point[0])
    wanted = layer.forward(point)[0]
    assert program.freeze().violation(full) <= 1e-9
    assert y.evaluate(full) == pytest.approx(wanted, abs=1e-12)
    for i in range(count):
        for sign in (1.0, -1.0):
            form = y.affine(sign * np.eye(count)[i : i + 1], np.zeros(1))
            answer = solve(program.freeze(form))
            assert answer.status is Status.OPTIMAL
            assert abs(sign * answer.bound - wanted[i]) <= layer.error + 1e-6
            assert answer.bound <= sign * wanted[i] + 1e-7


def test_bad_heads() -> None:
    with pytest.raises(NetworkError, match="no axis 1"):
        Softmax(1).output_shape((3,))
    with pytest.raises(NetworkError, match="error must be at least"):
        LogSoftmax(error=0.0)
    with pytest.raises(NetworkError, match="8 terms need an error of at least 3e-06"):
        LogSoftmax(error=1e-6).output_shape((8,))


def net(*layers, n: int = 3) -> Network:
    rng = np.random.default_rng(0)
    first = Affine(rng.normal(size=(4, n)), rng.normal(size=4))
    return Network.sequential(
        [first, ReLU(), Affine(rng.normal(size=(3, 4)), np.zeros(3)), *layers]
    )


@pytest.mark.parametrize(
    ("layers", "left"),
    [
        ([Softmax()], 3),
        ([LogSoftmax(0)], 3),
        ([Sigmoid(), Softmax()], 3),
        ([Tanh(), Reshape((1, 3)), Softplus(), Flatten()], 5),
        ([Reshape((1, 3)), Softmax(-1)], 4),
        ([Reshape((1, 3)), Softmax(0)], 5),
        ([Softmax(), Clip(0.0, 0.5)], 5),
        ([Softmax(), ReLU()], 5),
        ([], 3),
    ],
)
def test_heads_that_keep_the_order_vanish(layers: list, left: int) -> None:
    network = net(*layers)
    small = same_order(network)
    assert len(small.nodes) == left
    for x in np.random.default_rng(1).normal(size=(20, 3)):
        before, after = (np.argsort(f(x).ravel()) for f in (network, small))
        assert before.tolist() == after.tolist() or left == len(network.nodes)


def test_a_head_beside_a_dead_branch() -> None:
    nodes = (
        Node("logits", Affine(np.eye(2), np.zeros(2)), ("input",)),
        Node("head", Softmax(), ("logits",)),
        Node("aside", ReLU(), ("logits",)),
        Node("out", Sigmoid(), ("head",)),
    )
    small = same_order(Network(nodes, (2,)))
    assert [n.name for n in small.nodes] == ["logits"]


@pytest.mark.parametrize("radius", [0.05, 1.0])
@pytest.mark.parametrize("kind", HEADS)
def test_verdicts_with_and_without_the_head(kind: type, radius: float) -> None:
    network, x = net(kind()), np.array([0.3, -0.2, 0.5])
    plain = find_adversarial(same_order(network), x, radius=radius)
    found = find_adversarial(network, x, radius=radius)
    assert plain.status in {"robust", "witness"}
    assert found.status in {plain.status, "unresolved"}


@pytest.mark.parametrize("seed", range(4))
def test_order_rows(seed: int) -> None:
    """Feasible exactly where the order is the asked one."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 6))
    values = rng.normal(size=count)
    lower, upper = values - rng.random(count), values + rng.random(count)

    def program() -> tuple[Program, AffineForm]:
        made = Program()
        return made, AffineForm.of_columns(made.add_columns(values, values))

    for k in range(count):
        made, form = program()
        argmax_rows(made, form, k)
        status = solve(made.freeze()).status
        assert (status is Status.OPTIMAL) == (k == int(values.argmax()))
    for few in range(1, count):
        made, form = program()
        marks = top_rows(made, form, lower, upper, count=few)
        largest = set(np.argsort(-values)[:few].tolist())
        answer = solve(made.freeze(marks.affine(rng.normal(size=(1, count)), np.zeros(1))))
        assert answer.values is not None
        assert set(np.flatnonzero(marks.evaluate(answer.values) > 0.5).tolist()) == largest
        full = made.complete(np.arange(count, dtype=np.int32), values)
        assert made.freeze().violation(full) <= 1e-12
    with pytest.raises(ValueError, match=f"between 1 and {count - 1}"):
        top_rows(*program(), lower, upper, count=count)
    with pytest.raises(IndexError, match="no form 9"):
        argmax_rows(*program(), 9)


def test_probabilities_can_be_optimised() -> None:
    """Largest probability of a class over a box: value and bound meet within the band."""
    from mipnet.search.optimize import maximize

    network = net(Softmax(error=0.01))
    found = maximize(network, [1.0, 0.0, 0.0], Box(-np.ones(3), np.ones(3)), time_limit=30.0)
    points = np.random.default_rng(0).uniform(-1.0, 1.0, size=(4000, 3))
    assert found.bound >= network(points)[:, 0].max() - 1e-9
    assert found.status in {"optimal", "band"}
    assert math.isclose(found.value, found.bound, abs_tol=0.011)
