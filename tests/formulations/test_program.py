"""Programs: growth by blocks, freezing, completion, and refusal of malformed parts."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from formulations import AffineForm, Program


def small() -> tuple[Program, AffineForm]:
    program = Program()
    x = AffineForm.of_columns(program.add_columns([-1.0, -2.0], [1.0, 2.0]))
    return program, x


def test_freeze_keeps_order_constants_and_widths() -> None:
    program, x = small()
    program.add_rows(x.shift(np.array([0.5, -0.5])), lower=[-1.0, -np.inf], upper=0.0)
    z = AffineForm.of_columns(program.add_columns([0.0], [1.0], integer=True))
    program.add_rows(x.sum() + z, lower=-np.inf, upper=3.0)
    arrays = program.freeze(z.shift(np.array([4.0])))
    assert arrays.matrix.toarray().tolist() == [[1, 0, 0], [0, 1, 0], [1, 1, 1]]
    assert arrays.row_lower.tolist() == [-1.5, -np.inf, -np.inf]
    assert arrays.row_upper.tolist() == [-0.5, 0.5, 3.0]
    assert arrays.integer.tolist() == [False, False, True]
    assert (arrays.n_columns, arrays.n_rows, arrays.n_nonzeros, arrays.n_binaries) == (3, 3, 5, 1)
    assert arrays.objective(np.array([9.0, 9.0, 1.0])) == 5.0


def test_freeze_leaves_the_program_open() -> None:
    program, x = small()
    before = program.freeze()
    program.add_rows(x, lower=0.0, upper=1.0)
    assert before.n_rows == 0
    assert program.freeze().n_rows == 2


def test_empty_program() -> None:
    arrays = Program().freeze()
    assert (arrays.n_columns, arrays.n_rows, arrays.n_nonzeros) == (0, 0, 0)
    assert arrays.violation(np.zeros(0)) == 0.0
    assert arrays.objective(np.zeros(0)) == 0.0


def test_empty_block_of_rows_is_nothing() -> None:
    program, x = small()
    program.add_rows(x.select(np.zeros(0, dtype=np.intp)), lower=0.0, upper=0.0)
    assert program.n_rows == program.freeze().n_rows == 0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.5, 1.0, 1.0], 0.0),
        ([1.25, 0.0, 0.0], 0.25),  # above its column bound
        ([1.0, -2.5, 0.0], 0.5),  # below its column bound
        ([1.0, 2.0, 0.0], 1.0),  # above the row side
        ([-1.0, -2.0, 0.0], 2.0),  # below the row side
        ([0.0, 0.0, 0.25], 0.25),  # fractional
    ],
)
def test_violation(values: list[float], expected: float) -> None:
    program, x = small()
    program.add_columns([0.0], [1.0], integer=True)
    program.add_rows(x.sum(), lower=-1.0, upper=2.0)
    assert program.freeze().violation(np.array(values)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("lower", "upper"),
    [([0.0, 1.0], [1.0, 0.0]), ([np.nan], [1.0]), ([0.0], [np.nan]), ([0], [1, 2])],
)
def test_bad_column_bounds_are_refused(lower: list[float], upper: list[float]) -> None:
    with pytest.raises(ValueError, match="column bounds"):
        Program().add_columns(lower, upper)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_coefficients_that_are_not_finite_are_refused(bad: float) -> None:
    program, x = small()
    program.add_rows(x.affine(np.array([[1.0, bad]]), np.zeros(1)), lower=0.0, upper=1.0)
    with pytest.raises(ValueError, match="finite"):
        program.freeze()


@pytest.mark.parametrize("side", ["lower", "upper"])
def test_nan_sides_are_refused(side: str) -> None:
    program, x = small()
    program.add_rows(x, **{"lower": -1.0, "upper": 1.0, side: np.nan})
    with pytest.raises(ValueError, match="NaN"):
        program.freeze()


@pytest.mark.parametrize("where", ["coefficient", "constant"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_objective_that_is_not_finite_is_refused(where: str, bad: float) -> None:
    program, x = small()
    form = x.sum()
    form = form.scale(np.array([bad])) if where == "coefficient" else form.shift(np.array([bad]))
    with pytest.raises(ValueError, match="finite"):
        program.freeze(form)


def test_rows_over_columns_that_do_not_exist_are_refused() -> None:
    program, _ = small()
    foreign = AffineForm.of_columns(np.array([7], dtype=np.int32))

    def build() -> None:
        program.add_rows(foreign, lower=0.0, upper=1.0)
        program.freeze()

    with pytest.raises(ValueError, match="column"):
        build()


def test_sides_of_another_length_are_refused() -> None:
    program, x = small()
    with pytest.raises(ValueError, match="shape"):
        program.add_rows(x, lower=[0.0, 0.0, 0.0], upper=1.0)


def test_complete_follows_every_rule_in_order() -> None:
    program, x = small()
    columns = program.add_columns(np.full(4, -9.0), np.full(4, 9.0))
    a = x.affine(np.array([[1.0, -2.0]]), np.array([0.5]))
    for column, rule in zip(
        columns, ("identity", "positive_part", "negative_part", "step"), strict=True
    ):
        program.define(np.array([column], dtype=np.int32), a, rule)
    chained = program.materialise(
        AffineForm.of_columns(columns[1:2]).scale(np.array([3.0])), np.array([0.0]), np.array([9.0])
    )
    inputs = np.array([0, 1], dtype=np.int32)
    full = program.complete(inputs, np.array([1.0, -1.0]))
    assert full.tolist() == [1.0, -1.0, 3.5, 3.5, 0.0, 1.0, 10.5]
    assert chained.evaluate(full).tolist() == [10.5]
    full = program.complete(inputs, np.array([0.0, 0.25]))
    assert full.tolist() == [0.0, 0.25, 0.0, 0.0, 0.0, 0.0, 0.0]
    full = program.complete(inputs, np.array([-1.0, 1.0]))
    assert full.tolist() == [-1.0, 1.0, -2.5, 0.0, 2.5, 0.0, 0.0]
    assert len(program.definitions) == 5


def test_tied_columns_are_completed_from_the_rows_that_tie_them() -> None:
    program, x = small()
    form = x.affine(np.array([[1.0, -2.0], [0.0, 4.0]]), np.array([0.5, 0.0]))
    y, s, z = (program.add_columns(np.zeros(2), np.full(2, 9.0)) for _ in range(3))
    own = AffineForm.of_columns(y) - AffineForm.of_columns(s)
    program.tie(own, form, (y, s, z), ("positive_part", "negative_part", "step"))
    arrays = program.freeze()
    read = program.without_rows(arrays)
    assert read.n_rows == 0
    inputs = np.array([0, 1], dtype=np.int32)
    for point, rest in (
        ([1.0, -1.0], [3.5, 0.0, 0.0, 4.0, 1.0, 0.0]),
        ([-1.0, 1.0], [0.0, 4.0, 2.5, 0.0, 0.0, 1.0]),
    ):
        for source in (program, read):
            full = source.complete(inputs, np.array(point))
            assert full.tolist() == [*point, *rest]
        assert arrays.violation(np.array([*point, *rest])) == 0.0


def test_definitions_of_a_finished_program_hold_no_second_copy_of_its_rows() -> None:
    program, x = small()
    many = x.affine(np.ones((50, 2)), np.zeros(50))
    program.materialise(many, np.full(50, -9.0), np.full(50, 9.0))
    program.materialise(x, np.full(2, -9.0), np.full(2, 9.0))
    arrays = program.freeze()
    for definition in program.without_rows(arrays).definitions:
        held = definition.form.coefficients
        assert np.shares_memory(held.data, arrays.matrix.data)
        assert np.shares_memory(held.indices, arrays.matrix.indices)


def test_nothing_is_tied_to_no_form() -> None:
    program, _ = small()
    none = np.zeros(0, dtype=np.int32)
    nothing = AffineForm.of_constants([])
    program.tie(AffineForm.of_columns(none), nothing, [none], ["identity"])
    assert program.definitions == ()
    assert program.freeze().n_rows == 0


def test_matrix_has_sorted_indices_and_no_stored_zero() -> None:
    program, x = small()
    stored = sp.csr_array((np.array([2.0, 0.0]), np.array([1, 0]), np.array([0, 2])), shape=(1, 2))
    program.add_rows(AffineForm(stored, np.zeros(1)), lower=0.0, upper=1.0)
    matrix = program.freeze().matrix
    assert matrix.has_sorted_indices
    assert matrix.indices.tolist() == [1]
    assert x.size == 2
