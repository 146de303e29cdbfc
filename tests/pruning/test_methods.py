"""Every registered method runs through these tests; a new one is added by its file alone."""

import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from pruning_cases import mlp
from sklearn.base import clone

from mipnet.errors import MaskError
from mipnet.network import Affine, Network, ReLU
from mipnet.pruning import (
    Choice,
    Pruner,
    apply,
    prunable_layers,
    prune,
    pruner,
    pruners,
    register_pruner,
)
from mipnet.pruning.apply import check_masked
from mipnet.pruning.base import NEEDS
from mipnet.pruning.budget import count

NET = mlp(4, 10, 7, 3)
DATA = np.random.default_rng(0).normal(size=(20, 4))
LABELS = np.arange(20) % 3


@pytest.fixture
def scratch(monkeypatch):
    """Let tests register methods without leaving a trace."""
    module = sys.modules["mipnet.pruning.registry"]
    monkeypatch.setattr(module, "PRUNERS", dict(module.PRUNERS))


def test_the_two_controls_are_registered():
    assert {"magnitude", "random"} <= set(pruners())


@pytest.mark.parametrize("name", pruners())
class TestEveryMethod:
    def test_declares_its_parts(self, name):
        method = pruner(name)
        assert method.name == name
        assert method.source
        assert method.needs <= NEEDS

    @pytest.mark.parametrize("scope", ["layer", "global"])
    @pytest.mark.parametrize("keep", [0.0, 0.3, 0.5, 1.0])
    def test_compacted_equals_masked_and_reaches_its_budget(self, name, keep, scope):
        result = prune(NET, name, keep, DATA, LABELS, scope=scope)
        np.testing.assert_allclose(
            result.network(DATA), result.masked(DATA), rtol=1e-10, atol=1e-12
        )
        check_masked(result.masked, result.mask)
        if "training" not in pruner(name).needs:
            assert apply(NET, result.mask).fingerprint == result.masked.fingerprint
        widths = [layer.width for layer in result.mask.layers.values()]
        layers = sum(count(keep, width) for width in widths)
        wanted = (
            layers if scope == "layer" else max(count(keep, sum(widths)), (keep > 0) * len(widths))
        )
        assert result.report.keep_reached == pytest.approx(wanted / sum(widths))
        assert set(result.mask.layers) == set(prunable_layers(NET))

    def test_keeping_everything_changes_nothing_but_by_training(self, name):
        result = prune(NET, name, 1.0, DATA, LABELS)
        if "training" in pruner(name).needs:
            assert result.network.shapes == NET.shapes
        else:
            assert result.network.fingerprint == NET.fingerprint

    def test_same_seed_same_mask(self, name):
        first, second = (prune(NET, name, data=DATA, y=LABELS, random_state=3) for _ in range(2))
        assert first.network.fingerprint == second.network.fingerprint

    def test_says_what_is_missing(self, name):
        method = pruner(name)
        if method.needs:
            with pytest.raises(MaskError, match=r"needs calibration inputs|pass labels"):
                prune(NET, name, y=LABELS)
        if "training" in method.needs:
            with pytest.raises(MaskError, match="pass labels or targets as y="):
                prune(NET, name, data=DATA)
        if not method.decides:
            with pytest.raises(MaskError, match="no rule of its own"):
                prune(NET, name, None, DATA, LABELS)

    def test_behaves_like_an_estimator(self, name):
        method = pruner(name, scope="global", random_state=5)
        assert clone(method).get_params() == method.get_params()
        assert method.set_params(random_state=6) is method
        assert method.get_params()["random_state"] == 6
        with pytest.raises(MaskError, match=r"no options \['colour'\]; it has scope"):
            method.set_params(colour=1)


def test_magnitude_is_the_norm_of_the_incoming_row():
    net = Network.sequential(
        [Affine([[3, -4], [5, 0], [0, 0]], [1, 2, 9]), Affine(np.eye(3), [0] * 3)]
    )
    wanted = {
        ("l1", False): [7, 5, 0],
        ("l2", False): [5, 5, 0],
        ("l1", True): [8, 7, 9],
        ("l2", True): np.sqrt([26, 29, 81]),
    }
    for (norm, bias), scores in wanted.items():
        mask = prune(net, "magnitude", norm=norm, bias=bias).mask
        np.testing.assert_allclose(mask.layers["affine0"].scores, scores)
    with pytest.raises(MaskError, match="'linf'; there are l1, l2"):
        prune(net, "magnitude", norm="linf")


def test_random_depends_on_the_seed_alone():
    masks = [prune(NET, "random", random_state=s).mask for s in (0, 1, None, None)]
    kept = [m.layers["affine0"].scores.tolist() for m in masks]
    assert len({tuple(k) for k in kept}) == 4
    drawn = masks[2]
    again = prune(NET, "random", random_state=drawn.provenance.seed).mask
    assert again.layers["affine0"].scores.tolist() == kept[2]


