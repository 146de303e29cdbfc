"""VNN-LIB: the normal form against direct evaluation, exact decimals, and malformed files."""

from __future__ import annotations

import gzip
import operator
from contextlib import suppress
from fractions import Fraction
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mipnet.errors import MipnetError, ReadError, RegionError, UnsupportedError
from mipnet.region import Box
from mipnet.search.vnnlib import Property, VnnlibError, parse_property, read_property
from mipnet.search.vnnlib import normal as normal_module
from mipnet.search.vnnlib.exact import Range, above, below

HEAD = "".join(f"(declare-const {v} Real)\n" for v in ("X_0", "X_1", "Y_0", "Y_1"))
BOX = "(assert (and (>= X_0 -1) (<= X_0 1) (>= X_1 -1.0) (<= X_1 1e0)))\n"


def prop(body: str) -> Property:
    return parse_property(HEAD + BOX + body)


def satisfied(found: Property, x: list[Fraction], y: list[Fraction]) -> bool:
    """Whether some case holds the inputs and one of its clauses the outputs."""
    return any(
        all(r.holds(v) for r, v in zip(found.ranges(case), x, strict=True))
        and any(all(c.holds(y) for c in clause) for clause in case.clauses)
        for case in found.cases
    )


# --- the normal form says what the file says --------------------------------------------------

QUARTERS = st.integers(-6, 6).map(lambda n: Fraction(n, 4))
COMPARE = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
COMPARE["="] = operator.eq
ARITHMETIC = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


def terms(names: list[str]) -> st.SearchStrategy[Any]:
    """Nested linear arithmetic as tuples."""
    leaves = st.one_of(QUARTERS, st.sampled_from(names))
    constants = st.recursive(
        QUARTERS, lambda inner: st.tuples(st.sampled_from("+-*"), inner, inner), max_leaves=2
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(st.sampled_from("+-"), inner, inner, inner),
            st.tuples(st.just("-"), inner),
            st.tuples(st.just("*"), constants, inner),
            st.tuples(st.just("*"), inner, constants),
            st.tuples(st.just("/"), inner, st.sampled_from([Fraction(2), Fraction(-4)])),
        ),
        max_leaves=4,
    )


COMPARISONS = st.one_of(
    st.tuples(st.sampled_from(list(COMPARE)), terms(["Y_0", "Y_1"]), terms(["Y_0", "Y_1"])),
    st.tuples(st.sampled_from(list(COMPARE)), terms(["X_0"]), QUARTERS),
    st.tuples(st.sampled_from(list(COMPARE)), QUARTERS, terms(["X_1"])),
    st.tuples(st.sampled_from(["<=", "<"]), QUARTERS, terms(["Y_0"]), QUARTERS),
)
FORMULAS = st.recursive(
    COMPARISONS,
    lambda inner: (
        st.tuples(st.sampled_from(["and", "or"]), inner, inner)
        | st.tuples(st.sampled_from(["and", "or"]), inner)
    ),
    max_leaves=6,
)


def written(node: Any) -> str:
    if isinstance(node, str):
        return node
    if isinstance(node, Fraction):
        return f"(- {float(-node)})" if node < 0 and node.denominator == 2 else str(float(node))
    return "(" + " ".join([node[0], *(written(part) for part in node[1:])]) + ")"


def value(node: Any, at: dict[str, Fraction]) -> Any:
    if isinstance(node, str):
        return at[node]
    if isinstance(node, Fraction):
        return node
    name, parts = node[0], [value(part, at) for part in node[1:]]
    if name == "and":
        return all(parts)
    if name == "or":
        return any(parts)
    if name in COMPARE:
        return all(COMPARE[name](a, b) for a, b in pairwise(parts))
    return reduce(ARITHMETIC[name], parts) if len(parts) > 1 else -parts[0]


@settings(max_examples=150)
@given(st.lists(FORMULAS, min_size=1, max_size=3), st.lists(QUARTERS, min_size=24, max_size=24))
def test_normal_form_agrees_with_evaluation(formulas: list[Any], numbers: list[Fraction]) -> None:
    found = prop("\n".join(f"(assert {written(f)})" for f in formulas))
    for k in range(0, len(numbers), 4):
        at = dict(zip(("X_0", "X_1", "Y_0", "Y_1"), numbers[k : k + 4], strict=True))
        inside = abs(at["X_0"]) <= 1 and abs(at["X_1"]) <= 1
        expected = inside and all(value(f, at) for f in formulas)
        assert satisfied(found, [at["X_0"], at["X_1"]], [at["Y_0"], at["Y_1"]]) == expected


