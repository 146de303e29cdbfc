import numpy as np
import pytest
from pruning_cases import mlp
from sklearn.datasets import load_digits

from mipnet.errors import MaskError, NetworkError
from mipnet.network import Affine, Flatten, Network, ReLU
from mipnet.network.layers import Conv
from mipnet.pruning import prune, pruner, train_mlp
from mipnet.pruning.base import Job
from mipnet.pruning.budgets import Parameters
from mipnet.pruning.methods.spr import perspective
from mipnet.pruning.training import finetune, initialised, quality

torch = pytest.importorskip("torch")

DIGITS = load_digits()
torch.set_num_threads(1)
X, Y = DIGITS.data / 16.0, DIGITS.target


def z(weights, bound, alpha=0.5):
    w = torch.tensor([weights], dtype=torch.float64)
    return float(perspective(w.square().sum(1), w.abs().amax(1), alpha, bound))


@pytest.mark.parametrize(
    ("weights", "bound", "wanted"),
    [
        ((0.3, 0.4), 1.0, 0.5),  # case 2
        ((0.3, 0.4), 0.5, 0.55625),  # case 3
        ((3.0, 4.0), 10.0, 13.0),  # case 1
        ((0.3, 0.4), 0.4, 0.625),  # case 1, at the bound
    ],
)
def test_perspective_of_the_card(weights, bound, wanted):
    assert z(weights, bound) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.9])
def test_perspective_is_the_minimum_it_closes(alpha):
    rng = np.random.default_rng(0)
    y = np.linspace(1e-4, 1.0, 200_001)
    for scale in (0.03, 0.3, 3.0):
        for bound in (0.2, 1.0, 5.0):
            w = scale * rng.normal(size=4)
            least = np.abs(w).max() / bound
            if least > 1.0:
                continue
            allowed = np.append(y[y > least], least)
            wanted = (alpha * (w @ w) / allowed + (1.0 - alpha) * allowed).min()
            assert z(w.tolist(), bound, alpha) == pytest.approx(wanted, rel=1e-6)


def test_perspective_is_continuous_where_its_cases_meet():
    w = np.array([0.3, 0.4])
    for alpha in (0.2, 0.5, 0.8):
        ratio = np.sqrt(alpha / (1.0 - alpha))
        # Cases 2 and 3 meet at the bound of equal parts, 1 and 3 where |w| reaches it, 1 and 2
        # where the norm does.
        for scale, bound in ((0.1, 0.8 / ratio), (1.0, 0.4), (2.0 / ratio, 50.0)):
            near = [
                z((f * scale * w).tolist(), g * bound, alpha)
                for f, g in ((1 - 1e-9, 1), (1 + 1e-9, 1), (1, 1 - 1e-9), (1, 1 + 1e-9))
            ]
            assert max(near) - min(near) < 1e-6 * max(near)


@pytest.mark.parametrize("name", ["spr", "elastic_net"])
def test_gradients_are_finite_at_zero(name):
    net = Network.sequential([Affine(np.zeros((2, 3)), [0.0, 0.0])])
    pair = tuple(torch.tensor(p).requires_grad_() for p in net.nodes[0].layer.parameters)
    value = pruner(name).penalty(net)({"affine0": pair})
    value.backward()
    assert value.item() == pytest.approx(0.0, abs=1e-9)
    assert all(torch.isfinite(p.grad).all() for p in pair)


def test_groups_weigh_by_their_size_and_the_output_layer_counts():
    net = Network.sequential(
        [Affine([[0.3, 0.4]], [0.0]), ReLU(), Affine([[0.3], [0.0]], [0.4, 0.0])]
    )
    parameters = {
        n.name: tuple(torch.tensor(p) for p in n.layer.parameters)
        for n in net.nodes
        if n.layer.parameters
    }
    # Bounds are the largest weights, 0.4 and 0.3: y~ is 1 and 4/3, case 1 for both; 0 costs 0.
    term = 0.5 * 0.25 + 0.5
    wanted = 2.0 * (3 * term + 2 * term) / (3 + 2 + 2)
    found = pruner("spr", lam=2.0, alpha=0.5).penalty(net)(parameters)
    assert float(found) == pytest.approx(wanted)
    net_term = 0.25 * 0.25 + 0.75 * 0.5
    found = pruner("elastic_net", lam=2.0, alpha=0.25).penalty(net)(parameters)
    assert float(found) == pytest.approx(2.0 * 5 * net_term / 7)


