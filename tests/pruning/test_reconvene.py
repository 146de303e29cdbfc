"""Layer choice, widths and fresh weights of reconvene, by the values of its card."""

import math
from dataclasses import replace

import numpy as np
import pytest
from pruning_cases import mlp
from sklearn.datasets import load_digits

from mipnet.errors import MaskError
from mipnet.network import Affine, Flatten, Network, Node, ReLU
from mipnet.network.layers import Add, Conv, MaxPool
from mipnet.pruning import prune, pruner
from mipnet.pruning.methods.reconvene import drawn, expected_densities, sparsities
from mipnet.pruning.saliency import keep_strongest, magnitude

DIGITS = load_digits()
ORDER = np.random.default_rng(0).permutation(len(DIGITS.target))
X, Y = DIGITS.data[ORDER] / 16.0, DIGITS.target[ORDER]
FAN_IN = np.array([64, 256, 256, 64])
SIZES = FAN_IN * np.array([256, 256, 64, 10])


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("sparsity", "threshold", "wide", "narrow"),
    [(0.5, 0.065825, 0.70962, 0.45644), (0.8, 0.128901, 0.46589, 0.14474),
     (0.9, 0.171781, 0.33118, 0.05196)],
)  # fmt: skip
def test_closed_form_of_magnitude_at_initialisation(sparsity, threshold, wide, narrow):
    densities, found = expected_densities(SIZES, FAN_IN, sparsity)
    assert found == pytest.approx(threshold, abs=6e-7)
    np.testing.assert_allclose(densities, [wide, narrow, narrow, wide], atol=6e-6)
    assert densities @ SIZES == pytest.approx((1 - sparsity) * SIZES.sum())


def test_uniform_weights_have_a_closed_form_too():
    densities, threshold = expected_densities(SIZES, FAN_IN, 0.8, "uniform")
    np.testing.assert_allclose(densities, np.maximum(0, 1 - threshold / np.sqrt(6 / FAN_IN)))
    assert densities @ SIZES == pytest.approx(0.2 * SIZES.sum())


def test_drawn_weights_follow_the_closed_forms():
    net = mlp(64, 256, 256, 64, 10)
    for law in ("normal", "uniform"):
        fresh = drawn(net, law, np.random.default_rng(0))
        masks = keep_strongest(magnitude(fresh), 0.8)
        wanted, _ = expected_densities(SIZES, FAN_IN, 0.8, law)
        shares = 1.0 - np.array(list(sparsities(masks).values()))
        # The last layer has 640 weights: a standard deviation of 0.02.
        np.testing.assert_allclose(shares[:3], wanted[:3], atol=0.01)
        assert shares[3] == pytest.approx(wanted[3], abs=0.07)
        assert not fresh.nodes[0].layer.bias.any()


def vgg16():
    """Output channels of the convolutions, fan-ins and sizes."""
    outs = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    fan_in = 9 * np.array([3, *outs[:-1]])
    return np.array(outs), fan_in, fan_in * np.array(outs)


def test_plausibility_on_vgg16():
    outs, fan_in, sizes = vgg16()
    assert sizes.sum() == 14_710_464
    densities, _ = expected_densities(sizes, fan_in, 0.875)
    wanted = [0.897, 0.549, 0.549, 0.396, 0.396, 0.230, 0.230, 0.230, *[0.090] * 5]
    np.testing.assert_allclose(densities, wanted, atol=6e-4)
    thinned = 1 - densities
    assert thinned.mean() == pytest.approx(0.698, abs=6e-4)
    cut = thinned > thinned.mean()
    assert np.flatnonzero(cut).tolist() == list(range(5, 13))
    widths = np.where(cut, np.ceil(densities * outs), outs).astype(int)
    assert widths.tolist() == [64, 64, 128, 128, 256, 59, 59, 118, 46, 46, 46, 46, 46]
    left = (9 * np.array([3, *widths[:-1]]) * widths).sum()
    assert sizes.sum() / left == pytest.approx(16.17, abs=0.005)


def quick(net, keep=None, **options):
    return prune(net, "reconvene", keep, X[:200], Y[:200], epochs=0, **options)


def test_the_layers_of_large_fan_in_are_cut():
    result = quick(mlp(64, 256, 256, 64, 10), sparsity=0.8)
    kept = {name: len(layer.kept) for name, layer in result.mask.layers.items()}
    # Densities are .145 in expectation, so about 37 and 10 units stay.
    assert kept["affine0"] == 256
    assert 34 <= kept["affine1"] <= 41
    assert 8 <= kept["affine2"] <= 11
    assert result.network.shapes["affine1"] == (kept["affine1"],)


