r"""How GEMMs lie on arrays, and the compute cycles of their folds.

========  ====  ====  ========
dataflow  S_R   S_C   streamed
========  ====  ====  ========
ws        K     N     M
os        M     N     K
is        K     M     N
========  ====  ====  ========

A fold is one stay of an R x C piece on the array; there are ceil(S_R / R) ceil(S_C / C) of them,
column folds in the outer loop, row folds in the inner one.

Cycles of one fold, T the streamed length: loading a stationary operand takes R, streaming T, the
skew of filling and draining R + C - 2. The modes are

* ``serial``: folds never overlap, 2R + C + T - 2 (os: R + C + T - 2). The compute engine of
  SCALE-Sim 3.0.0, exactly; its report prints one less per GEMM (:mod:`mipnet.hardware.scalesim`).
* ``paper``: 2R + C + T - 2 for all three, the first-order form attributed to the SCALE-Sim paper
  (ISPASS 2020).
* ``no_fill``: R + T (os: T); skew ignored.
* ``overlap``: weights of the next fold load into shadow registers while this fold streams, so
  that folds start max(T, R) apart (os: T apart, results leave each PE when they are done). Equal
  to ``serial`` for a single fold; checked cycle by cycle against a PE simulation in the tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mipnet.hardware.counts import CountError

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Tiling:
    """GEMMs cut into folds; arrays of one shape.

    Attributes
    ----------
    rows, columns : array of int64
        R and C of the array.
    span_rows, span_columns, stream : array of int64
        S_R, S_C and T of the table above.
    folds_rows, folds_columns : array of int64
        Folds along each side.
    """

    rows: Ints
    columns: Ints
    span_rows: Ints
    span_columns: Ints
    stream: Ints
    folds_rows: Ints
    folds_columns: Ints

    @property
    def folds(self) -> Ints:
        """Number of folds."""
        return self.folds_rows * self.folds_columns

    @property
    def edge_rows(self) -> Ints:
        """Rows the last row fold uses."""
        return self.span_rows - (self.folds_rows - 1) * self.rows

    @property
    def edge_columns(self) -> Ints:
        """Columns the last column fold uses."""
        return self.span_columns - (self.folds_columns - 1) * self.columns

    @property
    def efficiency(self) -> npt.NDArray[np.float64]:
        """Mapping efficiency: share of the PEs in use, averaged over the folds."""
        used = self.span_rows * self.span_columns
        return used / (self.folds * self.rows * self.columns)


def tile(sizes: Sequence[Ints], rows: Ints, columns: Ints, dataflow: str) -> Tiling:
    """Cut GEMMs of sizes (M, K, N) into folds.

    Raises
    ------
    CountError
        When a GEMM is too large for exact 64-bit counts.
    """
    m, k, n = sizes
    # No count is larger than a few times the padded volume.
    size = np.prod([(side + rows + columns).astype(np.float64) for side in (m, k, n)], axis=0)
    if size.size and size.max() > 2.0**58:
        i = int(size.argmax())
        msg = f"M={m[i]}, K={k[i]}, N={n[i]} on {rows[i]}x{columns[i]} PEs is beyond exact 64-bit "
        msg += "counts; split it, or cost a smaller batch"
        raise CountError(i, msg)
    span_rows, span_columns, stream = {"ws": (k, n, m), "os": (m, n, k), "is": (k, m, n)}[dataflow]
    return Tiling(
        rows,
        columns,
        span_rows,
        span_columns,
        stream,
        -(-span_rows // rows),
        -(-span_columns // columns),
    )


def compute_cycles(tiling: Tiling, *, stationary: bool, mode: str, edge_aware: bool) -> Ints:
    """Cycles of all folds without memory stalls.

    Parameters
    ----------
    tiling : Tiling
    stationary : bool
        Whether a fold starts by loading an operand (ws and is).
    mode : str
        See the head of this module.
    edge_aware : bool
        Charge rows and columns in use instead of R and C.
    """
    if mode == "overlap":
        return _overlap(tiling, stationary=stationary, edge_aware=edge_aware)
    t, folds = tiling.stream, tiling.folds
    if edge_aware:  # rows and columns in use sum to the spans
        rows = tiling.span_rows * tiling.folds_columns
        columns = tiling.span_columns * tiling.folds_rows
    else:
        rows, columns = folds * tiling.rows, folds * tiling.columns
    if mode == "no_fill":
        return folds * t + rows if stationary else folds * t
    loads = rows if stationary or mode == "paper" else 0
    cycles: Ints = loads + rows + columns + folds * (t - 2)
    return cycles


def _overlap(tiling: Tiling, *, stationary: bool, edge_aware: bool) -> Ints:
    """Start of the last fold plus its own length, or the end of a larger one shortly before."""
    t, folds = tiling.stream, tiling.folds
    if not edge_aware:
        step = np.maximum(t, tiling.rows) if stationary else t
        load = tiling.rows if stationary else 0
        return load + (folds - 1) * step + t + tiling.rows + tiling.columns - 2
    several_rows, several_columns = tiling.folds_rows > 1, tiling.folds_columns > 1
    edge_rows, edge_columns = tiling.edge_rows, tiling.edge_columns
    # Cycles from one fold to the next, which has all rows or lies at the edge.
    full = np.maximum(t, tiling.rows) if stationary else t
    edge = np.maximum(t, edge_rows) if stationary else t
    column = (tiling.folds_rows - 1) * full + edge
    # The first fold waits for its load only, not for a fold before it.
    start = tiling.folds_columns * column - np.where(several_rows, full, edge)
    start = start + (np.where(several_rows, tiling.rows, edge_rows) if stationary else 0)
    end = start + edge_rows + edge_columns
    for here, lag, r, c in (
        (several_rows, edge, tiling.rows, edge_columns),
        (several_columns, column, edge_rows, tiling.columns),
        (several_rows & several_columns, column + edge, tiling.rows, tiling.columns),
    ):
        end = np.where(here, np.maximum(end, start - lag + r + c), end)
    return np.asarray(end + t - 2, dtype=np.int64)