def test_score_of_spr_is_the_relaxed_indicator():
    net = Network.sequential(
        [Affine([[0.3, 0.4], [0.0, 0.1]], [0.0, -0.2]), ReLU(), Affine(np.eye(2), [0, 0])]
    )
    scores = pruner("spr", alpha=0.5, bound=2.0).scores(net, None, np.random.default_rng(0))
    np.testing.assert_allclose(scores["affine0"], [0.5, max(0.2 / 0.8, np.hypot(0.1, 0.2))])


def job(network, x, y):
    return Job(network, x, y, None, "layer", 0, np.random.default_rng(0))


def test_bisection_keeps_the_largest_threshold_without_loss():
    # Right as long as the weight of 0.06 lives: the bisection ends just below it.
    net = Network.sequential([Affine([[0.06]], [0.0]), ReLU(), Affine([[10.0], [0.0]], [0, 0.2])])
    x, y = np.ones((4, 1)), np.zeros(4, int)
    found = pruner("spr").threshold(job(net, x, y), net)
    assert 0.06 - 0.1 / 2**6 <= found < 0.06
    everything = pruner("spr", tolerance=101.0).threshold(job(net, x, y), net)
    assert everything == pytest.approx(0.1 * (1 - 2.0**-6))
    nothing = pruner("spr", tolerance=-1.0).threshold(job(net, x, y), net)
    assert nothing == 0.0


def test_units_with_few_survivors_go_and_no_layer_is_emptied():
    weight = np.zeros((3, 400))
    weight[0, :2] = 1.0  # 0.5 % of the weights: not more than that
    weight[1, :3] = 1.0
    net = Network.sequential([Affine(weight, np.zeros(3)), ReLU(), Affine(np.ones((2, 3)), [0, 0])])
    method = pruner("spr", epochs=0, finetune_epochs=0)
    x, y = np.random.default_rng(0).random((10, 400)), np.arange(10) % 2
    result = method.fit(net, x, y=y, keep=None)
    assert result.mask.layers["affine0"].kept.tolist() == [1]
    blank = net.with_layers({"affine0": Affine(np.zeros((3, 400)), [0.0, 0.5, 0.0])})
    kept = method.fit(blank, x, y=y, keep=None).mask.layers["affine0"].kept
    assert kept.tolist() == [1]


@pytest.fixture(scope="module")
def digits():
    return train_mlp(X, Y, (30, 20), epochs=30, dtype="float32", input_bounds=(0.0, 1.0))


@pytest.mark.parametrize("name", ["spr", "elastic_net"])
def test_strong_penalties_leave_few_units(digits, name):
    options = {"epochs": 20, "finetune_epochs": 5, "lr": 0.2, "batch_size": 32}
    result = prune(digits, name, None, X, Y, lam=1.0, **options)
    assert result.report.units_after <= 40
    assert quality(result.network, X, Y) > quality(digits, X, Y) - 0.05
    assert result.network.dtype == "float32"
    assert result.network.input_bounds is not None
    none = prune(digits, name, None, X, Y, lam=0.0, **options | {"epochs": 5})
    assert none.report.units_after >= 48


def test_budget_starts_and_bad_options(digits):
    options = {"epochs": 1, "finetune_epochs": 0}
    half = prune(digits, "spr", 0.5, X, Y, **options)
    assert half.network.shapes["affine0"] == (15,)
    fresh = prune(digits, "spr", 0.5, X, Y, start="scratch", **options)
    assert fresh.network.fingerprint != half.network.fingerprint
    for wrong, match in (
        ({"alpha": 1.0}, "alpha"),
        ({"lam": -1.0}, "lam"),
        ({"start": "middle"}, "network, scratch"),
        ({"bound": 0.0}, "bound"),
    ):
        with pytest.raises(MaskError, match=match):
            prune(digits, "spr", 0.5, X, Y, **options, **wrong)


@pytest.mark.parametrize("name", ["spr", "elastic_net"])
def test_channels_that_fall_together_survive_together(name):
    rng = np.random.default_rng(0)
    first = rng.normal(size=(4, 1, 2, 2))
    first[[0, 2, 3]] = 0.0
    net = Network.sequential(
        [
            Conv(first, np.zeros(4)),
            ReLU(),
            Conv(rng.normal(size=(4, 2, 1, 1)), np.ones(4), groups=2),
            ReLU(),
            Flatten(),
            Affine(rng.normal(size=(2, 16)), [0.0, 0.0]),
        ],
        (1, 3, 3),
    )
    x, y = rng.normal(size=(12, 1, 3, 3)), np.arange(12) % 2
    # Channels 0 and 1 are one group of the second convolution, 2 and 3 the other.
    mask = prune(net, name, None, x, y, epochs=0, finetune_epochs=0, tolerance=-1.0).mask
    assert mask.layers["conv0"].kept.tolist() == [0, 1]
    trained = prune(net, name, None, x, y, epochs=2, finetune_epochs=1)
    assert trained.network.shapes["conv0"][0] in {2, 4}