def test_controls_options_and_multiples():
    net = mlp(64, 256, 256, 64, 10)
    widths = {
        name: [len(m.kept) for m in quick(net, **options).mask.layers.values()]
        for name, options in {
            "every": {"layers": "every"},
            "random": {"layers": "random", "random_state": 3},
            "least": {"least": 20},
            "multiple": {"multiple": 16},
            "weights": {"average": "weights"},
            "none": {"sparsity": 0.0},
        }.items()
    }
    assert 110 <= widths["every"][0] <= 128
    assert sum(w < n for w, n in zip(widths["random"], (256, 256, 64), strict=True)) == 2
    assert widths["least"][2] == 20
    assert widths["multiple"] == [256, 48, 16]
    # The average over weights is the sparsity itself, which the two wide layers exceed as well.
    assert widths["weights"][1] < 50
    assert widths["none"] == [256, 256, 64]


def test_units_of_the_largest_unmarked_mass_stay():
    weight = np.array([[5.0, 5.0], [0.1, 9.0], [4.0, 0.1], [0.1, 0.1]])
    net = Network.sequential(
        [Affine(weight, np.zeros(4)), ReLU(), Affine(np.full((1, 4), 9.0), [0.0])]
    )
    options = {"law": "given", "sparsity": 0.34, "least": 1}
    result = prune(net, "reconvene", None, np.ones((4, 2)), np.ones(4), epochs=0, **options)
    # Four of twelve weights are marked, all in the first layer: half of its weights are left.
    assert result.mask.layers["affine0"].kept.tolist() == [0, 1]
    np.testing.assert_array_equal(result.network.nodes[0].layer.weight, weight[:2])


def test_zero_filters_follow_one_another():
    one = np.array([[5.0, 5.0], [0.1, 0.1], [4.0, 4.0]])
    two = np.array([[9.0, 0.1, 9.0], [0.1, 9.0, 0.1]])
    net = Network.sequential(
        [Affine(one, np.zeros(3)), ReLU(), Affine(two, np.zeros(2)), ReLU(),
         Affine(np.full((1, 2), 9.0), [0.0])]
    )  # fmt: skip
    options = {"law": "given", "rule": "zero_filters", "sparsity": 0.36, "least": 1}
    result = prune(net, "reconvene", None, np.ones((4, 2)), np.ones(4), epochs=0, **options)
    # Unit 1 of the first layer has no weight left, and was all that unit 1 of the second reads.
    assert result.mask.layers["affine0"].kept.tolist() == [0, 2]
    assert result.mask.layers["affine1"].kept.tolist() == [0]
    fresh = quick(mlp(64, 64, 64, 10), rule="zero_filters", sparsity=0.7)
    assert fresh.mask.kept_share == 1.0


def test_only_changed_layers_are_drawn_anew_and_for_their_new_fan_in():
    net = mlp(64, 400, 400, 400, 400, 10)
    rng = np.random.default_rng(0)
    start = drawn(net, "normal", rng)
    again = drawn(start, "normal", rng, {"affine2": np.arange(40)})
    same = [
        (start.by_name[f"affine{k}"].layer.weight == again.by_name[f"affine{k}"].layer.weight).all()
        for k in range(5)
    ]
    assert same == [True, True, False, False, True]
    spread = again.by_name["affine3"].layer.weight.std()
    assert spread == pytest.approx(math.sqrt(2 / 40), rel=0.02)
    assert again.by_name["affine2"].layer.weight.std() == pytest.approx(
        math.sqrt(2 / 400), rel=0.02
    )


def test_without_drawing_anew_the_first_weights_stay():
    net = mlp(64, 64, 64, 10)
    given = quick(net, law="given", sparsity=0.7)
    kept = given.mask.layers["affine0"].kept
    np.testing.assert_array_equal(
        given.network.by_name["affine0"].layer.weight, net.by_name["affine0"].layer.weight[kept]
    )
    left = quick(net, reinit=False, sparsity=0.7, random_state=4)
    fresh = drawn(net, "normal", np.random.default_rng(4))
    np.testing.assert_array_equal(
        left.masked.by_name["affine2"].layer.weight[:, left.mask.layers["affine1"].kept],
        fresh.by_name["affine2"].layer.weight[:, left.mask.layers["affine1"].kept],
    )


def test_a_budget_shrinks_resilient_layers_first():
    net = mlp(64, 256, 256, 64, 10)
    own = quick(net, sparsity=0.8)
    wider = quick(net, keep=0.8, sparsity=0.8)
    kept = [len(layer.kept) for layer in wider.mask.layers.values()]
    assert kept[0] == 256
    assert sum(kept) == round(0.8 * 576)
    ratio = [len(layer.kept) for layer in own.mask.layers.values()]
    assert kept[1] / kept[2] == pytest.approx(ratio[1] / ratio[2], rel=0.1)
    smaller = quick(net, keep=0.1, sparsity=0.8)
    assert len(smaller.mask.layers["affine0"].kept) < 256


