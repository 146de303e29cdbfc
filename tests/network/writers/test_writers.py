"""Networks written and read back: the same function in every format, torch and onnxruntime."""

from __future__ import annotations

import os

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mipnet.errors import MissingPackageError, QueryError, UnsupportedError
from mipnet.network import Affine, Flatten, Network, Node, ReLU
from mipnet.network.layers import GELU, LAYERS, Add, Conv, Sigmoid
from mipnet.network.onnx_double import DOMAIN
from mipnet.network.readers import load
from mipnet.network.writers import WRITERS, Writer, register_writer, save, to_onnx, to_torch
from mipnet.network.writers.onnx_draft import RULES as ONNX_RULES
from mipnet.network.writers.torch_layers import RULES as TORCH_RULES
from tests.network.layers.layer_cases import CASES
from tests.network.writers.random_nets import alone, mixed

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def runtime(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """Output of onnxruntime for a batch."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    # Its optimiser rounds scalar factors of double products to float32.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    raw = model.SerializeToString()
    session = onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"input": x})[0], dtype=float)


def close(found: np.ndarray, net: Network, x: np.ndarray, relative: float = 1e-9) -> None:
    """Equal up to rounding, measured by the largest number on the way."""
    expected = net(x)
    assert found.size == expected.size
    size = max(float(np.abs(v).max()) for v in net.trace(x).values())
    error = np.abs(found.reshape(expected.shape) - expected).max()
    assert error <= relative * (1.0 + size)


def everywhere(net: Network, folder) -> None:
    x = np.random.default_rng(0).normal(size=(3, net.n_inputs)) * 2.0
    for ending in ("npz", "safetensors"):
        again = load(save(net, folder / f"net.{ending}"))
        assert again.fingerprint == net.fingerprint
        assert again.dtype == net.dtype
        assert (again.input_bounds is None) == (net.input_bounds is None)
    again = load(save(net, folder / "net.onnx"))
    close(again(x), net, x, 1e-12)
    close(runtime(onnx.load(folder / "net.onnx"), x), net, x)
    if net.input_bounds is not None:
        np.testing.assert_array_equal(again.input_bounds, net.input_bounds)
    single = to_onnx(net, dtype="float32")
    close(runtime(single, x.astype(np.float32)), net, x, 1e-4)
    close(load(single)(x), net, x, 1e-5)
    module = to_torch(net)
    with torch.no_grad():
        close(module(torch.from_numpy(x)).numpy(), net, x)
    close(load(module, input_shape=net.input_shape)(x), net, x)


@pytest.mark.parametrize("kind", sorted(CASES))
def test_every_layer(kind, tmp_path):
    for seed in range(3):
        layer, shapes = CASES[kind](np.random.default_rng(seed))
        everywhere(alone(layer, shapes), tmp_path)


@settings(deadline=None, max_examples=25)
@given(
    kinds=st.lists(st.sampled_from(sorted(CASES)), min_size=2, max_size=8),
    seed=st.integers(0, 2**32 - 1),
)
def test_random_networks(tmp_path_factory, kinds, seed):
    everywhere(mixed(kinds, seed), tmp_path_factory.mktemp("nets"))


def test_every_layer_has_rules():
    builtin = {kind for kind, cls in LAYERS.items() if cls.__module__.startswith("mipnet.")}
    assert set(ONNX_RULES) == set(TORCH_RULES) == builtin


@pytest.mark.parametrize(
    "kind", sorted(set(CASES) - {"Flatten", "Identity", "Reshape", "Transpose"})
)
def test_layers_keep_their_kind_in_onnx(kind):
    layer, shapes = CASES[kind](np.random.default_rng(5))
    net = alone(layer, shapes)
    again = load(to_onnx(net))
    same = {n.name: n.layer.kind for n in again.nodes}
    if kind == "Concat" and len(shapes) == 1:
        return
    assert kind in same.values()


def test_functions_are_only_trusted_when_they_are_those_of_the_layer():
    conv = Conv(np.arange(8.0).reshape(2, 1, 2, 2), np.ones(2), padding=1)
    net = Network.sequential([conv, ReLU()], (1, 3, 3))
    model = to_onnx(net)
    assert [n.domain for n in model.graph.node] == [DOMAIN, ""]
    x = np.random.default_rng(1).normal(size=(2, 1, 3, 3))
    assert [n.layer.kind for n in load(model).nodes] == ["Conv", "ReLU"]
    # Another body under the same claim: the body counts.
    for node in model.functions[0].node:
        if node.op_type == "Add":
            node.op_type = "Sub"
    again = load(model)
    np.testing.assert_allclose(again(x).ravel(), runtime(model, x).ravel(), rtol=1e-12, atol=1e-12)
    assert not np.allclose(again(x).ravel(), net(x).ravel())
    model.functions[0].doc_string = "nothing"
    assert load(model).n_outputs == net.n_outputs


def test_runtimes_take_any_batch():
    net = mixed(["Conv", "GELU", "MaxPool", "Softmax", "AvgPool"], 3)
    for batch in (1, 4):
        x = np.random.default_rng(batch).normal(size=(batch, 5))
        close(runtime(to_onnx(net), x), net, x)
        onnx.checker.check_model(to_onnx(net))


def test_precision_is_that_of_the_network_where_nothing_is_lost(tmp_path):
    exact = Network.sequential([Affine([[0.5]], [0.25])], dtype="float32")
    rounded = Network.sequential([Affine([[0.1]], [0.25])], dtype="float32")
    kinds = [m.graph.input[0].type.tensor_type.elem_type for m in map(to_onnx, (exact, rounded))]
    assert kinds == [onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE]
    assert load(to_onnx(rounded)).nodes[0].layer.weight == [[0.1]]
    assert load(to_onnx(exact)).dtype == "float32"
    assert next(to_torch(exact).parameters()).dtype == torch.float32
    with pytest.raises(QueryError, match="dtype must be"):
        to_onnx(exact, dtype="float16")
    with pytest.raises(QueryError, match=r"'affine0'.*beyond float32"):
        to_onnx(Network.sequential([Affine([[1e300]], [0.0])]), dtype="float32")


def test_names_and_nested_modules():
    nodes = (
        Node("block.fc", Affine(np.eye(2), np.ones(2)), ("input",)),
        Node("block", ReLU(), ("block.fc",)),
        Node("forward", Sigmoid(), ("block",)),
        Node("a/b c", Add(), ("block", "forward")),
    )
    net = Network(nodes, (2,))
    module = to_torch(net)
    assert "block.fc.weight" in module.state_dict()
    x = np.random.default_rng(2).normal(size=(3, 2))
    close(module(torch.from_numpy(x)).detach().numpy(), net, x)
    assert [n.name for n in load(to_onnx(net)).nodes] == [n.name for n in net.nodes]
    assert not module.training


def test_the_module_can_be_trained_and_read():
    net = Network.sequential([Affine(np.eye(2), np.zeros(2)), ReLU(), Affine([[1.0, 1.0]], [0.0])])
    state = torch.random.get_rng_state()
    module = to_torch(net)
    assert torch.equal(state, torch.random.get_rng_state())
    module.train()
    loss = module(torch.ones(1, 2, dtype=torch.float64)).sum()
    loss.backward()
    torch.optim.SGD(module.parameters(), 0.5).step()
    again = load(module)
    assert again.fingerprint != net.fingerprint
    assert net([1.0, 1.0]) == 2.0


def test_a_file_is_replaced_as_a_whole(tmp_path, monkeypatch):
    net = Network.sequential([Affine([[1.0]], [0.0])])
    path = save(net, tmp_path / "net.safetensors")
    before = path.read_bytes()

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        save(Network.sequential([Affine([[2.0]], [0.0])]), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_refusals(tmp_path):
    net = Network.sequential([Affine([[1.0]], [0.0])])
    with pytest.raises(QueryError, match=r"no writer.*\.onnx"):
        save(net, tmp_path / "net.pt")
    with pytest.raises(QueryError, match="does not take these options"):
        save(net, tmp_path / "net.onnx", opset=3)
    assert save(net, tmp_path / "net.model", writer="onnx").exists()
    with pytest.raises(TypeError, match="suffixes"):
        register_writer("broken")(type("Broken", (Writer,), {"content": lambda *_: b""}))
    assert "broken" not in WRITERS

    class Strange(Sigmoid):
        kind = "Strange"

    odd = Network((Node("odd", Strange(), ("input",)),), (2,))
    for write in (to_onnx, to_torch):
        with pytest.raises(UnsupportedError, match=r"'odd' \(Strange\)"):
            write(odd)


def test_torch_and_onnx_are_optional(monkeypatch):
    net = Network.sequential([Affine([[1.0]], [0.0])])
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    for write, package in ((to_onnx, "onnx"), (to_torch, "torch")):
        with pytest.raises(MissingPackageError, match=package):
            write(net)


def test_images_keep_their_shape(tmp_path):
    layers = [
        Conv(np.ones((2, 1, 2, 2)), np.zeros(2)),
        GELU(),
        Flatten(),
        Affine(np.ones((1, 8)), [0]),
    ]
    net = Network.sequential(layers, (1, 3, 3))
    for ending in ("onnx", "npz", "safetensors"):
        again = load(save(net, tmp_path / f"net.{ending}"))
        assert again.input_shape == (1, 3, 3)
        assert [n.layer.kind for n in again.nodes] == ["Conv", "GELU", "Flatten", "Affine"]


def test_exact_gelu_is_double_in_a_default_session():
    net = alone(GELU(), [(6,)])
    x = np.random.default_rng(2).normal(size=(4, net.n_inputs)) * 3.0
    model = to_onnx(net).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    found = np.asarray(session.run(None, {"input": x})[0])
    np.testing.assert_allclose(found.reshape(net(x).shape), net(x), rtol=0.0, atol=1e-9)
