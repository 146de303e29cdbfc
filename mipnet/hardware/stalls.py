r"""Cycles lost to memory.

With :math:`c_f` compute cycles of fold f (at least what the buffers' ports need), :math:`r_f`
bytes to bring in, :math:`w_f` bytes to write out, and DRAM bandwidth B, a double-buffered machine
takes

.. math:: r_1/B + \sum_f \max(c_f, (r_{f+1} + w_{f-1})/B) + w_F/B

cycles: while fold f computes, the next one is fetched and the one before is written. With a
write port of its own the two transfers run side by side. Where two working tiles do not fit a
buffer, nothing overlaps: :math:`\sum_f c_f + r_f/B + w_f/B`.

Overlapped folds start :math:`d_f` apart and take :math:`l_f` cycles each, longer than that; their
results leave at the end. With :math:`s_f = \max(d_f, (r_{f+1} + w_{f-1})/B)` these machines take

.. math:: r_1/B + \max_f (s_1 + \dots + s_{f-1} + l_f) + 2 \max_f w_f/B

cycles beside the first load; where it is less, the time with one transfer after the other.

Stalls are what exceeds the compute cycles, rounded up. They are never negative, and never grow
with bandwidth or capacity: no term does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mipnet.hardware.counts import LARGEST, CountError
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


def dense_stalls(tiling: Tiling, compute: Ints, traffic: Traffic, machine: Machine) -> Ints:
    """Stall cycles of whole GEMMs, arrays of shape (gemms,), beyond their compute cycles.

    The folds of a GEMM differ only by whether they are the first, the last but one or the last
    along each side: 16 classes stand for any number of folds.
    """
    stalls = np.zeros(tiling.stream.shape, np.int64)
    if never_stalls(machine):
        return stalls
    for start in range(0, stalls.size, CHUNK):
        part = slice(start, start + CHUNK)
        columns = Tiling(*(value[part, None, None] for value in vars(tiling).values()))
        with np.errstate(over="ignore", invalid="ignore"):
            total = _classes(columns, traffic.part(part), machine)
        stalls[part] = _rounded_up(total - compute[part], machine, start)
    return stalls


def _classes(tiling: Tiling, traffic: Traffic, machine: Machine) -> Floats:
    """Cycles with all transfers, shape (gemms,)."""
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
    fetched, sent = traffic.reads(here, machine), traffic.writes(here, machine)
    busy = _busy(_steps(tiling, here, after.rows, machine), here, traffic, machine)
    moved = _moved(
        traffic.reads(after, machine) * ~last, traffic.writes(before, machine) * ~first, machine
    )
    read, written = _alone(fetched, sent, machine)
    buffered = traffic.buffered
    turns = ((read + written) * often).sum(axis=(1, 2))
    if machine.mode != "overlap":
        hidden = (np.maximum(busy, moved) * often).sum(axis=(1, 2)) + read[:, 0, 0]
        exposed = (busy * often).sum(axis=(1, 2)) + turns
        hidden = hidden + written[:, -1, -1]
        return np.asarray(np.where(buffered[:, 0, 0], hidden, exposed))
    length = _busy(_length(tiling, here, machine), here, traffic, machine) + 0.0 * moved
    most = 2.0 * (written * (often > 0)).max(axis=(1, 2))
    hidden, exposed = (
        _last_end(tiling, slots * ~last, length, often_i) + (slots * ~last * often).sum(axis=(1, 2))
        for slots in (np.maximum(busy, moved), busy + 0.0 * moved)
    )
    ends = exposed + turns
    ends = np.where(buffered[:, 0, 0], np.minimum(ends, hidden + read[:, 0, 0] + most), ends)
    load = _loaded(tiling, here, machine)[:, 0, 0]
    return np.asarray(load + ends)


def _last_end(tiling: Tiling, slots: Floats, length: Floats, often_rows: Ints) -> Floats:
    """Cycles from the start of the last fold until all have ended.

    A larger fold that started shortly before may end after the last one.
    """
    end = length[:, -1, -1]
    rows, columns = (folds[:, 0, 0] > 1 for folds in (tiling.folds_rows, tiling.folds_columns))
    column = slots[:, -1, -2] + (slots[:, :, -1] * often_rows).sum(axis=1)
    for here, lag, i, j in (
        (rows, slots[:, -2, -1], -2, -1),
        (columns, column, -1, -2),
        (rows & columns, column + slots[:, -2, -2], -2, -2),
    ):
        end = np.where(here, np.maximum(end, length[:, i, j] - lag), end)
    return end


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
    if not len(folds.rows):
        return 0, 0
    with np.errstate(over="ignore", invalid="ignore"):
        compute, total = _listed(tiling, folds, traffic, machine)
    return compute, int(_rounded_up(np.array([total - compute]), machine)[0])


def _listed(tiling: Tiling, folds: Folds, traffic: Traffic, machine: Machine) -> tuple[int, float]:
    """Cycles of computing alone, and with all transfers."""
    steps = _steps(tiling, folds, np.roll(folds.rows, -1), machine)
    fetched, sent = traffic.reads(folds, machine), traffic.writes(folds, machine)
    moved = _moved(np.append(fetched[1:], 0.0), np.insert(sent[:-1], 0, 0.0), machine)
    read, written = _alone(fetched, sent, machine)
    busy = _busy(steps, folds, traffic, machine)
    turns = float((read + written).sum())
    if machine.mode != "overlap":
        compute, exposed = int(steps.sum()), busy.sum() + turns
        hidden = np.maximum(busy, moved).sum() + read[0] + written[-1]
    else:
        length = _length(tiling, folds, machine)
        load, most = _loaded(tiling, folds, machine)[0], 2.0 * written.max()
        compute = int(load + _last_of(steps, length))
        lasting = _busy(length, folds, traffic, machine)
        exposed = load + _last_of(busy, lasting) + turns
        hidden = load + _last_of(np.maximum(busy, moved), lasting) + read[0] + most
    return compute, float(min(hidden, exposed) if traffic.buffered else exposed)


def _last_of(slots: Ints | Floats, length: Ints | Floats) -> float:
    """Cycles from the start of the first fold until all have ended."""
    starts = np.cumsum(slots[:-1])
    return float(max(length[0], (starts + length[1:]).max(initial=0)))


def _steps(tiling: Tiling, folds: Folds, next_rows: Ints, machine: Machine) -> Ints:
    """Cycles of each fold; of an overlapped one, until the next one starts."""
    if machine.mode == "overlap":
        rows = next_rows if machine.edge_aware else tiling.rows
        return np.maximum(folds.stream, rows) if machine.stationary else folds.stream
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


def _busy(steps: Ints, folds: Folds, traffic: Traffic, machine: Machine) -> Ints | Floats:
    """Cycles of each fold, at least what the buffers need to serve the array."""
    width = machine.memory.sram_bandwidth
    return steps if width is None else np.maximum(steps, traffic.port(folds, machine) / width)


def _moved(reads: Floats, writes: Floats, machine: Machine) -> Floats:
    """Cycles of transfers that run beside a fold."""
    bandwidth, out = machine.memory.bandwidth, machine.memory.write_bandwidth
    if bandwidth is None:
        return 0.0 * reads
    if out is None:
        return np.asarray((reads + writes) / bandwidth)
    return np.maximum(reads / bandwidth, writes / out)


def _alone(reads: Floats, writes: Floats, machine: Machine) -> tuple[Floats, Floats]:
    """Cycles of the transfers of a fold, one after the other."""
    bandwidth = machine.memory.bandwidth
    if bandwidth is None:
        return 0.0 * reads, 0.0 * writes
    return reads / bandwidth, writes / (machine.memory.write_bandwidth or bandwidth)


def _rounded_up(cycles: Floats, machine: Machine, start: int = 0) -> Ints:
    """Whole cycles; what rounding of floating point leaves above one does not count.

    Raises
    ------
    CountError
        When they are beyond 64 bits; the first GEMM is number ``start``.
    """
    whole = np.ceil(cycles * (1.0 - 1e-13) - 1e-6)
    bad = ~(whole <= LARGEST)  # NaN, of infinite cycles, is bad as well
    if bad.any():
        memory = machine.memory
        limits = ", ".join(
            f"{name}={value:g}"
            for name in ("bandwidth", "write_bandwidth", "sram_bandwidth")
            if (value := getattr(memory, name)) is not None
        )
        msg = f"its memory stalls at {limits} bytes per cycle are beyond exact 64-bit counts; give "
        msg += "more bandwidth, or None for a memory that never stalls"
        raise CountError(start + int(np.argmax(bad)), msg)
    return np.asarray(whole, dtype=np.int64)
