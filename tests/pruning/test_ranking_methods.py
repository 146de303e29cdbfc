"""Scores from activations, weights and graphs: activation, wanda_sp, mlp_rank, gohsp."""

import numpy as np
import pytest
from pruning_cases import mlp

from mipnet import graph
from mipnet.errors import MaskError
from mipnet.network import Affine, Flatten, Network, ReLU
from mipnet.network.layers import Conv
from mipnet.pruning import prune, pruner
from mipnet.pruning.layout import activations, drawn, layout

#: Readers and activations of the reference values for scores of a down projection.
W = np.array([[1.0, -2.0, 0.5, 1.0], [0.0, 1.0, 2.0, -1.0]])
X = np.array([[1, 0, 2, 1], [3, 0.5, 2, 0], [1, 1.5, 2, 0.5], [3, 0, 2.2, 0.5]])
READ = Network.sequential([Affine(np.eye(4), np.zeros(4)), ReLU(), Affine(W, np.zeros(2))])
NET = mlp(4, 10, 7, 3)
DATA = np.random.default_rng(0).normal(size=(20, 4))
RNG = np.random.default_rng(0)


def scores(name, network=READ, data=X, **options):
    return pruner(name, **options).scores(network, data, np.random.default_rng(0))


def conv_net():
    rng = np.random.default_rng(1)
    return Network.sequential(
        [
            Conv(rng.normal(size=(4, 2, 3, 3)), rng.normal(size=4), padding=1),
            ReLU(),
            Conv(rng.normal(size=(6, 2, 1, 1)), rng.normal(size=6), groups=2),
            ReLU(),
            Flatten(),
            Affine(rng.normal(size=(3, 24)), rng.normal(size=3)),
        ],
        (2, 2, 2),
    )


def test_wanda_and_activation_reference_values():
    wanted = [1.11803399, 1.18585412, 2.56478557, 0.61237244]
    np.testing.assert_allclose(scores("wanda_sp")["affine0"], wanted, atol=5e-9)
    np.testing.assert_allclose(scores("activation")["affine0"], [2.0, 0.5, 2.05, 0.5])


def test_activation_measures():
    np.testing.assert_allclose(
        scores("activation", measure="rms")["affine0"], np.sqrt((X**2).mean(axis=0))
    )
    np.testing.assert_allclose(scores("activation", measure="std")["affine0"], X.std(axis=0))
    with pytest.raises(MaskError, match="'max'; there are mean, rms, std"):
        scores("activation", measure="max")


def test_wanda_may_score_each_layer_on_pruned_inputs():
    first, second = (
        prune(NET, "wanda_sp", 0.5, DATA, propagate=p).mask.layers for p in (False, True)
    )
    np.testing.assert_array_equal(first["affine0"].scores, second["affine0"].scores)
    assert not np.allclose(first["affine1"].scores, second["affine1"].scores)
    partial = prune(NET, "wanda_sp", 0.5, DATA, propagate=True).mask
    cut = NET.with_layers(
        {
            "affine1": Affine(
                NET.by_name["affine1"].layer.weight * partial.layers["affine0"].keep,
                NET.by_name["affine1"].layer.bias,
            )
        }
    )
    np.testing.assert_allclose(
        second["affine1"].scores, scores("wanda_sp", cut, DATA)["affine1"], rtol=1e-12
    )
    with pytest.raises(MaskError, match="scope='layer'"):
        prune(NET, "wanda_sp", 0.5, DATA, propagate=True, scope="global")


def test_mlp_rank_is_the_walk_along_the_network():
    trace = NET.trace(DATA)
    norms = [np.linalg.norm(np.maximum(trace[f"affine{k}"], 0.0), axis=0) for k in (0, 1)]
    weights = [NET.by_name[f"affine{k}"].layer.weight for k in (0, 1)]
    for options in ({}, {"gamma": 0.5, "theta": 0.1}, {"modified": True}):
        wanted = graph.mlp_rank(weights, norms, np.linalg.norm(DATA, axis=0), **options)
        found = scores("mlp_rank", NET, DATA, samples=None, **options)
        np.testing.assert_allclose(found["affine0"], wanted[0])
        np.testing.assert_allclose(found["affine1"], wanted[1])
    few = scores("mlp_rank", NET, DATA, samples=5)
    assert not np.allclose(few["affine0"], scores("mlp_rank", NET, DATA, samples=None)["affine0"])
    for wrong, match in (({"gamma": 2.0}, "'affine0': gamma"), ({"samples": 0}, "samples")):
        with pytest.raises(MaskError, match=match):
            scores("mlp_rank", NET, DATA, **wrong)


