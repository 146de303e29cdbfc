"""verify against enumeration, independent checks of counterexamples, and fail-closed behaviour."""

from __future__ import annotations

import importlib
import re
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from mipnet.errors import QueryError, ReadError, RegionError, SolverError, UnsupportedError
from mipnet.network import Affine, Network
from mipnet.search.decide import Decision
from mipnet.search.reference import OnnxReference, reference
from mipnet.search.verify import verify
from mipnet.search.verify_result import VerifyResult
from tests.search.search_cases import largest_margin, random_network
from tests.search.verify_cases import ask, boxed, declared, line, save

module = importlib.import_module("mipnet.search.verify")


def rounded(network: Network) -> Network:
    """The same with float32 parameters."""
    layers = {
        n.name: Affine(n.layer.weight.astype(np.float32), n.layer.bias.astype(np.float32))
        for n in network.nodes
        if isinstance(n.layer, Affine)
    }
    return replace(network.with_layers(layers), dtype="float32")


def check(result: VerifyResult, path: Path, boxes: list[list[tuple[str, str]]]) -> np.ndarray:
    """Read the printed counterexample as a stranger would, and return the outputs of the model."""
    entries = re.findall(r"\((\w_\d+) ([^\s()]+)\)", result.counterexample())
    inputs = [text for name, text in entries if name.startswith("X")]
    printed = [float(text) for name, text in entries if name.startswith("Y")]
    assert [name for name, _ in entries][: len(inputs)] == [f"X_{i}" for i in range(len(inputs))]
    assert any(
        all(
            Fraction(low) <= Fraction(text) <= Fraction(high)
            for text, (low, high) in zip(inputs, box, strict=True)
        )
        for box in boxes
    )
    x = np.array([float(text) for text in inputs])
    assert result.point is not None
    assert x.tolist() == result.point.tolist()
    assert x.astype(np.float32).astype(float).tolist() == x.tolist()
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs = np.asarray(session.run(None, {"x": x.astype(np.float32)[None]})[0]).reshape(-1)
    assert outputs.astype(float).tolist() == printed
    return outputs


@pytest.mark.parametrize("seed", range(16))
def test_agrees_with_enumeration(seed: int, tmp_path: Path) -> None:
    """Two boxes, and every class that passes class 0 by a threshold."""
    net = rounded(random_network(seed, (3, 4, 3, 3), 1.5))
    path = save(net, tmp_path / "net.onnx", batch="N" if seed % 2 else 1)
    rng = np.random.default_rng(seed)
    boxes, worst = [], -np.inf
    threshold = f"{rng.uniform(0.0, 1.5):.3f}"
    for _ in range(2):
        centre, radius = rng.uniform(-0.7, 0.7, 3).round(2), 0.25
        boxes.append([(f"{c - radius:.4f}", f"{c + radius:.4f}") for c in centre])
        worst = max(worst, *(largest_margin(net, centre, radius, "linf", 0, t) for t in (1, 2)))
    worst -= float(threshold)
    either = " ".join("(and " + boxed(*map(list, zip(*b, strict=True))) + ")" for b in boxes)
    text = declared(3, 3) + f"(assert (or {either}))(assert (or (>= Y_1 (+ Y_0 {threshold}))"
    prop = tmp_path / "p.vnnlib"
    prop.write_text(text + f"(<= (- Y_0 Y_2) (- {threshold}))))")
    result = verify(path, prop, timeout=60.0)
    assert result.confirmation.startswith("onnxruntime")
    if result.status == "sat":
        y = check(result, path, boxes)
        assert max(float(y[1]) - float(y[0]), float(y[2]) - float(y[0])) >= float(threshold)
        assert worst > -1e-6
    else:
        assert result.status == "unsat"
        assert worst < 0.0
        assert sum(result.methods.values()) == 4


