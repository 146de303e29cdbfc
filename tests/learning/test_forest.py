import contextlib
import itertools
import warnings

import numpy as np
import pandas as pd
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mipnet import add_trust_region, solve
from mipnet.errors import EmbeddingError, MipnetWarning, RegionError, SolverError
from mipnet.learning import IsolationRegion
from mipnet.learning.trees import average_path, last_left
from mipnet.solver import Status


def forest(n_inputs=2, trees=5, seed=0, **options):
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(60, n_inputs)) * 10.0 ** rng.integers(-2, 3, size=n_inputs)
    options = {"max_samples": 12, "contamination": 0.2} | options
    return IsolationForest(n_estimators=trees, random_state=seed, **options).fit(data), data


def thresholds(model):
    """Thresholds of every input, ascending."""
    found = [[] for _ in range(model.n_features_in_)]
    for tree, inputs in zip(model.estimators_, model.estimators_features_, strict=True):
        inner = tree.tree_.children_left >= 0
        pairs = zip(tree.tree_.feature[inner], tree.tree_.threshold[inner], strict=True)
        for feature, value in pairs:
            found[inputs[feature]].append(value)
    return [np.unique(values) for values in found]


def model_of(region, low, high, domain=pyo.Reals):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(len(low)), domain=domain)
    for var, lower, upper in zip(m.x.values(), low, high, strict=True):
        var.setlb(float(lower))
        var.setub(float(upper))
    m.trust = pyo.Block()
    return m, add_trust_region(m, region, m.x)


def embeddable(region, point):
    """Whether a given point can be held in a region."""
    m = pyo.ConcreteModel()
    with contextlib.suppress(EmbeddingError):
        add_trust_region(m, region, point.tolist())
        return solve(m).status is Status.OPTIMAL
    return False


def best_cell(model, direction, low, high, threshold):
    """Largest value of a linear function over the closed inlier cells, by enumeration."""
    axes = [
        np.concatenate([[a], t[(t > a) & (t < b)], [b]])
        for a, b, t in zip(low, high, thresholds(model), strict=True)
    ]
    cells = list(itertools.product(*[list(itertools.pairwise(axis)) for axis in axes]))
    middles = np.array([[0.5 * (a + b) for a, b in cell] for cell in cells])
    inside = model.score_samples(middles) >= threshold
    ends = np.array([[b if d > 0 else a for (a, b), d in zip(cell, direction, strict=True)]
                     for cell in cells])  # fmt: skip
    return (ends[inside] @ direction).max() if inside.any() else None


@given(st.floats(-1e6, 1e6) | st.floats(width=32, allow_nan=False, allow_infinity=False))
@settings(max_examples=200)
def test_the_last_value_on_the_left_is_found(threshold):
    end = float(last_left(np.array([threshold]))[0])
    with np.errstate(over="ignore"):
        assert float(np.float32(end)) <= threshold
        assert float(np.float32(np.nextafter(end, np.inf))) > threshold


