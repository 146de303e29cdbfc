"""Files that lie: every one ends in an error of the package, quickly and with little memory."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from contextlib import contextmanager

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_cases import TensorProto, helper, numpy_helper, onnx
from onnx_dags import GROWERS, Dag, grow

from mipnet.errors import MipnetError, NetworkError, ReadError, UnsupportedError
from mipnet.network import Affine, Network
from mipnet.network.layers import Clip, Conv
from mipnet.network.readers import load, onnx_file
from mipnet.network.writers import save, to_onnx

HUGE = 2**40


@contextmanager
def peak():
    """Most memory taken inside, in bytes."""
    found = [0]
    tracemalloc.start()
    try:
        yield found
    finally:
        found[0] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


def graph(*nodes, stored=(), shape=(1, 3), output="y"):
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, size)
        for name, size in (("x", shape), (output, None))
    ]
    made = helper.make_graph(list(nodes), "g", ends[:1], ends[1:], list(stored))
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def node(kind, inputs, output="y", **attributes):
    return helper.make_node(kind, inputs, [output], name=f"the {kind}", **attributes)


def number(values, name, dtype=np.int64):
    return numpy_helper.from_array(np.asarray(values, dtype=dtype), name)


LIES = {
    "input": graph(node("Relu", ["x"]), shape=(1, HUGE)),
    "reshape": graph(node("Reshape", ["x", "s"]), stored=[number([HUGE, -1], "s")]),
    "expand": graph(node("Expand", ["x", "s"]), stored=[number([1, HUGE, 3], "s")]),
    "tile": graph(node("Tile", ["x", "s"]), stored=[number([1, HUGE], "s")]),
    "pad": graph(node("Pad", ["x", "s"]), stored=[number([0, HUGE, 0, 0], "s")]),
    "negative pad": graph(node("Pad", ["x", "s"]), stored=[number([0, -9, 0, 0], "s")]),
    "constant": graph(
        node("ConstantOfShape", ["s"], "c"), node("Add", ["x", "c"]), stored=[number([HUGE], "s")]
    ),
    "range": graph(
        node("Range", ["a", "b", "d"], "c"),
        node("Add", ["x", "c"]),
        stored=[number(v, n, np.float32) for v, n in ((0, "a"), (1e15, "b"), (1, "d"))],
    ),
    "outer": graph(
        node("Add", ["a", "b"], "c"),
        node("Add", ["x", "c"]),
        stored=[number(np.ones((40000, 1)), "a", "f4"), number(np.ones(40000), "b", "f4")],
    ),
    "kernel": graph(node("MaxPool", ["x"], kernel_shape=[HUGE, 1]), shape=(1, 1, 3, 3)),
    "pooling pads": graph(
        node("MaxPool", ["x"], kernel_shape=[1, 1], pads=[HUGE, 0, 0, 0]), shape=(1, 1, 3, 3)
    ),
    "strides": graph(
        node("AveragePool", ["x"], kernel_shape=[1, 1], strides=[0, 0]), shape=(1, 1, 3, 3)
    ),
    "axis": graph(node("Concat", ["x", "x"], axis=HUGE)),
    "gather": graph(node("Gather", ["x", "i"], axis=1), stored=[number([HUGE], "i")]),
    "slice": graph(
        node("Slice", ["x", "a", "a", "b"]), stored=[number([5], "a"), number([1], "b")]
    ),
    "split": graph(
        helper.make_node("Split", ["x", "s"], ["y", "z"], axis=1), stored=[number([HUGE, 1], "s")]
    ),
    "itself": graph(node("Relu", ["y"])),
    "cycle": graph(node("Relu", ["b"], "a"), node("Relu", ["a"], "b"), node("Add", ["a", "b"])),
    "late": graph(node("Relu", ["a"]), node("Relu", ["x"], "a")),
    "twice": graph(node("Relu", ["x"], "y"), node("Abs", ["x"], "y")),
    "over the input": graph(node("Abs", ["x"], "x"), node("Relu", ["x"])),
    "nan": graph(node("LeakyRelu", ["x"], alpha=float("nan"))),
    "infinite": graph(
        node("Gemm", ["x", "w"], alpha=float("inf")), stored=[number(np.eye(3), "w", "f4")]
    ),
    "no output": graph(node("Relu", ["x"], "z")),
    "wrong kernel": graph(
        node("Conv", ["x", "w"], kernel_shape=[3, 3]),
        stored=[number(np.ones((1, 1, 2, 2)), "w", "f4")],
        shape=(1, 1, 3, 3),
    ),
    "wrong groups": graph(
        node("Conv", ["x", "w"], group=2),
        stored=[number(np.ones((3, 1, 2, 2)), "w", "f4")],
        shape=(1, 2, 3, 3),
    ),
    "variance": graph(
        node("BatchNormalization", ["x", *"wwwv"]),
        stored=[number(np.ones(3), "w", "f4"), number(-np.ones(3), "v", "f4")],
    ),
    "a batch of two": graph(
        node("Conv", ["x", "w"]),
        stored=[number(np.ones((1, 1, 2, 2)), "w", "f4")],
        shape=(2, 1, 3, 3),
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_onnx_files_that_lie(name):
    with peak() as found, pytest.raises((ReadError, NetworkError, UnsupportedError)):
        load(LIES[name].SerializeToString())
    assert found[0] < 10**8


def test_names_that_are_no_text():
    raw = graph(node("Relu", ["x"])).SerializeToString()
    for old, new in ((b"the Relu", b"the \xff\xfe\xfd "), (b"Relu", b"R\xff\xfe\xfd")):
        with pytest.raises(ReadError, match="no text"):
            load(raw.replace(old, new))


def test_functions_that_call_each_other_or_explode():
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    model = graph(helper.make_node("f0", ["x"], ["y"], domain="own"))
    model.opset_import.append(helper.make_opsetid("own", 1))

    def call(name, target, count):
        nodes = [
            helper.make_node(target, ["a" if k == 0 else f"t{k}"], [f"t{k + 1}"], domain="own")
            for k in range(count)
        ]
        return helper.make_function("own", name, ["a"], [f"t{count}"], nodes, opset)

    model.functions.append(call("f0", "f0", 1))
    with pytest.raises(ReadError, match="'f0' calls itself"):
        load(model)
    del model.functions[:]
    model.functions.extend(call(f"f{k}", f"f{k + 1}", 10) for k in range(30))
    with pytest.raises(ReadError, match="expand to"):
        load(model)
    del model.functions[:]
    body = [helper.make_node("Relu", ["a"], ["b"])]
    model.functions.append(helper.make_function("own", "f0", ["a"], ["b"], body, opset))
    assert [n.layer.kind for n in load(model).nodes] == ["ReLU"]


def test_packed_files_do_not_unpack_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "MAX_BYTES", 10**6)
    path = tmp_path / "bomb.onnx.gz"
    path.write_bytes(gzip.compress(bytes(10**8)))
    with peak() as found, pytest.raises(ReadError, match="truncated, damaged"):
        load(path)
    assert found[0] < 10**7


def test_weights_outside_the_folder_are_not_read(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(36))
    model = graph(node("MatMul", ["x", "w"]), stored=[number(np.eye(3), "w", "f4")])
    tensor = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, "../secret")
    tensor.ClearField("raw_data")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ReadError):
        load(folder / "net.onnx")


@settings(deadline=None, max_examples=60)
@given(
    kinds=st.lists(st.sampled_from(sorted(GROWERS)), min_size=1, max_size=4),
    seed=st.integers(0, 2**32 - 1),
    places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_damaged_bytes_never_crash(kinds, seed, places):
    dag = Dag((1, 2, 4, 4), seed=seed)
    for kind in kinds:
        grow(dag, kind)
    raw = bytearray(dag.model().SerializeToString())
    for place, value in places:
        raw[int(place * (len(raw) - 1))] = value
    try:
        load(bytes(raw))
    except MipnetError:
        return


def net():
    layers = [Conv(np.ones((1, 1, 2, 2)), np.zeros(1)), Clip(0.0), Affine(np.ones((1, 4)), [0.0])]
    nodes = Network.sequential([layers[0], layers[1]], (1, 3, 3)).nodes
    return Network(nodes, (1, 3, 3))


CHANGES = {
    "no JSON": (lambda d: "{", "no JSON"),
    "no object": (lambda d: [1], "must be an object"),
    "version": (lambda d: {**d, "version": 99}, "version 99"),
    "shape": (lambda d: {**d, "input_shape": [1, "x"]}, "input_shape must be"),
    "true": (lambda d: {**d, "input_shape": [True, 3, 3]}, "input_shape must be"),
    "empty": (lambda d: {**d, "nodes": []}, "at least one layer|names no layer"),
    "names": (lambda d: {**d, "nodes": [{"kind": "ReLU"}]}, "no object with a name"),
    "inputs": (lambda d: change(d, inputs="input"), "inputs must be names"),
    "unknown input": (lambda d: change(d, inputs=["gone"]), "'gone'"),
    "itself": (lambda d: change(d, inputs=[d["nodes"][0]["name"]]), "no layer before it"),
    "two inputs": (lambda d: change(d, inputs=["input", "input"]), "do not fit|takes 1"),
    "option": (lambda d: change(d, options={"strides": 2}), r"no parameters \['strides'\]"),
    "odd option": (lambda d: change(d, options={"stride": "two"}), "do not fit"),
    "huge": (lambda d: change(d, options={"padding": 2**80}), "."),
    "missing array": (lambda d: change(d, arrays={"weight": "gone"}), "no array 'gone'"),
    "dtype": (lambda d: {**d, "dtype": "int8"}, "dtype must be"),
}


def change(description, **parts):
    first, *rest = description["nodes"]
    return {**description, "nodes": [{**first, **parts}, *rest]}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("ending", ["safetensors", "npz"])
def test_descriptions_that_lie(tmp_path, name, ending):
    from mipnet.network.architecture import described

    make, text = CHANGES[name]
    description, arrays = described(net(), "test")
    broken = make(description)
    told = broken if isinstance(broken, str) else json.dumps(broken)
    path = tmp_path / f"net.{ending}"
    if ending == "npz":
        np.savez(path, architecture=np.array(told), **arrays)
    else:
        safetensors.numpy.save_file(arrays, path, metadata={"mipnet.architecture": told})
    with pytest.raises(MipnetError, match=text) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_unknown_kinds_are_listed_and_strange_arrays_refused(tmp_path):
    with pytest.raises(UnsupportedError) as caught:
        load(
            {"a.weight": np.eye(2)},
            architecture={
                "input_shape": [2],
                "nodes": [{"name": "a", "kind": "Lstm"}, {"name": "b", "kind": "__class__"}],
            },
        )
    assert len(caught.value.operations) == 2
    path = save(net(), tmp_path / "net.safetensors")
    tensors = safetensors.numpy.load_file(path)
    with pytest.raises(ReadError, match=r"names no layer for the arrays \['more'\]"):
        load(
            {**tensors, "more": np.ones(1)},
            architecture={"input_shape": [1, 3, 3], "nodes": [{"name": "conv0", "kind": "Conv"}]},
        )


def test_bounds_in_the_metadata_are_checked():
    model = to_onnx(net().with_input_bounds(0.0, 1.0))
    assert load(model).input_bounds is not None
    for damaged in ("[1]", "{", '"x"', "[" * 10**5):
        model.metadata_props[0].value = damaged
        with pytest.raises(MipnetError):
            load(model)
