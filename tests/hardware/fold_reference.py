"""Traffic and stalls of one GEMM by plain loops over its folds, as the manual states them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mipnet.hardware import Machine


@dataclass
class Counts:
    """What the loops add up."""

    compute: int = 0
    total: int = 0
    inputs: int = 0
    weights: int = 0
    sums: int = 0
    results: int = 0
    dram_inputs: int = 0
    dram_weights: int = 0
    dram_sums: int = 0
    folds: list[dict[str, float]] = field(default_factory=list)


def reference(
    m: int, k: int, n: int, machine: Machine, keep: npt.NDArray[np.bool_] | None = None
) -> Counts:
    """Loop over the folds of a GEMM, in modes other than overlap.

    ``keep`` says which folds of a weight-stationary array hold weights; the others are left out.
    """
    rows, columns, flow, memory = machine.rows, machine.columns, machine.dataflow, machine.memory
    bits = machine.precision
    along, across, t = {"ws": (k, n, m), "os": (m, n, k), "is": (k, m, n)}[flow]
    room = [
        size // memory.share
        for size in (memory.input_bytes, memory.weight_bytes, memory.output_bytes)
    ]
    in_b, w_b, out_b, sum_b = (
        width / 8 for width in (bits.inputs, bits.weights, bits.outputs, bits.partial_sums)
    )
    if keep is None:
        keep = np.ones((-(-along // rows), -(-across // columns)), bool)
    heights = np.minimum(rows, along - np.arange(0, along, rows))
    widths = np.minimum(columns, across - np.arange(0, across, columns))
    stored = heights @ keep @ widths if flow == "ws" else k * n
    inputs_fit, weights_fit = m * k * in_b <= room[0], stored * w_b <= room[1]
    spills = flow != "os" and along > rows
    if memory.partial_sums == "accumulator":
        spills = spills and t * min(across, columns) * sum_b > room[2]
    counts = Counts()
    used_rows: set[int] = set()
    used_columns: set[int] = set()
    for j in range(0, across, columns):
        column = [i for i in range(0, along, rows) if keep[i // rows, j // columns]]
        for i in column:
            r, c = min(rows, along - i), min(columns, across - j)
            words = {
                "ws": {"in": r * t, "w": r * c},
                "os": {"in": r * t, "w": c * t},
                "is": {"in": r * c, "w": r * t},
            }[flow]
            new = {
                "ws": {"in": i not in used_rows, "w": True},
                "os": {"in": i not in used_rows, "w": j not in used_columns},
                "is": {"in": True, "w": i not in used_rows},
            }[flow]
            used_rows.add(i)
            used_columns.add(j)
            made = r * c if flow == "os" else t * c
            back = 0 if flow == "os" or i == column[0] else made
            final = flow == "os" or i == column[-1]
            fetched_in = words["in"] if new["in"] or not inputs_fit else 0
            fetched_w = words["w"] if new["w"] or not weights_fit else 0
            full_r, full_c = (r, c) if machine.edge_aware else (rows, columns)
            length = {
                "serial": (full_r if flow != "os" else 0) + full_r + full_c + t - 2,
                "paper": 2 * full_r + full_c + t - 2,
                "no_fill": (full_r if flow != "os" else 0) + t,
            }[machine.mode]
            width = made * (out_b if final else sum_b)
            counts.folds.append(
                {
                    "cycles": length,
                    "read": fetched_in * in_b + fetched_w * w_b + spills * back * sum_b,
                    "write": made * out_b if final else spills * made * sum_b,
                    "port": words["in"] * in_b + words["w"] * w_b + back * sum_b + width,
                }
            )
            counts.compute += length
            counts.inputs += words["in"]
            counts.weights += words["w"]
            counts.sums += back
            counts.results += made if final else 0
            counts.dram_inputs += fetched_in
            counts.dram_weights += fetched_w
            counts.dram_sums += back if spills else 0
    r, c = min(rows, along), min(columns, across)
    sizes = {"ws": (r * t, r * c), "os": (r * t, c * t), "is": (r * c, r * t)}[flow]
    fits = sizes[0] * in_b <= room[0] and sizes[1] * w_b <= room[1]
    fits = fits and (flow != "os" or r * c * out_b <= room[2]) and memory.double_buffered
    counts.total = _time(counts.folds, machine, overlap=fits)
    return counts


def _time(folds: list[dict[str, float]], machine: Machine, *, overlap: bool) -> int:
    if not folds:
        return 0
    memory = machine.memory
    port, read = memory.sram_bandwidth or math.inf, memory.bandwidth or math.inf
    write = memory.write_bandwidth or read
    busy = [max(fold["cycles"], fold["port"] / port) for fold in folds]
    if not overlap:
        moves = sum(f["read"] / read + f["write"] / write for f in folds)
        return math.ceil(round(sum(busy) + moves, 6))
    ends = folds[0]["read"] / read + folds[-1]["write"] / write
    reads = [after["read"] for _, after in pairwise(folds)] + [0.0]
    writes = [0.0] + [before["write"] for before, _ in pairwise(folds)]
    if memory.write_bandwidth is None:
        moved = [(a + b) / read for a, b in zip(reads, writes, strict=True)]
    else:
        moved = [max(a / read, b / write) for a, b in zip(reads, writes, strict=True)]
    return math.ceil(round(ends + sum(map(max, busy, moved)), 6))
