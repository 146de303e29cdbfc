import numpy as np
import pytest

from mipnet.errors import GraphError
from mipnet.graph import mlp_rank

W1 = np.array([[1.0, -3.0], [2.0, 0.0], [-1.0, 1.0]])
W2 = np.array([[0.5, 0.0, -1.5], [1.0, 4.0, 0.0]])
A0, A1, A2 = [1.0, 3.0], [2.0, 1.0, 1.0], [3.0, 1.0]


def test_first_layer_by_hand():
    # Columns of |W1| sum to 4 and 4, of its support to 3 and 2; r_0 = (1/4, 3/4).
    sizes = np.array([[1 / 4, 3 / 4], [2 / 4, 0], [1 / 4, 1 / 4]]) @ [0.25, 0.75]
    support = np.array([[1 / 3, 1 / 2], [1 / 3, 0], [1 / 3, 1 / 2]]) @ [0.25, 0.75]
    wanted = 0.9 * (0.5 * sizes + 0.5 * support) + 0.1 * np.array([0.5, 0.25, 0.25])
    (first,) = mlp_rank([W1], [A1], A0)
    np.testing.assert_allclose(first, wanted)
    assert first.sum() == pytest.approx(1.0)


def test_limits_of_the_two_factors():
    (rank,) = mlp_rank([W1], [A1], A0, gamma=0.0)
    np.testing.assert_allclose(rank, [0.5, 0.25, 0.25])
    (rank,) = mlp_rank([W1], [A1], A0, gamma=1.0, theta=1.0)
    np.testing.assert_allclose(rank, [10 / 16, 2 / 16, 4 / 16])
    (rank,) = mlp_rank([W1], [A1], A0, gamma=1.0, theta=0.0)
    np.testing.assert_allclose(rank, [11 / 24, 2 / 24, 11 / 24])


def test_layers_hand_their_ranks_on():
    first, second = mlp_rank([W1, W2], [A1, A2], A0)
    (alone,) = mlp_rank([W2], [A2], first)
    np.testing.assert_allclose(second, alone)


def test_the_modified_variant_by_hand():
    first, second = mlp_rank([W1, W2], [A1, A2], A0, modified=True)
    np.testing.assert_allclose(first, np.array([2.5 * 2, 0.5, 1.0]) / 6.5)
    wanted = np.abs(W2) @ first * A2
    np.testing.assert_allclose(second, wanted / wanted.sum())


def test_columns_without_weights_and_dead_layers():
    (rank,) = mlp_rank([[[0.0, 1.0], [0.0, 3.0]]], [[0.0, 0.0]], [1.0, 1.0])
    mixed = 0.9 * 0.5 * (0.5 * np.array([0.25, 0.75]) + 0.5 * np.array([0.5, 0.5])) + 0.1 * 0.5
    np.testing.assert_allclose(rank, mixed / mixed.sum())
    (rank,) = mlp_rank([np.zeros((2, 2))], [[0.0, 0.0]], [1.0, 1.0], modified=True)
    np.testing.assert_allclose(rank, 0.5)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"gamma": 1.1}, "gamma"),
        ({"theta": -0.1}, "theta"),
        ({"weights": [W1, W1]}, "2 layers need as many"),
        ({"weights": [W1.T]}, r"layer 0: .* \(3, 2\)"),
        ({"weights": [np.full((3, 2), np.inf)]}, "layer 0: weights must be finite"),
        ({"activations": [[1.0, -1.0, 0.0]]}, "activations of layer 0"),
        ({"start": [np.nan, 1.0]}, "start"),
    ],
)
def test_bad_input_is_refused(change, match):
    arguments = {"weights": [W1], "activations": [A1], "start": A0} | change
    with pytest.raises(GraphError, match=match):
        mlp_rank(**arguments)
