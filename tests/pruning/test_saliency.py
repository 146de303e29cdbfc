"""Scores of single weights against the reference values of the card."""

import numpy as np
import pytest

from mipnet.errors import MaskError
from mipnet.network import Affine, Flatten, Network, ReLU
from mipnet.network.layers import Conv
from mipnet.pruning import saliency

torch = pytest.importorskip("torch")

W1 = [[1.0, -2.0], [0.5, 0.25], [-1.0, 3.0]]
W2 = [[1.0, -1.0, 0.5], [2.0, 0.5, -1.0]]
NET = Network.sequential(
    [Affine(W1, np.zeros(3)), ReLU(), Affine(W2, np.zeros(2))], names=["one", "relu", "two"]
)
X, Y = np.array([[1.0, 1.0], [2.0, -1.0]]), np.array([0, 1])


def test_synflow_and_its_conservation():
    scores = saliency.synflow(NET)
    np.testing.assert_allclose(scores["one"], [[3, 6], [0.75, 0.375], [1.5, 4.5]])
    np.testing.assert_allclose(scores["two"], [[3, 0.75, 2], [6, 0.375, 4]])
    for name in scores:
        assert scores[name].sum() == pytest.approx(16.125)
    np.testing.assert_allclose(scores["one"].sum(axis=1), [9, 1.125, 6])
    np.testing.assert_allclose(scores["two"].sum(axis=0), [9, 1.125, 6])


def test_snip_and_its_conservation():
    np.testing.assert_allclose(NET(X), [[0.25, -1.625], [3.25, 8.375]])
    scores = saliency.snip(NET, X, Y)
    one = [[0.0059111, 0.0059111], [0.0454283, 0.0260391], [0.0997232, 0.2991695]]
    two = [[0.0118221, 0.0476449, 0.0664821], [0.0236443, 0.0238225, 0.1329642]]
    np.testing.assert_allclose(scores["one"], one, atol=6e-8)
    np.testing.assert_allclose(scores["two"], two, atol=6e-8)
    assert sum(v.sum() for v in scores.values()) == pytest.approx(0.7885624, abs=5e-7)
    # Signed sums over the two sides of a unit agree: here each side has one sign.
    parameters, loss = saliency._loss(NET, X, Y, 1.0)
    assert float(loss.detach()) == pytest.approx(0.0743018, abs=5e-8)
    loss.backward()
    flows = [(parameters[n][0] * parameters[n][0].grad).sum(axis) for n, axis in
             (("one", 1), ("two", 0))]  # fmt: skip
    for flow in flows:
        np.testing.assert_allclose(
            flow.detach().abs(), [0.0118221, 0.0714674, 0.1994464], atol=6e-8
        )


def test_batches_of_snip_are_weighted_by_their_size():
    x, y = np.vstack([X, [[0.5, -0.5]]]), np.array([0, 1, 1])
    parts = [saliency.snip(NET, x[:2], y[:2]), saliency.snip(NET, x[2:], y[2:])]
    found = saliency.snip(NET, x, y, batch_size=2)
    for name in found:
        np.testing.assert_allclose(found[name], (2 * parts[0][name] + parts[1][name]) / 3)


def test_grasp():
    scores = saliency.grasp(NET, X, Y)
    one = [[-2.40090e-5, -2.40090e-5], [2.32105e-7, -9.74507e-8], [6.10536e-6, -1.83161e-5]]
    two = [
        [6.90460e-6, -1.13685e-5, -2.26438e-6],
        [-1.38092e-5, -5.68423e-6, -4.52875e-6],
    ]
    # The card has the sign of the paper, whose highest go first.
    np.testing.assert_allclose(-scores["one"], one, rtol=2e-5)
    np.testing.assert_allclose(-scores["two"], two, rtol=2e-5)
    absolute = saliency.grasp(NET, X, Y, absolute=True)
    np.testing.assert_allclose(absolute["one"], np.abs(scores["one"]))


def test_a_global_threshold_takes_ties_along_or_not():
    scores = saliency.magnitude(NET)
    strict = saliency.keep_strongest(scores, 0.5, ties="strict")
    assert strict["one"].tolist() == [[False, True], [False, False], [False, True]]
    assert strict["two"].tolist() == [[False, False, False], [True, False, False]]
    exact = saliency.keep_strongest(scores, 0.5)
    assert sum(int(m.sum()) for m in exact.values()) == 6
    assert all((exact[n] >= strict[n]).all() for n in exact)
    for share, left in ((0.0, 12), (1.0, 0), (0.7, 4), (0.3, 9)):
        masks = saliency.keep_strongest(scores, share)
        assert sum(int(m.sum()) for m in masks.values()) == left
    assert not saliency.keep_strongest(scores, 1.0, ties="strict")["one"].any()
    for bad in (-0.1, 1.1, float("nan"), True, "half"):
        with pytest.raises(MaskError, match="share in"):
            saliency.keep_strongest(scores, bad)
    with pytest.raises(MaskError, match="NaN"):
        saliency.keep_strongest({"one": np.array([1.0, np.nan])}, 0.5)
    with pytest.raises(MaskError, match="exact, strict"):
        saliency.keep_strongest(scores, 0.5, ties="random")


def deep(seed=0):
    rng = np.random.default_rng(seed)
    layers = []
    for n_in, n_out in ((16, 40), (40, 40), (40, 4)):
        layers += [Affine(rng.normal(size=(n_out, n_in)), np.zeros(n_out)), ReLU()]
    return Network.sequential(layers[:-1])


def test_synflow_by_rounds_leaves_no_layer_empty():
    # One shot at 99 % cuts through a layer; rounds keep a path, which is what they are for.
    net = deep()
    once = saliency.keep_strongest(saliency.magnitude(net), 0.99)
    rounds = saliency.keep_strongest(saliency.synflow(net, 0.99), 0.99)
    assert sum(int(m.sum()) for m in rounds.values()) == sum(int(m.sum()) for m in once.values())
    kept = saliency.masked(net, rounds)
    assert float(np.abs(saliency.synflow(kept)["affine0"]).sum()) > 0.0
    assert min(int(m.sum()) for m in rounds.values()) > 0


def test_convolutions_dead_branches_and_seeds():
    rng = np.random.default_rng(1)
    net = Network.sequential(
        [Conv(rng.normal(size=(3, 1, 3, 3)), np.zeros(3)), ReLU(), Flatten(),
         Affine(rng.normal(size=(2, 48)), np.zeros(2))], (1, 6, 6)
    )  # fmt: skip
    x, y = rng.normal(size=(5, 1, 6, 6)), rng.integers(0, 2, 5)
    for name, score in saliency.SCORERS.items():
        found = score(net, x, y, 0.5, np.random.default_rng(3))
        again = score(net, x, y, 0.5, np.random.default_rng(3))
        assert {n: v.shape for n, v in found.items()} == {"conv0": (3, 1, 3, 3), "affine0": (2, 48)}
        assert all((found[n] == again[n]).all() for n in found), name
        assert all(np.isfinite(v).all() and v.any() for v in found.values()), name
    total = saliency.synflow(net)
    assert total["conv0"].sum() == pytest.approx(total["affine0"].sum())
