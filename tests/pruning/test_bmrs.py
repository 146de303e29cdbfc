"""Training under noise, and what BMRS and its baselines remove."""

import numpy as np
import pytest
from pruning_cases import mlp
from sklearn.datasets import load_digits

from mipnet.errors import MaskError, NetworkError
from mipnet.network import Affine, Flatten, Network, Node, ReLU
from mipnet.network.layers import Add, Conv, MaxPool, Tanh
from mipnet.pruning import Mask, apply, prune, pruner, train_mlp
from mipnet.pruning.budgets import Parameters
from mipnet.pruning.methods import bmrs_evidence as evidence
from mipnet.pruning.methods.bmrs_training import NoisyTraining, Recipe

torch = pytest.importorskip("torch")

DIGITS = load_digits()
ORDER = np.random.default_rng(0).permutation(len(DIGITS.target))
X, Y = DIGITS.data[ORDER] / 16.0, DIGITS.target[ORDER]
TRAIN, TEST = slice(0, 1200), slice(1200, None)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def digits():
    return train_mlp(X[TRAIN], Y[TRAIN], (40, 40), epochs=25)


def accuracy(network):
    return float((network(X[TEST]).argmax(axis=1) == Y[TEST]).mean())


def recipe(**changes):
    options = {
        "lr": 1e-3,
        "noise_lr": 1e-2,
        "batch_size": 64,
        "validation": 0.0,
        "averaging": "mean",
        "train_weights": True,
        "seed": 0,
        "dtype": "float64",
    }
    return Recipe(**options | changes)


def set_noise(training, mu, log_sigma):
    with torch.no_grad():
        training.noise.mu.copy_(torch.as_tensor(mu))
        training.noise.log_sigma.copy_(torch.as_tensor(log_sigma))


@pytest.mark.parametrize("averaging", ["mean", "sum"])
def test_the_divergence_is_the_closed_form_and_has_slopes(averaging):
    net = mlp(4, 6, 3, 2)
    training = NoisyTraining(net, np.zeros((2, 4)), np.zeros(2, int), recipe(averaging=averaging))
    mu = np.array([0.0, -0.5, -5.0, -14.0, -19.9, -30.0, 3.0, -10.0, -1.0])
    log_sigma = np.array([-5.0, -1.0, 0.7, 1.1, 0.7, 1.0, 0.5, 2.0, -7.0])
    set_noise(training, mu, log_sigma)
    value = training.noise.divergence()
    each = evidence.divergence(mu, np.exp(log_sigma))
    share = np.repeat([1 / 12, 1 / 6], [6, 3]) if averaging == "mean" else np.ones(9)
    assert float(value.detach()) == pytest.approx(float(each @ share), rel=1e-10)
    value.backward()
    for parameter, shift in (
        (training.noise.mu, (1e-6, 0.0)),
        (training.noise.log_sigma, (0, 1e-6)),
    ):
        up, down = (
            evidence.divergence(mu + s * shift[0], np.exp(log_sigma + s * shift[1]))
            for s in (1, -1)
        )
        np.testing.assert_allclose(parameter.grad, share * (up - down) / 2e-6, rtol=1e-4, atol=1e-7)


