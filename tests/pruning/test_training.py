import sys

import numpy as np
import pytest
from pruning_cases import mlp
from sklearn.datasets import load_digits

from mipnet.errors import MaskError, MissingPackageError, NetworkError
from mipnet.network import Affine, Flatten, Network, ReLU
from mipnet.network.layers import Sigmoid
from mipnet.pruning import Mask, apply, compact, finetune, prune, train_mlp

DIGITS = load_digits()
ORDER = np.random.default_rng(0).permutation(len(DIGITS.target))
X, Y = DIGITS.data[ORDER] / 16.0, DIGITS.target[ORDER]
TRAIN, TEST = slice(0, 1400), slice(1400, None)


def accuracy(network, part=TEST):
    return float((network(X[part]).argmax(axis=1) == Y[part]).mean())


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads only wait for each other on networks of this size, all the more on a busy machine."""
    try:
        import torch
    except ImportError:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("torch")
    return train_mlp(X[TRAIN], Y[TRAIN], (50, 50), input_bounds=(0.0, 1.0))


def test_digits_are_learnt(digits):
    assert [digits.shapes[f"affine{i}"] for i in range(3)] == [(50,), (50,), (10,)]
    assert digits.dtype == "float64"
    assert digits.input_bounds[1].tolist() == [1.0] * 64
    assert accuracy(digits) >= 0.96


def test_finetuning_repairs_a_compacted_network(digits):
    small = prune(digits, "magnitude", 0.4).network
    tuned = finetune(small, X[TRAIN], Y[TRAIN], epochs=10)
    assert tuned.shapes == small.shapes
    assert accuracy(tuned) > max(0.9, accuracy(small))


def test_a_masked_network_stays_masked(digits):
    mask = prune(digits, "magnitude", 0.4).mask
    masked = apply(digits, mask)
    tuned = finetune(masked, X[TRAIN], Y[TRAIN], epochs=5, mask=mask)
    assert accuracy(tuned) > accuracy(masked)
    for name, layer in mask.layers.items():
        weight, bias = tuned.by_name[name].layer.parameters
        assert not weight[layer.removed].any()
        assert not bias[layer.removed].any()
    assert not tuned.by_name["affine1"].layer.weight[:, mask.layers["affine0"].removed].any()
    assert compact(tuned).shapes["affine0"] == (20,)
    with pytest.raises(MaskError, match="apply the mask first"):
        finetune(digits, X[TRAIN], Y[TRAIN], mask=mask)


def test_without_relu_only_the_mask_holds_removed_units():
    pytest.importorskip("torch")
    net = Network.sequential([Affine(np.eye(3), np.zeros(3)), Affine(np.ones((1, 3)), [0.0])])
    mask = prune(net, "random", 0.5).mask
    removed = mask.layers["affine0"].removed
    x = np.random.default_rng(0).normal(size=(64, 3))
    tuned = finetune(apply(net, mask), x, x.sum(axis=1), mask=mask, epochs=3)
    assert not tuned.by_name["affine0"].layer.weight[removed].any()
    assert not tuned.by_name["affine1"].layer.weight[:, removed].any()


def test_training_is_deterministic_and_leaves_torch_alone():
    torch = pytest.importorskip("torch")
    start, threads = mlp(64, 8, 10), torch.get_num_threads()
    state = torch.random.get_rng_state()
    before = start.fingerprint
    runs = [finetune(start, X[:200], Y[:200], epochs=2, seed=s).fingerprint for s in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]
    assert start.fingerprint == before
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_regression_and_binary_labels():
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.0, 1.0, (400, 2))
    y = np.abs(x[:, 0]) - x[:, 1]
    net = train_mlp(x, y, (16,), epochs=60, lr=1e-2, dtype="float32")
    assert net.n_outputs == 1
    assert np.mean((net(x)[:, 0] - y) ** 2) < 0.05 * y.var()
    assert net.dtype == "float32"
    np.testing.assert_array_equal(
        net.nodes[0].layer.weight.astype(np.float32), net.nodes[0].layer.weight
    )
    labels = (y > 0).astype(int)
    single = finetune(mlp(2, 16, 1), x, labels, epochs=60, lr=1e-2)
    assert np.mean((single(x)[:, 0] > 0) == labels) > 0.95
    assert train_mlp(x, np.stack([y, -y], axis=1), (4,), epochs=1).n_outputs == 2


def test_image_networks_train():
    pytest.importorskip("torch")
    fresh = train_mlp(X[:10], np.arange(10), (16,), epochs=0)
    layers = [Flatten(), *(n.layer for n in fresh.nodes)]
    net = Network.sequential(layers, (8, 8))
    tuned = finetune(net, X[TRAIN].reshape(-1, 8, 8), Y[TRAIN], epochs=15, lr=1e-2)
    assert np.mean(tuned(X[TRAIN]).argmax(axis=1) == Y[TRAIN]) > 0.9


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"X": X[:5]}, "same number"),
        ({"X": np.full((4, 64), np.nan)}, "NaN"),
        ({"y": [0, 1, 2, 10]}, r"0\.\.9"),
        ({"y": [0, 1, 2, -1]}, r"0\.\.9"),
        ({"y": [0.5, 1, 2, 3]}, "10 finite"),
        ({"y": [0.5, 1, 2, 3], "task": "classification"}, "whole numbers"),
        ({"y": ["a", "b", "c", "d"]}, "must hold numbers"),
        ({"task": "ranking"}, "auto, classification, regression"),
        ({"lr": 0.0}, "lr > 0"),
        ({"batch_size": 0}, "batch_size"),
        ({"dtype": "float16"}, "float64, float32"),
        ({"optimizer": "lbfgs"}, "adam, sgd"),
        ({"schedule": "step"}, "cosine, constant"),
    ],
)
def test_bad_input_is_refused(settings, match):
    with pytest.raises(NetworkError, match=match):
        finetune(mlp(64, 4, 10), **{"X": X[:4], "y": Y[:4]} | settings)


def test_plain_descent_steps_along_the_gradient():
    pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=(8, 3))
    start = Network.sequential([Affine([[1.0, -2.0, 0.5]], [0.25])])
    y = start(x)[:, 0] + x[:, 0]
    # The residual is -x0: the gradient of the mean square is -2 mean(x0 x).
    options = {"epochs": 1, "lr": 0.1, "optimizer": "sgd", "schedule": "constant"}
    tuned = finetune(start, x, y, batch_size=8, **options)
    wanted = start.nodes[0].layer.weight + 0.1 * 2.0 * (x[:, :1] * x).mean(axis=0)
    np.testing.assert_allclose(tuned.nodes[0].layer.weight, wanted)
    # A penalty of half the squared weights takes lr * weight off.
    held = finetune(start, x, y, batch_size=8, penalty=half_squares, **options)
    np.testing.assert_allclose(
        held.nodes[0].layer.weight, wanted - 0.1 * start.nodes[0].layer.weight
    )


def half_squares(parameters):
    return 0.5 * sum((weight**2).sum() for weight, _ in parameters.values())


def test_gates_act_in_training_alone():
    torch = pytest.importorskip("torch")
    gate = torch.ones(8, dtype=torch.float64)
    seen = []

    def each_epoch(epoch, parameters):
        seen.append(epoch)
        gate[3] = 0.0
        assert not parameters["affine0"][0].requires_grad or not torch.is_grad_enabled()

    start = mlp(64, 8, 10)
    first = finetune(start, X[:64], Y[:64], epochs=1, gates={"relu0": gate})
    finetune(start, X[:64], Y[:64], epochs=2, gates={"relu0": gate}, each_epoch=each_epoch)
    assert seen == [0, 1]
    shut = finetune(start, X[:64], Y[:64], epochs=1, gates={"relu0": gate})
    moved = [
        np.abs(t.by_name["affine0"].layer.weight - start.by_name["affine0"].layer.weight).sum(
            axis=1
        )
        for t in (first, shut)
    ]
    assert moved[0][3] > 0.0
    assert moved[1][3] == 0.0
    assert (moved[1] > 0.0).sum() == (moved[0] > 0.0).sum() - 1


def test_divergence_is_an_error():
    pytest.importorskip("torch")
    x = np.full((8, 2), 1e200)
    with pytest.raises(NetworkError, match="diverged in epoch 1: lower lr"):
        finetune(mlp(2, 4, 1), x, np.zeros(8), epochs=1)


def test_without_torch_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingPackageError, match=r"mipnet\[torch\]"):
        finetune(mlp(64, 4, 10), X[:4], Y[:4])
    with pytest.raises(NetworkError, match="n_inputs"):
        train_mlp(X[0], Y[:1])
    with pytest.raises(NetworkError, match="at least one"):
        train_mlp(X[:0], Y[:0])
    with pytest.raises(NetworkError, match="encode them first"):
        train_mlp(X[:2], [7, 10**12])


def test_constant_and_relu_only_structures_survive():
    pytest.importorskip("torch")
    net = Network.sequential([Affine(np.zeros((10, 64)), np.zeros(10)), ReLU()])
    tuned = finetune(net, X[:100], Y[:100], epochs=1)
    assert tuned.shapes == net.shapes


def test_a_mask_holds_what_gradients_alone_would_move():
    pytest.importorskip("torch")
    # A removed unit behind a sigmoid still puts out one half: its columns have gradients.
    rng = np.random.default_rng(0)
    net = Network.sequential(
        [
            Affine(rng.normal(size=(6, 64)), rng.normal(size=6)),
            Sigmoid(),
            Affine(rng.normal(size=(10, 6)), np.zeros(10)),
        ]
    )
    mask = Mask.from_kept(net, {"affine0": [0, 2, 5]})
    masked = apply(net, mask)
    held = finetune(masked, X[:200], Y[:200], epochs=2, mask=mask)
    assert apply(held, mask.fitted(held)).fingerprint == held.fingerprint
    loose = finetune(masked, X[:200], Y[:200], epochs=2)
    assert loose.by_name["affine1"].layer.weight[:, 1].any()
    tiles = Mask.from_kept(net, {"affine0": rng.random(32) < 0.5}, tile=(4, 3))
    held = finetune(apply(net, tiles), X[:200], Y[:200], epochs=2, mask=tiles)
    assert apply(held, tiles.fitted(held)).fingerprint == held.fingerprint
    assert held.by_name["affine0"].layer.weight.any()
