"""Bounds hold exactly: every trace in rational arithmetic, without tolerance."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from formulations import AffineForm, Program
from mipnet.bounds import METHODS, Bounds, compute_bounds, crown_bounds, interval_bounds
from mipnet.bounds.crown import crown_lower
from mipnet.bounds.safe import dual_bounds
from mipnet.bounds.tighten import tighten_layer
from mipnet.clocks import Stopwatch
from mipnet.errors import BoundsError, MipnetError, RegionError
from mipnet.network import Affine, Flatten, Interval, Network, ReLU
from mipnet.region import Box, L1Ball, LinfBall, Region
from tests import oracle
from tests.core_cases import FAMILIES, chain, make, wild

SEEDS = st.integers(0, 2**32 - 1)


def wild_network(rng: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """One to three hidden layers whose values span up to twelve orders of magnitude."""
    widths = [int(w) for w in rng.integers(1, 5, size=rng.integers(3, 6))]
    half, middle = rng.uniform(0, 6), rng.uniform(-6, 0)
    spread = (middle - half, middle + half)
    weights = [wild(rng, m, n, spread=spread) for n, m in pairwise(widths)]
    return weights, [wild(rng, m, spread=spread) for m in widths[1:]]


def wild_region(rng: np.random.Generator, n: int) -> Region:
    centre = wild(rng, n, spread=(-9, 3))
    half = np.abs(wild(rng, n, spread=(-9, 3)))
    lower, upper = centre - half, centre + half
    kind = rng.integers(3)
    if kind == 0:
        return Box(lower, upper)
    if kind == 1:
        return L1Ball(centre, float(half.sum() * rng.uniform(0, 1.2)), lower, upper)
    return LinfBall(centre, float(half.max() * rng.uniform(0, 1.2)), lower, upper)


def points_of(region: Region, rng: np.random.Generator) -> list[np.ndarray]:
    """Random points, the vertices the region holds, and points at its far ends."""
    n = region.n_inputs
    ends = np.array(list(product((0.0, 1.0), repeat=n)))
    vertices = region.project(np.where(ends > 0, region.upper, region.lower))
    centre = getattr(region, "centre", 0.5 * (region.lower + region.upper))
    far = region.project(centre + region.ascent(rng.normal(size=(3, n))))
    return [*region.sample(rng, 4), *vertices, *far]


@given(SEEDS)
def test_exact_traces_lie_within_the_bounds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights, biases = wild_network(rng)
    region = wild_region(rng, weights[0].shape[1])
    found = [compute_bounds(chain(weights, biases), region, m) for m in METHODS]
    for x in points_of(region, rng):
        assert region.contains(x)
        for k, values in enumerate(oracle.exact_trace(weights, biases, x)):
            for bounds in found:
                box = bounds[f"affine{k}"]
                for i, v in enumerate(values):
                    assert Fraction(box.lower[0, i]) <= v <= Fraction(box.upper[0, i])


@given(SEEDS)
def test_exact_traces_lie_within_tightened_bounds(seed: int) -> None:
    """LP bounds are recomputed from duals: sound whatever the solver's tolerances are."""
    rng = np.random.default_rng(seed)
    weights, biases = wild_network(rng)
    network, region = chain(weights, biases), wild_region(rng, weights[0].shape[1])
    loose = compute_bounds(network, region, ("interval", "crown")[seed % 2])
    tight = dict(loose.intervals)
    try:
        for k in range(1, len(weights)):
            tight[f"affine{k}"] = tighten_layer(
                network, region, tight, f"affine{k}", Stopwatch(None)
            )
    except MipnetError:
        return  # coefficients the solver cannot take
    for x in points_of(region, rng):
        for k, values in enumerate(oracle.exact_trace(weights, biases, x)):
            box, before = tight[f"affine{k}"], loose[f"affine{k}"]
            assert np.all((before.lower <= box.lower) & (box.upper <= before.upper))
            for i, v in enumerate(values):
                assert Fraction(box.lower[0, i]) <= v <= Fraction(box.upper[0, i])