def test_draws_are_those_of_the_closed_form():
    training = NoisyTraining(mlp(4, 5, 2), np.zeros((2, 4)), np.zeros(2, int), recipe())
    mu, log_sigma = np.array([-1.0, -1.0, -10.0, 0.0, -19.0]), np.log([0.5, 0.5, 4.0, 1.0, 2.0])
    set_noise(training, mu, log_sigma)
    training.noise.keep_only({"affine0": np.array([True, True, True, True, False])})
    generator = torch.Generator().manual_seed(5)
    found = training.noise.drawn(300, generator)["relu0"].detach().numpy()
    draws = torch.rand((300, 5), generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    wanted = evidence.sample(mu, np.exp(log_sigma), draws.numpy())
    np.testing.assert_allclose(found[:, :4], wanted[:, :4], rtol=1e-9)
    assert not found[:, 4].any()
    means = training.noise.averaged()["relu0"].numpy()[0]
    np.testing.assert_allclose(means[:4], evidence.expectation(mu, np.exp(log_sigma))[:4])


def image_network():
    rng = np.random.default_rng(0)
    layers = [
        Conv(rng.normal(size=(6, 1, 3, 3)), rng.normal(size=6)),
        *(ReLU(), MaxPool((2, 2)), Flatten()),
        Affine(rng.normal(size=(8, 54)), rng.normal(size=8)),
        Tanh(),
        Affine(rng.normal(size=(10, 8)), np.zeros(10)),
    ]
    return Network.sequential(layers, (1, 8, 8))


def residual_network():
    rng = np.random.default_rng(0)

    def affine(n_out, n_in):
        return Affine(rng.normal(size=(n_out, n_in)), rng.normal(size=n_out))

    nodes = [
        Node("a", affine(6, 64), ("input",)),
        Node("b", affine(9, 6), ("a",)),
        Node("r", ReLU(), ("b",)),
        Node("c", affine(6, 9), ("r",)),
        Node("s", Add(), ("a", "c")),
        Node("d", affine(10, 6), ("s",)),
    ]
    return Network(tuple(nodes), (64,))


@pytest.mark.parametrize("make", [lambda: mlp(64, 12, 9, 10), image_network, residual_network])
def test_the_mean_of_the_noise_is_folded_exactly(make):
    net = make()
    x = X[:50].reshape(50, *net.input_shape)
    training = NoisyTraining(net, x, Y[:50], recipe())
    rng = np.random.default_rng(1)
    count = training.noise.mu.numel()
    set_noise(training, rng.uniform(-4, 0, count), rng.uniform(-2, 1, count))
    with torch.no_grad():
        wanted = training.forward(torch.tensor(x), training.noise.averaged())
    np.testing.assert_allclose(training.result()(x), wanted, rtol=1e-9, atol=1e-10)
    result = prune(net, "bmrs", 0.5, x, Y[:50], epochs=2, finetune_epochs=1)
    assert 0.3 < result.report.keep_reached < 0.7
    np.testing.assert_allclose(result.network(x), result.masked(x), rtol=1e-8, atol=1e-9)


def test_masked_units_are_gone_when_evaluated():
    net = residual_network()
    training = NoisyTraining(net, X[:20], Y[:20], recipe())
    kept = {n: np.arange(len(ids)) % 2 == 0 for n, ids in training.noise.ids.items()}
    training.noise.keep_only(kept)
    with torch.no_grad():
        wanted = training.forward(torch.tensor(X[:20]), training.noise.averaged())
    folded = training.result()
    masked = apply(folded, Mask.from_kept(folded, kept))
    np.testing.assert_allclose(masked(X[:20]), wanted, rtol=1e-9, atol=1e-10)


@pytest.fixture(scope="module")
def pruned(digits):
    return prune(digits, "bmrs", None, X[TRAIN], Y[TRAIN], epochs=40, lr=3e-3)


def test_units_without_evidence_go_with_nothing_to_tune(digits, pruned):
    before, after = pruned.report.units_before, pruned.report.units_after
    assert before == 80
    assert 10 < after < 60
    assert accuracy(pruned.network) > accuracy(digits) - 0.02
    # What is removed is what the evidence of the code says, and nothing else.
    for layer in pruned.mask.layers.values():
        gone = layer.scores <= evidence.CODE_OFFSET
        # Ten epochs of fine-tuning have moved the posteriors of units near the border.
        assert np.mean(gone == ~layer.keep) > 0.8
    assert pruned.network.n_parameters == pruned.report.parameters_after


def test_the_paper_formula_keeps_noise_that_has_become_the_prior(digits):
    result = prune(digits, "bmrs", None, X[TRAIN], Y[TRAIN], epochs=40, lr=3e-3, variant="paper")
    assert result.mask.kept_share > 0.95
    scores = np.concatenate([layer.scores for layer in result.mask.layers.values()])
    # The evidence against them is tiny: they are as good as removed.
    assert np.mean(scores < evidence.CODE_OFFSET) > 0.3


@pytest.mark.parametrize(
    "options",
    [
        {"criterion": "bmrs_u"},
        {"criterion": "bmrs_u", "p1": 4.0, "small": True},
        {"criterion": "snr"},
        {"criterion": "mean"},
        {"criterion": "l2"},
        {"when": "after", "levels": 3},
    ],
    ids=lambda o: "-".join(map(str, o.values())),
)
def test_other_criteria(digits, options):
    result = prune(digits, "bmrs", None, X[TRAIN], Y[TRAIN], epochs=40, lr=3e-3, **options)
    assert 10 < result.report.units_after < 79
    assert accuracy(result.network) > 0.8


def test_a_budget_ranks_by_evidence(digits):
    for when in ("during", "after"):
        options = {"epochs": 15, "finetune_epochs": 2, "levels": 3, "when": when}
        result = prune(digits, "bmrs", 0.5, X[TRAIN], Y[TRAIN], **options)
        assert [len(m.kept) for m in result.mask.layers.values()] == [20, 20]
        assert accuracy(result.network) > 0.8


@pytest.mark.parametrize("when", ["during", "after"])
def test_budgets_of_other_currencies_are_met(digits, when):
    options = {"epochs": 3, "finetune_epochs": 1, "levels": 2, "when": when, "scope": "global"}
    budget = Parameters(2500)
    result = prune(digits, "bmrs", None, X[:300], Y[:300], budget=budget, **options)
    assert 2300 < result.network.n_parameters <= 2500


def test_removal_after_training_goes_in_levels_and_never_further(digits, monkeypatch):
    counts = []
    epoch = NoisyTraining.epoch

    def counted(self):
        counts.append(int(self.noise.keep.sum()))
        epoch(self)

    monkeypatch.setattr(NoisyTraining, "epoch", counted)
    prune(digits, "bmrs", 0.4, X[:300], Y[:300], epochs=3, levels=4, when="after")
    assert counts == [80, 80, 80, 68, 56, 44, 32]
    counts.clear()
    prune(digits, "bmrs", 0.4, X[:300], Y[:300], epochs=4, finetune_epochs=2)
    assert counts == [80, 68, 56, 44, 32, 32]


def test_noise_alone_may_be_trained(digits):
    result = prune(
        digits, "bmrs", 0.7, X[TRAIN], Y[TRAIN], epochs=5, train_weights=False, finetune_epochs=0
    )
    layer, kept = result.mask.layers["affine0"], result.mask.layers["affine0"].kept
    assert len(kept) == 28
    before, after = (n.by_name["affine0"].layer.weight for n in (digits, result.masked))
    np.testing.assert_allclose(after[kept], before[kept], rtol=1e-6)
    # The readers' columns are scaled by one factor a unit, the mean of its noise.
    second = [n.by_name["affine1"].layer.weight for n in (digits, result.masked)]
    rows = result.mask.layers["affine1"].kept
    ratio = second[1][np.ix_(rows, kept)] / second[0][np.ix_(rows, kept)]
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:1], ratio.shape), rtol=1e-4)
    assert ((ratio > 0.0) & (ratio < 1.0)).all()
    assert layer.scores.shape == (40,)


