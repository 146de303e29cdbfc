"""Processing elements, register by register and cycle by cycle.

Nothing here knows a cycle formula: words enter at the edges, move one PE per cycle, and the
simulation ends when the last result has left. A wrong schedule gives wrong products.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
EMPTY = -1


@dataclass
class Fold:
    """A piece of work: ``held`` (r x c) stays, ``stream`` (T x r) passes; results go to columns."""

    held: Array
    stream: Array
    target: slice


def cut(a: Array, b: Array, rows: int, columns: int) -> list[Fold]:
    """Folds of ``a @ b`` with the pieces of ``b`` held; column folds in the outer loop."""
    return [
        Fold(b[i : i + rows, j : j + columns], a[:, i : i + rows], slice(j, j + columns))
        for j in range(0, b.shape[1], columns)
        for i in range(0, b.shape[0], rows)
    ]


def run_stationary(
    folds: list[Fold], rows: int, columns: int, n: int, *, hurry: int = 0
) -> tuple[Array, int]:
    """Products and cycles of an array with shadow registers for the operand that is held.

    Weights enter at the top and move down the shadow chain, columns one cycle after another, each
    row enabled one cycle after the one above; a swap token walks along with the first streamed
    word and moves them into place. The controller starts a stream as soon as the previous one has
    entered and the load is done, and a load when the previous stream starts. ``hurry`` makes it
    start streams that many cycles too early, which may lose words.
    """
    stream_starts, load_starts = _controller(folds, hurry)
    active, shadow = np.zeros((rows, columns)), np.zeros((rows, columns))
    x, sums = np.zeros((rows, columns)), np.zeros((rows, columns))
    tags = np.full((rows, columns, 2), EMPTY)  # fold and step of the word in x
    out = np.zeros((len(folds[0].stream), n))
    left = sum(fold.stream.shape[0] * fold.held.shape[1] for fold in folds)
    cycle, end = 0, stream_starts[-1] + 2 * (len(folds[-1].stream) + rows + columns)
    while left and cycle < end:
        x, tags = _shift_right(x), _shift_right(tags, EMPTY)
        for k, fold in enumerate(folds):
            for r in range(fold.held.shape[0]):
                step = cycle - stream_starts[k] - r
                if 0 <= step < len(fold.stream):
                    x[r, 0], tags[r, 0] = fold.stream[step, r], (k, step)
        swapping = tags[:, :, 1] == 0
        active = np.where(swapping, shadow, active)
        above = np.vstack([np.zeros((1, columns)), sums[:-1]])
        sums = above + active * np.where(tags[:, :, 0] == EMPTY, 0.0, x)
        for k, fold in enumerate(folds):
            tap = fold.held.shape[0] - 1
            for c in range(fold.held.shape[1]):
                if tags[tap, c, 0] == k:
                    out[tags[tap, c, 1], fold.target.start + c] += sums[tap, c]
                    left -= 1
        shadow = _load(shadow, folds, load_starts, cycle)
        cycle += 1
    return out, cycle


def _controller(folds: list[Fold], hurry: int) -> tuple[list[int], list[int]]:
    streams: list[int] = []
    loads: list[int] = []
    for k, fold in enumerate(folds):
        load = 0 if k == 0 else streams[-1]
        free = 0 if k == 0 else streams[-1] + len(folds[k - 1].stream)
        loads.append(load)
        streams.append(max(load + fold.held.shape[0], free) - (hurry if k else 0))
    return streams, loads


def _load(shadow: Array, folds: list[Fold], starts: list[int], cycle: int) -> Array:
    """One step of the shadow chain: row r of column c takes what row r - 1 held before."""
    result = shadow.copy()
    for fold, start in zip(folds, starts, strict=True):
        height, width = fold.held.shape
        for c in range(width):
            step = cycle - start - c
            if 0 <= step < height:
                for r in range(min(step, height - 1), -1, -1):
                    result[r, c] = shadow[r - 1, c] if r else fold.held[height - 1 - step, c]
    return result


def run_serial(folds: list[Fold], rows: int, columns: int, n: int) -> tuple[Array, int]:
    """Fold after fold on the same array, each loaded when the one before has left.

    Every fold has the length of a full one: the controller does not know about edges.
    """
    out, cycles = np.zeros((len(folds[0].stream), n)), 0
    for fold in folds:
        r, c = fold.held.shape
        padded = np.zeros((rows, columns))
        padded[:r, :c] = fold.held
        stream = np.zeros((len(fold.stream), rows))
        stream[:, :r] = fold.stream
        part, took = run_stationary(
            [Fold(padded, stream, slice(0, columns))], rows, columns, columns
        )
        out[:, fold.target] += part[:, :c]
        cycles += took
    return out, cycles


def run_output_stationary(
    a: Array, b: Array, rows: int, columns: int, *, overlap: bool, edge_aware: bool
) -> tuple[Array, int]:
    """Products and cycles with results grown in place; they leave a PE when they are done.

    ``a`` enters from the left, a row per cycle later; ``b`` from the top, a column per cycle
    later. A reset token walks along with the first word.
    """
    (m, k), n = a.shape, b.shape[1]
    blocks = [(i, j) for j in range(0, n, columns) for i in range(0, m, rows)]
    out, done, cycle, start, finish = np.zeros((m, n)), 0, 0, 0, 0
    starts: dict[int, tuple[int, int, int]] = {}
    x, y = np.zeros((rows, columns)), np.zeros((rows, columns))
    tags = np.full((rows, columns, 2), EMPTY)
    total = np.zeros((rows, columns))
    waiting = list(enumerate(blocks))
    while done < len(blocks) or waiting:
        if waiting and cycle == start:
            fold, block = waiting.pop(0)
            starts[fold] = (cycle, *block)
            start = cycle + k if overlap else -1
        x, y, tags = _shift_right(x), _shift_down(y), _shift_right(tags, EMPTY)
        for fold, (begin, i, j) in starts.items():
            for r in range(rows):
                step = cycle - begin - r
                if 0 <= step < k:
                    x[r, 0] = a[i + r, step] if i + r < m else 0.0
                    tags[r, 0] = (fold, step)
            for c in range(columns):
                step = cycle - begin - c
                if 0 <= step < k:
                    y[0, c] = b[step, j + c] if j + c < n else 0.0
        busy = tags[:, :, 0] != EMPTY
        total = np.where(tags[:, :, 1] == 0, 0.0, total) + np.where(busy, x * y, 0.0)
        cycle += 1
        for r, c in np.argwhere(tags[:, :, 1] == k - 1):
            _, i, j = starts[int(tags[r, c, 0])]
            inside = i + r < m and j + c < n
            if inside:
                out[i + r, j + c] = total[r, c]
            last = (min(i + rows, m) - 1, min(j + columns, n) - 1)
            corner = (i + r, j + c) == last if edge_aware else (r, c) == (rows - 1, columns - 1)
            if inside or not edge_aware:
                finish = cycle
            if corner:
                done += 1
                start = start if overlap else cycle
    return out, finish


def _shift_right(values: npt.NDArray, fill: float = 0.0) -> npt.NDArray:
    shifted = np.full_like(values, fill)
    shifted[:, 1:] = values[:, :-1]
    return shifted


def _shift_down(values: Array) -> Array:
    shifted = np.zeros_like(values)
    shifted[1:] = values[:-1]
    return shifted
