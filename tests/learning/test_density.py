import numpy as np
import pyomo.environ as pyo
import pytest

from mipnet import add_trust_region, solve
from mipnet.errors import RegionError
from mipnet.learning import DensityRegion
from mipnet.solver import Status


def near(points, data, radius, count):
    """Whether enough data are within the radius, one by one."""
    reach = radius * np.ptp(data, axis=0)
    return np.array([sum(bool((abs(p - d) <= reach).all()) for d in data) >= count for p in points])


@pytest.mark.parametrize(("radius", "count"), [(0.1, 1), (0.2, 3), (0.5, 10)])
def test_membership_is_that_of_counting(radius, count):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(40, 2)) * [1.0, 1000.0]
    region = DensityRegion(data, radius, count)
    points = rng.uniform(data.min(axis=0), data.max(axis=0), size=(400, 2))
    expected = near(points, data, radius, count)
    assert np.array_equal(region.contains(points), expected)
    assert 0 < expected.sum() < 400
    outside = points[~expected]
    needed = region.outside(outside[:50]) + 1e-9
    pairs = zip(outside, needed, strict=False)
    grown = [DensityRegion(data, radius + more, count).contains(p)[0] for p, more in pairs]
    assert all(grown)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("solver", ["mipnet", "appsi_highs"])
def test_the_optimum_is_that_of_the_corners(count, solver):
    rng = np.random.default_rng(count)
    data = rng.normal(size=(12, 2)) * [1.0, 100.0]
    region = DensityRegion(data, 0.2, count)
    reach = 0.2 * np.ptp(data, axis=0)
    # Every vertex of the region takes each coordinate from an end of some box.
    ends = [np.concatenate([data[:, j] - reach[j], data[:, j] + reach[j]]) for j in range(2)]
    corners = np.stack(np.meshgrid(*ends), axis=-1).reshape(-1, 2)
    inside = corners[near(corners - 1e-9 * np.sign(corners), data, 0.2 + 1e-9, count)]
    for direction in rng.normal(size=(4, 2)) / [1.0, 100.0]:
        m = pyo.ConcreteModel()
        m.x = pyo.Var(range(2))
        trust = add_trust_region(m, region, m.x)
        m.obj = pyo.Objective(expr=direction[0] * m.x[0] + direction[1] * m.x[1],
                              sense=pyo.maximize)  # fmt: skip
        if solver == "mipnet":
            assert solve(m).status is Status.OPTIMAL
        else:
            pyo.SolverFactory(solver).solve(m)
        assert pyo.value(m.obj) == pytest.approx((inside @ direction).max(), abs=1e-5)
        assert trust.error() < 1e-6


def test_columns_that_never_change_stay_where_they_are():
    region = DensityRegion([[0.0, 3.0], [1.0, 3.0]], 0.1)
    assert region.contains([[0.05, 3.0], [0.05, 3.01], [0.5, 3.0]]).tolist() == [True, False, False]


def test_equal_data_count_one_by_one():
    data = [[0.0], [0.0], [1.0]]
    assert DensityRegion(data, 0.1, 2).contains([[0.0], [1.0]]).tolist() == [True, False]
    assert len(DensityRegion(data, 0.1).points) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radius": 0.0}, "radius"),
        ({"radius": float("inf")}, "radius"),
        ({"radius": 0.1, "count": 0}, "count"),
        ({"radius": 0.1, "count": 1.5}, "count"),
        ({"radius": 0.1, "count": 4}, "there are 3 points"),
    ],
)
def test_bad_options_are_told(options, message):
    with pytest.raises(RegionError, match=message):
        DensityRegion([[0.0], [1.0], [2.0]], **options)