def test_scratch_uses_the_architecture_alone():
    x, y = X[:300], Y[:300]
    one, two = (prune(mlp(64, 16, 10, seed=s), "scratch", 0.5, x, y, epochs=5) for s in (0, 1))
    assert one.network.fingerprint == two.network.fingerprint
    assert one.network.shapes["affine0"] == (8,)
    better = prune(mlp(64, 16, 10), "scratch", 0.5, x, y, epochs=60, batch_size=16)
    assert quality(better.network, x, y) > max(0.9, quality(one.network, x, y))


@pytest.mark.parametrize("name", ["scratch", "reconvene"])
def test_an_architecture_of_zeros_costs_what_its_new_weights_will(name):
    zeros, x, y = _zeros(mlp(64, 16, 10)), X[:300], Y[:300]
    found = prune(zeros, name, None, x, y, budget=Parameters(600), epochs=1)
    # 64 + 1 + 10 parameters a unit, and 10 biases.
    assert found.network.shapes["affine0"] == (7,)
    assert found.network.n_parameters == 7 * 75 + 10


@pytest.mark.parametrize("name", ["spr", "elastic_net"])
def test_every_budget_binds_after_training_under_a_penalty(name):
    x, y = X[:300], Y[:300]
    for net, start in ((mlp(64, 16, 10), "network"), (_zeros(mlp(64, 16, 10)), "scratch")):
        options = {"epochs": 1, "finetune_epochs": 1, "start": start}
        found = prune(net, name, None, x, y, budget=Parameters(600), **options)
        assert found.network.n_parameters == 7 * 75 + 10
        assert (found.report.requested, found.report.reached) == (600, 535)


def _zeros(net):
    layers = {
        node.name: Affine(0.0 * node.layer.weight, 0.0 * node.layer.bias)
        for node in net.nodes
        if isinstance(node.layer, Affine)
    }
    return net.with_layers(layers)


def test_initialised_keeps_the_shape_and_draws_the_rest():
    net = mlp(200, 300, 10)
    fresh = initialised(net, 3)
    assert fresh.shapes == net.shapes
    assert initialised(net, 3).fingerprint == fresh.fingerprint != initialised(net, 4).fingerprint
    weight, bias = fresh.by_name["affine0"].layer.parameters
    assert weight.std() == pytest.approx(np.sqrt(2 / 200), rel=0.02)
    assert not bias.any()
    uniform = initialised(net, 3, "torch")
    for layer in (uniform.nodes[0].layer, torch.nn.Linear(200, 300)):
        weight, bias = (np.abs(np.asarray(p.data)) for p in (layer.weight, layer.bias))
        limit = 200**-0.5
        assert 0.999 * limit < weight.max() <= limit * (1 + 1e-6)
        assert weight.mean() == pytest.approx(limit / 2, rel=0.02)
        assert 0.9 * limit < bias.max() <= limit * (1 + 1e-6)
    with pytest.raises(NetworkError, match="'zero' of first weights; there are he, torch"):
        initialised(net, 3, "zero")


def test_new_weights_under_a_penalty_follow_the_law_of_torch():
    options = {"start": "scratch", "epochs": 0, "finetune_epochs": 0, "random_state": 5}
    net = mlp(64, 16, 10)
    found = prune(net, "spr", 1.0, X, Y, **options).network
    assert found.fingerprint == initialised(net, 5, "torch").fingerprint


def test_quality_is_accuracy_or_r2():
    net = Network.sequential([Affine([[1.0], [-1.0]], [0.0, 0.0])])
    x = np.array([[1.0], [-1.0], [2.0], [3.0]])
    assert quality(net, x, np.array([0, 1, 0, 1])) == 0.75
    line = Network.sequential([Affine([[1.0]], [0.0])])
    assert quality(line, x, x[:, 0]) == 1.0
    assert quality(line, x, np.array([1.0, -1.0, 2.0, 5.0])) == pytest.approx(1 - 4 / 18.75)
    assert quality(line, x, np.array([1, 0, 1, 1])) == 1.0
    assert finetune(line, x, x[:, 0], epochs=0).fingerprint == line.fingerprint
