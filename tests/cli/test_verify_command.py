"""``mipnet verify``: what it prints, writes and returns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from mipnet.cli import main
from mipnet.network import Affine, Network, ReLU
from mipnet.network.readers import save_npz
from mipnet.search.verify_result import VerifyResult
from tests.search.verify_cases import save

QUESTION = """(declare-const X_0 Real)
(declare-const X_1 Real)
(declare-const Y_0 Real)
(assert (and (>= X_0 -1) (<= X_0 1) (= X_1 0.5)))
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """The larger of 0 and x0 + x1, in ONNX."""
    layers = [Affine([[1.0, 1.0]], [0.0]), ReLU(), Affine([[1.0]], [0.0])]
    return save(Network.sequential(layers), tmp_path / "net.onnx")


def run(net: Path, body: str, *options: str) -> Result:
    prop = net.with_name("p.vnnlib")
    prop.write_text(QUESTION + body)
    return CliRunner().invoke(main, ["verify", str(net), str(prop), *options])


def test_unsat(net: Path, tmp_path: Path) -> None:
    witness = tmp_path / "w.txt"
    done = run(net, "(assert (>= Y_0 1.6))", "--witness", str(witness))
    assert (done.exit_code, done.stdout, done.stderr) == (0, "unsat\n", "")
    assert not witness.exists()


def test_sat_prints_and_writes_the_counterexample(net: Path, tmp_path: Path) -> None:
    witness = tmp_path / "w.txt"
    done = run(net, "(assert (>= Y_0 1.25))", "--timeout", "60", "--witness", str(witness))
    assert done.exit_code == 0
    first, rest = done.stdout.split("\n", 1)
    assert first == "sat"
    assert witness.read_text() == rest
    entries = dict(e.strip(" ()").split() for e in rest.strip().splitlines())
    assert list(entries) == ["X_0", "X_1", "Y_0"]
    assert entries["X_1"] == "0.5"
    assert rest.startswith("((X_0 ")
    assert rest.endswith("))\n")
    assert float(entries["Y_0"]) == np.float32(float(entries["X_0"])) + 0.5 >= 1.25


def test_undecided_gives_the_reason_and_status_one(net: Path) -> None:
    done = run(net, "(assert (>= Y_0 1.25))", "--timeout", "0")
    assert (done.exit_code, done.stdout) == (1, "timeout\n")
    assert "time limit" in done.stderr
    done = run(net, "(assert (> Y_0 1.5))")
    assert (done.exit_code, done.stdout) == (1, "unknown\n")
    assert done.stderr.strip()


@pytest.mark.parametrize("bound", ["1.25", "1.6"])
def test_json(net: Path, bound: str) -> None:
    done = run(net, f"(assert (>= Y_0 {bound}))", "--json", "--seed", "3")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found["seed"] == 3
    result = VerifyResult.from_json(done.stdout)
    assert result.status == ("sat" if bound == "1.25" else "unsat")
    assert result.confirmation.startswith("onnxruntime")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("(assert (>= Y_0 1)", "p.vnnlib:5:1: '(' is never closed"),
        ("(assert (>= Y_0 Z))", "p.vnnlib:5:17: 'Z' is no number or declared name"),
        ("(assert (>= Y_0 X_0))", "line 5: links inputs with outputs"),
        ("(declare-const X_2 Real)(assert (= X_2 0))", "declares 3 inputs X"),
        ("(declare-const X_2 Real)", "input X_2 has no lower and no upper bound"),
    ],
)
def test_bad_input_is_one_line_and_status_two(net: Path, body: str, message: str) -> None:
    done = run(net, body)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_missing_and_damaged_files(net: Path, tmp_path: Path) -> None:
    assert run(tmp_path / "none.onnx", "").exit_code == 2
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(net.read_bytes()[:-7])
    done = run(bad, "(assert (>= Y_0 1))")
    assert done.exit_code == 2
    assert "bad.onnx" in done.stderr
    assert run(net, "(assert (>= Y_0 1))", "--timeout", "-1").exit_code == 2


def test_other_formats(tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    save_npz(Network.sequential([Affine([[1.0, 1.0]], [0.0])]), path)
    done = run(path, "(assert (>= Y_0 1.25))")
    assert done.stdout.startswith("sat\n((X_0 ")


def test_help_documents_the_exit_status() -> None:
    done = CliRunner().invoke(main, ["verify", "--help"])
    assert done.exit_code == 0
    assert "Exit status: 0 decided" in done.output
    assert "--witness" in done.output
