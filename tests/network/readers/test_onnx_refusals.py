"""ONNX files that cannot be read: all reasons in one error, and damage never passes."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from onnx_cases import Builder, TensorProto, helper, numpy_helper, onnx

from mipnet.errors import NetworkError, ReadError, UnsupportedError
from mipnet.network.readers import load


def test_every_unsupported_operation_is_listed():
    builder = Builder((1, 4), seed=13)
    builder.add("Elu", None).add("MatMul", None, builder.normal(4, 4)).add("Sin", None)
    builder.add("Div", builder.normal(4), None).add("Cast", None, to=TensorProto.INT32)
    builder.add("Shrink", None).add("Softmax", None)
    for k, node in enumerate(builder.nodes):
        node.name = f"node{k}"
    model = builder.model()
    model.graph.node[-1].domain = "my.domain"
    with pytest.raises(UnsupportedError) as caught:
        load(model)
    kinds = [entry.split("(")[1].split(")")[0] for entry in caught.value.operations]
    assert kinds == ["Elu", "Sin", "Div", "Cast", "Shrink", "Softmax"]
    assert "divides by a computed tensor" in caught.value.operations[2]
    assert "domain 'my.domain'" in caught.value.operations[5]
    assert str(caught.value).startswith("onnx: 6 unsupported operation(s)")


def test_products_of_computed_results_are_listed():
    with pytest.raises(UnsupportedError, match=r"\(Mul\): multiplies two computed results"):
        load(Builder((1, 3)).add("Relu", None).add("Mul", None, "x").model())
    with pytest.raises(UnsupportedError, match=r"\(MatMul\).*as attention does"):
        load(Builder((3, 3)).add("Relu", None).add("MatMul", None, "x").model())
    with pytest.raises(UnsupportedError, match="must be a constant"):
        load(Builder((1, 3)).add("Unsqueeze", None, "x").model())
    with pytest.raises(UnsupportedError, match=r"'.*': is supported as part of a GELU only"):
        load(Builder((1, 3), dtype=np.float32).add("Erf", None).model())


def test_several_inputs_and_odd_types_are_listed():
    model = Builder((1, 3)).add("Add", None, "y").add("Sin", None).model()
    model.graph.input.append(helper.make_tensor_value_info("y", TensorProto.DOUBLE, [1, 3]))
    with pytest.raises(UnsupportedError) as caught:
        load(model)
    assert len(caught.value.operations) == 2
    assert "['x', 'y']" in caught.value.operations[0]
    whole = Builder((1, 3), dtype=np.int64).add("Cast", None, to=TensorProto.FLOAT).model()
    with pytest.raises(UnsupportedError, match="no tensor of floating type"):
        load(whole)


def test_training_mode_is_refused():
    builder = Builder((1, 3), dtype=np.float32)
    model = builder.add("Dropout", None, np.float32(0.5), np.array(True)).model()
    with pytest.raises(UnsupportedError, match="training mode"):
        load(model)
    builder = Builder((1, 3), dtype=np.float32)
    model = builder.add("Dropout", None, np.float32(0.5), np.array(False)).model()
    assert load(model)([1.0, 2.0, 3.0]).tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("build", "error", "text"),
    [
        (
            lambda b: b.add("MatMul", None, np.ones((4, 2))),
            NetworkError,
            r"'step'.*\(4, 2\).*input",
        ),
        (lambda b: b.add("Gemm", None, np.ones((4, 2))), NetworkError, r"\(4, 2\).*\(1, 3\)"),
        (lambda b: b.add("Gemm", None, np.ones((3, 2)), np.ones(3)), NetworkError, "constant"),
        (lambda b: b.add("Gemm", None, np.ones((3, 2)), np.ones((4, 2))), NetworkError, "C of"),
        (lambda b: b.add("Gemm", None, np.ones(3)), NetworkError, "takes matrices"),
        (lambda b: b.add("Add", None, np.ones(4)), NetworkError, r"\(4,\) does not fit \(1, 3\)"),
        (lambda b: b.add("Div", None, np.zeros(3)), NetworkError, "divides by zero"),
        (lambda b: b.add("Reshape", None, np.array([2, 2])), NetworkError, r"\(1, 3\)"),
        (lambda b: b.add("Reshape", None, np.array([-3, 3])), NetworkError, "negative size"),
        (lambda b: b.add("Flatten", None, axis=3), NetworkError, "axis 3"),
        (lambda b: b.add("Transpose", None, perm=[0, 2]), NetworkError, "is no order of the axes"),
        (lambda b: b.add("Squeeze", None, np.array([1])), NetworkError, "does not fit"),
        (lambda b: b.add("MatMul", None, np.full((3, 1), np.nan)), NetworkError, "NaN"),
        (lambda b: b.add("Add", None, np.array(np.inf)), NetworkError, "infinite"),
        (lambda b: b.add("MatMul", None, "gone"), ReadError, "reads 'gone', which nothing"),
        (lambda b: b.add("Relu", None, axis=1), ReadError, "malformed.*axis"),
        (lambda b: b.add("Gemm", None), ReadError, "malformed"),
        (lambda b: b.add("Reshape", np.ones(4), np.array([3])), ReadError, "cannot be evaluated"),
    ],
)
def test_bad_graphs(build, error, text):
    builder = Builder((1, 3))
    builder.rng = np.random.Generator(np.random.PCG64(1))
    build(builder)
    for node in builder.nodes:
        node.name = "step" if node.op_type != "Constant" else ""
    with pytest.raises(error, match=text):
        load(builder.model())


def test_outputs_without_input_are_refused():
    builder = Builder((1, 3))
    with pytest.raises(ReadError, match="does not depend on an input"):
        load(builder.add("Identity", np.ones(3)).model())


def test_damaged_initializers_are_refused():
    builder = Builder((1, 3))
    builder.stored.append(numpy_helper.from_array(np.eye(3), "W"))
    model = builder.add("MatMul", None, "W").model()
    for change in ({"raw_data": b"1234567"}, {"data_type": 99}):
        broken = onnx.ModelProto.FromString(model.SerializeToString())
        for key, value in change.items():
            setattr(broken.graph.initializer[0], key, value)
        with pytest.raises(ReadError, match="'W' is damaged"):
            load(broken)


def test_every_truncation_is_refused(tmp_path):
    builder = Builder((1, 3), seed=16)
    builder.add("Gemm", None, builder.normal(3, 2), builder.normal(2)).add("Relu", None)
    whole = builder.model().SerializeToString()
    path = tmp_path / "cut.onnx"
    for size in range(len(whole)):
        with pytest.raises(ReadError):
            load(whole[:size])
    for junk in (whole[:-9], b"", b"no model at all", b"\x00" * 64):
        path.write_bytes(junk)
        with pytest.raises(ReadError, match=r"cut\.onnx: truncated, damaged or not an ONNX"):
            load(path)
    (tmp_path / "cut.onnx.gz").write_bytes(gzip.compress(whole)[:-9])
    with pytest.raises(ReadError, match="truncated"):
        load(tmp_path / "cut.onnx.gz")


def test_large_expansions_are_refused():
    builder = Builder((1, 20000)).add("Gather", None, np.zeros(20000, np.int64), axis=1)
    with pytest.raises(NetworkError, match="dense matrix of 400000000 entries"):
        load(builder.add("Relu", None).model())
    # Arithmetic alone needs no matrix.
    kinds = Builder((1, 20000)).add("Mul", None, np.ones(20000) * 2).add("Relu", None).model()
    assert [node.layer.kind for node in load(kinds).nodes] == ["Scale", "ReLU"]
