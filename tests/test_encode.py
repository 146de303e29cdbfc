"""Encoding: what costs a binary, what is refused, and points that complete to feasible points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from formulations import formulation, formulations
from mipnet.bounds import compute_bounds
from mipnet.encode import MAX_BIG_M, encode
from mipnet.errors import BoundsError, MipnetError, QueryError, RegionError
from mipnet.network import Interval, Network
from mipnet.region import Box, L1Ball, Region
from mipnet.solver import Status, solve
from tests.core_cases import FAMILIES, chain, make

UNIT_BOX = Box([-1.0, -1.0], [1.0, 1.0])


def two_layers() -> Network:
    weights = [np.array([[1.0, 1.0], [1.0, -1.0], [2.0, 0.0]]), np.array([[1.0, 2.0, -1.0]])]
    return chain(weights, [np.array([0.0, -5.0, 5.0]), np.array([0.5])])


def intervals_of(network: Network, region: Region) -> dict[str, Interval]:
    return dict(compute_bounds(network, region, "interval").intervals)


def changed(intervals: dict[str, Interval], name: str, **sides: list[float]) -> dict:
    box = intervals[name]
    new = {s: np.array([v]) if (v := sides.get(s)) else getattr(box, s) for s in ("lower", "upper")}
    return {**intervals, name: Interval(**new)}


@pytest.mark.parametrize("name", formulations())
@pytest.mark.parametrize("family", FAMILIES)
def test_points_complete_to_feasible_points(family: str, name: str) -> None:
    case = make(family, 1)
    bounds = compute_bounds(case.network, case.region)
    encoding = encode(
        case.network,
        case.region,
        bounds.intervals,
        formulation_name=name,
        relaxed=True,
        linear=False,
    )
    arrays = encoding.arrays(case.objective)
    for x in case.region.sample(np.random.default_rng(0), 20):
        full = encoding.complete(x)
        size = 1.0 + float(np.abs(full).max())
        assert arrays.violation(full) <= 1e-12 * size
        assert full[encoding.inputs] == pytest.approx(x, abs=0.0)
        expected = case.network(x)
        assert encoding.output.evaluate(full) == pytest.approx(expected, abs=1e-10 * size)
        assert arrays.objective(full) == pytest.approx(case.objective @ expected, abs=1e-9 * size)


def test_only_unstable_neurons_get_binaries() -> None:
    network = two_layers()
    encoding = encode(network, UNIT_BOX, intervals_of(network, UNIT_BOX))
    (layer,) = encoding.layers
    assert (layer.layer, layer.inactive, layer.active, layer.unstable) == ("relu0", 1, 1, 1)
    assert encoding.n_binaries == encoding.arrays().n_binaries == 1
    assert (layer.min_big_m, layer.max_big_m) == pytest.approx((2.0, 2.0))


def test_inactive_layers_fold_to_a_constant() -> None:
    network = chain([np.ones((3, 2)), np.ones((1, 3))], [np.full(3, -9.0), np.array([4.0])])
    encoding = encode(network, UNIT_BOX, intervals_of(network, UNIT_BOX))
    arrays = encoding.arrays(np.array([2.0]))
    assert (arrays.n_columns, arrays.n_rows, arrays.n_binaries) == (2, 0, 0)
    assert not arrays.cost.any()
    assert arrays.offset == 8.0
    solution = solve(arrays)
    assert (solution.status, solution.objective, solution.bound) == (Status.OPTIMAL, 8.0, 8.0)


def test_layers_without_neurons_fold_to_a_constant() -> None:
    network = chain([np.zeros((0, 2)), np.zeros((1, 0))], [np.zeros(0), np.array([2.0])])
    arrays = encode(network, UNIT_BOX, intervals_of(network, UNIT_BOX)).arrays(np.ones(1))
    assert (arrays.n_columns, arrays.n_rows, arrays.offset) == (2, 0, 2.0)


def test_active_layers_stay_linear() -> None:
    network = chain([np.eye(2), np.ones((1, 2))], [np.full(2, 5.0), np.zeros(1)])
    arrays = encode(network, UNIT_BOX, intervals_of(network, UNIT_BOX)).arrays(np.ones(1))
    assert (arrays.n_columns, arrays.n_rows, arrays.n_binaries, arrays.offset) == (2, 0, 0, 10.0)


def test_neurons_without_weights_cost_nothing() -> None:
    """What a mask leaves behind: a zero row with a zero bias."""
    weight = np.array([[0.0, 0.0], [1.0, 1.0]])
    network = chain([weight, np.ones((1, 2))], [np.zeros(2), np.zeros(1)])
    encoding = encode(network, UNIT_BOX, intervals_of(network, UNIT_BOX))
    assert encoding.n_binaries == 1


def test_output_columns() -> None:
    network = two_layers()
    intervals = intervals_of(network, UNIT_BOX)
    plain = encode(network, UNIT_BOX, intervals)
    own = encode(network, UNIT_BOX, intervals, output_columns=True)
    assert own.program.n_columns == plain.program.n_columns + 1
    assert own.output.terms.tolist() == [1]
    x = np.array([0.25, -0.5])
    assert own.output.evaluate(own.complete(x)) == pytest.approx(network(x), abs=1e-12)
    values = [solve(e.arrays(np.ones(1))).objective for e in (plain, own)]
    assert values[0] == pytest.approx(values[1], abs=1e-9)


def test_no_objective_is_the_zero_objective() -> None:
    network = two_layers()
    arrays = encode(network, UNIT_BOX, intervals_of(network, UNIT_BOX)).arrays()
    assert not arrays.cost.any()
    assert arrays.offset == 0.0


def test_networks_without_hidden_layers() -> None:
    network = chain([np.array([[1.0, -2.0]])], [np.array([0.5])])
    arrays = encode(network, UNIT_BOX, intervals_of(network, UNIT_BOX)).arrays(np.ones(1))
    solution = solve(arrays)
    assert solution.objective == pytest.approx(-2.5)
    assert arrays.n_rows == 0


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("side", ["lower", "upper"])
def test_unbounded_neurons_are_named(side: str, bad: float) -> None:
    network = two_layers()
    intervals = intervals_of(network, UNIT_BOX)
    values = getattr(intervals["affine0"], side)[0].tolist()
    values[2] = bad
    with pytest.raises(BoundsError, match=r"layer 'relu0', neuron 2: unbounded.*'affine0'"):
        encode(network, UNIT_BOX, changed(intervals, "affine0", **{side: values}))


def test_contradictory_bounds_are_named() -> None:
    network = two_layers()
    intervals = changed(intervals_of(network, UNIT_BOX), "affine0", lower=[1.0, 0.0, 9.0])
    with pytest.raises(BoundsError, match=r"'relu0', neuron 1: contradictory"):
        encode(network, UNIT_BOX, changed(intervals, "affine0", upper=[2.0, -1.0, 10.0]))


def test_large_constants_are_refused_and_named() -> None:
    network = chain(
        [np.array([[1.0, 0.0], [1e9, 0.0]]), np.ones((1, 2))], [np.zeros(2), np.zeros(1)]
    )
    intervals = intervals_of(network, UNIT_BOX)
    with pytest.raises(
        BoundsError, match=r"'relu0', neuron 1: big-M constant 1e\+09.*limit 1e\+08"
    ):
        encode(network, UNIT_BOX, intervals)
    assert encode(network, UNIT_BOX, intervals, max_big_m=1e10).n_binaries == 2
    with pytest.raises(BoundsError, match="neuron 0"):
        encode(two_layers(), UNIT_BOX, intervals_of(two_layers(), UNIT_BOX), max_big_m=1.0)


def test_large_but_stable_neurons_are_welcome() -> None:
    network = chain([np.array([[10 * MAX_BIG_M, 0.0]]), np.eye(1)], [np.full(1, 1e10), np.zeros(1)])
    assert encode(network, UNIT_BOX, intervals_of(network, UNIT_BOX)).n_binaries == 0


@pytest.mark.parametrize("missing", ["input", "affine0"])
def test_missing_bounds_are_named(missing: str) -> None:
    network = two_layers()
    intervals = intervals_of(network, UNIT_BOX)
    del intervals[missing]
    with pytest.raises(BoundsError, match=missing):
        encode(network, UNIT_BOX, intervals)


def test_missing_output_bounds_are_named_when_needed() -> None:
    network = two_layers()
    intervals = intervals_of(network, UNIT_BOX)
    del intervals["affine1"]
    assert encode(network, UNIT_BOX, intervals).n_binaries == 1
    with pytest.raises(BoundsError, match="affine1"):
        encode(network, UNIT_BOX, intervals, output_columns=True)


@pytest.mark.parametrize("size", [2, 4])
def test_bounds_of_another_shape_are_refused(size: int) -> None:
    network = two_layers()
    intervals = intervals_of(network, UNIT_BOX)
    intervals["affine0"] = Interval(np.full((1, size), -1.0), np.ones((1, size)))
    with pytest.raises(BoundsError, match="relu0"):
        encode(network, UNIT_BOX, intervals)


def test_region_of_another_size_is_refused() -> None:
    network = two_layers()
    with pytest.raises((RegionError, BoundsError), match="3 inputs"):
        encode(network, Box(np.zeros(3), np.ones(3)), intervals_of(network, UNIT_BOX))


def test_bounds_of_a_smaller_region_are_refused() -> None:
    """Bounds over [-1, 1] say nothing about [-10, 10]: encoding them would cut points off."""
    network = two_layers()
    with pytest.raises(BoundsError, match="input"):
        encode(network, Box([-10.0, -10.0], [10.0, 10.0]), intervals_of(network, UNIT_BOX))


def test_bounds_of_a_larger_region_are_fine() -> None:
    network = two_layers()
    ball = L1Ball([0.0, 0.0], 0.5, [-1.0, -1.0], [1.0, 1.0])
    values = [
        solve(encode(network, ball, intervals_of(network, r)).arrays(np.ones(1))).objective
        for r in (UNIT_BOX, ball)
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-7)


@pytest.mark.parametrize("objective", [[1.0, 2.0], [np.nan], [np.inf]])
def test_bad_objectives_are_refused(objective: list[float]) -> None:
    network = two_layers()
    encoding = encode(network, UNIT_BOX, intervals_of(network, UNIT_BOX))
    with pytest.raises((MipnetError, ValueError), match=r"objective|finite|output"):
        encoding.arrays(np.array(objective))


def test_nan_objective_over_a_constant_network_is_refused() -> None:
    network = chain([np.ones((1, 2)), np.ones((1, 1))], [np.full(1, -9.0), np.ones(1)])
    encoding = encode(network, UNIT_BOX, intervals_of(network, UNIT_BOX))
    with pytest.raises((MipnetError, ValueError), match="finite"):
        encoding.arrays(np.array([np.nan]))


@pytest.mark.parametrize("x", [[0.5], [0.5, 0.5, 0.5]])
def test_points_of_another_size_are_refused(x: list[float]) -> None:
    network = two_layers()
    encoding = encode(network, UNIT_BOX, intervals_of(network, UNIT_BOX))
    with pytest.raises((MipnetError, ValueError), match=r"shape|values|inputs"):
        encoding.complete(np.array(x))


def test_unknown_formulation_lists_the_known_ones() -> None:
    network = two_layers()
    with pytest.raises(ValueError, match=r"'nope'.*big_m"):
        encode(network, UNIT_BOX, intervals_of(network, UNIT_BOX), formulation_name="nope")


RELAXATIONS = [n for n in formulations() if not formulation(n).exact]


@pytest.mark.parametrize("name", RELAXATIONS)
@pytest.mark.parametrize("seed", range(5))
def test_relaxations_stay_below_the_exact_optimum(name: str, seed: int) -> None:
    case = make("dense", seed)
    intervals = compute_bounds(case.network, case.region).intervals
    optima = [
        solve(
            encode(case.network, case.region, intervals, formulation_name=n, relaxed=True).arrays(
                case.objective
            )
        ).objective
        for n in ("big_m", name)
    ]
    assert optima[1] <= optima[0] + 1e-7


@pytest.mark.parametrize("name", RELAXATIONS)
def test_relaxations_need_to_be_asked_for(name: str) -> None:
    network = two_layers()
    with pytest.raises(QueryError, match=rf"{name}.*relaxation"):
        encode(network, UNIT_BOX, intervals_of(network, UNIT_BOX), formulation_name=name)


def test_the_encoding_is_linear_in_the_objective() -> None:
    """One program serves every objective: only the costs change."""
    case = make("dense", 0)
    intervals = compute_bounds(case.network, case.region).intervals
    encoding = encode(case.network, case.region, intervals)
    one, other = (encoding.arrays(s * case.objective) for s in (1.0, -1.0))
    assert np.array_equal(one.cost, -other.cost)
    assert replace(one, cost=other.cost, offset=other.offset).matrix is one.matrix
    assert (one.matrix != other.matrix).nnz == 0