def test_thresholds_that_send_everything_left():
    assert last_left(np.array([np.inf]))[0] == np.inf
    assert average_path(np.array([1, 2, 3])).tolist()[:2] == [0.0, 1.0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_features": 0.5, "n_inputs": 5},
        {"max_features": 1, "n_inputs": 3, "bootstrap": True},
        {"contamination": "auto", "max_samples": 60},
        {"max_samples": 2, "contamination": "auto"},
    ],
)
def test_scores_are_those_of_sklearn_thresholds_included(options):
    model, data = forest(trees=20, seed=1, **options)
    region = IsolationRegion(model)
    rng = np.random.default_rng(0)
    low, high = data.min(axis=0), data.max(axis=0)
    points = rng.uniform(low - 1, high + 1, size=(2000, len(low)))
    cuts = thresholds(model)
    for j, values in enumerate(cuts):
        if values.size:
            chosen = rng.choice(values, 1000)
            single = chosen.astype(np.float32).astype(float)
            near = [chosen, single, np.nextafter(single, np.inf), last_left(chosen),
                    np.nextafter(last_left(chosen), np.inf)]  # fmt: skip
            points[:1000, j] = np.choose(rng.integers(0, len(near), 1000), near)
    scale = average_path(np.asarray(model.max_samples_))
    assert -np.exp2(-region.mean_length(points) / scale) == pytest.approx(
        model.score_samples(points), abs=1e-12
    )
    inside = model.decision_function(points) >= 0
    assert np.array_equal(region.contains(points), inside)
    assert 0 < inside.sum() < len(points) or options.get("max_samples") == 2
    assert region.outside(points) == pytest.approx(
        np.maximum(0.0, model.offset_ - model.score_samples(points))
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("solver", ["mipnet", "appsi_highs"])
def test_the_optimum_is_that_of_the_best_cell(seed, solver):
    rng = np.random.default_rng(seed)
    model, data = forest(trees=4, seed=seed, max_samples=8, contamination=0.3)
    width = np.ptp(data, axis=0)
    low, high = data.min(axis=0) - 0.1 * width, data.max(axis=0) + 0.1 * width
    direction = rng.normal(size=2) / width
    threshold = float(np.quantile(model.score_samples(data), rng.uniform(0.1, 0.6))) - 1e-4
    m, trust = model_of(IsolationRegion(model, threshold), low, high)
    m.obj = pyo.Objective(expr=direction[0] * m.x[0] + direction[1] * m.x[1], sense=pyo.maximize)
    if solver == "mipnet":
        result = solve(m)
        assert result.status is Status.OPTIMAL
        assert result.replay_errors == {"trust_region": 0.0}
    else:
        pyo.SolverFactory(solver).solve(m)
    expected = best_cell(model, direction, low, high, threshold)
    assert pyo.value(m.obj) == pytest.approx(expected, abs=5e-5)
    assert pyo.value(m.obj) <= expected + 1e-6
    assert trust.error(tolerance=0.0) == 0.0


@pytest.mark.parametrize("seed", range(3))
def test_points_are_feasible_where_they_are_inliers(seed):
    model, data = forest(n_inputs=3, trees=8, seed=seed, max_features=2)
    region = IsolationRegion(model)
    low, high = data.min(axis=0), data.max(axis=0)
    rng = np.random.default_rng(seed)
    points = rng.uniform(low, high, size=(20, 3))
    found = []
    for point in points:
        m, _ = model_of(region, low, high)
        m.at = pyo.Constraint(range(3), rule=lambda m, j: m.x[j] == point[j])  # noqa: B023
        found.append(solve(m).status is Status.OPTIMAL)
    assert found == region.contains(points).tolist()
    assert 0 < sum(found) < 20


def test_bounds_far_beyond_the_cuts_leave_the_data_inside():
    model, data = forest(trees=6)
    region = IsolationRegion(model)
    far = np.full(2, 1e6)
    for point, inside in zip(data[:12], region.contains(data[:12]), strict=True):
        m, _ = model_of(region, -far, far)
        m.at = pyo.Constraint(range(2), rule=lambda m, j: m.x[j] == point[j])  # noqa: B023
        assert (solve(m).status is Status.OPTIMAL) == inside


def test_given_numbers_lose_nothing_to_the_margin():
    model, data = forest(trees=6)
    region = IsolationRegion(model, margin=0.01)
    cuts = thresholds(model)
    ends = last_left(np.concatenate([cuts[0][:6], cuts[0][-6:]]))
    values = np.concatenate([ends, np.nextafter(ends, np.inf)])
    points = np.column_stack([values, np.full(values.size, np.median(data[:, 1]))])
    for point, inside in zip(points, region.contains(points), strict=True):
        assert embeddable(region, point) == inside


def test_whole_numbers_lose_nothing_to_the_margin():
    rng = np.random.default_rng(0)
    data = rng.poisson(6.0, size=(200, 2)).astype(float)
    model = IsolationForest(n_estimators=10, max_samples=32, random_state=0, contamination=0.3)
    region = IsolationRegion(model.fit(data), margin=0.05)
    low, high = data.min(axis=0), data.max(axis=0)
    grid = np.array(
        list(itertools.product(*[np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]))
    )
    inside = grid[model.decision_function(grid) >= 0]
    for direction in ([1, 1], [1, -2], [-1, 0.5], [-1, -1]):
        m, trust = model_of(region, low, high, pyo.Integers)
        m.obj = pyo.Objective(expr=direction[0] * m.x[0] + direction[1] * m.x[1],
                              sense=pyo.maximize)  # fmt: skip
        assert solve(m).objective == pytest.approx((inside @ direction).max())
        assert trust.error() == 0.0


def test_a_forest_may_stand_for_its_region_and_knows_its_columns():
    _, data = forest()
    frame = pd.DataFrame(data, columns=["a", "b"])
    named = IsolationForest(n_estimators=5, random_state=0, max_samples=16).fit(frame)
    m = pyo.ConcreteModel()
    m.x = pyo.Var(["b", "a"], bounds=(-1, 1))
    trust = add_trust_region(m, named, m.x)
    assert [v.name for v in trust.inputs.values()] == ["x[a]", "x[b]"]
    m.obj = pyo.Objective(expr=m.x["a"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert solve(m).replay_errors == {"trust_region": 0.0}
    assert named.predict(pd.DataFrame([trust.point()], columns=["a", "b"])).tolist() == [1]
    assert trust.region.threshold == named.offset_ == -0.5
    refit = named.fit(frame + 1000.0)
    assert refit is named
    assert trust.error() == 0.0  # a copy was kept


def test_cuts_outside_the_bounds_cost_nothing():
    model, data = forest(trees=10, contamination="auto")
    region = IsolationRegion(model)
    wide, _ = model_of(region, data.min(axis=0), data.max(axis=0))
    middle, width = np.median(data, axis=0), 0.05 * np.ptp(data, axis=0)
    narrow, _ = model_of(region, middle - width, middle + width)
    sizes = [m.trust_region.report().binaries for m in (wide, narrow)]
    total = sum(len(t) for t in thresholds(model))
    assert 0 <= sizes[1] < sizes[0] / 2 <= total / 2


def test_a_solution_that_is_no_inlier_is_told():
    model, data = forest()
    m, trust = model_of(IsolationRegion(model), data.min(axis=0), data.max(axis=0))
    trust.rows.deactivate()
    m.obj = pyo.Objective(expr=m.x[0] + m.x[1])
    with pytest.warns(MipnetWarning, match="outside of the inliers of 5 isolation trees"):
        result = solve(m)
    assert result.replay_error > 0.0
    with pytest.raises(SolverError, match="more than 0"):
        trust.error(tolerance=0.0)


def test_wider_bounds_are_told_and_followed():
    model, data = forest()
    middle, width = np.median(data, axis=0), 0.1 * np.ptp(data, axis=0)
    m, trust = model_of(IsolationRegion(model), middle - width, middle + width)
    m.obj = pyo.Objective(expr=m.x[0], sense=pyo.maximize)
    first = solve(m).objective
    for var, low, high in zip(m.x.values(), data.min(axis=0), data.max(axis=0), strict=True):
        var.setlb(low)
        var.setub(high)
    with pytest.warns(MipnetWarning, match=r"rebuild\(\) the block"):
        assert solve(m).objective == pytest.approx(first)
    trust.rebuild()
    assert solve(m).objective > first + 1e-3
    trust.rebuild(IsolationRegion(model, -0.99))
    assert solve(m).objective == pytest.approx(data[:, 0].max())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0.0}, "between -1"),
        ({"threshold": -1.0}, "between -1"),
        ({"threshold": float("nan")}, "between -1"),
        ({"margin": -1e-9}, "margin"),
        ({"margin": 0.5}, "margin"),
    ],
)
def test_bad_options_are_told(options, message):
    with pytest.raises(RegionError, match=message):
        IsolationRegion(forest()[0], **options)


