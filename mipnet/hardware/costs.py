"""Counts of many GEMMs as arrays, and the figures of one row or of their sum."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mipnet.hardware.counts import total
from mipnet.hardware.machine import Precision

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Fields that are not counts of events and do not add up.
_PLAIN = ("precision", "cells", "count", "choices", "spilled", "buffered")


@dataclass(frozen=True)
class Figures:
    """Cost of one GEMM, all repetitions, or of several.

    Attributes
    ----------
    macs, active_macs : int
        Multiply-accumulates the array steps through, and those whose weight is not a known zero.
    cycles, compute_cycles, stall_cycles : int
        ``cycles`` is the sum of the other two.
    folds : int
    utilization : float
        macs / (R C cycles).
    mapping_efficiency : float
        Share of the PEs in use, averaged over the folds.
    sram_reads, sram_writes : int
        Words read for the array, words written by it. Read-backs of partial sums are not in
        ``sram_reads`` (as in SCALE-Sim) but in ``partial_sum_reads``.
    partial_sum_reads : int
    dram_reads, dram_writes : int
        Words, spilled partial sums included.
    dram_read_bytes, dram_write_bytes : int
        The same in bytes; tile maps and indices are in ``dram_read_bytes``.
    index_bytes : int
        Tile maps and indices alone.
    hops, register_accesses : int
        Words that move to the neighbouring PE (an operand and a partial sum per MAC; os: two
        operands), and reads and writes of registers in the PEs.
    """

    macs: int
    active_macs: int
    cycles: int
    compute_cycles: int
    stall_cycles: int
    folds: int
    utilization: float
    mapping_efficiency: float
    sram_reads: int
    sram_writes: int
    partial_sum_reads: int
    dram_reads: int
    dram_writes: int
    dram_read_bytes: int
    dram_write_bytes: int
    index_bytes: int
    hops: int
    register_accesses: int

    @property
    def dram_bytes(self) -> int:
        """Bytes in both directions."""
        return self.dram_read_bytes + self.dram_write_bytes

    @property
    def intensity(self) -> float:
        """MACs per DRAM byte; 0 without traffic."""
        return self.macs / self.dram_bytes if self.dram_bytes else 0.0


def freeze(record: object) -> None:
    """Make the arrays of a record read-only."""
    for value in vars(record).values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False


#: Figures that add up.
COUNTS = tuple(
    f.name for f in fields(Figures) if f.name not in {"utilization", "mapping_efficiency"}
)


@dataclass(frozen=True, eq=False)
class GemmCosts:
    """Counts of GEMMs, arrays of one shape; repetitions are included.

    Attributes
    ----------
    precision : Precision
    cells : array of int64
        PEs of the array, R C.
    count : array of int64
        Repetitions.
    folds, used : array of int64
        Folds, and PEs in use summed over the folds.
    macs, active_macs : array of int64
        As in :class:`Figures`.
    compute_cycles, stall_cycles : array of int64
    input_reads, weight_reads, partial_sum_reads, result_writes : array of int64
        Words between buffers and array. Each read-back of a partial sum has a write before it,
        beside ``result_writes``.
    dram_input_reads, dram_weight_reads, dram_partial_sums : array of int64
        Words from DRAM; partial sums travel in both directions.
    index_bytes : array of int64
        Tile maps and indices read from DRAM.
    choices : array of int64
        Inputs a PE chooses from under an N:M mask.
    spilled : array of bool
        Whether partial sums go to DRAM.
    buffered : array of bool
        Whether transfers overlap with computing.
    """

    precision: Precision
    cells: Ints
    count: Ints
    folds: Ints
    used: Ints
    macs: Ints
    active_macs: Ints
    compute_cycles: Ints
    stall_cycles: Ints
    input_reads: Ints
    weight_reads: Ints
    partial_sum_reads: Ints
    result_writes: Ints
    dram_input_reads: Ints
    dram_weight_reads: Ints
    dram_partial_sums: Ints
    index_bytes: Ints
    choices: Ints
    spilled: npt.NDArray[np.bool_]
    buffered: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        freeze(self)

    @cached_property
    def cycles(self) -> Ints:
        """Compute and stall cycles."""
        return self.compute_cycles + self.stall_cycles

    @property
    def utilization(self) -> Floats:
        """MACs over what the array could do in these cycles."""
        return self.macs / np.maximum(self.cells * self.cycles.astype(np.float64), 1.0)

    @property
    def mapping_efficiency(self) -> Floats:
        """Share of the PEs in use, averaged over the folds."""
        return self.used / np.maximum(self.cells * self.folds.astype(np.float64), 1.0)

    @property
    def sram_reads(self) -> Ints:
        """Operand words read from the buffers."""
        return self.input_reads + self.weight_reads

    @property
    def sram_writes(self) -> Ints:
        """Words written to the output buffer, partial sums included."""
        return self.result_writes + self.partial_sum_reads

    @property
    def dram_reads(self) -> Ints:
        """Words read from DRAM."""
        return self.dram_input_reads + self.dram_weight_reads + self.dram_partial_sums

    @property
    def dram_writes(self) -> Ints:
        """Words written to DRAM."""
        return self.result_writes + self.dram_partial_sums

    @property
    def dram_read_bytes(self) -> Ints:
        """Bytes read from DRAM, indices included."""
        words = self.precision
        moved = _bytes(
            (self.dram_input_reads, words.inputs),
            (self.dram_weight_reads, words.weights),
            (self.dram_partial_sums, words.partial_sums),
        )
        return moved + self.index_bytes

    @property
    def dram_write_bytes(self) -> Ints:
        """Bytes written to DRAM."""
        words = self.precision
        return _bytes(
            (self.result_writes, words.outputs), (self.dram_partial_sums, words.partial_sums)
        )

    @property
    def hops(self) -> Ints:
        """Words that move to the neighbouring PE."""
        return 2 * self.macs

    @property
    def register_accesses(self) -> Ints:
        """Reads and writes of registers in the PEs."""
        return 2 * self.macs

    @property
    def intensity(self) -> Floats:
        """MACs per DRAM byte; 0 without traffic."""
        traffic = self.dram_read_bytes + self.dram_write_bytes
        return np.asarray(self.macs / np.maximum(traffic, 1))

    def figures(self, index: Any = ...) -> Figures:
        """Figures of one GEMM, or of all of them summed."""
        counts = {name: total(getattr(self, name)[index]) for name in COUNTS}
        return Figures(
            **counts,
            utilization=_share(counts["macs"], self.cells[index], self.cycles[index]),
            mapping_efficiency=_share(
                total(self.used[index]), self.cells[index], self.folds[index]
            ),
        )

    def reshape(self, shape: tuple[int, ...]) -> Self:
        """Return the same counts in arrays of another shape."""
        arrays = {
            f.name: getattr(self, f.name).reshape(shape)
            for f in fields(self)
            if f.name != "precision"
        }
        return replace(self, **arrays)

    def present(self, flags: npt.NDArray[np.bool_]) -> Self:
        """Return the counts with nothing where a GEMM is gone."""
        counts = {
            f.name: getattr(self, f.name) * flags for f in fields(self) if f.name not in _PLAIN
        }
        return replace(self, **counts)

    def put(self, index: int, other: GemmCosts) -> Self:
        """Return the counts with one entry taken from the only entry of others."""
        arrays = {}
        for f in fields(self):
            if f.name != "precision":
                values = getattr(self, f.name).copy()
                values[index] = getattr(other, f.name)[0]
                arrays[f.name] = values
        return replace(self, **arrays)

    def summed(self, first: Ints) -> Self:
        """Return the counts of successive entries as one.

        Parameters
        ----------
        first : array of int64
            Index of the first entry of each sum, from 0.
        """
        if len(first) == len(self.count):
            return self
        ways: dict[str, np.ufunc] = {"choices": np.maximum, "spilled": np.logical_or}
        ways |= {"buffered": np.logical_and, "cells": np.maximum}
        arrays: dict[str, Any] = {
            f.name: ways.get(f.name, np.add).reduceat(getattr(self, f.name), first)
            for f in fields(self)
            if f.name != "precision"
        }
        return replace(self, **arrays)


def _share(part: int, cells: Any, steps: Any) -> float:
    whole = float(np.sum(np.multiply(cells, steps, dtype=np.float64)))
    return part / whole if whole else 0.0


def _bytes(*words: tuple[Ints, int]) -> Ints:
    """Bytes of words of so many bits, rounded up; bits themselves could exceed 64 bits."""
    eighths, rests = (sum(f(count) * bits for count, bits in words) for f in (_eighth, _rest))
    return np.asarray(eighths - (-rests // 8))


def _eighth(count: Ints) -> Ints:
    return count // 8


def _rest(count: Ints) -> Ints:
    return count % 8
