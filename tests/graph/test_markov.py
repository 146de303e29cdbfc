import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mipnet.errors import GraphError
from mipnet.graph import degree, stationary, transition

METHODS = ("power", "eigenvector")
SYMMETRIC = np.array([[0, 0.9, 0.1], [0.9, 0, 0.2], [0.1, 0.2, 0]])
CASES = [
    (transition(SYMMETRIC), 1.0, (0.416667, 0.458333, 0.125)),
    (transition(SYMMETRIC), 0.85, (0.402507, 0.444573, 0.152920)),
    ([[0.1, 0.6, 0.3], [0.4, 0.2, 0.4], [0.5, 0.3, 0.2]], 1.0, (0.331210, 0.363057, 0.305732)),
    # Exact; the published (0.331702, 0.359064, 0.309234) stop an iteration at 1e-6.
    (
        [[0.1, 0.6, 0.3], [0.4, 0.2, 0.4], [0.5, 0.3, 0.2]],
        0.85,
        (19578 / 59023, 21193 / 59023, 18252 / 59023),
    ),
    ([[0.5, 0.5, 0], [0.25, 0.5, 0.25], [0, 0.5, 0.5]], 1.0, (0.25, 0.5, 0.25)),
]


def test_transition_of_the_card():
    wanted = [[0, 0.9, 0.1], [0.818182, 0, 0.181818], [0.333333, 0.666667, 0]]
    np.testing.assert_allclose(transition(SYMMETRIC), wanted, atol=5e-7)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("chain", "damping", "wanted"), CASES)
def test_distributions_of_the_card(chain, damping, wanted, method):
    found = stationary(chain, damping=damping, method=method)
    np.testing.assert_allclose(found, wanted, atol=5e-7)


def affinities(symmetric):
    def draw(seed, n):
        size = np.random.default_rng(seed).random((n, n)) + 0.01
        size = size + size.T if symmetric else size
        np.fill_diagonal(size, 0.0)
        return size

    return st.builds(draw, st.integers(0, 2**32 - 1), st.integers(3, 8))


@given(affinity=affinities(symmetric=True))
def test_a_symmetric_chain_ranks_by_degree(affinity):
    for method in METHODS:
        found = stationary(transition(affinity), method=method)
        np.testing.assert_allclose(found, degree(affinity), atol=1e-9)


@given(affinity=affinities(symmetric=False), damping=st.floats(0.0, 1.0))
def test_both_methods_agree_and_solve_the_equation(affinity, damping):
    chain = transition(affinity)
    power, eigen = (stationary(chain, damping=damping, method=m) for m in METHODS)
    np.testing.assert_allclose(power, eigen, atol=1e-9)
    np.testing.assert_allclose(power, damping * power @ chain + (1 - damping) / len(chain))
    assert power.sum() == pytest.approx(1.0)


def test_an_asymmetric_chain_says_more_than_the_degrees():
    affinity = np.array([[0.0, 1.0, 1.0], [0.1, 0.0, 2.0], [3.0, 0.1, 0.0]])
    assert not np.allclose(stationary(transition(affinity)), degree(affinity), atol=1e-2)


def test_agrees_with_networkx():
    affinity = np.random.default_rng(0).random((6, 6))
    affinity[3] = 0.0  # a node that leads nowhere
    wanted = nx.pagerank(nx.from_numpy_array(affinity, create_using=nx.DiGraph), 0.85, tol=1e-12)
    found = stationary(transition(affinity), damping=0.85)
    np.testing.assert_allclose(found, [wanted[k] for k in range(6)], atol=1e-9)


def test_a_bipartite_graph_swings_without_damping():
    pair = [[0.0, 1.0], [1.0, 0.0]]
    np.testing.assert_allclose(stationary(pair), 0.5)
    with pytest.raises(GraphError, match="not settled after 50 steps"):
        stationary(pair, start=[0.9, 0.1], max_iterations=50)
    np.testing.assert_allclose(stationary(pair, start=[0.9, 0.1], damping=0.85), 0.5)
    np.testing.assert_allclose(stationary(pair, method="eigenvector"), 0.5)


@pytest.mark.parametrize("method", METHODS)
def test_without_damping_parts_that_never_meet_have_no_one_answer(method):
    chain = np.kron(np.eye(2), np.full((2, 2), 0.5))
    with pytest.raises(GraphError, match=r"2 parts .* damping below 1"):
        stationary(chain, method=method)
    np.testing.assert_allclose(stationary(chain, damping=0.9, method=method), 0.25)
    # One closed part that the rest drains into is unique.
    drain = [[0.0, 1.0, 0.0], [0.0, 0.5, 0.5], [0.0, 0.5, 0.5]]
    np.testing.assert_allclose(stationary(drain, method=method), [0.0, 0.5, 0.5], atol=1e-12)


def test_extremes_of_the_affinity():
    np.testing.assert_allclose(transition(np.zeros((3, 3))), 1 / 3)
    np.testing.assert_allclose(degree(np.zeros((3, 3))), 1 / 3)
    np.testing.assert_allclose(stationary(transition([[5.0]])), [1.0])
    huge = transition(1e308 * SYMMETRIC)
    np.testing.assert_allclose(huge, transition(SYMMETRIC))
    np.testing.assert_allclose(transition(1e-310 * SYMMETRIC), huge, rtol=1e-10)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: transition([[0.0, -1.0], [1.0, 0.0]]), "from 0 to 1 has weight -1"),
        (lambda: transition([[0.0, np.nan], [1.0, 0.0]]), "weight nan"),
        (lambda: transition(np.ones((2, 3))), r"\(2, 3\)"),
        (lambda: transition(np.ones((0, 0))), "n >= 1"),
        (lambda: stationary(SYMMETRIC), r"row 1 sums to 1\.1"),
        (lambda: stationary(np.eye(2), damping=1.5), "damping"),
        (lambda: stationary(np.full((2, 2), 0.5), method="guess"), "power, eigenvector"),
        (lambda: stationary(np.full((2, 2), 0.5), start=[1.0, 0.0, 0.0]), "2 numbers"),
        (lambda: stationary(np.full((2, 2), 0.5), start=[0.0, 0.0]), "not all 0"),
    ],
)
def test_bad_input_is_refused(call, match):
    with pytest.raises(GraphError, match=match):
        call()
