"""Properties that are legal and unusual, and their answers."""

from __future__ import annotations

import pytest

from mipnet.network import Affine, Network
from mipnet.search import verify
from mipnet.search.vnnlib import parse_property

#: Properties of ``y = x0 + 2 x1``, written in every way that is legal, and their answers.
ODD = [
    ("(assert (<= 0 X_0 1)) (assert (and (<= 0 X_1) (>= 1 X_1))) (assert (<= 2.5 Y_0))", "sat"),
    ("(assert (<= 0 X_0 1)) (assert (and (<= 0 X_1) (>= 1 X_1))) (assert (<= 3.5 Y_0))", "unsat"),
    (
        "; a box\r\n(assert\r\n(and (>= X_0 -1E0)(<= X_0 +1.e+0)(= X_1 .5)))\r\n"
        "(assert (< Y_0 1e-1))",
        "sat",
    ),
    ("(assert (and (>= X_0 -1) (<= X_0 1) (= X_1 5e-1))) (assert (< Y_0 -1e-1))", "unsat"),
    (
        "(assert (or (and (<= 0 X_0 1) (<= 0 X_1 1) (>= Y_0 9)) (and (<= 4 X_0 5) (<= 4 X_1 5)"
        " (or (<= Y_0 11) (>= Y_0 16)))))",
        "unsat",
    ),
    (
        "(assert (or (and (<= 0 X_0 1) (<= 0 X_1 1) (>= Y_0 9)) (and (<= 4 X_0 5) (<= 4 X_1 5)"
        " (or (<= Y_0 11) (>= Y_0 14.5)))))",
        "sat",
    ),
    (
        "(assert (and (or (<= 0 X_0 1) (<= 3 X_0 4)) (or (= X_1 0) (= X_1 2))))"
        "(assert (or (<= 4.25 Y_0 4.75) (>= Y_0 8.5)))",
        "sat",
    ),
    (
        "(assert (and (or (<= 0 X_0 1) (<= 3 X_0 4)) (or (= X_1 0) (= X_1 2))))"
        "(assert (or (<= 5.25 Y_0 6.75) (>= Y_0 8.5)))",
        "unsat",
    ),
    (
        "(assert (and (>= (* 2 X_0) (- 2)) (<= (+ X_0 (* 0.5 (- 4 2))) (/ 8 4))))"
        "(assert (= X_1 (- (* 3 0.25) 0.5))) (assert (>= (- (* 2 Y_0) (+ Y_0 1)) (* 0.25 2 1)))",
        "sat",
    ),
    (
        "(assert (and (>= (* 2 X_0) (- 2)) (<= (+ X_0 (* 0.5 (- 4 2))) (/ 8 4))))"
        "(assert (= X_1 (- (* 3 0.25) 0.5))) (assert (>= (- (* 2 Y_0) (+ Y_0 1)) (* 0.3 2 1)))",
        "unsat",
    ),
    ("(assert (and (> X_0 0) (< X_0 1) (> X_1 0) (< X_1 1))) (assert (> Y_0 2.99))", "sat"),
    ("(assert (and (> X_0 1) (< X_0 1) (= X_1 0))) (assert (>= Y_0 0))", "unsat"),
    (
        "(assert (or (and (= X_0 1) (= X_1 2) (= Y_0 5)) (and (= X_0 1) (= X_1 2) (= Y_0 4))))",
        "sat",
    ),
    ("(assert (and (= X_0 1) (= X_1 2))) (assert (or (< Y_0 5) (> Y_0 5)))", "unknown"),
    ("(assert (and (<= 0 X_0 1) (<= 0 X_1 1) (<= 1 1))) (assert (or (<= 1 0) (>= Y_0 2)))", "sat"),
]


@pytest.mark.parametrize(("text", "status"), ODD)
@pytest.mark.parametrize("order", [("X_0", "X_1", "Y_0"), ("Y_0", "X_1", "X_0")])
def test_odd_but_legal(text: str, status: str, order: tuple[str, ...]) -> None:
    net = Network.sequential([Affine([[1.0, 2.0]], [0.0])])
    head = "".join(f"(declare-const {name} Real)" for name in order)
    result = verify(net, parse_property(f"(set-logic QF_LRA)\n{head}\n{text}\n(check-sat)"))
    assert result.status == status, result