def test_the_best_epoch_of_the_fine_tuning_is_taken(digits):
    training = NoisyTraining(digits, X[TRAIN], Y[TRAIN], recipe(validation=0.2, lr=0.05))
    seen = []
    score = training.score
    training.score = lambda: seen.append(score()) or seen[-1]
    training.best_of(4)
    assert score() == max(seen)
    assert len(training.held) == 240
    assert not set(training.held.tolist()) & set(training.rows.tolist())


def test_regression_and_one_output():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (300, 2))
    y = np.abs(x[:, 0]) - x[:, 1]
    net = train_mlp(x, y, (20,), epochs=30, lr=1e-2)
    for targets in (y, (y > 0).astype(int)):
        result = prune(net, "bmrs", 0.5, x, targets, epochs=5, finetune_epochs=2)
        assert result.network.shapes["affine0"] == (10,)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"criterion": "bmrs"}, "bmrs_n, bmrs_u, snr, mean, l2"),
        ({"variant": "released"}, "code, paper"),
        ({"when": "before"}, "during, after"),
        ({"epochs": -1}, "epochs must be a whole number from 0"),
        ({"every": 0}, "every must be a whole number from 1"),
        ({"levels": 1.5}, "levels must be"),
        ({"validation": 1.0}, "validation must lie"),
        ({"p1": 23.0}, "p1 in"),
    ],
)
def test_bad_options_are_refused(options, match):
    with pytest.raises(MaskError, match=match):
        prune(mlp(64, 5, 10), "bmrs", None, X[:20], Y[:20], **options)


def test_divergence_and_scores_without_training():
    with pytest.raises(NetworkError, match="diverged in epoch 1"):
        prune(mlp(2, 4, 1), "bmrs", 0.5, np.full((8, 2), 1e30), np.full(8, 0.5), epochs=1)
    with pytest.raises(MaskError, match="while it trains"):
        pruner("bmrs").scores(mlp(2, 4, 1), None, np.random.default_rng(0))