@pytest.mark.parametrize("seed", range(4))
def test_tightening_reaches_the_extremes_of_a_second_layer(seed: int) -> None:
    """Never past the exact extremes of any neuron, and strictly tighter than intervals."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(3, 2)), rng.normal(size=(3, 3))]
    biases = [0.1 * rng.normal(size=3), 0.1 * rng.normal(size=3)]
    region = Box(-np.ones(2), np.ones(2))
    # A ReLU behind the second layer makes its phases matter.
    network = chain([*weights, np.ones((1, 3))], [*biases, np.zeros(1)])
    loose = interval_bounds(network, region)
    tight = tighten_layer(network, region, dict(loose.intervals), "affine1", Stopwatch(None))
    assert (tight.upper - tight.lower).sum() < (
        loose["affine1"].upper - loose["affine1"].lower
    ).sum()
    for i, sign in product(range(3), (1.0, -1.0)):
        objective = sign * np.eye(3)[i]
        truth = oracle.minimum(weights, biases, (region.lower, region.upper), objective).attained
        side = tight.lower[0, i] if sign > 0 else -tight.upper[0, i]
        assert side <= truth + 1e-9


@given(SEEDS)
def test_any_dual_vector_proves_a_bound(seed: int) -> None:
    """Neumaier-Shcherbina bounds lie below the exact objective at every feasible point."""
    rng = np.random.default_rng(seed)
    n, m, k = (int(v) for v in rng.integers(1, 5, size=3))
    program = Program()
    point = wild(rng, n, spread=(-6, 4))
    low, high = (np.abs(wild(rng, n, spread=(-6, 4))) for _ in range(2))
    columns = program.add_columns(np.nextafter(point - low, -np.inf), point + high)
    matrix = wild(rng, m, n, spread=(-6, 4))
    activity = oracle.exact_trace([matrix], [np.zeros(m)], point)[0]
    kind = rng.integers(4, size=m)
    below = [float(np.nextafter(float(a), -np.inf)) for a in activity]
    above = [float(np.nextafter(float(a), np.inf)) for a in activity]
    program.add_rows(
        AffineForm.of_columns(columns).affine(matrix, np.zeros(m)),
        lower=np.where(kind == 0, -np.inf, below),
        upper=np.where(kind == 1, np.inf, above),
    )
    costs, duals = wild(rng, k, n, spread=(-6, 4)), wild(rng, k, m, spread=(-6, 4))
    found = dual_bounds(program.freeze(), costs, duals)
    for value, cost in zip(found, costs, strict=True):
        assert Fraction(value) <= oracle.exact_trace([cost[None]], [np.zeros(1)], point)[0][0]


def test_duals_of_the_optimum_prove_it() -> None:
    """min x + y with x + y >= 1 and x - y = 0 over the unit box is 1, proven by dual (1, 0)."""
    program = Program()
    x = AffineForm.of_columns(program.add_columns([0.0, 0.0], [1.0, 1.0]))
    program.add_rows(x.sum(), lower=1.0, upper=np.inf)
    program.add_rows(x.affine(np.array([[1.0, -1.0]]), np.zeros(1)), lower=0.0, upper=0.0)
    arrays, cost = program.freeze(), np.ones((1, 2))
    assert dual_bounds(arrays, cost, np.array([[1.0, 0.0]])) == pytest.approx([1.0], abs=1e-12)
    # A dual that leans on the missing upper side counts as zero.
    assert dual_bounds(arrays, cost, np.array([[-1.0, 0.0]])) == pytest.approx([0.0], abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_lp_bounds_of_neurons_that_just_touch_zero(n: int) -> None:
    """Inputs from zero up and no bias: a lower bound of -1e-16 is no reason to give up."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(30, n)), rng.normal(size=(10, 30)), rng.normal(size=(2, 10))]
    weights[0][0] = np.abs(weights[0][0])
    network = chain(weights, [np.zeros(30), np.zeros(10), np.zeros(2)])
    region = Box(np.zeros(n), np.ones(n))
    bounds = compute_bounds(network, region, "lp")
    assert bounds.violation(region.sample(rng, 50)) is None
    assert bounds.n_unstable <= compute_bounds(network, region, "crown").n_unstable


def test_lp_bounds_of_large_neurons_fall_back_on_crown() -> None:
    """The limit of M is no reason for bounds to fail: the relaxation has no M."""
    rng = np.random.default_rng(0)
    weights = [1e9 * rng.normal(size=(30, 3)), rng.normal(size=(5, 30)), rng.normal(size=(1, 5))]
    network = chain(weights, [np.zeros(30), np.zeros(5), np.zeros(1)])
    region = Box(-np.ones(3), np.ones(3))
    bounds = compute_bounds(network, region, "lp")
    assert bounds.violation(region.sample(rng, 50)) is None


@pytest.mark.parametrize("method", METHODS)
def test_products_that_underflow_are_covered(method: str) -> None:
    """1e-200 * 1e-200 is zero in float64 and 1e-100 after the next layer."""
    weights, biases = [np.array([[1e-200]]), np.array([[1e300]])], [np.zeros(1), np.zeros(1)]
    region = Box([0.0], [1e-200])
    output = compute_bounds(chain(weights, biases), region, method).output
    value = oracle.exact_trace(weights, biases, region.upper)[-1][0]
    assert Fraction(output.lower[0, 0]) <= value <= Fraction(output.upper[0, 0])


