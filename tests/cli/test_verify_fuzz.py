"""``mipnet verify`` on damaged files: exit status and first line as documented, no traceback."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import helper

from mipnet.cli import main
from tests.search.search_cases import random_network
from tests.search.verify_cases import declared, save

PROPERTY = f"""; a property
{declared(3, 2)}
; box
(assert (>= X_0 -0.5))
(assert (<= X_0 0.25))
(assert (and (>= X_1 -1.0) (<= X_1 1e0)))
(assert (or (and (>= X_2 0) (<= X_2 0.5)) (and (>= X_2 0.75) (<= X_2 1.0))))
; outputs
(assert (or (and (>= Y_0 Y_1) (<= Y_1 3.5)) (>= (+ Y_0 (* 2.0 Y_1)) 40)))
"""
PIECES = [
    *("(", ")", "(assert ", "(and ", "(or ", "(<= ", "(>= ", "(= ", "(+ ", "(- ", "(* ", "(not "),
    *(
        "X_0",
        "Y_0",
        "X_99",
        "Y_1",
        "1e400",
        "nan",
        "inf",
        "-0",
        "1e-400",
        "0x1",
        "1/3",
        "--1",
        "- 3",
    ),
    *("; c", "\x00", "\ufeff", "\r\n", '"', "|", "é", "9" * 500, "true", "#b1", "(check-sat)"),
    *("(declare-const X_0 Real)", "(declare-const Y_9 Real)", "(declare-fun Z () Real)"),
]
SWAPS = [
    "<=",
    ">=",
    "<",
    "=",
    "and",
    "or",
    "Real",
    "Int",
    "X_",
    "Y_",
    "x_",
    "assert",
    "declare-const",
]
OPERATIONS = [
    *(
        "Gemm",
        "MatMul",
        "Relu",
        "Add",
        "Div",
        "Conv",
        "Reshape",
        "Transpose",
        "Softmax",
        "Identity",
    ),
    *("Cast", "Squeeze", "Gather", "Neg", "Foo", ""),
]


def damaged_text(text: str, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 2)):
        i = rng.randrange(len(text) + 1)
        j = min(len(text), i + rng.randint(0, 40))
        lines = text.split("\n")
        number = rng.choice(list(re.finditer(r"-?\d+(\.\d+)?", text)) or [re.match("", text)])
        a, b = number.span() if number else (0, 0)
        text = rng.choice(
            [
                text[:i] + text[j:],
                text[:i] + rng.choice(PIECES) + text[i:],
                text[:i] + text[i:j] * 2 + text[j:],
                text[:i],
                text[:a] + rng.choice(PIECES) + text[b:],
                text[:a] + rng.choice(["0", "1e3", "-1e3", "0.125", "(- 2)"]) + text[b:],
                text[:a] + rng.choice(["0", "1e3", "-1e3", "0.125", "(- 2)"]) + text[b:],
                text.replace(rng.choice(SWAPS), rng.choice(SWAPS), rng.randint(1, 3)),
                "\n".join(rng.sample(lines, len(lines))),
                "\n".join([*lines[:-5], *rng.sample(lines[-5:], len(lines[-5:]))]),
            ]
        )
    return text


def damaged_bytes(data: bytes, rng: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        i = rng.randrange(len(found))
        kind = rng.randrange(4)
        if kind < 2:
            found[i] = rng.randrange(256)
        elif kind == 2:
            del found[i : i + rng.randint(1, 20)]
        elif rng.random() < 0.3:
            del found[max(1, i) :]
        else:
            found[i:i] = rng.randbytes(rng.randint(1, 8))
    return bytes(found)


def other_operation(graph: onnx.GraphProto, rng: random.Random) -> None:
    rng.choice(graph.node).op_type = rng.choice(OPERATIONS)


def other_input(graph: onnx.GraphProto, rng: random.Random) -> None:
    node = rng.choice(graph.node)
    names = [
        *(i.name for i in graph.initializer),
        *(n.output[0] for n in graph.node),
        "x",
        "",
        "no",
    ]
    node.input[rng.randrange(len(node.input))] = rng.choice(names)


def fewer_or_more_inputs(graph: onnx.GraphProto, rng: random.Random) -> None:
    node = rng.choice(graph.node)
    if rng.random() < 0.5:
        del node.input[-1]
    else:
        node.input.append(rng.choice(["x", "", "no"]))


def other_nodes(graph: onnx.GraphProto, rng: random.Random) -> None:
    node = rng.choice(graph.node)
    if rng.random() < 0.5:
        graph.node.remove(node)
    else:
        graph.node.append(node)


def other_shape(graph: onnx.GraphProto, rng: random.Random) -> None:
    tensor = rng.choice(graph.initializer)
    tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice([0, 1, -1, 3, 10**9, 2**62])


def other_data(graph: onnx.GraphProto, rng: random.Random) -> None:
    tensor = rng.choice(graph.initializer)
    kind = rng.randrange(3)
    if kind == 0:
        tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data))]
    elif kind == 1:
        tensor.data_type = rng.choice([0, 2, 6, 7, 8, 10, 11, 16, 99])
    else:
        values = np.frombuffer(tensor.raw_data[: len(tensor.raw_data) // 4 * 4], np.float32).copy()
        values[: rng.randint(1, 2)] = rng.choice([np.nan, np.inf, 1e20, 1e-45])
        tensor.raw_data = values.tobytes()


def no_parameter(graph: onnx.GraphProto, rng: random.Random) -> None:
    graph.initializer.remove(rng.choice(graph.initializer))


def other_entry(graph: onnx.GraphProto, rng: random.Random) -> None:
    kind = graph.input[0].type.tensor_type
    rng.choice(
        [
            lambda: setattr(kind, "elem_type", rng.choice([0, 6, 7, 10, 11, 99])),
            kind.shape.dim.pop,
            lambda: setattr(kind.shape.dim[1], "dim_value", rng.choice([0, -1, 2, 4])),
            lambda: setattr(kind.shape.dim[1], "dim_param", "N"),
            lambda: graph.input.append(helper.make_tensor_value_info("x2", 1, [1, 3])),
            lambda: graph.output.append(helper.make_tensor_value_info("no", 1, [1, 3])),
            graph.output.pop,
        ]
    )()


def other_attribute(graph: onnx.GraphProto, rng: random.Random) -> None:
    name = rng.choice(["alpha", "beta", "transA", "transB", "axis", "perm", "to"])
    value = rng.choice([1.5, 0.0, 2, -1, [1, 0], "abc", float("nan"), 10**15])
    rng.choice(graph.node).attribute.append(helper.make_attribute(name, value))


CHANGES: list[Callable[[onnx.GraphProto, random.Random], None]] = [
    *(other_operation, other_input, fewer_or_more_inputs, other_nodes, other_shape, other_data),
    *(no_parameter, other_entry, other_attribute),
]


def damaged_graph(data: bytes, rng: random.Random) -> bytes:
    model = onnx.load_from_string(data)
    for _ in range(rng.randint(1, 2)):
        if model.graph.node and model.graph.initializer:
            rng.choice(CHANGES)(model.graph, rng)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("net")
    return save(random_network(3, (3, 4, 3, 2), 1.5), folder / "net.onnx").read_bytes()


def run(folder: Path, net: bytes, prop: str, *options: str) -> Result:
    (folder / "net.onnx").write_bytes(net)
    (folder / "p.vnnlib").write_bytes(prop.encode("utf-8", errors="surrogatepass"))
    files = [str(folder / "net.onnx"), str(folder / "p.vnnlib")]
    return CliRunner().invoke(main, ["verify", *files, "--timeout", "5", *options])


def status(done: Result) -> str:
    """First line, after a look at everything that is documented."""
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert "Traceback" not in done.output
    first = done.stdout.split("\n", 1)[0]
    if done.exit_code == 2:
        assert done.stdout == ""
        assert re.fullmatch(r"Error: [^\n]{5,1500}\n", done.stderr), done.stderr
        return "refused"
    assert done.exit_code == (0 if first in {"sat", "unsat"} else 1)
    assert first in {"sat", "unsat", "timeout", "unknown"}
    assert bool(done.stderr.strip()) == (done.exit_code == 1)
    return first


@pytest.mark.parametrize("first", range(0, 600, 200))
def test_damaged_properties(tmp_path: Path, model: bytes, first: int) -> None:
    seen = Counter(
        status(run(tmp_path, model, damaged_text(PROPERTY, random.Random(seed))))
        for seed in range(first, first + 200)
    )
    assert seen["refused"] > 50
    assert seen["sat"] + seen["unsat"] > 20


@pytest.mark.parametrize("first", range(0, 300, 150))
@pytest.mark.parametrize("damage", [damaged_bytes, damaged_graph])
def test_damaged_models(
    tmp_path: Path, model: bytes, damage: Callable[[bytes, random.Random], bytes], first: int
) -> None:
    seen = Counter(
        status(run(tmp_path, damage(model, random.Random(seed)), PROPERTY))
        for seed in range(first, first + 150)
    )
    assert seen["refused"] > 50


def test_whole_files_are_decided(tmp_path: Path, model: bytes) -> None:
    assert status(run(tmp_path, model, PROPERTY)) == "sat"
    assert status(run(tmp_path, model, PROPERTY.replace("3.5", "-99"))) == "unsat"


def test_a_reader_that_breaks_is_bad_input(
    tmp_path: Path, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise KeyError("b'name'")

    monkeypatch.setattr(import_module("mipnet.search.verify"), "load", breaks)
    done = run(tmp_path, model, PROPERTY)
    assert status(done) == "refused"
    assert "KeyError" in done.stderr


def test_an_engine_that_breaks_is_no_answer(
    tmp_path: Path, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("mipnet.search.decide.Decision.run", breaks)
    done = run(tmp_path, model, PROPERTY)
    assert status(done) == "unknown"
    assert "ZeroDivisionError" in done.stderr


def test_a_model_that_onnxruntime_refuses_is_decided_neither_way(
    tmp_path: Path, model: bytes
) -> None:
    changed = onnx.load_from_string(model)
    changed.graph.output[0].name = "relu1"
    changed.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 7
    done = run(tmp_path, bytes(changed.SerializeToString()), PROPERTY)
    assert status(done) in {"unknown", "refused"}


def test_a_folder_that_is_not_there_is_seen_before_the_search(tmp_path: Path, model: bytes) -> None:
    done = run(tmp_path, model, PROPERTY, "--witness", str(tmp_path / "no" / "w.txt"))
    assert status(done) == "refused"
    assert "no folder" in done.stderr
