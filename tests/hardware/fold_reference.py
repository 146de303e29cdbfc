"""Traffic and stalls of one GEMM by plain loops over its folds, as the manual states them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mipnet.hardware import Machine


@dataclass
class Fold:
    """What one fold takes."""

    cycles: int
    inputs: int
    weights: int
    fetched_inputs: int
    fetched_weights: int
    back: int
    partial: int
    final: int


@dataclass
class Counts:
    """What the folds add up to."""

    compute: int
    total: int
    inputs: int
    weights: int
    sums: int
    results: int
    dram_inputs: int
    dram_weights: int
    dram_sums: int


def reference(
    m: int, k: int, n: int, machine: Machine, keep: npt.NDArray[np.bool_] | None = None
) -> Counts:
    """Loop over the folds of a GEMM, in modes other than overlap.

    ``keep`` says which folds of a weight-stationary array hold weights; the others are left out.
    """
    flow, memory, bits = machine.dataflow, machine.memory, machine.precision
    along, across, t = {"ws": (k, n, m), "os": (m, n, k), "is": (k, m, n)}[flow]
    if keep is None:
        keep = np.ones((-(-along // machine.rows), -(-across // machine.columns)), bool)
    room = [
        8 * (size // memory.share)
        for size in (memory.input_bytes, memory.weight_bytes, memory.output_bytes)
    ]
    r, c = min(machine.rows, along), min(machine.columns, across)
    heights = np.minimum(machine.rows, along - np.arange(0, along, machine.rows))
    widths = np.minimum(machine.columns, across - np.arange(0, across, machine.columns))
    stored = heights @ keep @ widths if flow == "ws" else k * n
    fit = m * k * bits.inputs <= room[0], stored * bits.weights <= room[1]
    folds = _folds((along, across, t), machine, keep, fit)
    spills = flow != "os" and along > machine.rows
    if memory.partial_sums == "accumulator":
        spills = spills and t * c * bits.partial_sums > room[2]
    tiles = {"ws": (r * t, r * c), "os": (r * t, c * t), "is": (r * c, r * t)}[flow]
    overlap = tiles[0] * bits.inputs <= room[0] and tiles[1] * bits.weights <= room[1]
    overlap = overlap and (flow != "os" or r * c * bits.outputs <= room[2])
    overlap = overlap and memory.double_buffered
    return Counts(
        compute=sum(f.cycles for f in folds),
        total=_time(folds, machine, spills=spills, overlap=overlap),
        inputs=sum(f.inputs for f in folds),
        weights=sum(f.weights for f in folds),
        sums=sum(f.back for f in folds),
        results=sum(f.final for f in folds),
        dram_inputs=sum(f.fetched_inputs for f in folds),
        dram_weights=sum(f.fetched_weights for f in folds),
        dram_sums=spills * sum(f.back for f in folds),
    )


def _folds(
    spans: tuple[int, int, int],
    machine: Machine,
    keep: npt.NDArray[np.bool_],
    fit: tuple[bool, bool],
) -> list[Fold]:
    along, across, t = spans
    flow, rows, columns = machine.dataflow, machine.rows, machine.columns
    folds = []
    seen_rows: set[int] = set()
    seen_columns: set[int] = set()
    for j in range(0, across, columns):
        column = [i for i in range(0, along, rows) if keep[i // rows, j // columns]]
        for i in column:
            r, c = min(rows, along - i), min(columns, across - j)
            inputs = r * c if flow == "is" else r * t
            weights = {"ws": r * c, "os": c * t, "is": r * t}[flow]
            new_inputs = flow == "is" or i not in seen_rows
            new_weights = flow == "ws" or (
                i not in seen_rows if flow == "is" else j not in seen_columns
            )
            seen_rows.add(i)
            seen_columns.add(j)
            made = r * c if flow == "os" else t * c
            final = flow == "os" or i == column[-1]
            folds.append(
                Fold(
                    cycles=_length(r, c, t, machine),
                    inputs=inputs,
                    weights=weights,
                    fetched_inputs=inputs if new_inputs or not fit[0] else 0,
                    fetched_weights=weights if new_weights or not fit[1] else 0,
                    back=0 if flow == "os" or i == column[0] else made,
                    partial=0 if final else made,
                    final=made if final else 0,
                )
            )
    return folds


def _length(r: int, c: int, t: int, machine: Machine) -> int:
    if not machine.edge_aware:
        r, c = machine.rows, machine.columns
    load = r if machine.dataflow != "os" or machine.mode == "paper" else 0
    return load + t if machine.mode == "no_fill" else load + r + c + t - 2


def _time(folds: list[Fold], machine: Machine, *, spills: bool, overlap: bool) -> int:
    if not folds:
        return 0
    memory, bits = machine.memory, machine.precision
    port, read = memory.sram_bandwidth or math.inf, memory.bandwidth or math.inf
    write = memory.write_bandwidth or read
    operands = [f.inputs * bits.inputs + f.weights * bits.weights for f in folds]
    sums = [(f.back + f.partial) * bits.partial_sums + f.final * bits.outputs for f in folds]
    busy = [
        max(f.cycles, (a + b) / 8 / port) for f, a, b in zip(folds, operands, sums, strict=True)
    ]
    fetched = [
        f.fetched_inputs * bits.inputs
        + f.fetched_weights * bits.weights
        + spills * f.back * bits.partial_sums
        for f in folds
    ]
    written = [f.final * bits.outputs + spills * f.partial * bits.partial_sums for f in folds]
    if not overlap:
        moves = sum(fetched) / 8 / read + sum(written) / 8 / write
        return math.ceil(round(sum(busy) + moves, 6))
    ends = fetched[0] / 8 / read + written[-1] / 8 / write
    after = [b for _, b in pairwise(fetched)] + [0]
    before = [0] + [a for a, _ in pairwise(written)]
    moved = [
        (a + b) / 8 / read if memory.write_bandwidth is None else max(a / 8 / read, b / 8 / write)
        for a, b in zip(after, before, strict=True)
    ]
    return math.ceil(round(ends + sum(map(max, busy, moved)), 6))