def images(x):
    return x.reshape(-1, 1, 8, 8)


def convnet():
    rng = np.random.default_rng(0)

    def conv(n_out, n_in):
        return Conv(rng.normal(size=(n_out, n_in, 3, 3)), np.zeros(n_out), padding=1)

    layers = [
        *(conv(8, 1), ReLU(), MaxPool((2, 2)), conv(32, 8), ReLU()),
        *(conv(32, 32), ReLU(), MaxPool((2, 2)), Flatten()),
        Affine(rng.normal(size=(10, 128)), np.zeros(10)),
    ]
    return Network.sequential(layers, (1, 8, 8))


def test_a_convolutional_network_is_cut_and_trained():
    net = convnet()
    result = prune(
        net, "reconvene", None, images(X[:1000]), Y[:1000], sparsity=0.8, epochs=8, lr=1e-2
    )
    kept = {name: len(layer.kept) for name, layer in result.mask.layers.items()}
    assert kept["conv0"] == 8
    assert kept["conv2"] < 16
    assert result.report.parameters_after < net.n_parameters / 2.5
    found = result.network(images(X[1200:])).argmax(axis=1)
    assert np.mean(found == Y[1200:]) > 0.9


def test_layers_of_a_residual_connection_share_one_decision():
    rng = np.random.default_rng(0)
    nodes = [
        Node("a", Affine(rng.normal(size=(40, 64)), np.zeros(40)), ("input",)),
        Node("b", Affine(rng.normal(size=(400, 40)), np.zeros(400)), ("a",)),
        Node("r", ReLU(), ("b",)),
        Node("c", Affine(rng.normal(size=(40, 400)), np.zeros(40)), ("r",)),
        Node("s", Add(), ("a", "c")),
        Node("d", Affine(rng.normal(size=(10, 40)), np.zeros(10)), ("s",)),
    ]
    net = Network(tuple(nodes), (64,))
    result = prune(net, "reconvene", None, X[:100], Y[:100], epochs=0, sparsity=0.8)
    # By itself "c", of fan-in 400, would be cut to a tenth; tied to "a" it is not.
    fresh = drawn(net, "normal", np.random.default_rng(0))
    shares = sparsities(keep_strongest(magnitude(fresh), 0.8))
    assert shares["c"] > np.mean(list(shares.values())) > shares["a"]
    assert len(result.mask.layers["a"].kept) == 40


@pytest.mark.parametrize("score", ["random", "snip", "grasp", "graspabs", "synflow"])
def test_other_scores(score):
    result = quick(mlp(64, 48, 48, 10), score=score, sparsity=0.6)
    assert result.report.keep_reached <= 1.0
    again = quick(mlp(64, 48, 48, 10), score=score, sparsity=0.6)
    assert again.network.fingerprint == result.network.fingerprint


def test_training_makes_something_of_it():
    start = mlp(64, 96, 96, 10)
    result = prune(start, "reconvene", None, X[:1400], Y[:1400], sparsity=0.7, epochs=25)
    accuracy = np.mean(result.network(X[1400:]).argmax(axis=1) == Y[1400:])
    assert accuracy > 0.93
    assert result.report.parameters_after < start.n_parameters
    other = prune(replace(start), "reconvene", None, X[:1400], Y[:1400], sparsity=0.7, epochs=0)
    assert other.mask.layers["affine1"].kept.tolist() == result.mask.layers["affine1"].kept.tolist()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"sparsity": 1.0}, r"share in \[0, 1\)"),
        ({"sparsity": "most"}, "sparsity must be a number"),
        ({"score": "luck"}, "magnitude, random, snip"),
        ({"layers": "some"}, "resilient, every, random"),
        ({"law": "cauchy"}, "normal, uniform, given"),
        ({"least": 0}, "least must be a whole number"),
        ({"multiple": 1.5}, "multiple must be a whole number"),
    ],
)
def test_bad_options_are_refused(options, match):
    with pytest.raises(MaskError, match=match):
        quick(mlp(64, 8, 10), **options)


def test_scores_without_labels():
    net = mlp(64, 32, 32, 10)
    found = pruner("reconvene").scores(net, None, np.random.default_rng(0))
    assert {name: values.shape for name, values in found.items()} == {
        "affine0": (32,), "affine1": (32,)
    }  # fmt: skip
    with pytest.raises(MaskError, match="needs labels"):
        pruner("reconvene", score="snip").scores(net, None, np.random.default_rng(0))
