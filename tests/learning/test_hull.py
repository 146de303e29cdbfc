import numpy as np
import pandas as pd
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.spatial import Delaunay

from mipnet import add_trust_region, solve
from mipnet.errors import EmbeddingError, RegionError
from mipnet.learning import ConvexHull
from mipnet.learning.vertices import vertices
from mipnet.solver import Status


def combination(point, data):
    """Whether a point is a convex combination of all data."""
    found = linprog(
        np.zeros(len(data)),
        A_eq=np.vstack([data.T, np.ones(len(data))]),
        b_eq=np.append(point, 1.0),
        method="highs",
    )
    return found.status == 0


def extreme(region, direction, n, *, solver="mipnet"):
    """Value and point of the largest ``direction @ x`` over a region."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(n))
    trust = add_trust_region(m, region, m.x)
    m.obj = pyo.Objective(expr=sum(d * v for d, v in zip(direction, m.x.values(), strict=True)),
                          sense=pyo.maximize)  # fmt: skip
    if solver == "mipnet":
        assert solve(m).status is Status.OPTIMAL
    else:
        pyo.SolverFactory(solver).solve(m)
    return pyo.value(m.obj), np.array([v.value for v in m.x.values()]), trust


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 25))
def test_membership_agrees_with_a_linear_program(seed, d, n):
    rng = np.random.default_rng(seed)
    data = np.round(rng.normal(size=(n, d)) * 10.0 ** rng.integers(-2, 3, size=d), 3)
    hull = ConvexHull(data)
    inner = rng.dirichlet(np.ones(n), size=3) @ data
    others = data.mean(axis=0) + 1.5 * rng.normal(size=(5, d)) * (np.ptp(data, axis=0) + 1e-3)
    assert hull.contains(np.vstack([inner, data])).all()
    for point, inside in zip(others, hull.contains(others), strict=True):
        assert inside == combination(point, data)


def test_membership_agrees_with_a_triangulation():
    rng = np.random.default_rng(0)
    data = rng.normal(size=(300, 2))
    points = rng.normal(size=(300, 2)) * 2
    hull = ConvexHull(data)
    assert len(hull.parts[0]) < 40
    assert np.array_equal(hull.contains(points), Delaunay(data).find_simplex(points) >= 0)


@pytest.mark.parametrize("d", [1, 2, 3, 6])
@pytest.mark.parametrize("solver", ["mipnet", "appsi_highs"])
def test_the_farthest_point_is_a_datum(d, solver):
    rng = np.random.default_rng(d)
    data = rng.normal(size=(40, d)) * 10.0 ** rng.integers(-3, 4, size=d)
    direction = rng.normal(size=d) / np.ptp(data, axis=0)
    value, point, trust = extreme(ConvexHull(data), direction, d, solver=solver)
    assert value == pytest.approx((data @ direction).max(), abs=1e-6)
    assert trust.error() < 1e-6
    assert combination(0.999 * point + 0.001 * data.mean(axis=0), data)


def test_vertices_span_the_same_hull():
    rng = np.random.default_rng(1)
    grid = np.stack(np.meshgrid(range(4), range(4)), axis=-1).reshape(-1, 2).astype(float)
    assert len(vertices(grid)) == 4
    assert vertices(np.array([[3.0], [1.0], [2.0], [1.0]])).ravel().tolist() == [1.0, 3.0]
    flat = np.column_stack([rng.normal(size=30)] * 2)
    assert len(vertices(flat)) == 30  # Qhull has no word for flat sets
    assert len(vertices(np.vstack([flat, flat]))) == 30
    cloud = rng.normal(size=(200, 3))
    kept = vertices(cloud)
    assert len(kept) < 100
    for direction in rng.normal(size=(50, 3)):
        assert (kept @ direction).max() == (cloud @ direction).max()


def test_clusters_leave_out_what_is_between_them():
    rng = np.random.default_rng(2)
    left, right = rng.uniform(0, 1, size=(30, 2)), rng.uniform(4, 5, size=(30, 2))
    data = np.vstack([left, right])
    whole, parts = ConvexHull(data), ConvexHull(data, clusters=2)
    assert whole.contains([[2.5, 2.5]]).tolist() == [True]
    assert parts.contains([[2.5, 2.5], left[0], right[0]]).tolist() == [False, True, True]
    for side in (left, right):
        only = ConvexHull(data, clusters=[0] * 30 + [1] * 30)
        assert {len(p) for p in only.parts} == {len(ConvexHull(s).parts[0]) for s in (left, right)}
        assert only.contains(side).all()
    # Nearest to the gap: the best of each cluster's own.
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2))
    trust = add_trust_region(m, parts, m.x)
    m.far = pyo.Constraint(expr=m.x[0] + m.x[1] >= 4)
    m.obj = pyo.Objective(expr=m.x[0] + m.x[1])
    assert solve(m).objective == pytest.approx(right.sum(axis=1).min(), abs=1e-7)
    assert trust.report().binaries == 2


@pytest.mark.parametrize("clusters", [None, 3])
def test_slack_is_a_share_of_the_range(clusters):
    rng = np.random.default_rng(3)
    data = rng.uniform(size=(40, 2)) * [1.0, 1000.0]
    loose = ConvexHull(data, clusters, slack=0.1)
    for direction in np.array([[1.0, 0.0], [0.0, 1e-3], [1.0, -1e-3]]):
        room = 0.1 * np.abs(direction) @ np.ptp(data, axis=0)
        value, _, trust = extreme(loose, direction, 2)
        assert value == pytest.approx((data @ direction).max() + room, abs=1e-6)
        assert trust.error() < 1e-7
    assert loose.outside(data.max(axis=0) + 0.2 * np.ptp(data, axis=0))[0] > 0.09


def test_columns_that_never_change_stay_where_they_are():
    data = np.array([[0.0, 7.0], [1.0, 7.0]])
    value, point, _ = extreme(ConvexHull(data, slack=0.5), [0.0, 1.0], 2)
    assert value == pytest.approx(7.0)
    assert ConvexHull(data).contains([[0.5, 7.0], [0.5, 7.1]]).tolist() == [True, False]
    _, point, _ = extreme(ConvexHull([[2.0, 3.0]]), [1.0, 1.0], 2)
    assert point == pytest.approx([2.0, 3.0])


def test_sizes_of_inputs_do_not_matter():
    rng = np.random.default_rng(4)
    shape = np.array([1e-4, 1.0, 1e5])
    data = rng.normal(size=(50, 3)) * shape
    for j in range(3):
        direction = np.eye(3)[j] / shape[j]
        value, _, trust = extreme(ConvexHull(data), direction, 3, solver="appsi_highs")
        assert value == pytest.approx((data @ direction).max(), rel=1e-4)
        assert trust.error() < 1e-4


def test_names_come_from_the_data():
    data = pd.DataFrame({"age": [0.0, 1.0, 0.0], "dose": [0.0, 0.0, 10.0]})
    m = pyo.ConcreteModel()
    m.x = pyo.Var(["dose", "age"])
    add_trust_region(m, ConvexHull(data), m.x)
    m.obj = pyo.Objective(expr=m.x["dose"] + m.x["age"], sense=pyo.maximize)
    solve(m)
    assert (m.x["dose"].value, m.x["age"].value) == pytest.approx((10.0, 0.0))
    with pytest.raises(EmbeddingError, match="columns missing: 'age'"):
        add_trust_region(m, data, {"dose": m.x["dose"], "size": 1.0})


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ([], {}, "at least one"),
        (np.zeros((0, 3)), {}, "at least one"),
        ([1.0, 2.0], {}, "a row for each point"),
        ([[1.0, np.nan], [0.0, np.inf]], {}, r"row 0, column 1 is nan \(2 such cell"),
        (pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, None]}), {}, "row 1, column 'b' is nan"),
        (pd.DataFrame({"a": ["red", "blue"]}), {}, "encode categories"),
        (pd.Series([1.0, 2.0]), {}, "not a Series"),
        ([[1.0], [2.0], [2.0]], {"clusters": 3}, "2 distinct points"),
        ([[1.0], [2.0]], {"clusters": [0]}, "label for each of the 2"),
        ([[1.0], [2.0]], {"clusters": True}, "label for each"),
        ([[1.0], [2.0]], {"slack": -0.1}, "slack is a share"),
        ([[1.0], [2.0]], {"slack": float("nan")}, "slack is a share"),
    ],
)
def test_bad_data_are_told(data, options, message):
    with pytest.raises(RegionError, match=message):
        ConvexHull(data, **options)


@pytest.mark.parametrize("points", [[[1.0]], [[1.0, np.nan]], [["a", "b"]], np.zeros((1, 1, 2))])
def test_bad_points_are_told(points):
    with pytest.raises(RegionError, match="points"):
        ConvexHull([[0.0, 0.0], [1.0, 1.0]]).contains(points)