def test_what_is_no_forest_is_told():
    data = np.random.default_rng(0).normal(size=(20, 2))
    with pytest.raises(RegionError, match="not fitted"):
        IsolationRegion(IsolationForest())
    with pytest.raises(RegionError, match="trees need no scaling"):
        IsolationRegion(make_pipeline(StandardScaler(), IsolationForest()).fit(data))
    with pytest.raises(RegionError, match="not a StandardScaler"):
        IsolationRegion(StandardScaler())
    with pytest.raises(RegionError, match="one sample"):
        IsolationRegion(IsolationForest(max_samples=1).fit(data))


def test_what_does_not_fit_is_told_and_leaves_the_model_alone():
    model, data = forest()
    region = IsolationRegion(model)
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-1e3, 1e3))
    m.free = pyo.Var()
    with pytest.raises(EmbeddingError, match=r"input 1 \(free\) has no finite bounds"):
        add_trust_region(m, region, [m.x[0], m.free])
    with pytest.raises(EmbeddingError, match="the trust region takes 2 inputs"):
        add_trust_region(m, region, [m.x[0]])
    with pytest.raises(EmbeddingError, match="no point within the bounds"):
        add_trust_region(m, IsolationRegion(model, -0.01), m.x)
    with pytest.raises(EmbeddingError, match="narrow the bounds"):
        add_trust_region(m, region, [m.x[0], m.free], lower=-np.full(2, 1e39), upper=1e3)
    assert not list(m.component_objects(pyo.Block))
    add_trust_region(m, region, [m.x[0], m.free], lower=data.min(axis=0), upper=data.max(axis=0))
    assert solve(m).replay_error == 0.0
