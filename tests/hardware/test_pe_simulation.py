"""Cycle formulas against a simulation of the processing elements."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pe_simulation import cut, run_output_stationary, run_serial, run_stationary

from mipnet.hardware import evaluate

sizes = st.integers(1, 10)
arrays = st.integers(1, 8)


def operands(m: int, k: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(m * 10007 + k * 101 + n)
    return (rng.integers(-4, 5, s).astype(float) for s in ((m, k), (k, n)))  # type: ignore[return-value]


def cycles(m: int, k: int, n: int, rows: int, columns: int, **options: object) -> int:
    return int(evaluate(m, k, n, rows, columns, **options).cycles)


@given(m=sizes, k=sizes, n=sizes, rows=arrays, columns=arrays)
def test_overlapped_weight_stationary(m: int, k: int, n: int, rows: int, columns: int) -> None:
    a, b = operands(m, k, n)
    padded = np.zeros((-(-k // rows) * rows, -(-n // columns) * columns))
    padded[:k, :n] = b
    wide = np.zeros((m, len(padded)))
    wide[:, :k] = a
    folds = cut(wide, padded, rows, columns)
    result, took = run_stationary(folds, rows, columns, padded.shape[1])
    np.testing.assert_array_equal(result[:, :n], a @ b)
    assert took == cycles(m, k, n, rows, columns, dataflow="ws", mode="overlap")


@given(m=sizes, k=sizes, n=sizes, rows=arrays, columns=arrays)
@example(m=1, k=5, n=9, rows=4, columns=8)  # the last but one full fold ends last
def test_overlapped_edge_aware(m: int, k: int, n: int, rows: int, columns: int) -> None:
    a, b = operands(m, k, n)
    result, took = run_stationary(cut(a, b, rows, columns), rows, columns, n)
    np.testing.assert_array_equal(result, a @ b)
    assert took == cycles(m, k, n, rows, columns, dataflow="ws", mode="overlap", edge_aware=True)


@given(m=sizes, k=sizes, n=sizes, rows=arrays, columns=arrays)
def test_overlapped_input_stationary(m: int, k: int, n: int, rows: int, columns: int) -> None:
    a, b = operands(m, k, n)
    # The transposed product holds the transposed inputs.
    result, took = run_stationary(cut(b.T, a.T, rows, columns), rows, columns, m)
    np.testing.assert_array_equal(result.T, a @ b)
    assert took == cycles(m, k, n, rows, columns, dataflow="is", mode="overlap", edge_aware=True)


@given(m=sizes, k=sizes, n=sizes, rows=arrays, columns=arrays)
def test_serial_folds(m: int, k: int, n: int, rows: int, columns: int) -> None:
    a, b = operands(m, k, n)
    result, took = run_serial(cut(a, b, rows, columns), rows, columns, n)
    np.testing.assert_array_equal(result, a @ b)
    assert took == cycles(m, k, n, rows, columns, dataflow="ws", mode="serial")
    _, took = run_serial(cut(b.T, a.T, rows, columns), rows, columns, m)
    assert took == cycles(m, k, n, rows, columns, dataflow="is", mode="serial")


@pytest.mark.parametrize("edge_aware", [False, True])
@pytest.mark.parametrize("overlap", [False, True])
@given(m=sizes, k=sizes, n=sizes, rows=arrays, columns=arrays)
def test_output_stationary(
    m: int, k: int, n: int, rows: int, columns: int, overlap: bool, edge_aware: bool
) -> None:
    a, b = operands(m, k, n)
    result, took = run_output_stationary(
        a, b, rows, columns, overlap=overlap, edge_aware=edge_aware
    )
    np.testing.assert_array_equal(result, a @ b)
    mode = "overlap" if overlap else "serial"
    assert took == cycles(m, k, n, rows, columns, dataflow="os", mode=mode, edge_aware=edge_aware)


def test_one_cycle_less_is_too_early() -> None:
    """The overlapped schedule is tight: streams that start earlier give wrong products."""
    for m, k, n in ((3, 8, 8), (9, 8, 8)):
        a, b = operands(m, k, n)
        result, _ = run_stationary(cut(a, b, 4, 4), 4, 4, n, hurry=1)
        assert not np.array_equal(result, a @ b)


def test_skipped_tiles_overlap_as_the_folds_that_are_left() -> None:
    from mipnet.hardware import TileMask, cost

    rng = np.random.default_rng(3)
    for _ in range(20):
        m, k, n, side = (int(v) for v in rng.integers((1, 1, 1, 1), (9, 12, 12, 5)))
        a, b = operands(m, k, n)
        keep = rng.random((-(-k // side), -(-n // side))) < 0.6
        mask = TileMask(keep, (side, side), (k, n))
        b = b * mask.elements
        kept = keep.T.ravel()
        folds = [fold for fold, here in zip(cut(a, b, side, side), kept, strict=True) if here]
        found = cost(
            [(m, k, n)], {"gemm0": mask}, array=side, mode="overlap", edge_aware=True
        ).cycles
        if not folds:
            assert found == 0
            continue
        result, took = run_stationary(folds, side, side, n)
        np.testing.assert_array_equal(result, a @ b)
        assert took == found