def test_convolutions_of_one_pixel_are_a_fully_connected_network():
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(5, 3)), rng.normal(size=(2, 5))
    flat = Network.sequential([Affine(first, np.ones(5)), ReLU(), Affine(second, np.ones(2))])
    image = Network.sequential(
        [Conv(first[:, :, None, None], np.ones(5)), ReLU(), Flatten(), Affine(second, np.ones(2))],
        (3, 1, 1),
    )
    data = rng.normal(size=(15, 3))
    for name in ("activation", "wanda_sp", "mlp_rank"):
        np.testing.assert_allclose(
            scores(name, image, data.reshape(15, 3, 1, 1))["conv0"],
            scores(name, flat, data)["affine0"],
        )


def test_the_layout_finds_elements_columns_and_what_falls_together():
    net = conv_net()
    found = layout(net)
    # Each group of the second convolution ties its two inputs and three outputs together.
    assert found.leader[:4].tolist() == [0, 0, 2, 2]
    assert set(found.columns) == {"affine0"}
    values = np.random.default_rng(0).normal(size=(7, 2, 2, 2))
    (table,) = activations(net, values).values()
    seen = np.maximum(net.trace(values)["conv1"], 0.0)
    assert np.square(table).sum() == pytest.approx(np.square(seen).sum())
    assert np.square(table[0]).sum() == pytest.approx(np.square(seen[:, :3]).sum())
    for name in ("activation", "wanda_sp", "mlp_rank", "gohsp"):
        labels = np.arange(7) % 3
        options = {"epochs": 2, "finetune_epochs": 1} if name == "gohsp" else {}
        result = prune(net, name, 0.5, values, labels, **options)
        assert result.network.shapes["conv0"] == (2, 2, 2)
        assert result.network.shapes["conv1"] == (3, 2, 2)


def test_calibration_inputs_are_drawn_without_repetition():
    some = drawn(DATA, np.random.default_rng(0), 5)
    rows = [int(np.flatnonzero((row == DATA).all(axis=1))[0]) for row in some]
    assert rows == sorted(set(rows))
    assert drawn(DATA, RNG, 100) is DATA
    with pytest.raises(MaskError, match="calibration inputs"):
        drawn(None, RNG)


class TestGohsp:
    @pytest.mark.parametrize("affinity", graph.AFFINITIES)
    def test_ranks_are_the_stationary_distribution(self, affinity):
        found = scores("gohsp", NET, DATA, affinity=affinity)["affine0"]
        values = np.maximum(NET.trace(DATA)["affine0"], 0.0).T
        wanted = {
            "cos": lambda: graph.cos(values),
            "cka": lambda: graph.cka(values),
            "js": lambda: graph.js(values),
            "asym": lambda: graph.asym(values),
            "flow": lambda: graph.flow(NET.by_name["affine1"].layer.weight),
        }[affinity]()
        pi = graph.stationary(graph.transition(wanted), damping=0.85)
        np.testing.assert_allclose(found, 10 * pi, rtol=1e-9)
        low = scores("gohsp", NET, DATA, affinity=affinity, keep_rank="low")["affine0"]
        np.testing.assert_allclose(low, -found)

    def test_samples_are_taken_for_the_ranking(self):
        few = scores("gohsp", NET, DATA, samples=4)["affine0"]
        assert not np.allclose(few, scores("gohsp", NET, DATA)["affine0"])

    def test_guides(self):
        pytest.importorskip("torch")
        labels = np.arange(20) % 3
        kept = {}
        for guide in ("soft", "hard", "none"):
            result = prune(NET, "gohsp", 0.5, DATA, labels, guide=guide, epochs=6)
            kept[guide] = result.mask.layers["affine0"].kept.tolist()
        ranks = scores("gohsp", NET, DATA)["affine0"]
        assert kept["hard"] == sorted(np.argsort(-ranks, kind="stable")[:5].tolist())
        assert kept["soft"] == kept["hard"]
        assert kept["none"] != kept["hard"]
        alone = prune(NET, "gohsp", 0.5, DATA, labels, epochs=0, finetune_epochs=0)
        assert alone.mask.layers["affine0"].kept.tolist() == kept["hard"]
        first = alone.mask.layers["affine0"].kept
        np.testing.assert_array_equal(
            alone.network.by_name["affine0"].layer.weight,
            NET.by_name["affine0"].layer.weight[first],
        )

    @pytest.mark.parametrize(
        ("wrong", "match"),
        [
            ({"affinity": "dot"}, "js, cos, cka, asym, flow"),
            ({"keep_rank": "middle"}, "high, low"),
            ({"guide": "firm"}, "soft, hard, none"),
            ({"rho": -1.0}, "rho >= 0"),
            ({"growth": 0.0}, "growth > 0"),
            ({"damping": 2.0}, "layer 'affine0': damping"),
            ({"affinity": "asym", "tau": 0.0}, "tau"),
        ],
    )
    def test_bad_options_are_refused(self, wrong, match):
        with pytest.raises(MaskError, match=match):
            prune(NET, "gohsp", 0.5, DATA, np.arange(20) % 3, **wrong)


