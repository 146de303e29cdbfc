import json

import numpy as np
import pytest
from click.testing import CliRunner

from mipnet.cli import main
from mipnet.network.readers import load
from mipnet.network.writers import save_npz
from mipnet.pruning import Mask, compact, prune, pruners, save_result, train_mlp

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 4)), np.arange(60) % 3


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("prune")
    save_npz(train_mlp(X, Y, (8, 6), epochs=2), folder / "net.npz")
    np.savez(folder / "data.npz", X=X, y=Y)
    return folder


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_methods_are_listed_with_needs_cost_and_source():
    shown = run("methods")
    assert shown.exit_code == 0
    for name in pruners():
        assert name in shown.output
    found = json.loads(run("methods", "--json").output)["methods"]
    assert [m["name"] for m in found] == list(pruners())
    costs = {m["name"]: m["cost"] for m in found}
    assert costs["magnitude"] == "reads weights"
    assert costs["scratch"] == "training"
    assert all(m["source"] for m in found)


@pytest.mark.parametrize(("method", "own"), [("sasp", "global"), ("magnitude", "layer")])
def test_the_scope_is_that_of_the_method_unless_given(files, tmp_path, method, own):
    choices = ("--scope", "layer"), ("--scope", "global")
    for given, wanted in (((), own), (choices[0], "layer"), (choices[1], "global")):
        done = run(
            "prune", files / "net.npz", "--method", method, "--keep", 0.5, *given,
            "-o", tmp_path / "mask.safetensors", "--json",
            *(("--option", "tile=1") if method == "sasp" else ()),
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        assert json.loads(done.output)["scope"] == wanted


@pytest.mark.parametrize("method", pruners())
def test_one_call_works_for_every_method(files, tmp_path, method):
    mask, small = tmp_path / "mask.safetensors", tmp_path / "small.npz"
    done = run(
        "prune", files / "net.npz", "--method", method, "--keep", 0.5,
        "--data", files / "data.npz", "-o", mask, "--network", small, "--json",
        *(("--option", "tile=1") if method == "sasp" else ()),
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    report = json.loads(done.output)
    assert report["method"] == method
    assert report["keep_reached"] == 0.5
    found = Mask.load(mask)
    assert found.provenance.method == method
    net = load(files / "net.npz")
    found.check(net)
    left = load(small)
    assert left.n_parameters == report["parameters_after"] <= net.n_parameters
    assert report["parameters_after"] < net.n_parameters or method == "sasp"
    if report["method"] in ("magnitude", "random"):
        np.testing.assert_allclose(left(X), compact(net, found)(X), rtol=1e-12, atol=1e-12)


def test_budgets_and_options_reach_the_method(files, tmp_path):
    mask = tmp_path / "m"
    done = run("prune", files / "net.npz", "--method", "magnitude", "--budget", "parameters=60",
               "--option", "norm=l2", "--option", "bias=true", "-o", mask)  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "asked for 60 parameters, reached" in done.output
    options = Mask.load(mask).provenance.options
    assert (options["norm"], options["bias"]) == ("l2", True)
    assert options["budget"] == {"currency": "parameters", "amount": 60}


@pytest.mark.parametrize(
    ("budget", "options"),
    [
        ("macs=40", ()),
        ("tiles=5", ("--array", "4x4")),
        ("cycles=60", ("--array", "4x4")),
        ("unstable=6", ("--lower", -1, "--upper", 1)),
        ("binaries=6", ("--lower", -1, "--upper", 1)),
        ("nonzeros=60", ("--lower", "-1,-1,-1,0", "--upper", 1)),
    ],
)
def test_budgets_of_every_currency(files, tmp_path, budget, options):
    done = run("prune", files / "net.npz", "--method", "magnitude", "--budget", budget, *options,
               "-o", tmp_path / "m", "--json")  # fmt: skip
    assert done.exit_code == 0, done.output
    report = json.loads(done.output)
    assert report["reached"] <= report["requested"] == float(budget.partition("=")[2])
    assert report["reached"] < report["before"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--method", "magic"), "unknown pruning method 'magic'"),
        (("--method", "random", "--keep", 0.5, "--budget", "macs=3"), "not both"),
        (("--method", "random", "--budget", "watts=3"), "unknown budget 'watts'"),
        (("--method", "random", "--budget", "macs=1"), "cannot be reached"),
        (("--method", "random", "--budget", "binaries=1"), "no input bounds"),
        (("--method", "random", "--budget", "macs"), "name=value"),
        (("--method", "random", "--keep", 2), "fraction of units"),
        (("--method", "scratch"), "pass data="),
        (("--method", "random", "--network", "net.xyz"), "net.xyz: no writer"),
        (("--method", "random", "--option", "colour=1"), r"no options ['colour']"),
    ],
)
def test_bad_requests_write_nothing(files, tmp_path, arguments, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("prune", files / "net.npz", *arguments, "-o", "mask")
    assert done.exit_code == 2
    assert message in done.output
    assert list(tmp_path.iterdir()) == []


def test_without_keep_the_command_does_as_the_function(files, tmp_path):
    net = load(files / "net.npz")
    for method, options in (("magnitude", {}), ("sasp", {"tile": 2}), ("spr", {"epochs": 1})):
        given = [("--option", f"{name}={value}") for name, value in options.items()]
        done = run("prune", files / "net.npz", "--method", method, "--data", files / "data.npz",
                   *(part for pair in given for part in pair), "-o", tmp_path / "m")  # fmt: skip
        assert done.exit_code == 0, done.output
        wanted = prune(net, method, data=X, y=Y, **options).mask
        for name, layer in Mask.load(tmp_path / "m").layers.items():
            assert layer.kept.tolist() == wanted.layers[name].kept.tolist()


def test_folders_that_are_not_there_are_named_before_any_training(files, tmp_path):
    gone = tmp_path / "gone" / "z2"
    slow = ("--method", "scratch", "--option", "epochs=1000000000", "--data", files / "data.npz")
    for out in (("-o", gone), ("-o", tmp_path / "m", "--network", f"{gone}.onnx")):
        done = run("prune", files / "net.npz", *slow, *out)
        assert done.exit_code == 2
        name = gone if out[1] == gone else f"{gone}.onnx"
        assert f"cannot write {name}: there is no folder {gone.parent}" in done.output
    assert list(tmp_path.iterdir()) == []
    result = prune(load(files / "net.npz"), "random", 0.5)
    with pytest.raises(FileNotFoundError, match="no folder"):
        save_result(result, gone, tmp_path / "small.npz")
    with pytest.raises(NotADirectoryError, match="is no folder"):
        result.mask.save(files / "net.npz" / "m")
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        result.mask.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_data_of_the_wrong_width_are_refused(files, tmp_path):
    np.savez(tmp_path / "d.npz", X=X[:, :3])
    np.savez(tmp_path / "e.npz", inputs=X)
    (tmp_path / "f.npz").write_bytes(b"nothing")
    for name, message in (("d", "(60, 3)"), ("e", "entry X"), ("f", "must be an .npz file")):
        done = run("prune", files / "net.npz", "--method", "random", "--data",
                   tmp_path / f"{name}.npz", "-o", tmp_path / "mask")  # fmt: skip
        assert done.exit_code == 2
        assert message in done.output
        assert not (tmp_path / "mask").exists()


def test_a_convolutional_network_comes_and_goes_as_onnx(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from mipnet.network import Affine, Flatten, Network, ReLU
    from mipnet.network.layers import Conv, MaxPool
    from mipnet.network.writers import save

    layers = [
        Conv(RNG.normal(size=(6, 1, 3, 3)), RNG.normal(size=6), padding=1), ReLU(),
        MaxPool((2, 2)), Conv(RNG.normal(size=(4, 6, 3, 3)), RNG.normal(size=4)), ReLU(),
        Flatten(), Affine(RNG.normal(size=(3, 16)), RNG.normal(size=3)),
    ]  # fmt: skip
    save(Network.sequential(layers, (1, 8, 8)), tmp_path / "net.onnx")
    done = run("prune", tmp_path / "net.onnx", "--method", "magnitude", "-o", tmp_path / "mask",
               "--network", tmp_path / "small.onnx", "--budget", "macs=1500")  # fmt: skip
    assert done.exit_code == 0, done.output
    net, mask = load(tmp_path / "net.onnx"), Mask.load(tmp_path / "mask")
    x = RNG.normal(size=(5, 1, 8, 8))
    session = onnxruntime.InferenceSession(tmp_path / "small.onnx")
    (name,) = (i.name for i in session.get_inputs())
    kind = np.float64 if session.get_inputs()[0].type == "tensor(double)" else np.float32
    out = np.concatenate([session.run(None, {name: row[None].astype(kind)})[0] for row in x])
    wanted = compact(net, mask)(x)
    np.testing.assert_allclose(out, wanted, rtol=1e-9 if kind is np.float64 else 1e-4)
    assert out.shape == (5, 3)


@pytest.mark.parametrize("clash", ["mask over net", "network over net", "one for both", "data"])
def test_files_are_not_written_over(files, tmp_path, clash):
    net, data = tmp_path / "net.npz", tmp_path / "data.npz"
    for file in (net, data):
        file.write_bytes((files / file.name).read_bytes())
    mask, small = tmp_path / "mask.safetensors", tmp_path / "small.npz"
    link = tmp_path / "link.npz"
    link.symlink_to(net)
    mask, small = {
        "mask over net": (link, small),
        "network over net": (mask, net),
        "one for both": (small, small),
        "data": (mask, tmp_path / "." / "data.npz"),
    }[clash]
    kept = net.read_bytes(), data.read_bytes()
    done = run(
        "prune", net, "--method", "activation", "--data", data, "-o", mask, "--network", small
    )
    assert done.exit_code == 2
    assert "same file" in done.output
    assert (net.read_bytes(), data.read_bytes()) == kept
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data.npz", "link.npz", "net.npz"]
