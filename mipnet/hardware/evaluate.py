"""Costs of many GEMMs on many arrays at once.

Words moved between buffers and array, per GEMM (F_r, F_c the folds of
:mod:`mipnet.hardware.cycles`):

========  ============  ============  ==========  ====================
dataflow  inputs read   weights read  written     partial sums read
========  ============  ============  ==========  ====================
ws        M K F_c       K N           M N F_r     M N (F_r - 1)
os        M K F_c       K N F_r       M N         0
is        M K           K N F_c       M N F_r     M N (F_r - 1)
========  ============  ============  ==========  ====================

The first three columns are those of SCALE-Sim 3.0.0, but for its output-stationary write counter,
which adds R + C per fold. From DRAM an operand comes once when it fits its buffer (half of it when
double-buffered), else as often as the buffer is read. Results are written once; partial sums wait
in the output buffer, or go to DRAM and back when a column of them does not fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import QueryError
from mipnet.hardware.costs import COUNTS, GemmCosts
from mipnet.hardware.counts import LARGEST, CountError
from mipnet.hardware.cycles import Tiling, compute_cycles, tile
from mipnet.hardware.folds import kept_folds
from mipnet.hardware.machine import LARGEST_SIDE, Machine
from mipnet.hardware.masks import TileMask
from mipnet.hardware.stalls import Traffic, dense_stalls, kept_cycles

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Shapes:
    """GEMMs as the array sees them, arrays of shape (gemms,); counts are per repetition.

    Attributes
    ----------
    m, k, n, count : array of int64
        ``k`` counts rows of weights on the array: fewer than inputs under an N:M mask.
    inputs : array of int64
        Columns of the activations.
    unique : array of int64
        Different words of the activations.
    active : array of int64
        MACs whose weight is not a known zero.
    stored : array of int64
        Weight words kept in DRAM.
    index_bytes : array of int64
        Bytes that say which words these are.
    choices : array of int64
        Inputs a PE chooses from; 1 without N:M mask.
    """

    m: Ints
    k: Ints
    n: Ints
    count: Ints
    inputs: Ints
    unique: Ints
    active: Ints
    stored: Ints
    index_bytes: Ints
    choices: Ints

    @staticmethod
    def whole(m: Ints, k: Ints, n: Ints, count: Ints, unique: Ints) -> Shapes:
        """GEMMs without a mask."""
        zero = np.zeros_like(m)
        return Shapes(m, k, n, count, k, unique, m * k * n, k * n, zero, zero + 1)


def evaluate(
    m: npt.ArrayLike,
    k: npt.ArrayLike,
    n: npt.ArrayLike,
    rows: npt.ArrayLike,
    columns: npt.ArrayLike | None = None,
    **options: Any,
) -> GemmCosts:
    """Costs of GEMMs (M x K) (K x N) on arrays; everything broadcasts.

    Parameters
    ----------
    m, k, n : array_like of int
    rows, columns : array_like of int
        Sides of the arrays; square ones without ``columns``.
    **options
        Fields of :class:`~mipnet.hardware.machine.Machine` other than the sides.

    Returns
    -------
    GemmCosts
        Arrays of the broadcast shape.

    Raises
    ------
    QueryError
        When a size is no whole number of at least 1.

    Examples
    --------
    >>> evaluate([5, 16], [7, 16], [9, 16], [[4], [8]], dataflow="ws").cycles
    array([[ 90, 416], [ 54, 152]])
    """
    given = {"M": m, "K": k, "N": n, "rows": rows, "columns": rows if columns is None else columns}
    checked = [_whole(name, value) for name, value in given.items()]
    try:
        arrays = np.broadcast_arrays(*checked)
    except ValueError as error:
        msg = f"shapes and arrays do not broadcast: {error}"
        raise QueryError(msg) from error
    shape = arrays[0].shape
    flat = [np.ascontiguousarray(array).reshape(-1) for array in arrays]
    if flat[0].size and max(flat[3].max(), flat[4].max()) > LARGEST_SIDE:
        msg = f"arrays with sides of more than {LARGEST_SIDE} are not modelled"
        raise QueryError(msg)
    shapes = Shapes.whole(flat[0], flat[1], flat[2], np.ones_like(flat[0]), flat[0] * flat[1])
    machine = Machine(1, 1, **options)
    return evaluate_shapes(shapes, flat[3], flat[4], machine).reshape(shape)


def _whole(name: str, value: npt.ArrayLike) -> Ints:
    array = np.asarray(value)
    if not np.issubdtype(array.dtype, np.integer):
        msg = f"{name} must be whole numbers, not {array.dtype}"
        raise QueryError(msg)
    if array.size and (array.min() < 1 or array.max() >= 2**62):
        msg = f"{name} must lie between 1 and 2**62, got {array.min()} to {array.max()}"
        raise QueryError(msg)
    return array.astype(np.int64)


def evaluate_shapes(shapes: Shapes, rows: Ints, columns: Ints, machine: Machine) -> GemmCosts:
    """Costs of whole GEMMs, one array each.

    Parameters
    ----------
    shapes : Shapes
    rows, columns : array of int64, shape (gemms,)
        Sides of the arrays; those of ``machine`` are not read.
    machine : Machine
    """
    tiling = tile((shapes.m, shapes.k, shapes.n), rows, columns, machine.dataflow)
    traffic = _traffic(shapes, tiling, machine)
    compute = compute_cycles(
        tiling,
        stationary=machine.stationary,
        mode=machine.mode,
        edge_aware=machine.edge_aware,
    )
    once = np.ones_like(tiling.folds)
    turns_in, turns_weights = {
        "ws": (tiling.folds_columns, once),
        "os": (tiling.folds_columns, tiling.folds_rows),
        "is": (once, tiling.folds_columns),
    }[machine.dataflow]
    results = shapes.m * shapes.n
    again = tiling.folds_rows - 1 if machine.stationary else 0 * results
    weight_turns = np.where(traffic.weights_kept, 1, turns_weights)
    sums = results * again
    return _costs(
        shapes,
        machine,
        folds=tiling.folds,
        used=tiling.span_rows * tiling.span_columns,
        cells=rows * columns,
        macs=shapes.m * shapes.k * shapes.n,
        compute=compute,
        stalls=dense_stalls(tiling, compute, traffic, machine),
        inputs=shapes.m * shapes.inputs * turns_in,
        weights=shapes.k * shapes.n * turns_weights,
        sums=sums,
        finals=results,
        dram_inputs=shapes.unique * np.where(traffic.inputs_kept, 1, turns_in),
        dram_weights=shapes.stored * weight_turns,
        index=shapes.index_bytes * weight_turns,
        traffic=traffic,
    )


def evaluate_kept(shapes: Shapes, mask: TileMask, machine: Machine) -> GemmCosts:
    """Costs of one GEMM whose zero tiles are skipped.

    Parameters
    ----------
    shapes : Shapes
        Arrays of one element; ``active`` and ``stored`` count the kept tiles.
    mask : TileMask
        With tiles of the size of the array. Its map is read ahead of the GEMM: it counts as
        traffic and never stalls the array.
    machine : Machine
    """
    rows, columns = np.array([machine.rows]), np.array([machine.columns])
    folds = kept_folds(mask, int(shapes.m[0]), machine.dataflow)
    tiling = tile((shapes.m, shapes.k, shapes.n), rows, columns, machine.dataflow)
    traffic = _traffic(shapes, tiling, machine, used=shapes.stored)
    flat = Traffic(*(value[0] for value in vars(traffic).values()))
    alone = Tiling(*(value[0] for value in vars(tiling).values()))
    compute, stalls = kept_cycles(alone, folds, flat, machine)
    total = {name: np.array([np.sum(value)]) for name, value in vars(folds).items()}
    fetched = total["new_inputs"] if flat.inputs_kept else total["inputs"]
    fetched_weights = total["new_weights"] if flat.weights_kept else total["weights"]
    distinct = shapes.unique / (shapes.m * shapes.inputs)
    return _costs(
        shapes,
        machine,
        folds=np.array([len(folds.rows)]),
        used=np.array([np.sum(folds.rows * folds.columns)]),
        cells=rows * columns,
        macs=np.array([np.sum(folds.rows * folds.columns * folds.stream)]),
        compute=np.array([compute]),
        stalls=np.array([stalls]),
        inputs=total["inputs"],
        weights=total["weights"],
        sums=total["sums"],
        finals=total["finals"],
        dram_inputs=np.rint(fetched * distinct).astype(np.int64),
        dram_weights=fetched_weights,
        index=np.array([mask.map_bytes(machine.precision.weights)]),
        traffic=traffic,
    )


def _traffic(shapes: Shapes, tiling: Tiling, machine: Machine, used: Ints | None = None) -> Traffic:
    """Say what fits where, and how many bytes a word takes; all weights are used when not given."""
    memory, words = machine.memory, machine.precision
    room_in, room_weights, room_out = (
        8 * size / memory.share
        for size in (memory.input_bytes, memory.weight_bytes, memory.output_bytes)
    )
    r = np.minimum(tiling.span_rows, tiling.rows)
    c = np.minimum(tiling.span_columns, tiling.columns)
    t = tiling.stream
    choice = shapes.inputs / shapes.k  # inputs per row of the array
    # A fold under an N:M mask takes the inputs of several rows, but not all of them at once.
    whole = np.minimum(shapes.inputs, tiling.rows)
    tile_in = {"ws": whole * t, "os": r * shapes.inputs, "is": whole * c}[machine.dataflow]
    tile_weights = {"ws": r * c, "os": c * t, "is": r * t}[machine.dataflow]
    fits = (tile_in * words.inputs <= room_in) & (tile_weights * words.weights <= room_weights)
    if machine.stationary:
        strip = t * c * words.partial_sums
        spilled = (strip > room_out) if memory.partial_sums == "accumulator" else t > 0
        spilled = spilled & (tiling.folds_rows > 1)
    else:
        spilled = np.zeros(t.shape, bool)
        fits = fits & (r * c * words.outputs <= room_out)
    stored_bits = shapes.stored * words.weights + 8 * shapes.index_bytes
    used = shapes.k * shapes.n if used is None else used
    port = choice * (words.inputs / 8)
    return Traffic(
        inputs_kept=shapes.unique * words.inputs <= room_in,
        weights_kept=stored_bits <= room_weights,
        spilled=spilled,
        input_bytes=port * shapes.unique / (shapes.m * shapes.inputs),
        weight_bytes=stored_bits / (8 * used),
        port_input_bytes=port,
        buffered=fits & memory.double_buffered,
    )


def _costs(shapes: Shapes, machine: Machine, *, traffic: Traffic, **per: Any) -> GemmCosts:
    """Figures of all repetitions from those of one."""
    count = shapes.count
    spilled_sums = per["sums"] * traffic.spilled
    once = {
        "folds": per["folds"],
        "used": per["used"],
        "macs": per["macs"],
        "active_macs": shapes.active,
        "compute_cycles": per["compute"],
        "stall_cycles": per["stalls"],
        "input_reads": per["inputs"],
        "weight_reads": per["weights"],
        "partial_sum_reads": per["sums"],
        "result_writes": per["finals"],
        "dram_input_reads": per["dram_inputs"],
        "dram_weight_reads": per["dram_weights"],
        "dram_partial_sums": spilled_sums,
        "index_bytes": per["index"],
    }
    plain = {
        "precision": machine.precision,
        "cells": per["cells"],
        "count": count,
        "choices": shapes.choices,
        "spilled": traffic.spilled,
        "buffered": traffic.buffered,
    }
    most = max(int(value.max(initial=0)) for value in once.values())
    # No figure is more than three counts of words of at most 128 bytes, and indices.
    if most * int(count.max(initial=0)) > LARGEST // 512:
        floats = count.astype(np.float64)
        _check(GemmCosts(**plain, **{name: value * floats for name, value in once.items()}))
    return GemmCosts(**plain, **{name: value * count for name, value in once.items()})


def _check(costs: GemmCosts) -> None:
    """Refuse figures, given as floating point, that 64 bits do not hold.

    Raises
    ------
    CountError
    """
    for name in ("stall_cycles", *COUNTS, "used"):
        bad = getattr(costs, name) > LARGEST
        if bad.any():
            i = int(np.argmax(bad))
            times = int(costs.count[i])
            msg = f"{name} of its {times} repetition(s), {float(getattr(costs, name)[i]):.3g}, is "
            msg += "beyond exact 64-bit counts; "
            if name == "stall_cycles":
                msg += "give more bandwidth, "
            msg += "cost fewer repetitions, a smaller batch, or split it"
            raise CountError(i, msg)
