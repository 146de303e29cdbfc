"""Words that each fold moves: by class for whole GEMMs, one by one under a tile mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mipnet.hardware.cycles import Tiling
from mipnet.hardware.masks import TileMask, pieces

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Folds:
    """Folds in the order they run; arrays of one shape.

    Attributes
    ----------
    rows, columns, stream : array of int64
        Rows and columns in use, steps streamed.
    inputs, weights : array of int64
        Words read from the input and weight buffers.
    new_inputs, new_weights : array of int64
        Words of these that no earlier fold has used.
    outputs, sums, finals : array of int64
        Words written to the output buffer, partial sums read back from it, and those of the
        outputs that are complete.
    """

    rows: Ints
    columns: Ints
    stream: Ints
    inputs: Ints
    weights: Ints
    new_inputs: Ints
    new_weights: Ints
    outputs: Ints
    sums: Ints
    finals: Ints


def dense_folds(tiling: Tiling, i: Ints, j: Ints, dataflow: str) -> Folds:
    """Folds (i, j) of whole GEMMs.

    Parameters
    ----------
    tiling : Tiling
        Arrays that broadcast against ``i`` and ``j``.
    i, j : array of int64
        Row fold and column fold.
    dataflow : str
    """
    last = i == tiling.folds_rows - 1
    r = np.where(last, tiling.edge_rows, tiling.rows)
    c = np.where(j == tiling.folds_columns - 1, tiling.edge_columns, tiling.columns)
    t = tiling.stream
    if dataflow == "os":
        return _grown(r, c, t, r * t * (j == 0), c * t * (i == 0))
    return _held((r, c, t), t * (i == 0), t * last, j == 0, dataflow)


def kept_folds(mask: TileMask, m: int, dataflow: str) -> Folds:
    """Folds of one GEMM that are left under a tile mask.

    Parameters
    ----------
    mask : TileMask
        With tiles of the size of the array.
    m : int
        Rows of the activations.
    dataflow : str
        Under ``ws`` a zero tile is a fold less, under ``os`` it shortens the stream of its column
        fold, under ``is`` that of its row fold.
    """
    keep, heights, widths = mask.keep, mask.heights, mask.widths
    if dataflow == "ws":
        j, i = np.nonzero(keep.T)
        starts, ends, new = _first(keep)[i, j], _last(keep)[i, j], _first(keep.T).T[i, j]
        sizes = heights[i], widths[j], np.full(i.shape, m)
        return _held(sizes, m * starts, m * ends, new, "ws")
    if dataflow == "os":
        rows = pieces(m, mask.tile[0])
        kept = heights @ keep  # inputs that each column of tiles still needs
        j, i = _grid(np.flatnonzero(kept), np.arange(len(rows)))
        r, t = rows[i], kept[j]
        used = heights @ keep.any(axis=1)
        return _grown(r, widths[j], t, r * used * (j == j[:1].sum()), widths[j] * t * (i == 0))
    columns = pieces(m, mask.tile[1])
    kept, fresh, final = (flags @ widths for flags in (keep, _first(keep), _last(keep)))
    j, i = _grid(np.arange(len(columns)), np.flatnonzero(kept))
    return _held((heights[i], columns[j], kept[i]), fresh[i], final[i], j == 0, "is")


def _held(
    sizes: tuple[Ints, Ints, Ints], fresh: Ints, final: Ints, new: Flags, dataflow: str
) -> Folds:
    """Folds of a stationary operand of r x c that t words stream past.

    ``fresh`` of these steps start a sum, ``final`` end one; ``new`` says whether the streamed
    operand is used for the first time.
    """
    r, c, t = sizes
    held, along = r * c, r * t
    inputs, weights = (along, held) if dataflow == "ws" else (held, along)
    new_inputs, new_weights = (along * new, held) if dataflow == "ws" else (held, along * new)
    sums, finals = (t - fresh) * c, final * c
    return Folds(r, c, t, inputs, weights, new_inputs, new_weights, t * c, sums, finals)


def _grown(r: Ints, c: Ints, t: Ints, new_inputs: Ints, new_weights: Ints) -> Folds:
    """Folds that grow r x c outputs in place."""
    outputs = r * c
    none = np.zeros_like(outputs)
    return Folds(r, c, t, r * t, c * t, new_inputs, new_weights, outputs, none, outputs)


def _first(keep: Flags) -> Flags:
    """Find the first kept tile of every column."""
    return np.asarray(keep & (np.cumsum(keep, axis=0) == 1))


def _last(keep: Flags) -> Flags:
    """Find the last kept tile of every column."""
    return _first(keep[::-1])[::-1]


def _grid(outer: Ints, inner: Ints) -> tuple[Ints, Ints]:
    """Every pair, the inner index fastest."""
    return np.repeat(outer, len(inner)), np.tile(inner, len(outer))
