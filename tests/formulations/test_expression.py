"""Affine forms: every operation means what it says at random points."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from formulations import AffineForm

SEEDS = st.integers(0, 2**32 - 1)


def random_form(rng: np.random.Generator, n: int, width: int) -> AffineForm:
    dense = rng.normal(size=(n, width)) * (rng.random((n, width)) > 0.4)
    return AffineForm(sp.csr_array(dense), rng.normal(size=n))


@given(SEEDS)
def test_algebra(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 5, size=2)
    f, g = random_form(rng, n, rng.integers(1, 6)), random_form(rng, n, rng.integers(1, 6))
    v = rng.normal(size=6)
    a, b = f.evaluate(v), g.evaluate(v)
    weight, bias, factors = rng.normal(size=(m, n)), rng.normal(size=m), rng.normal(size=n)
    rows = rng.integers(0, n, size=3)
    for form, expected in (
        (f + g, a + b),
        (f - g, a - b),
        (-f, -a),
        (f.affine(weight, bias), weight @ a + bias),
        (f.affine(sp.csr_array(weight), bias), weight @ a + bias),
        (f.select(rows), a[rows]),
        (f.scale(factors), factors * a),
        (f.shift(factors), a + factors),
        (f.sum(), [a.sum()]),
        (f.stack(g, f), np.concatenate([a, b, a])),
    ):
        assert form.evaluate(v) == pytest.approx(np.asarray(expected), rel=1e-12, abs=1e-12)
        assert form.size == len(expected)


def test_columns_in_any_order() -> None:
    form = AffineForm.of_columns(np.array([3, 0, 3], dtype=np.int32))
    assert form.evaluate(np.array([1.0, 2.0, 3.0, 4.0])).tolist() == [4.0, 1.0, 4.0]
    assert (form.size, form.width, form.terms.tolist()) == (3, 4, [1, 1, 1])


def test_constants_and_nothing() -> None:
    form = AffineForm.of_constants([1.0, -2.0])
    assert form.evaluate(np.zeros(0)).tolist() == [1.0, -2.0]
    assert form.terms.tolist() == [0, 0]
    empty = AffineForm.of_columns(np.zeros(0, dtype=np.int32))
    assert (empty.size, empty.width) == (0, 0)
    assert empty.stack(form).evaluate(np.zeros(0)).tolist() == [1.0, -2.0]
    assert empty.sum().evaluate(np.zeros(0)).tolist() == [0.0]


def test_zero_weights_and_cancelled_terms_leave_no_entry() -> None:
    x = AffineForm.of_columns(np.arange(3, dtype=np.int32))
    form = x.affine(np.array([[0.0, 2.0, 0.0], [1.0, 0.0, -1.0]]), np.zeros(2))
    assert form.coefficients.nnz == 3
    assert (form - form).coefficients.nnz == 0
    assert form.affine(np.array([[1.0, 0.0]]), np.zeros(1)).coefficients.nnz == 1


def test_operations_do_not_change_their_operands() -> None:
    x = AffineForm.of_columns(np.arange(2, dtype=np.int32)).shift(np.array([1.0, 2.0]))
    before = x.coefficients.toarray().copy(), x.constant.copy()
    _ = x + x, -x, x.scale(np.array([3.0, 4.0])), x.shift(np.ones(2)), x.stack(x), x.sum()
    assert np.array_equal(x.coefficients.toarray(), before[0])
    assert np.array_equal(x.constant, before[1])