def test_report_counts_units_and_parameters():
    # Unit 2 survives the mask but is constant: it is folded, and the report says so.
    net = Network.sequential(
        [
            Affine([[3.0, 0.0], [1.0, 0.0], [0.0, 0.0], [2.0, 2.0]], [0.0, 0.0, 5.0, 0.0]),
            ReLU(),
            Affine(np.ones((1, 4)), [0.0]),
        ]
    )
    report = prune(net, "magnitude", 0.75, bias=True).report
    (row,) = report.layers
    assert (row.units_before, row.units_kept, row.units_after) == (4, 3, 2)
    assert (row.parameters_before, row.parameters_after) == (12, 6)
    assert (report.parameters_before, report.parameters_after) == (17, 9)
    assert (report.units_before, report.units_after) == (4, 2)
    assert (report.keep_requested, report.keep_reached) == (0.75, 0.75)
    assert report.prune_seconds >= 0.0
    assert report.compact_seconds > 0.0
    assert "units 4 -> 2 (1 constant or dead)" in str(report)


def test_anything_the_readers_take_can_be_pruned():
    weights = [np.diag([3.0, 1.0, 2.0]), np.ones((1, 3))]
    result = prune((weights, [np.zeros(3), np.zeros(1)]), "magnitude", 0.67)
    assert result.network([1.0, 1.0, 1.0]).tolist() == [5.0]


def test_unknown_names_list_what_exists():
    with pytest.raises(MaskError, match=r"'magnitud'; registered: .*magnitude.*random"):
        prune(NET, "magnitud")
    with pytest.raises(MaskError, match=r"\['ord'\]; it has scope, random_state, compensate, norm"):
        prune(NET, "magnitude", ord=1)


def test_bad_requests_are_refused():
    with pytest.raises(MaskError, match="no layer with removable units"):
        prune(mlp(3, 2), "random")
    with pytest.raises(MaskError, match="NaN"):
        prune(NET, "random", data=[[np.nan] * 4])
    for seed in (-1, 0.5, True):
        with pytest.raises(MaskError, match="random_state"):
            prune(NET, "random", random_state=seed)


def test_a_third_party_method_is_one_class(scratch):
    @register_pruner("spread")
    @dataclass(kw_only=True)
    class Spread(Pruner):
        """Spread of the activations over the data, scaled."""

        source = "test"
        needs = frozenset({"data"})
        power: float = 1.0

        def scores(self, network, data, rng):
            trace = network.trace(data)
            return {n: trace[n].std(axis=0) ** self.power for n in prunable_layers(network)}

    assert "spread" in pruners()
    with pytest.raises(MaskError, match="needs calibration inputs"):
        prune(NET, "spread")
    result = prune(NET, "spread", 0.4, data=DATA, power=2.0)
    assert result.network.shapes["affine0"] == (4,)
    assert result.mask.provenance.options["power"] == 2.0
    other = prune(NET, "spread", 0.4, data=DATA[:10])
    hashes = {r.mask.provenance.data_hash for r in (result, other)}
    assert len(hashes) == 2
    assert None not in hashes
    with pytest.raises(MaskError, match=r"\['gain'\]"):
        prune(NET, "spread", data=DATA, gain=1)


def test_a_method_may_train_before_and_under_its_mask(scratch):
    @register_pruner("trained")
    @dataclass(kw_only=True)
    class Trained(Pruner):
        """Negates every weight, keeps unit 0 by itself, halves what is left."""

        source = "test"
        needs = frozenset({"data", "training"})
        decides = True
        leaky: bool = False

        def scores(self, network, data, rng):
            return {n: np.arange(g.width, 0.0, -1.0) for n, g in prunable_layers(network).items()}

        def choose(self, job):
            scores = self.scores(job.network, job.inputs, job.rng)
            kept = {name: [0] for name in scores} if job.keep is None else job.select(scores)
            return Choice(kept, scores, scaled(job.network, -1.0))

        def finish(self, job, masked, mask):
            assert job.targets is not None
            return job.network if self.leaky else scaled(masked, 0.5)

    result = prune(NET, "trained", None, DATA, LABELS)
    assert result.network.shapes["affine0"] == result.network.shapes["affine1"] == (1,)
    assert result.report.keep_requested is None
    assert "by its own rule" in str(result.report)
    assert result.mask.provenance.fingerprint == NET.fingerprint
    assert result.mask.provenance.options["keep"] is None
    first = NET.by_name["affine0"].layer.weight[0]
    np.testing.assert_array_equal(result.masked.by_name["affine0"].layer.weight[0], -0.5 * first)
    half = prune(NET, "trained", 0.5, DATA, LABELS)
    assert half.network.shapes["affine0"] == (5,)
    other = prune(NET, "trained", 0.5, DATA, 1 - LABELS)
    assert other.mask.provenance.data_hash != half.mask.provenance.data_hash
    with pytest.raises(MaskError, match="'affine0': removed units still have weights"):
        prune(NET, "trained", 0.5, DATA, LABELS, leaky=True)


