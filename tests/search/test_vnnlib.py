"""VNN-LIB: the normal form against direct evaluation, exact decimals, and malformed files."""

from __future__ import annotations

import gzip
import operator
from fractions import Fraction
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mipnet.errors import ReadError, RegionError, UnsupportedError
from mipnet.region import Box
from mipnet.search.vnnlib import Property, VnnlibError, parse_property, read_property
from mipnet.search.vnnlib.exact import Range, above, below
from tests.search.vnnlib_cases import BOX, HEAD, prop


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
