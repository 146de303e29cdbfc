"""Faults planted in ONNX graphs: one error names each of them and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx_dags import Dag
from planted import entries, named_exactly

from mipnet.errors import ReadError
from mipnet.network.readers import load

C, IMAGE, VECTOR = 4, (1, 4, 3, 3), (1, 4)


def norm(d, x, n, shape, **attributes):
    parameters = [np.ones(n), np.zeros(n), np.zeros(n), np.ones(n)]
    return d.add("BatchNormalization", x, *parameters, shape=shape, **attributes)


def conv(d, x, n, fill=1.0):
    return d.add("Conv", x, np.full((C, n, 3, 3), fill), shape=IMAGE, pads=[1, 1, 1, 1])


def keep(kind, **attributes):
    return lambda d, x, shape: d.add(kind, x, shape=shape, **attributes)


#: Steps that keep the shape, over images, over vectors, over both.
SOUND = {
    "image": (
        lambda d, x, s: conv(d, x, C),
        lambda d, x, s: norm(d, x, C, s),
        lambda d, x, s: d.add("PRelu", x, np.ones((C, 1, 1)), shape=s),
    ),
    "vector": (
        lambda d, x, s: d.add("Gemm", x, np.ones((C, C)), np.ones(C), shape=s),
        lambda d, x, s: d.add("Add", d.add("MatMul", x, np.ones((C, C)), shape=s), np.ones(C),
                              shape=s),
        lambda d, x, s: norm(d, x, C, s),
    ),
    "both": (keep("Relu"), keep("Gelu"), keep("Tanh"), keep("Dropout"), keep("Identity")),
}  # fmt: skip


def mode(kind):
    """Dropout that drops."""
    return lambda d, x, s: d.add(kind, x, np.float32(0.5), np.array(True), shape=s)


def own(d, x, s):
    """An operation nobody knows, whose shape the graph states."""
    made = d.add("Unheard", x, shape=s)
    d.nodes[-1].domain = "own.domain"
    return made


def scan(d, x, s):
    """A branch over a computed condition."""
    body = helper.make_graph(
        [helper.make_node("Identity", [x], ["in_branch"])], "branch", [],
        [helper.make_tensor_value_info("in_branch", d.kind, None)],
    )  # fmt: skip
    flag = d.constant(np.array(True))
    d.read.add(x)
    return d.add("If", flag, shape=s, then_branch=body, else_branch=body)


#: Faults, by where they may stand, with a part of their entry.
FAULTY = {
    "channels": ("image", lambda d, x, s: conv(d, x, C + 1), "takes 5 channels"),
    "nan": ("image", lambda d, x, s: conv(d, x, C, np.nan), "NaN or infinite"),
    "norm": ("image", lambda d, x, s: norm(d, x, 6 + len(d.nodes), s), "normalises"),
    "slopes": ("image", lambda d, x, s: d.add("PRelu", x, np.ones((3, 1, 1)), shape=s), "PReLU"),
    "group": (
        "image",
        lambda d, x, s: d.add("InstanceNormalization", x, np.ones(C), np.ones(C), shape=s),
        "(InstanceNormalization)",
    ),
    "transposed": (
        "image",
        lambda d, x, s: d.add("ConvTranspose", x, np.ones((C, C, 1, 1)), shape=s),
        "(ConvTranspose)",
    ),
    "unfit sum": (
        "image",
        lambda d, x, s: d.add("Add", x, np.ones((C, 2, 3)), shape=s),
        "constant",
    ),
    "width": ("vector", lambda d, x, s: d.add("MatMul", x, np.ones((5, C)), shape=s), "(5, 4)"),
    "gemm": ("vector", lambda d, x, s: d.add("Gemm", x, np.ones((3, C)), shape=s), "(3, 4)"),
    "layer norm": (
        "vector",
        lambda d, x, s: d.add("LayerNormalization", x, np.ones(C), shape=s),
        "computed deviation",
    ),
    "wide sum": ("vector", lambda d, x, s: d.add("Add", x, np.ones(3), shape=s), "constant"),
    "training": ("both", mode("Dropout"), "(Dropout): is in training mode"),
    "training norm": ("both", lambda d, x, s: norm(d, x, C, s, training_mode=1), "training mode"),
    "elu": ("both", keep("Elu"), "(Elu)"),
    "sin": ("both", keep("Sin"), "(Sin)"),
    "round": ("both", keep("Round"), "jumps"),
    "odd attribute": ("both", keep("Relu", axis=1), "malformed"),
    "own": ("both", own, "'own.domain'"),
    "branch": ("both", scan, "control flow"),
    "product": (
        "both",
        lambda d, x, s: d.add("Mul", x, d.add("Tanh", x, shape=s), shape=s),
        "multiplies two computed",
    ),
    "half a GELU": ("both", keep("Erf"), "part of a GELU only"),
    "quotient": ("both", lambda d, x, s: d.add("Div", np.ones(1), x, shape=s), "divides by"),
    "zero": ("both", lambda d, x, s: d.add("Div", x, np.zeros(1), shape=s), "divides by zero"),
    "cast": ("both", lambda d, x, s: d.add("Cast", x, shape=s, to=TensorProto.INT32), "(Cast)"),
    "gone": ("both", lambda d, x, s: d.add("Add", x, "gone", shape=s), "'gone', which nothing"),
}


@settings(deadline=None, max_examples=60)
@given(
    faults=st.lists(st.sampled_from(sorted(FAULTY)), min_size=1, max_size=5),
    sound=st.lists(st.integers(0, 9), max_size=6),
    order=st.randoms(use_true_random=False),
)
def test_every_planted_fault_is_named_and_nothing_else(faults, sound, order):
    steps = [(kind, 0) for kind in faults] + [("", choice) for choice in sound]
    order.shuffle(steps)
    d, planted = Dag(IMAGE), []
    x = "x"
    for part, shape in (("image", IMAGE), ("vector", VECTOR)):
        if part == "vector":
            x = d.add("Flatten", d.add("GlobalAveragePool", x, shape=(1, C, 1, 1)), shape=shape)
        places = [k for k in range(len(steps)) if (k < len(steps) // 2) == (part == "image")]
        for kind, choice in (steps[k] for k in places):
            where, grow, text = FAULTY.get(kind, (None, None, ""))
            if where in (part, "both"):
                x = grow(d, x, shape)
                planted.append((f"'{d.nodes[-1].name}'", text))
            else:
                options = (*SOUND[part], *SOUND["both"])
                x = options[choice % len(options)](d, x, shape)
    model = d.model()
    for name, shape in d.tensors.items():
        model.graph.value_info.append(helper.make_tensor_value_info(name, d.kind, shape))
    if not planted:
        assert load(model).input_shape == IMAGE[1:]
        return
    found = entries(model)
    for name, text in planted:
        what = "" if text.startswith(("NaN", "normalises")) else name
        fitting = [e for e in found if text in e and what in e]
        assert fitting, f"{name} {text} is not in {found}"
        found.remove(fitting[0])
    assert not found, f"{found} stand there beside {planted}"


def test_the_declared_sizes_tell_where_no_shape_is_known():
    d = Dag(IMAGE)
    x = own(d, "x", IMAGE)
    x = d.add("Relu", norm(d, conv(d, x, 7), 6, IMAGE), shape=IMAGE)
    x = d.add("MaxPool", conv(d, x, 6), shape=IMAGE, kernel_shape=[2, 2])
    x = own(d, conv(d, x, 5), VECTOR)
    x = d.add("MatMul", x, np.ones((9, 5)), shape=(1, 5))
    x = d.add("Add", x, np.ones(6), shape=(1, 5))
    x = d.add("Gemm", d.add("Relu", x, shape=(1, 5)), np.ones((5, 5)), shape=(1, 5))
    d.add("MatMul", x, np.ones((6, 2)), shape=(1, 2))
    named_exactly(
        entries(d.model()),
        ["Unheard", "'step2': normalises 6", "takes 5 channels", "Unheard", "(6,) does not fit",
         "takes vectors of 6"],
    )  # fmt: skip


@pytest.mark.parametrize("batch", ["N", None, 1])
def test_the_first_axis_may_be_the_batch_axis(batch):
    d = Dag(VECTOR, batch=batch)
    d.add("Gemm", "x", np.ones((C, 2)), shape=(1, 2))
    assert load(d.model()).input_shape == (C,)


@pytest.mark.parametrize("shape", [["N", "T", 4], [1, None, 4], ["N"], None])
def test_other_open_axes_are_listed_beside_the_rest(shape):
    d = Dag((1, 2, 4))
    x = d.add("Elu", d.add("MatMul", "x", np.ones((C, 3)), shape=(1, 2, 3)), shape=(1, 2, 3))
    x = d.add("MatMul", x, np.ones((4, 2)), shape=(1, 2, 2))
    model = d.model()
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", d.kind, shape))
    named_exactly(entries(model), ["leaves its shape open", "(Elu)", "takes vectors of 4"])
    if shape != ["N"]:
        named_exactly(entries(model, input_shape=(2, 4)), ["(Elu)", "(4, 2)"])


def test_inputs_outputs_and_types_stand_beside_the_rest():
    d = Dag(VECTOR)
    x = d.add("Add", "x", "z", shape=VECTOR)
    d.add("MatMul", x, np.ones((5, 2)), shape=(1, 2))
    model = d.model()
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.INT32, VECTOR))
    model.graph.output.append(helper.make_tensor_value_info(x, d.kind, None))
    named_exactly(entries(model), ["outputs [", "inputs ['x', 'z']", "'z': is no tensor", "(5, 2)"])


def test_damage_is_told_in_one_error():
    d = Dag(VECTOR)
    x = d.add("Relu", "x", shape=VECTOR, axis=3)
    d.add("Add", d.add("MatMul", x, np.ones((5, 4)), shape=VECTOR), "gone", shape=VECTOR)
    with pytest.raises(ReadError, match="several parts are wrong"):
        load(d.model())
    named_exactly(entries(d.model()), ["malformed", "(5, 4)", "'gone', which nothing"])