@pytest.mark.parametrize("family", ["dense", "deep", "l1_inside", "l1_face", "flat_box"])
def test_batches_of_boxes_equal_single_boxes(family: str) -> None:
    case = make(family, 2)
    network, region = case.network, case.region
    rng = np.random.default_rng(0)
    ends = np.sort(rng.random((2, 5, region.n_inputs)), axis=0)
    lower, upper = np.sort(region.lower + ends * (region.upper - region.lower), axis=0)
    found = crown_lower(network, region, Interval(lower, upper))
    many, slopes = found.lower, found.slopes
    assert slopes.shape == (5, network.n_outputs, region.n_inputs)
    for b in range(5):
        one = crown_lower(network, region, Interval(lower[b : b + 1], upper[b : b + 1])).lower
        assert many[b] == pytest.approx(one[0], rel=1e-9, abs=1e-9)
        inside = rng.uniform(lower[b], upper[b], size=(20, region.n_inputs))
        values = [network(x) for x in inside if region.contains(x)]
        assert all(np.all(many[b] <= v + 1e-9) for v in values)


@given(SEEDS)
def test_interval_bounds_of_one_layer_are_its_exact_range(seed: int) -> None:
    """Outward by rounding only: both ends against the extreme points in rational arithmetic."""
    rng = np.random.default_rng(seed)
    m, n = (int(v) for v in rng.integers(1, 5, size=2))
    weight, bias = wild(rng, m, n, spread=(-12, 6)), wild(rng, m, spread=(-12, 6))
    region = wild_region(rng, n)
    box = interval_bounds(chain([weight], [bias]), Box(region.lower, region.upper)).output
    for i in range(m):
        for positive, side, sign in ((True, box.lower, 1), (False, box.upper, -1)):
            x = np.where((weight[i] > 0) == positive, region.lower, region.upper)
            truth = oracle.exact_trace([weight], [bias], x)[0][i]
            gap = sign * (truth - Fraction(side[0, i]))
            size = np.abs(weight[i]) @ np.maximum(np.abs(region.lower), np.abs(region.upper))
            assert 0 <= gap <= Fraction(1e-13 * (float(size) + abs(bias[i])) + 1e-300)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(3))
def test_crown_is_never_looser_than_interval(family: str, seed: int) -> None:
    case = make(family, seed)
    loose = interval_bounds(case.network, case.region)
    tight = crown_bounds(case.network, case.region)
    for name, box in loose.intervals.items():
        # Tighter inputs may round a unit in the last place differently.
        slack = 1e-14 * box.magnitude
        assert np.all(tight[name].lower >= box.lower - slack)
        assert np.all(tight[name].upper <= box.upper + slack)
    assert tight.n_unstable <= loose.n_unstable


def test_crown_sees_what_intervals_lose() -> None:
    """Two copies of one neuron, subtracted, cancel."""
    network = chain([np.array([[1.0], [1.0]]), np.array([[1.0, -1.0]])], [np.ones(2), np.zeros(1)])
    region = Box([0.0], [1.0])
    assert interval_bounds(network, region).output.upper[0, 0] == pytest.approx(1.0)
    tight = crown_bounds(network, region).output
    assert tight.lower[0, 0] == pytest.approx(0.0, abs=1e-12)
    assert tight.upper[0, 0] == pytest.approx(0.0, abs=1e-12)


def test_crown_by_hand() -> None:
    """y = relu(x) on [-1, 3]: chord 3/4 (x + 1) above, x below, met over the box at its ends."""
    network = chain([np.array([[1.0]]), np.array([[1.0], [-1.0]])], [np.zeros(1), np.zeros(2)])
    output = crown_bounds(network, Box([-1.0], [3.0])).output
    # The interval [0, 3] is tighter below than the line y >= x; both prove 3 above.
    assert output.lower[0] == pytest.approx([0.0, -3.0], abs=1e-12)
    assert output.upper[0] == pytest.approx([3.0, 0.0], abs=1e-12)


def test_bounds_use_the_ball_and_not_its_box() -> None:
    network = chain([np.ones((1, 4))], [np.zeros(1)])
    region = L1Ball(np.zeros(4), 1.0, -np.ones(4), np.ones(4))
    assert interval_bounds(network, region).output.upper[0, 0] == pytest.approx(4.0)
    assert crown_bounds(network, region).output.upper[0, 0] == pytest.approx(1.0)


