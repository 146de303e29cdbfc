"""VNN-LIB: what is refused, and where; depth and size."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mipnet.errors import MipnetError, RegionError, UnsupportedError
from mipnet.search.vnnlib import VnnlibError, parse_property
from mipnet.search.vnnlib import normal as normal_module
from mipnet.search.vnnlib.exact import Range
from tests.search.vnnlib_cases import BOX, HEAD, prop

# --- what is refused, and where ---------------------------------------------------------------

PLACES = [
    ("(assert (<= Y_0 1)", 6, 1, "never closed"),
    ("(assert (<= Y_0 1)))", 6, 20, "without"),
    ("\n  (assert (<= Y_0 Y_7))", 7, 19, "'Y_7'"),
    ("(assert (<= Y_0))", 6, 9, "at least two"),
    ("(assert (<= Y_0 0x10))", 6, 17, "0x10"),
    ("(assert (<= Y_0 1e9999999999))", 6, 17, "out of range"),
    ("(assert (<= Y_0 " + "9" * 5000 + "))", 6, 17, "out of range"),
    ("(assert (<= (* Y_0 Y_1) 1))", 6, 13, "linear"),
    ("(assert (<= (/ 1 Y_1) 1))", 6, 13, "linear"),
    ("(assert (<= (/ Y_1 (- 1 1)) 1))", 6, 13, "zero"),
    ("(assert (<= (+) 1))", 6, 13, "too few"),
    ("(assert (<= (foo Y_0) 1))", 6, 13, "'foo'"),
    ("(assert (<= ((Y_0)) 1))", 6, 13, "no operator"),
    ("(assert (not (<= Y_0 1)))", 6, 9, "'not'"),
    ("(assert (let ((a 1)) (<= Y_0 a)))", 6, 9, "'let'"),
    ("(assert (or))", 6, 9, "at least one"),
    ("(assert true)", 6, 9, "'true'"),
    ("(assert)", 6, 1, "one formula"),
    ("assert", 6, 1, "'assert'"),
    ("()", 6, 1, "command"),
    ("(define-fun f () Real 1)", 6, 1, "define-fun"),
    ("(vnnlib-version <2.0>)", 6, 1, "version 1.0"),
    ("(declare-const X_0 Real)", 6, 16, "twice"),
    ("(declare-const X_3 Real)", 6, 16, "X_2"),
    ("(declare-const Z Real)", 6, 16, "'Z'"),
    ("(declare-const Y_02 Real)", 6, 16, "'Y_02'"),
    ("(declare-const X_2 Int)", 6, 20, "'Int'"),
    ("(declare-const X_2)", 6, 1, "name and a type"),
    ("(declare-fun X_2 (Real) Real)", 6, 1, "arguments"),
    ('(set-info :source "never ends)', 6, 19, "never closed"),
    ("(set-info |x)", 6, 11, "never closed"),
]


@pytest.mark.parametrize(("body", "line", "column", "what"), PLACES)
def test_malformed_files_name_the_place(body: str, line: int, column: int, what: str) -> None:
    with pytest.raises(VnnlibError) as caught:
        parse_property(HEAD + BOX + body, "p.vnnlib")
    assert (caught.value.line, caught.value.column) == (line, column), caught.value
    assert what in str(caught.value)
    assert str(caught.value).startswith(f"p.vnnlib:{line}:{column}: ")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("text", ["", "; nothing\n", "(declare-const X_0 Real)", "\0", "(" * 9])
def test_files_without_a_question_are_refused(text: str) -> None:
    with pytest.raises(VnnlibError):
        parse_property(text)


def test_declarations_in_any_order() -> None:
    names = ["Y_1", "X_1", "Y_0", "X_0"]
    text = "".join(f"(declare-const {name} Real)\n" for name in names)
    found = parse_property(text + BOX + "(assert (>= Y_1 0.5))")
    assert (found.n_inputs, found.n_outputs) == (2, 2)
    assert found.ranges(found.cases[0]) == [Range(Fraction(-1), Fraction(1))] * 2
    assert found.stack(found.cases[0].clauses).rows.tolist() == [[0.0, 1.0]]
    between = text.replace("(declare-const X_0 Real)", "") + "(declare-const X_0 Real)" + BOX
    assert parse_property(between + "(assert (>= Y_1 0.5))").n_inputs == 2


def test_a_missing_declaration_is_named_at_the_last_one() -> None:
    for names, missing in ((["X_1", "Y_0"], "X_0"), (["X_0", "Y_2", "Y_0"], "Y_1")):
        text = "".join(f"(declare-const {name} Real)\n" for name in names)
        with pytest.raises(VnnlibError, match=f"is declared, {missing} is not") as caught:
            parse_property(text)
        last = max(names, key=lambda name: (name[0] == missing[0], name))
        assert caught.value.line == names.index(last) + 1
    with pytest.raises(VnnlibError, match="X_0 is not"):
        parse_property("(declare-const X_999999999 Real)(declare-const Y_0 Real)")


def test_unsupported_constraints_are_all_listed() -> None:
    with pytest.raises(UnsupportedError) as caught:
        prop("(assert (<= X_0 Y_0))\n(assert (or (<= (+ X_0 X_1) 1)\n (>= Y_0 1)))")
    assert len(caught.value.operations) == 2
    assert "line 6: links inputs with outputs (X_0, Y_0)" in str(caught.value)
    assert "line 7: links several inputs (X_0, X_1)" in str(caught.value)


def test_variables_that_cancel_are_no_links() -> None:
    assert prop("(assert (<= (- X_0 X_0) Y_0))").cases[0].changes == {}


def test_missing_bounds_name_the_input() -> None:
    with pytest.raises(RegionError, match="X_1 has no upper bound"):
        parse_property(HEAD + "(assert (and (>= X_0 0) (<= X_0 1) (>= X_1 0) (>= Y_0 0)))")
    with pytest.raises(RegionError, match="X_0 has no lower and no upper bound"):
        parse_property(HEAD + "(assert (>= Y_0 0))")
    with pytest.raises(RegionError, match="X_1 has no lower"):
        parse_property(HEAD + "(assert (and (= X_0 0) (<= X_1 0) (or (>= X_1 0) (>= Y_0 0))))")


def test_too_many_disjuncts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnsupportedError, match="100000 disjuncts"):
        prop("(assert (and " + "(or (<= Y_0 1) (>= Y_0 0))" * 40 + "))")
    monkeypatch.setattr(normal_module, "STEPS", 10)
    with pytest.raises(UnsupportedError, match="disjuncts"):
        prop("(assert (or " + "(and (<= Y_0 1) (<= Y_1 1))" * 10 + "))")


def test_bounds_too_large_for_floats_are_refused() -> None:
    found = prop("(assert (<= X_0 1e390)) (assert (>= Y_0 0))")
    assert found.region(found.cases[0]).upper[0] == 1.0
    with pytest.raises(UnsupportedError, match="floats"):
        prop("(assert (<= Y_0 1e390))")
    text = HEAD + BOX.replace("1e0", "1e390") + "(assert (>= Y_0 0))"
    wide = parse_property(text)
    with pytest.raises(RegionError, match="finite"):
        wide.region(wide.cases[0])


# --- size -------------------------------------------------------------------------------------


DEEP = 20000


@pytest.mark.parametrize(
    "body",
    [
        "(assert " + "(and " * DEEP + "(<= Y_0 1)" + ")" * DEEP + ")",
        "(assert (<= " + "(+ 1 " * DEEP + "Y_0" + ")" * DEEP + " 1))",
        "(assert (<= " + "(- " * DEEP + "Y_0" + ")" * DEEP + " 1))",
        "(assert " + "(or (<= Y_0 1) (and (<= Y_1 1) " * 500 + "(<= Y_0 1)" + "))" * 500 + ")",
    ],
    ids=["and", "plus", "minus", "alternating"],
)
def test_deep_nesting_is_read_without_recursion(body: str) -> None:
    assert len(prop(body).cases) == 1


@pytest.mark.parametrize(
    "body",
    [
        "(assert " + "(" * DEEP + ")" * DEEP + ")",
        "(" * DEEP,
        "(assert (<= " + "(* 1.5 " * DEEP + "Y_0" + ")" * DEEP + " 1))",
    ],
    ids=["parentheses", "open", "power"],
)
def test_deep_nonsense_is_refused_without_recursion(body: str) -> None:
    with pytest.raises(VnnlibError):
        prop(body)


def test_thousands_of_boxes() -> None:
    boxes = "\n".join(
        f"(and (>= X_0 0.{k:04d}) (<= X_0 0.{k:04d}5) (or (>= Y_0 1) (<= Y_1 0)))"
        for k in range(2000)
    )
    found = prop(f"(assert (or {boxes}))")
    assert len(found.cases) == 2000
    assert all(len(case.clauses) == 2 for case in found.cases)


PIECES = [
    *("(", ")", "(assert ", "(and ", "(or ", "(<= ", "(+ ", "(* ", "(/ ", "X_0 ", "Y_1 ", "-1.5 "),
    *("0 ", "; x\n", '"', "|", "\n", "(>= Y_0 0)", "é", "(declare-const X_2 Real)"),
]


@settings(max_examples=200)
@given(st.lists(st.sampled_from(PIECES), max_size=25))
def test_any_text_is_read_or_refused(pieces: list[str]) -> None:
    with suppress(MipnetError):
        assert prop("".join(pieces)).n_outputs == 2