def test_equal_boxes_are_one_case() -> None:
    found = prop(
        "(assert (or (and (<= X_0 0) (>= Y_0 1)) (and (<= X_0 0.0) (>= Y_1 1))"
        " (and (>= X_0 2) (>= Y_0 0)) (and (<= X_0 5) (<= Y_0 -3))))"
    )
    assert [len(case.clauses) for case in found.cases] == [2, 1]
    assert found.ranges(found.cases[0])[0] == Range(Fraction(-1), Fraction(0))
    assert found.cases[1].changes == {}


def test_contradictory_boxes_are_no_cases() -> None:
    assert prop("(assert (<= X_0 -1.5)) (assert (>= Y_0 0))").cases == ()
    assert prop("(assert (< X_0 -1))").cases == ()
    assert len(prop("(assert (<= X_0 -1))").cases) == 1
    assert prop("(assert (<= 1 0))").cases == ()


# --- decimals are exact -----------------------------------------------------------------------

DECIMALS = st.tuples(st.integers(-(10**20), 10**20), st.integers(-40, 20)).map(
    lambda pair: Fraction(pair[0]) * Fraction(10) ** pair[1]
)


@given(DECIMALS, DECIMALS, st.booleans(), st.booleans())
def test_ends_lie_on_the_right_side(
    a: Fraction, b: Fraction, open_lower: bool, open_upper: bool
) -> None:
    found = Range(min(a, b), max(a, b), open_lower, open_upper)
    low, high, inner_low, inner_high = found.ends()
    assert Fraction(low) <= min(a, b) <= Fraction(np.nextafter(low, np.inf))
    assert Fraction(np.nextafter(high, -np.inf)) <= max(a, b) <= Fraction(high)
    assert low <= inner_low <= inner_high <= high
    if found.empty:
        return
    for end in (inner_low, inner_high):
        text = found.text(end)
        assert text is None or (found.holds(Fraction(text)) and float(text) == end)
        assert found.holds(Fraction(end)) or inner_low == inner_high
    if a != b or not (open_lower or open_upper):
        assert found.text(inner_low) is not None or (open_lower and open_upper)


@given(st.floats(allow_nan=False, allow_infinity=False), st.fractions())
def test_rounding_is_tight(x: float, q: Fraction) -> None:
    assert below(Fraction(x)) == above(Fraction(x)) == x
    assert Fraction(below(q)) <= q <= Fraction(above(q))
    assert below(q) == above(q) or np.nextafter(below(q), np.inf) == above(q)


def test_a_single_point_keeps_its_digits() -> None:
    digits = "0.41896185943020381234567"
    body = f"(assert (= X_0 {digits}))(assert (= X_1 -0.1))(assert (>= Y_0 0))"
    found = prop(body)
    [case] = found.cases
    box = found.region(case, "float32")
    assert Fraction(box.lower[0]) < Fraction(digits) < Fraction(box.upper[0])
    assert found.texts(case, box.centre) == [digits, "-0.1"]


def test_box_of_witnesses_is_of_single_precision_where_possible() -> None:
    found = prop("(assert (and (>= X_0 0.1) (<= X_0 0.3) (= X_1 0.1) (>= Y_0 0)))")
    [case] = found.cases
    box = found.region(case, "float32")
    # The float32 values nearest to 0.1 and 0.3 both lie above them.
    assert box.inner_lower[0] == float(np.float32(0.1))
    assert box.inner_upper[0] == float(np.nextafter(np.float32(0.3), np.float32(0)))
    assert box.inner_lower[1] == box.inner_upper[1] == 0.1


def test_inner_box_must_lie_within() -> None:
    box = Box([0.0, 0.0], [1.0, 1.0], inner=([0.25, 0.0], [0.5, 1.0]))
    assert box.centre.tolist() == [0.5, 0.5]
    assert box.project(np.array([[2.0, -1.0]])).tolist() == [[0.5, 0.0]]
    assert not box.contains(np.array([0.75, 0.5]))
    assert box.minimise(np.array([[[1.0, -1.0]]]))[0, 0] == pytest.approx(-1.0)
    for inner in (([-0.1, 0.0], [0.5, 1.0]), ([0.0, 0.0], [0.5, 1.1]), ([0.0], [0.5])):
        with pytest.raises(RegionError, match="inner"):
            Box([0.0, 0.0], [1.0, 1.0], inner=inner)


