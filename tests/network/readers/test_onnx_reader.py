"""ONNX chains: the same function as onnxruntime, whatever the graph is made of."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_cases import Builder, TensorProto, grow, helper, numpy_helper, onnx, run

from mipnet.errors import MissingPackageError, ReadError, UnsupportedError
from mipnet.network import Affine
from mipnet.network.readers import load

SHARED = Path(__file__).parents[4] / "shared" / "vnn"
KINDS = (
    *("Add", "Sub", "Mul", "Div", "Gemm", "Gemm", "MatMul", "Relu", "Relu"),
    *("Identity", "Neg", "Cast", "Flatten", "Transpose", "Reshape", "Unsqueeze", "Squeeze"),
)
SHAPES = [(1, 4), (4,), (3, 1), (1, 2, 3), (1, 2, 2, 2), (1, 6, 1), (2, 3), (1, 1, 1, 5)]


def agree(model, shape, dtype=np.float64, points=3, **options):
    net = load(model, **options)
    tolerance = 1e-9 if dtype == np.float64 else 2e-4
    for seed in range(points):
        x = np.random.default_rng(seed).normal(size=shape).astype(dtype)
        expected = run(model, x)
        result = net(x.ravel()).ravel()
        assert result.shape == expected.shape
        scale = 1.0 + np.abs(expected).max(initial=0.0)
        np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance * scale)
    return net


@settings(deadline=None, max_examples=250)
@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=9),
    shape=st.sampled_from(SHAPES),
    single=st.booleans(),
    symbolic=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_random_chains_round_trip(kinds, shape, single, symbolic, seed):
    dtype = np.float32 if single else np.float64
    declared = ["batch", *shape[1:]] if symbolic and len(shape) > 1 and shape[0] == 1 else shape
    builder = Builder(shape, dtype=dtype, declared=declared, seed=seed)
    for kind in kinds:
        if np.prod(builder.shape, dtype=int) <= 40:
            grow(builder, kind)
    if not builder.nodes:
        builder.add("Identity", None)
    net = agree(builder.model(), shape, dtype)
    assert net.dtype == ("float32" if single else "float64")
    assert net.input_shape == (shape[1:] if len(shape) > 1 and shape[0] == 1 else shape)


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("extra", [None, (), (1,), (5,), (1, 5)])
@pytest.mark.parametrize("flips", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_every_gemm(left, extra, flips):
    for alpha, beta in ((1.0, 1.0), (0.5, -2.0), (0.0, 1.0), (1.0, 0.0)):
        width = 1 if left else 5
        start = [(1, 4), (4, 1)]
        builder = Builder(start[flips[0]] if not left else start[1 - flips[1]], seed=1)
        shape = builder.shape
        constant = builder.normal(5, 4) if left else builder.normal(4, width)
        if flips[not left]:
            constant = constant.T.copy()
        inputs = [constant, None] if left else [None, constant]
        if extra is not None:
            inputs.append(builder.normal(*(extra if not left else extra[::-1])))
        if left and extra == (5,):
            inputs[2] = inputs[2].reshape(5, 1)
        builder.add("Gemm", *inputs, transA=flips[0], transB=flips[1], alpha=alpha, beta=beta)
        net = agree(builder.model(), shape)
        assert len(net.nodes) == (1 if len(net.input_shape) == 1 else 2)


def test_gemm_of_constants_with_the_chain_as_summand():
    builder = Builder((1, 3), seed=2)
    inputs = [builder.normal(2, 4), builder.normal(4, 3), None]
    agree(builder.add("Gemm", *inputs, beta=3.0, alpha=0.5).model(), (1, 3))


def test_constants_of_images_commute_with_flattening():
    for shape in ((1, 1, 1, 1), (1, 3, 1, 1), (3, 1, 1), (1, 3, 4, 4), (), (4,)):
        builder = Builder((1, 3, 4, 4), dtype=np.float32, seed=3)
        builder.add("Sub", None, builder.normal(*shape))
        builder.add("Div", None, np.abs(builder.normal(*shape)) + np.float32(1))
        builder.add("Flatten", None).add("Gemm", None, builder.normal(48, 5)).add("Relu", None)
        builder.add("Mul", None, builder.normal(5)).add("MatMul", None, builder.normal(5, 2))
        net = agree(builder.model(), (1, 3, 4, 4), np.float32)
        assert [node.layer.kind for node in net.nodes] == ["Flatten", "Affine", "ReLU", "Affine"]
        assert net.input_shape == (3, 4, 4)


def test_transposed_inputs_become_a_permutation_of_the_weights():
    builder = Builder((1, 2, 3, 4), seed=4)
    builder.add("Transpose", None, perm=[0, 2, 3, 1]).add("Flatten", None)
    weight = builder.normal(24, 5)
    builder.add("MatMul", None, weight)
    net = agree(builder.model(), (1, 2, 3, 4))
    order = np.arange(24).reshape(2, 3, 4).transpose(1, 2, 0).ravel()
    np.testing.assert_array_equal(net.nodes[1].layer.weight[:, order], weight.T)


def test_columns_from_the_left():
    builder = Builder((4, 1), seed=5)
    builder.add("MatMul", builder.normal(6, 4), None).add("Add", None, builder.normal(6, 1))
    builder.add("Relu", None).add("MatMul", builder.normal(2, 6), None)
    net = agree(builder.model(), (4, 1))
    assert [node.layer.kind for node in net.nodes] == ["Flatten", "Affine", "ReLU", "Affine"]


def test_shapes_computed_in_the_graph_are_folded():
    builder = Builder((1, 2, 3), declared=["N", 2, 3], seed=6)
    builder.nodes += [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Constant", [], ["zero"], value_int=0),
        helper.make_node("Gather", ["shape", "zero"], ["rows"]),
        helper.make_node("Constant", [], ["axes"], value_ints=[0]),
        helper.make_node("Unsqueeze", ["rows", "axes"], ["rows1"]),
        helper.make_node("Constant", [], ["rest"], value_ints=[-1]),
        helper.make_node("Concat", ["rows1", "rest"], ["target"], axis=0),
    ]
    builder.add("Reshape", None, "target")
    builder.stored.append(numpy_helper.from_array(builder.normal(2, 6).astype("f4"), "V"))
    builder.nodes += [
        helper.make_node("Transpose", ["V"], ["Vt"], perm=[1, 0]),
        helper.make_node("Cast", ["Vt"], ["Vd"], to=TensorProto.DOUBLE),
    ]
    net = agree(builder.add("MatMul", None, "Vd").model(), (1, 2, 3))
    assert net.dtype == "float64"


def test_old_opsets_keep_axes_and_shapes_in_attributes():
    builder = Builder((1, 2, 3), opset=9, seed=7, dtype=np.float32)
    builder.add("Unsqueeze", None, axes=[0]).add("Squeeze", None, axes=[0, 1])
    builder.add("Transpose", None).add("Flatten", None, axis=0)
    agree(builder.add("Dropout", None, ratio=0.5).model(), (1, 2, 3), np.float32)


def test_weights_may_be_listed_as_inputs():
    builder = Builder((1, 3), seed=8)
    model = builder.add("Gemm", None, builder.normal(3, 2), builder.normal(2)).model()
    for tensor in model.graph.initializer:
        entry = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        model.graph.input.insert(0, entry)
    assert agree(model, (1, 3)).input_shape == (3,)


def test_names_are_unique_and_kept():
    builder = Builder((1, 2))
    for _ in range(3):
        builder.add("MatMul", None, np.eye(2)).add("Relu", None)
    for node in builder.nodes:
        node.name = "input"
    names = [node.name for node in load(builder.model()).nodes]
    assert names == ["input_1", "input_2", "input_3", "input_4", "input_5", "input_6"]
    builder.nodes[-1].name = "head"
    builder.nodes[-2].name = ""
    assert load(builder.model()).nodes[-1].name == "head"


def test_paths_bytes_models_and_gzip(tmp_path):
    builder = Builder((1, 3), seed=9)
    model = builder.add("MatMul", None, builder.normal(3, 2)).model()
    raw = model.SerializeToString()
    (tmp_path / "a.onnx").write_bytes(raw)
    (tmp_path / "a.onnx.gz").write_bytes(gzip.compress(raw))
    (tmp_path / "a.model").write_bytes(raw)
    sources = [tmp_path / "a.onnx", str(tmp_path / "a.onnx"), tmp_path / "a.onnx.gz", raw, model]
    assert len({load(source).fingerprint for source in sources}) == 1
    assert load(tmp_path / "a.model", reader="onnx").fingerprint == load(raw).fingerprint
    assert load(tmp_path / "a.onnx").source == str(tmp_path / "a.onnx")


def test_weights_beside_the_file(tmp_path):
    builder = Builder((1, 3), seed=10)
    builder.stored.append(numpy_helper.from_array(builder.normal(3, 40), "W"))
    model = builder.add("MatMul", None, "W").model()
    fingerprint = load(model).fingerprint
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, size_threshold=0)
    assert load(tmp_path / "net.onnx").fingerprint == fingerprint
    with pytest.raises(ReadError, match="'W' lies in another file"):
        load((tmp_path / "net.onnx").read_bytes())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_exports_of_torch(tmp_path):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = torch.nn.Linear(12, 5), torch.nn.Linear(5, 3, bias=False)

        def forward(self, x):
            x = ((x - 0.1307) / 0.3081).view(x.size(0), -1)
            return self.last(torch.relu(self.first(x)))

    torch.manual_seed(0)
    module = Net().eval()
    path = str(tmp_path / "net.onnx")
    x = torch.zeros(1, 3, 2, 2)
    axes = {"x": {0: "batch"}}
    torch.onnx.export(
        module, (x,), path, input_names=["x"], dynamic_axes=axes, dynamo=False, opset_version=13
    )
    net = agree(path, (1, 3, 2, 2), np.float32)
    twin = load(module, input_shape=(3, 2, 2))
    points = np.random.default_rng(0).normal(size=(4, 3, 2, 2))
    np.testing.assert_allclose(net(points), twin(points), rtol=1e-6)


def test_open_input_shapes():
    builder = Builder((1, 3), declared=["N", "features"], seed=11)
    model = builder.add("MatMul", None, builder.normal(3, 2)).model()
    with pytest.raises(ReadError, match=r"leaves its shape open.*input_shape="):
        load(model)
    assert agree(model, (1, 3), input_shape=3).input_shape == (3,)
    assert agree(model, (1, 3), input_shape=(1, 3)).input_shape == (1, 3)
    model.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(ReadError, match="open"):
        load(model)
    assert load(model, input_shape=3).n_inputs == 3
    closed = Builder((1, 3)).add("MatMul", None, np.eye(3)).model()
    with pytest.raises(ReadError, match=r"\(4,\) does not fit"):
        load(closed, input_shape=4)


def test_one_output_of_several():
    builder = Builder((1, 3), seed=12)
    builder.add("MatMul", None, builder.normal(3, 2))
    middle = builder.name
    model = builder.add("Relu", None).model()
    model.graph.output.append(helper.make_tensor_value_info(middle, TensorProto.DOUBLE, None))
    with pytest.raises(UnsupportedError, match="choose it with output="):
        load(model)
    assert len(load(model, output=middle).nodes) == 1
    assert len(load(model, output=builder.name).nodes) == 2
    with pytest.raises(ReadError, match="'gone'"):
        load(model, output="gone")


def test_steps_the_output_does_not_need_are_left_out():
    builder = Builder((1, 3), seed=15)
    builder.nodes.append(helper.make_node("Tanh", ["x"], ["unused"]))
    net = agree(builder.add("MatMul", None, builder.normal(3, 2)).model(), (1, 3))
    assert [type(node.layer) for node in net.nodes] == [Affine]


def test_onnx_is_optional(monkeypatch, tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"\x08\x08")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingPackageError, match=r"mipnet\[onnx\]"):
        load(tmp_path / "net.onnx")


def test_reading_onnx_needs_neither_torch_nor_onnxruntime(tmp_path):
    builder = Builder((1, 3), seed=17)
    builder.nodes.append(helper.make_node("Identity", ["W"], ["W2"]))
    builder.stored.append(numpy_helper.from_array(builder.normal(3, 2), "W"))
    onnx.save(builder.add("MatMul", None, "W2").model(), tmp_path / "net.onnx")
    code = (
        "import sys\n"
        "from mipnet.network.readers import load\n"
        f"print(load({str(tmp_path / 'net.onnx')!r}).n_inputs)\n"
        "assert not {'torch', 'onnxruntime', 'sklearn'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "3"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared verification models are not here")
@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("acasxu/onnx/ACASXU_run2a_1_1_batch_2000.onnx", (1, 1, 1, 5)),
        ("mnist_fc/onnx/mnist-net_256x2.onnx", (1, 784, 1)),
        ("rl_benchmarks/onnx/cartpole.onnx", (1, 4)),
        ("rl_benchmarks/onnx/dubinsrejoin.onnx", (1, 8)),
        ("reach_prob_density/onnx/gcas.onnx", (1, 14)),
        ("safenlp/onnx/medical/perturbations_0.onnx", (1, 30)),
        ("eran_mnist_relu/nets/mnist_relu_9_200.onnx", (1, 1, 28, 28)),
        ("cora_mnist/onnx/mnist-point.onnx", (1, 784)),
    ],
)
def test_verification_models(path, shape):
    net = agree(str(SHARED / path), shape, np.float32)
    assert net.dtype == "float32"