def test_both_answers_occur(tmp_path: Path) -> None:
    net = rounded(random_network(0, (3, 4, 3, 3), 1.5))
    path = save(net, tmp_path / "net.onnx")
    corners = np.array(list(product((0.0, 1.0), repeat=3)))
    least, most = float(net(corners)[:, 0].min()), float(net(corners)[:, 0].max())
    box = "(assert (and " + boxed(["0"] * 3, ["1"] * 3) + "))"
    inside = ask(path, box + f"(assert (>= Y_0 {0.5 * (least + most):.5f}))", 3, 3)
    assert inside.status == "sat"
    assert ask(path, box + "(assert (>= Y_0 1e3))", 3, 3).status == "unsat"


# --- boxes and conjunctions -------------------------------------------------------------------


def test_one_of_many_boxes() -> None:
    boxes = " ".join(f"(and (>= X_0 {k}) (<= X_0 {k}.5))" for k in range(40))
    text = f"(assert (or {boxes})) (assert (and (>= Y_0 17.2) (<= Y_0 17.3)))"
    result = ask(line(), text)
    assert result.status == "sat"
    assert 17.2 <= result.point[0] <= 17.3
    assert {c.outcome for c in result.cases[:17]} == {"excluded"}
    between = text.replace("17.2", "17.6").replace("17.3", "17.9")
    result = ask(line(), between, timeout=60.0)
    assert result.status == "unsat"
    assert len(result.cases) == 40


def test_many_clauses_are_asked_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 3)
    clauses = " ".join(f"(and (>= Y_0 {k}.2) (<= Y_0 {k}.4))" for k in range(8))
    text = f"(assert (and (>= X_0 0.5) (<= X_0 0.9))) (assert (or {clauses}))"
    result = ask(line(), text)
    assert result.status == "unsat"
    assert [len(c.clauses) for c in result.cases] == [3, 3, 2]
    names = [c.name.split(" (")[0] for part in result.cases for c in part.clauses]
    assert names == [f"clause {k}" for k in range(8)]
    assert ask(line(), text.replace("0.9", "7.3")).status == "sat"


def test_contradictory_boxes_are_unsat_and_not_asked() -> None:
    text = "(assert (or (and (>= X_0 1) (<= X_0 0)) (and (>= X_0 0) (<= X_0 1) (>= Y_0 2))))"
    result = ask(line(), text)
    assert (result.status, len(result.cases)) == ("unsat", 1)
    empty = ask(line(), "(assert (and (>= X_0 1) (<= X_0 0) (>= Y_0 0)))")
    assert (empty.status, empty.cases) == ("unsat", ())


def test_no_constraint_on_outputs_is_any_point() -> None:
    result = ask(line(), "(assert (and (>= X_0 2) (<= X_0 3)))")
    assert result.status == "sat"
    assert 2.0 <= result.point[0] <= 3.0


def test_strict_constraints_need_more_than_a_tie() -> None:
    """The least output over the box is exactly 0."""
    box = "(assert (and (>= X_0 0) (<= X_0 1)))"
    assert ask(line(), box + "(assert (<= Y_0 0))").status == "sat"
    strict = ask(line(), box + "(assert (< Y_0 0))")
    assert strict.status == "unknown"
    assert strict.reason
    assert ask(line(), box + "(assert (< Y_0 (- 0.01)))").status == "unsat"
    mixed = box + "(assert (and (< Y_0 0.25) (>= Y_0 0.125)))"
    found = ask(line(), mixed)
    assert found.status == "sat"
    assert 0.125 <= found.outputs[0] < 0.25


def test_strict_bounds_of_inputs_exclude_the_end() -> None:
    text = "(assert (and (> X_0 0) (< X_0 1) (>= Y_0 {})))"
    assert ask(line(), text.format("1")).status == "unknown"
    found = ask(line(), text.format("0.999"))
    assert found.status == "sat"
    assert 0.999 <= found.point[0] < 1.0


def test_equalities_can_be_met() -> None:
    constant = Network.sequential([Affine([[0.0], [1.0]], [0.5, 0.0])])
    text = "(assert (and (>= X_0 0) (<= X_0 1) (= Y_0 0.5) (= X_0 0.25)))"
    found = ask(constant, text, 1, 2)
    assert found.status == "sat"
    assert found.inputs == ("0.25",)