def test_an_input_between_floats_has_no_decimal_only_if_none_ends() -> None:
    found = prop("(assert (= (* 3 X_0) 1)) (assert (>= Y_0 0))")
    [case] = found.cases
    box = found.region(case)
    assert Fraction(box.lower[0]) < Fraction(1, 3) < Fraction(box.upper[0])
    assert found.texts(case, box.centre) is None


@given(
    st.lists(DECIMALS.filter(lambda c: c != 0), min_size=2, max_size=2),
    DECIMALS,
    st.lists(st.fractions(max_denominator=50), min_size=2, max_size=2),
)
def test_rows_leave_nothing_out(
    slopes: list[Fraction], offset: Fraction, y: list[Fraction]
) -> None:
    parts = [f"(* {_text(c)} Y_{j})" for j, c in enumerate(slopes)]
    try:
        found = prop(f"(assert (>= (+ {' '.join(parts)}) {_text(offset)}))")
    except UnsupportedError:
        return
    [case] = found.cases
    rows, offsets = found.stack(case.clauses).rows, found.stack(case.clauses).offsets
    exact = slopes[0] * y[0] + slopes[1] * y[1] - offset
    rounded = sum(Fraction(r) * v for r, v in zip(rows[0], y, strict=True)) + Fraction(offsets[0])
    assert rounded >= 0 or exact < 0
    # The same halfplane but for the constant: slopes are in exact proportion.
    assert Fraction(rows[0][0]) * slopes[1] == Fraction(rows[0][1]) * slopes[0]


def _text(q: Fraction) -> str:
    return f"(/ {q.numerator}.0 {q.denominator})"


def test_coefficients_that_are_no_floats_are_scaled() -> None:
    found = prop("(assert (<= (* 0.1 Y_0) (+ (* 0.3 Y_1) 7)))")
    rows = found.stack(found.cases[0].clauses).rows
    assert rows[0][1] == -3.0 * rows[0][0]
    with pytest.raises(UnsupportedError, match="Y_0, Y_1"):
        prop("(assert (<= (* 0.1234567890123456789 Y_0) (* 0.3333333333333333333 Y_1)))")


def test_margin_is_exact() -> None:
    found = prop("(assert (>= Y_0 0.1))")
    [[clause]] = [case.clauses for case in found.cases]
    tenth = np.array([0.1, 0.0])
    assert found.margin(clause, tenth)[0]
    assert not found.margin(clause, np.nextafter(tenth, -1.0))[0]
    assert not found.margin(clause, np.array([np.nan, 0.0]))[0]
    [[strict]] = [case.clauses for case in prop("(assert (> Y_0 0.5))").cases]
    assert found.margin(strict, np.array([0.5, 0.0])) == (False, 0.0)


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


# --- files ------------------------------------------------------------------------------------


def test_files(tmp_path: Path) -> None:
    text = HEAD + BOX + "; caf\u00e9\n(set-logic QF_LRA)\n(assert (>= Y_0 0))(check-sat)"
    plain, packed, latin = (tmp_path / n for n in ("a.vnnlib", "b.vnnlib.gz", "c.vnnlib"))
    plain.write_text(text, encoding="utf-8-sig")
    packed.write_bytes(gzip.compress(text.encode()))
    latin.write_bytes(text.encode("latin-1"))
    for path in (plain, packed, latin):
        assert len(read_property(path).cases) == 1
    packed.write_bytes(packed.read_bytes()[:-20])
    for path in (packed, tmp_path / "none.vnnlib", tmp_path):
        with pytest.raises(ReadError, match="cannot be read"):
            read_property(path)
    (tmp_path / "d.vnnlib").write_bytes(bytes(range(256)))
    with pytest.raises(VnnlibError):
        read_property(tmp_path / "d.vnnlib")


def test_declare_fun_and_windows_line_ends() -> None:
    text = (HEAD + BOX).replace("declare-const X_0", "declare-fun X_0 ()").replace("\n", "\r\n")
    with pytest.raises(VnnlibError, match=":6:9: "):
        parse_property(text + "(assert x)")
    assert len(parse_property(text + "(assert (>= Y_0 .5))").cases) == 1