def test_without_a_word_half_stays_or_what_the_rule_says(scratch):
    @register_pruner("ruled")
    @dataclass(kw_only=True)
    class Ruled(Pruner):
        source = "test"
        needs = frozenset()
        decides = True

        def scores(self, network, data, rng):
            return {n: np.arange(g.width, 0.0, -1.0) for n, g in prunable_layers(network).items()}

        def choose(self, job):
            if job.asked is not None:
                return super().choose(job)
            return Choice({"affine0": [0, 1], "affine1": [3]}, self.scores(job.network, None, None))

    own = prune(NET, "ruled")
    assert [len(m.kept) for m in own.mask.layers.values()] == [2, 1]
    assert own.mask.provenance.options["keep"] is None
    assert Ruled().fit(NET).network.fingerprint == own.network.fingerprint
    assert prune(NET, "ruled", None).network.fingerprint == own.network.fingerprint
    assert [len(m.kept) for m in prune(NET, "ruled", 0.5).mask.layers.values()] == [5, 4]
    half = prune(NET, "magnitude")
    assert half.report.keep_requested == 0.5
    assert half.network.fingerprint == prune(NET, "magnitude", 0.5).network.fingerprint
    with pytest.raises(MaskError, match="fraction of units"):
        prune(NET, "magnitude", "half")


def scaled(network, factor):
    layers = {n.name: n.layer for n in network.nodes if isinstance(n.layer, Affine)}
    return network.with_layers(
        {name: Affine(factor * layer.weight, factor * layer.bias) for name, layer in layers.items()}
    )


@pytest.mark.parametrize(
    ("scores", "match"),
    [
        ({"affine0": np.ones(10)}, r"\['affine0'\]; the network's are \['affine0', 'affine1'\]"),
        ({"affine0": np.ones(9), "affine1": np.ones(7)}, r"'affine0': scores have shape \(9,\)"),
        ({"affine0": np.ones(10), "affine1": [1, 1, np.nan, 1, 1, np.nan, 1]},
         "'affine1': 2 scores are NaN, first at neuron 2"),
    ],
)  # fmt: skip
def test_scores_that_do_not_fit_are_refused(scratch, scores, match):
    @register_pruner("broken")
    @dataclass(kw_only=True)
    class Broken(Pruner):
        source = "test"
        needs = frozenset()

        def scores(self, network, data, rng):
            return scores

    with pytest.raises(MaskError, match=match):
        prune(NET, "broken")


def rate(self, network, data, rng):
    return {}


PARTS = {"source": "test", "needs": frozenset(), "scores": rate, "__annotations__": {}}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"scores": None}, "does not define scores"),
        ({"source": None}, "does not define source"),
        ({"needs": None}, "does not define needs"),
        ({"needs": frozenset({"luck"})}, r"unknown needs \['luck'\]"),
        ({"__annotations__": {"power": float}, "power": 1.0}, r"\['power'\].*add @dataclass"),
    ],
)
def test_incomplete_methods_fail_at_import(scratch, change, match):
    parts = {k: v for k, v in (PARTS | change).items() if v is not None}
    with pytest.raises(TypeError, match=match):
        register_pruner("half")(type("Half", (Pruner,), parts))
    assert "half" not in pruners()


def test_options_need_defaults_and_names_are_unique(scratch):
    @dataclass(kw_only=True)
    class Loose(Pruner):
        source: ClassVar[str] = "test"
        needs: ClassVar[frozenset[str]] = frozenset()
        power: float
        scores = rate

    with pytest.raises(TypeError, match=r"without a default: \['power'\]"):
        register_pruner("loose")(Loose)
    with pytest.raises(TypeError, match="uses a taken name"):
        register_pruner("random")(type("Again", (Pruner,), dict(PARTS)))


def test_importing_and_pruning_needs_no_torch():
    code = (
        "import sys, numpy as np\n"
        "sys.modules['torch'] = None\n"
        "from mipnet.pruning import prune\n"
        "from mipnet.network import Affine, Network\n"
        "n = Network.sequential([Affine(np.eye(2), [0, 0]), Affine(np.eye(2), [0, 0])])\n"
        "prune(n, 'random')\n"
        "heavy = {'sklearn', 'pandas', 'pyomo', 'onnx', 'highspy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