def test_decimal_ends_are_not_floats() -> None:
    """0.1 as a float exceeds 1/10, so the float is no point of the box."""
    text = "(assert (and (>= X_0 0) (<= X_0 0.1) (>= Y_0 {})))"
    assert ask(line(), text.format("0.1")).status == "unknown"
    assert ask(line(), text.format("0.1000002")).status == "unsat"
    found = ask(line(), text.format("0.0999999999"))
    assert found.status == "sat"
    assert Fraction(found.inputs[0]) <= Fraction(1, 10)
    assert Fraction(found.point[0]) <= Fraction(1, 10)


def test_a_point_written_in_decimals_is_its_own_counterexample() -> None:
    digits = "0.41896185943020381234567"
    found = ask(line(), f"(assert (and (= X_0 {digits}) (>= Y_0 0.4)))")
    assert found.status == "sat"
    assert found.inputs == (digits,)
    third = ask(line(), "(assert (and (= (* 3 X_0) 1) (>= Y_0 0.3)))")
    assert third.status == "unknown"
    assert "decimal" in third.reason
    assert ask(line(), "(assert (and (= (* 3 X_0) 1) (>= Y_0 0.4)))").status == "unsat"


# --- confirmation by the model ----------------------------------------------------------------


class Model:
    """Stands for onnxruntime: the network plus an error."""

    name = "model"

    def __init__(self, network: Network, error: float) -> None:
        self.network, self.error, self.dtype = network, error, np.float32

    def __call__(self, point: np.ndarray) -> np.ndarray:
        return self.network(point).reshape(-1) + self.error


def with_model(monkeypatch: pytest.MonkeyPatch, model: Any) -> None:
    monkeypatch.setattr(module, "reference", lambda *_: (model, "model"))


def test_counterexample_is_moved_until_the_model_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    with_model(monkeypatch, Model(line(), -4e-4))
    text = "(assert (and (>= X_0 0) (<= X_0 1) (>= Y_0 {})))"
    found = ask(line(), text.format("0.4999"))
    assert found.status == "sat"
    assert found.margin_reference > 0.0
    assert found.outputs[0] == pytest.approx(found.point[0] - 4e-4)
    beyond = ask(line(), text.format("0.9999"))
    assert beyond.status == "unknown"
    assert "model" in beyond.reason
    assert beyond.cases[0].clauses[0].outcome == "open"