@pytest.mark.parametrize("method", METHODS)
def test_images_flatten_and_repeated_relus(method: str) -> None:
    layers = [ReLU(), Flatten(), Affine(np.ones((2, 4)), [-1.0, -9.0]), ReLU(), ReLU()]
    network = Network.sequential(layers, (1, 2, 2))
    region = Box(np.full(4, -1.0), np.ones(4))
    bounds = compute_bounds(network, region, method)
    assert bounds["input"].lower.shape == (1, 1, 2, 2)
    assert bounds.violation(region.sample(np.random.default_rng(0), 50)) is None
    assert bounds.output.upper[0] == pytest.approx([3.0, 0.0], abs=1e-12)
    assert [(p.inactive, p.active, p.unstable) for p in bounds.phases] == [
        (0, 0, 4), (1, 0, 1), (0, 2, 0)
    ]  # fmt: skip
    assert bounds.n_unstable == 5


@pytest.mark.parametrize("method", METHODS)
def test_shared_nodes(method: str) -> None:
    """A residual: two paths from one node meet in no layer here, yet both have bounds."""
    case = make("dense", 3)
    bounds = compute_bounds(case.network, case.region, method)
    assert set(bounds.intervals) == {"input", *(n.name for n in case.network.nodes)}
    assert bounds.preactivation("relu0") is bounds["affine0"]
    assert set(bounds.methods) == set(bounds.intervals)
    assert bounds.seconds >= 0.0


@pytest.mark.parametrize("method", METHODS)
def test_neurons_without_weights_are_stable(method: str) -> None:
    """Masked neurons (zero row, zero bias) are common after pruning: no binary for them."""
    network = chain([np.zeros((3, 2)), np.ones((1, 3))], [np.array([0.0, 1.0, -1.0]), np.zeros(1)])
    bounds = compute_bounds(network, Box([-1.0, -1.0], [1.0, 1.0]), method)
    assert bounds.n_unstable == 0


@pytest.mark.parametrize("method", METHODS)
def test_layers_without_neurons(method: str) -> None:
    network = chain([np.zeros((0, 2)), np.zeros((1, 0))], [np.zeros(0), np.array([2.0])])
    output = compute_bounds(network, Box([0.0, 0.0], [1.0, 1.0]), method).output
    assert output.lower[0, 0] == pytest.approx(2.0)
    assert output.upper[0, 0] == pytest.approx(2.0)


def injected(bounds: Bounds, name: str, neuron: int, side: str, value: float) -> Bounds:
    box = bounds[name]
    changed = {"lower": box.lower.copy(), "upper": box.upper.copy()}
    changed[side].reshape(-1)[neuron] = value
    return replace(bounds, intervals={**bounds.intervals, name: Interval(**changed)})


@pytest.mark.parametrize("side", ["lower", "upper"])
@pytest.mark.parametrize("name", ["input", "affine0", "relu0", "affine1"])
def test_violation_finds_an_injected_wrong_bound(name: str, side: str) -> None:
    weights = [np.array([[1.0, 1.0], [1.0, -1.0]]), np.eye(2)]
    network = chain(weights, [np.array([5.0, 5.0]), np.zeros(2)])
    region = Box([0.0, 0.0], [1.0, 1.0])
    bounds = compute_bounds(network, region)
    points = np.array([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]])
    assert bounds.violation(points) is None
    value = network.trace(points)[name][:, 1]
    wrong = value.min() + 1e-3 if side == "lower" else value.max() - 1e-3
    found = injected(bounds, name, 1, side, wrong).violation(points)
    assert found is not None
    assert (found.layer, found.neuron) == (name, 1)
    assert not found.lower <= found.value <= found.upper
    assert f"layer {name!r}, neuron 1" in str(found)


def test_violation_accepts_the_rounding_of_the_forward_pass() -> None:
    rng = np.random.default_rng(4)
    weights, biases = (
        [rng.normal(size=(300, 300)), rng.normal(size=(300, 300))],
        [np.zeros(300)] * 2,
    )
    x = rng.normal(size=300)
    bounds = compute_bounds(chain(weights, biases), Box(x, x))
    assert bounds.violation(x[None]) is None


@pytest.mark.parametrize("method", METHODS)
def test_region_of_another_size_is_refused(method: str) -> None:
    network = chain([np.ones((1, 2))], [np.zeros(1)])
    with pytest.raises(RegionError, match="region has 3 inputs, the network 2"):
        compute_bounds(network, Box(np.zeros(3), np.ones(3)), method)


def test_unknown_method_lists_the_known_ones() -> None:
    network = chain([np.ones((1, 2))], [np.zeros(1)])
    with pytest.raises(BoundsError, match=r"'nope'; known: .*crown"):
        compute_bounds(network, Box(np.zeros(2), np.ones(2)), "nope")
