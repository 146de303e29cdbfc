"""Networks that are no chains: a layer with two inputs, seen by every rule that walks the graph."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from mipnet.bounds import compute_bounds
from mipnet.encode import encode
from mipnet.network import Affine, Interval, Layer, LinearForm, Network, Node, ReLU
from mipnet.network.interval import Lines
from mipnet.region import Box
from mipnet.rounding import UNIT, down, up
from mipnet.solver import Status, solve
from tests import oracle


class Add(Layer):
    """Sum of two nodes, written as an outsider would write a layer; not registered."""

    kind = "Add"
    arity = 2

    def output_shape(self, *shapes):
        assert shapes[0] == shapes[1]
        return shapes[0]

    def forward(self, *values):
        return values[0] + values[1]

    def gradient(self, gradient, *values):
        return gradient, gradient

    def interval(self, *values):
        return Interval(
            down(values[0].lower + values[1].lower), up(values[0].upper + values[1].upper)
        )

    def relax(self, *values):
        return (values[0].magnitude + values[1].magnitude,)

    def backward(self, form, relaxation, slopes=None):
        zero = np.zeros_like(form.constant)
        return form, LinearForm(form.coefficients, zero, zero)

    def lines(self, relaxation, inputs, *values):
        x, y = values
        return Lines(
            x.lower + y.lower,
            x.upper + y.upper,
            x.lower_constant + y.lower_constant,
            x.upper_constant + y.upper_constant,
            x.error + y.error + 4.0 * UNIT * (x.size(inputs) + y.size(inputs)),
        )

    def encode(self, program, *forms, bounds, formulation):
        return forms[0] + forms[1]


def residual(rng: np.random.Generator) -> tuple[Network, list[np.ndarray], list[np.ndarray]]:
    """``B relu(a) + a + c`` with ``a = A x + b``, and the same as a chain.

    The skip connection rides through the chain as ``a = relu(a) - relu(-a)``.
    """
    first, second, head = rng.normal(size=(3, 2)), rng.normal(size=(3, 3)), rng.normal(size=(1, 3))
    bias, shift, last = rng.normal(size=3), rng.normal(size=3), rng.normal(size=1)
    nodes = (
        Node("a", Affine(first, bias), ("input",)),
        Node("h", ReLU(), ("a",)),
        Node("b", Affine(second, shift), ("h",)),
        Node("sum", Add(), ("b", "a")),
        Node("h2", ReLU(), ("sum",)),
        Node("y", Affine(head, last), ("h2",)),
    )
    eye = np.eye(3)
    weights = [np.vstack([first, -first]), np.hstack([second + eye, -eye]), head]
    return Network(nodes, (2,)), weights, [np.concatenate([bias, -bias]), shift, last]


@pytest.mark.parametrize("seed", range(5))
def test_forward_and_gradient(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network, weights, biases = residual(rng)
    x = rng.normal(size=(1, 2))
    assert network(x)[0] == pytest.approx(oracle.forward(weights, biases, x[0]), abs=1e-12)
    step = 1e-7 * np.eye(2)
    difference = (network(x + step) - network(x - step)).ravel() / 2e-7
    assert network.gradient(x, np.ones((1, 1)))[0] == pytest.approx(difference, abs=1e-5)


@pytest.mark.parametrize("method", ["interval", "crown"])
@pytest.mark.parametrize("seed", range(5))
def test_bounds_and_optimum(seed: int, method: str) -> None:
    rng = np.random.default_rng(seed)
    network, weights, biases = residual(rng)
    region = Box(rng.uniform(-1.5, -0.1, size=2), rng.uniform(0.1, 1.5, size=2))
    bounds = compute_bounds(network, region, method)
    assert bounds.violation(region.sample(rng, 50)) is None
    for x in (*region.sample(rng, 5), region.lower, region.upper):
        value = oracle.exact_trace(weights, biases, x)[-1][0]
        assert Fraction(bounds.output.lower[0, 0]) <= value <= Fraction(bounds.output.upper[0, 0])
    truth = oracle.minimum(weights, biases, (region.lower, region.upper), np.ones(1))
    encoding = encode(network, region, bounds.intervals)
    solution = solve(encoding.arrays(np.ones(1)))
    assert solution.status is Status.OPTIMAL
    assert solution.objective == pytest.approx(truth.value, abs=1e-6)
    assert [layer.layer for layer in encoding.layers] == ["h", "h2"]


def test_crown_merges_the_two_paths() -> None:
    """``a - a`` through two paths is zero for CROWN, and twice the width for intervals."""
    nodes = (
        Node("a", Affine([[1.0]], [0.5]), ("input",)),
        Node("minus", Affine([[-1.0]], [0.0]), ("a",)),
        Node("sum", Add(), ("a", "minus")),
    )
    network, region = Network(nodes, (1,)), Box([-1.0], [1.0])
    loose = compute_bounds(network, region, "interval").output
    assert (loose.lower[0, 0], loose.upper[0, 0]) == pytest.approx((-2.0, 2.0))
    tight = compute_bounds(network, region, "crown").output
    assert (tight.lower[0, 0], tight.upper[0, 0]) == pytest.approx((0.0, 0.0), abs=1e-12)
