r"""Cycles lost to memory.

With :math:`c_f` compute cycles of fold f (at least what the buffers' ports need), :math:`r_f`
bytes to bring in, :math:`w_f` bytes to write out, and DRAM bandwidth B, a double-buffered machine
takes

.. math:: r_1/B + \sum_f \max(c_f, (r_{f+1} + w_{f-1})/B) + w_F/B

cycles: while fold f computes, the next one is fetched and the one before is written. With a
write port of its own the two transfers run side by side. Where two working tiles do not fit a
buffer, nothing overlaps: :math:`\sum_f c_f + r_f/B + w_f/B`. Stalls are what exceeds
:math:`\sum_f c_f`, rounded up; every term of the sums is at least its compute cycles, so they are
never negative, and they never grow with bandwidth or capacity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.hardware.cycles import Tiling
from mipnet.hardware.folds import Folds, dense_folds
from mipnet.hardware.machine import Machine

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

#: GEMMs handled at once: their fold classes stay in the cache.
CHUNK = 1024


@dataclass(frozen=True, eq=False)
class Traffic:
    """What turns words of a fold into bytes; arrays that broadcast against the folds.

    Attributes
    ----------
    inputs_kept, weights_kept : array of bool
        Whether a word that was fetched once stays in its buffer.
    spilled : array of bool
        Whether partial sums go to DRAM.
    input_bytes, weight_bytes : array of float64
        DRAM bytes per buffer word: less than a word's width where im2col repeats words or weights
        are stored compressed.
    port_input_bytes : array of float64
        Bytes per input word between buffer and array.
    buffered : array of bool
        Whether two working tiles fit their buffers.
    """

    inputs_kept: Flags
    weights_kept: Flags
    spilled: Flags
    input_bytes: Floats
    weight_bytes: Floats
    port_input_bytes: Floats
    buffered: Flags

    def part(self, index: slice) -> Traffic:
        """Entries of some GEMMs, with axes for their folds."""
        return Traffic(*(value[index, None, None] for value in vars(self).values()))

    def reads(self, folds: Folds, machine: Machine) -> Floats:
        """DRAM bytes to bring in for each fold."""
        inputs = np.where(self.inputs_kept, folds.new_inputs, folds.inputs) * self.input_bytes
        weights = np.where(self.weights_kept, folds.new_weights, folds.weights) * self.weight_bytes
        sums = folds.sums * self.spilled * (machine.precision.partial_sums / 8)
        return np.asarray(inputs + weights + sums)

    def writes(self, folds: Folds, machine: Machine) -> Floats:
        """DRAM bytes each fold writes."""
        partial = (folds.outputs - folds.finals) * self.spilled
        words = machine.precision
        return np.asarray(folds.finals * (words.outputs / 8) + partial * (words.partial_sums / 8))

    def port(self, folds: Folds, machine: Machine) -> Floats:
        """Bytes each fold moves between buffers and array."""
        words = machine.precision
        partial = (folds.sums + folds.outputs - folds.finals) * (words.partial_sums / 8)
        operands = folds.inputs * self.port_input_bytes + folds.weights * (words.weights / 8)
        return np.asarray(operands + partial + folds.finals * (words.outputs / 8))


def never_stalls(machine: Machine) -> bool:
    """Whether the memory has no limit at all."""
    return machine.memory.bandwidth is None and machine.memory.sram_bandwidth is None


def dense_stalls(tiling: Tiling, traffic: Traffic, machine: Machine) -> Ints:
    """Stall cycles of whole GEMMs, arrays of shape (gemms,).

    The folds of a GEMM differ only by whether they are the first, the last but one or the last
    along each side: 16 classes stand for any number of folds.
    """
    stalls = np.zeros(tiling.stream.shape, np.int64)
    if never_stalls(machine):
        return stalls
    for start in range(0, stalls.size, CHUNK):
        part = slice(start, start + CHUNK)
        columns = Tiling(*(value[part, None, None] for value in vars(tiling).values()))
        stalls[part] = _classes(columns, traffic.part(part), machine)
    return stalls


def _classes(tiling: Tiling, traffic: Traffic, machine: Machine) -> Ints:
    i, often_i = _representatives(tiling.folds_rows[:, 0, 0])
    j, often_j = _representatives(tiling.folds_columns[:, 0, 0])
    i, j, often = i[:, :, None], j[:, None, :], often_i[:, :, None] * often_j[:, None, :]
    top, bottom = i == 0, i == tiling.folds_rows - 1
    first, last = top & (j == 0), bottom & (j == tiling.folds_columns - 1)
    here = dense_folds(tiling, i, j, machine.dataflow)
    after = dense_folds(tiling, np.where(bottom, 0, i + 1), j + bottom, machine.dataflow)
    before = dense_folds(
        tiling, np.where(top, tiling.folds_rows - 1, i - 1), j - top, machine.dataflow
    )
    steps = _steps(tiling, here, after.rows, (first, last), machine)
    total = _total(
        _busy(steps, here, traffic, machine),
        own=(traffic.reads(here, machine), traffic.writes(here, machine)),
        moving=(traffic.reads(after, machine) * ~last, traffic.writes(before, machine) * ~first),
        ends=(first, last, traffic.buffered),
        machine=machine,
    )
    return _rounded_up(((total - steps) * often).sum(axis=(1, 2)))


def _representatives(folds: Ints) -> tuple[Ints, Ints]:
    """Index the first, a middle, the last but one and the last fold; how many each stands for."""
    one = np.ones_like(folds)
    index = np.stack([0 * one, one, np.maximum(folds - 2, 0), folds - 1], axis=1)
    often = [one, np.maximum(folds - 3, 0), folds >= 3, folds >= 2]
    return index, np.stack(often, axis=1).astype(np.int64)


def kept_cycles(
    tiling: Tiling, folds: Folds, traffic: Traffic, machine: Machine
) -> tuple[int, int]:
    """Compute cycles and stall cycles of one GEMM whose folds are listed one by one."""
    count = len(folds.rows)
    if not count:
        return 0, 0
    first, last = np.arange(count) == 0, np.arange(count) == count - 1
    steps = _steps(tiling, folds, np.roll(folds.rows, -1), (first, last), machine)
    if machine.mode == "overlap":
        # A small last fold may end before a larger one that started earlier.
        starts = np.cumsum(steps) - steps
        starts[0] = steps[0] - _distance(tiling, folds, np.roll(folds.rows, -1), last, machine)[0]
        ends = starts + _length(tiling, folds, machine)
        steps[-1] += ends.max() - ends[-1]
    compute = int(steps.sum())
    if never_stalls(machine):
        return compute, 0
    reads, writes = traffic.reads(folds, machine), traffic.writes(folds, machine)
    total = _total(
        _busy(steps, folds, traffic, machine),
        own=(reads, writes),
        moving=(np.append(reads[1:], 0.0), np.insert(writes[:-1], 0, 0.0)),
        ends=(first, last, traffic.buffered),
        machine=machine,
    )
    return compute, int(_rounded_up((total - steps).sum()))


def _steps(
    tiling: Tiling, folds: Folds, next_rows: Ints, ends: tuple[Flags, Flags], machine: Machine
) -> Ints:
    """Compute cycles of each fold; their sum is that of the GEMM."""
    first, last = ends
    if machine.mode == "overlap":
        load = _loaded(tiling, folds, machine) * first
        return load + _distance(tiling, folds, next_rows, last, machine)
    if machine.mode == "no_fill":
        return folds.stream + _loaded(tiling, folds, machine)
    return _length(tiling, folds, machine) + _loaded(tiling, folds, machine)


def _loaded(tiling: Tiling, folds: Folds, machine: Machine) -> Ints:
    """Cycles to load the stationary operand."""
    rows = folds.rows if machine.edge_aware else tiling.rows + 0 * folds.rows
    return rows if machine.stationary or machine.mode == "paper" else 0 * rows


def _length(tiling: Tiling, folds: Folds, machine: Machine) -> Ints:
    """Cycles from the first streamed word to the last result."""
    if machine.edge_aware:
        return folds.stream + folds.rows + folds.columns - 2
    return folds.stream + tiling.rows + tiling.columns - 2 + 0 * folds.rows


def _distance(tiling: Tiling, folds: Folds, next_rows: Ints, last: Flags, machine: Machine) -> Ints:
    """Cycles until the next fold starts to stream; of the last fold, until it has ended."""
    rows = next_rows if machine.edge_aware else tiling.rows
    apart = np.maximum(folds.stream, rows) if machine.stationary else folds.stream
    return np.where(last, _length(tiling, folds, machine), apart)


def _busy(steps: Ints, folds: Folds, traffic: Traffic, machine: Machine) -> Ints | Floats:
    """Cycles of each fold, at least what the buffers need to serve the array."""
    width = machine.memory.sram_bandwidth
    return steps if width is None else np.maximum(steps, traffic.port(folds, machine) / width)


def _total(
    busy: Any,
    *,
    own: tuple[Floats, Floats],
    moving: tuple[Floats, Floats],
    ends: tuple[Flags, Flags, Flags],
    machine: Machine,
) -> Floats:
    """Cycles of each fold with its transfers.

    Parameters
    ----------
    busy : array
        Cycles array and buffers need.
    own, moving : (array, array)
        Bytes read for and written by the fold itself, and those that move while it computes.
    ends : (array of bool, array of bool, array of bool)
        First fold, last fold, whether transfers overlap with computing.
    """
    bandwidth = machine.memory.bandwidth
    if bandwidth is None:
        return np.asarray(busy)
    first, last, buffered = ends
    out = machine.memory.write_bandwidth or bandwidth
    read, written = own[0] / bandwidth, own[1] / out
    if machine.memory.write_bandwidth is None:
        moved = (moving[0] + moving[1]) / bandwidth
    else:
        moved = np.maximum(moving[0] / bandwidth, moving[1] / out)
    hidden = np.maximum(busy, moved) + first * read + last * written
    return np.asarray(np.where(buffered, hidden, busy + read + written))


def _rounded_up(cycles: Any) -> Ints:
    """Whole cycles; what rounding of floating point leaves above one does not count."""
    return np.asarray(np.ceil(cycles * (1.0 - 1e-13) - 1e-6), dtype=np.int64)