class TestSparsity:
    """One step by hand on a network of two units."""

    @pytest.fixture
    def step(self):
        torch = pytest.importorskip("torch")
        from mipnet.pruning.methods.gohsp_training import Sparsity
        from mipnet.pruning.torch_layers import to_torch

        net = Network.sequential(
            [Affine([[3.0, 4.0], [1.0, 0.0]], [0.0, 2.0]), ReLU(), Affine([[12.0, 2.0]], [7.0])]
        )

        def make(guide, epochs=4):
            kept = {"affine0": np.array([1])}
            state = Sparsity(net, kept, guide, epochs=epochs, rho=0.5, growth=2.0)
            return state, to_torch(net, torch.float64)

        return make

    def test_penalty_starts_at_what_is_out_of_favour(self, step):
        state, parameters = step("soft")
        # Unit 0 is out of favour: its row (3, 4) and its column (12) are to go, the rest stays.
        assert float(state.penalty(parameters).detach()) == pytest.approx(0.25 * (9 + 16 + 144))

    def test_norms_decide_while_soft_weights_last(self, step):
        torch = pytest.importorskip("torch")
        state, parameters = step("soft")
        state.penalty(parameters)
        with torch.no_grad():
            state.step(0, parameters)
        np.testing.assert_allclose(state.norms, [13.0, 3.0])
        assert state.kept()["affine0"].tolist() == [0]
        np.testing.assert_allclose(state.soft, [0.75, 1.0])
        np.testing.assert_allclose(state.gates["relu0"].numpy(), [0.75, 1.0])
        assert state.rho == 1.0
        # Z has lost unit 1, and the dual holds what it lost.
        np.testing.assert_allclose(state.targets["affine0"][0].numpy(), [[3.0, 4.0], [0.0, 0.0]])
        np.testing.assert_allclose(state.duals["affine0"][1].numpy(), [0.0, 2.0])
        np.testing.assert_allclose(state.duals["affine1"][0].numpy(), [[0.0, 2.0]])
        # The gap W - Z + U is twice what unit 1 holds: 0.5 rho * 4 * (1 + 4 + 4).
        assert float(state.penalty(parameters).detach()) == pytest.approx(18.0)

    def test_hard_guidance_leaves_the_choice_to_the_ranking(self, step):
        torch = pytest.importorskip("torch")
        state, parameters = step("hard")
        np.testing.assert_allclose(state.gates["relu0"].numpy(), [0.0, 1.0])
        state.penalty(parameters)
        with torch.no_grad():
            for epoch in range(3):
                state.step(epoch, parameters)
        assert state.kept()["affine0"].tolist() == [1]
        np.testing.assert_allclose(state.scores()["affine0"][0], 0.0)

    def test_the_ranking_has_the_last_word(self, step):
        torch = pytest.importorskip("torch")
        state, parameters = step("soft", epochs=3)
        state.penalty(parameters)
        chosen = []
        with torch.no_grad():
            for epoch in range(3):
                state.step(epoch, parameters)
                chosen.append(state.kept()["affine0"].tolist())
        # 13 times 2/3 against 3, then 13 times 1/3 against twice 3, for the dual held unit 1.
        assert chosen == [[0], [1], [1]]
        np.testing.assert_allclose(state.soft, [0.0, 1.0])