def test_another_clause_is_asked_after_an_unconfirmed_point(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = Network.sequential([Affine([[1.0], [0.25]], [0.0, 0.0])])
    with_model(monkeypatch, Model(net, -4e-4))
    text = "(assert (and (>= X_0 0) (<= X_0 1))) (assert (or (>= Y_0 0.9999) (>= Y_1 0.24)))"
    found = ask(net, text, 1, 2)
    assert found.status == "sat"
    assert found.outputs[1] >= 0.24


def test_a_model_read_otherwise_is_decided_neither_way(monkeypatch: pytest.MonkeyPatch) -> None:
    box = "(assert (and (>= X_0 0) (<= X_0 1)))"
    for question in ("(assert (>= Y_0 0.5))", "(assert (>= Y_0 5))"):
        with_model(monkeypatch, Model(line(), 0.1))
        result = ask(line(), box + question)
        assert result.status == "unknown"
        assert "differs" in result.reason
    with_model(monkeypatch, Model(Network.sequential([Affine([[1.0], [1.0]], [0, 0])]), 0.0))
    assert "2 outputs" in ask(line(), box + "(assert (>= Y_0 5))").reason


def test_model_that_fails_is_no_confirmation(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(Model):
        def __call__(self, point: np.ndarray) -> np.ndarray:
            msg = "out of order"
            raise QueryError(msg)

    with_model(monkeypatch, Failing(line(), 0.0))
    result = ask(line(), "(assert (and (>= X_0 0) (<= X_0 1) (>= Y_0 0.5)))")
    assert result.status == "unknown"
    assert "out of order" in result.reason


def test_without_onnxruntime_the_result_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = save(line(), tmp_path / "net.onnx")
    text = "(assert (and (>= X_0 0) (<= X_0 1) (>= Y_0 0.5)))"
    assert ask(path, text).confirmation == f"onnxruntime {ort.__version__}"
    assert ask(line(), text).confirmation == "not an ONNX model"
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    result = ask(path, text)
    assert (result.status, result.confirmation) == ("sat", "onnxruntime is not installed")


def test_model_in_bytes_and_damaged_model(tmp_path: Path) -> None:
    path = save(random_network(0, (3, 4, 2)), tmp_path / "net.onnx", "N")
    model, name = reference(path.read_bytes(), random_network(0, (3, 4, 2)), 1)
    assert name.startswith("onnxruntime")
    assert model(np.zeros(3)).shape == (2,)
    assert isinstance(reference(onnx.load(path), line(), 1)[0], OnnxReference)
    with pytest.raises(QueryError, match="does not take"):
        reference(b"\x08damaged..", line(), 1)


# --- fail closed ------------------------------------------------------------------------------


HALF = "(assert (and (>= X_0 0) (<= X_0 1) (>= Y_0 0.5)))"


def test_a_wrong_witness_of_the_engine_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Decision.run

    def lies(self: Decision) -> None:
        run(self)
        if self.witness is not None:
            self.witness = replace(self.witness, point=np.zeros(1))

    monkeypatch.setattr(Decision, "run", lies)
    monkeypatch.setattr(module._Search, "improved", lambda *_: np.zeros((1, 1)))
    result = ask(line(), HALF)
    assert result.status == "unknown"
    assert "margin is -0.5" in result.reason


def test_an_error_of_the_engine_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Decision) -> None:
        msg = "the solver broke"
        raise SolverError(msg)

    monkeypatch.setattr(Decision, "run", fails)
    result = ask(line(), HALF)
    assert (result.status, result.reason) == ("unknown", "the solver broke")


def test_interrupt_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Decision) -> None:
        self.reason = "interrupted"

    monkeypatch.setattr(Decision, "run", interrupted)
    result = ask(line(), HALF, timeout=50.0)
    assert (result.status, result.reason) == ("unknown", "interrupted")


def test_time_that_is_up_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(line(), HALF, timeout=0.0).status == "timeout"
    limits = []

    def late(self: Decision) -> None:
        limits.append(self.watch.limit)
        self.reason = "time limit reached"

    monkeypatch.setattr(Decision, "run", late)
    boxes = "(or (and (>= X_0 0) (<= X_0 1)) (and (>= X_0 2) (<= X_0 3)))"
    result = ask(line(), f"(assert {boxes}) (assert (>= Y_0 9))", timeout=8.0)
    assert result.status == "timeout"
    # Twice through both boxes, and never more than is left.
    assert len(limits) == 4
    assert limits[0] == pytest.approx(2.0, rel=0.1)
    assert max(limits) <= 8.0


# --- questions that do not fit ----------------------------------------------------------------


def test_bad_questions(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="declares 2 inputs X"):
        ask(line(), "(assert (and (= X_0 0) (= X_1 0) (>= Y_0 0)))", 2)
    with pytest.raises(QueryError, match="declares 2 outputs Y"):
        ask(line(), HALF, 1, 2)
    for timeout in (-1.0, float("nan"), float("inf")):
        with pytest.raises(QueryError, match="timeout"):
            ask(line(), HALF, timeout=timeout)
    with pytest.raises(RegionError, match="X_0"):
        ask(line(), "(assert (>= Y_0 0))")
    with pytest.raises(UnsupportedError, match="links"):
        ask(line(), "(assert (>= Y_0 X_0))")
    with pytest.raises(ReadError, match="no such file"):
        ask(tmp_path / "none.onnx", HALF)
    with pytest.raises(ReadError, match="cannot be read"):
        verify(line(), tmp_path / "none.vnnlib")
