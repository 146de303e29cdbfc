"""What SCALE-Sim 3.0.0 prints for a GEMM, slips included.

Its compute engine counts the cycles of mode ``serial``; its report differs in three places:

* Total Cycles is the index of the last cycle, counted from 0: one less than the cycles. Its
  overall utilisation divides by that.
* Compute utilisation of ws and is divides by 2R + 2C + T - 3 cycles per fold, C - 1 more than a
  fold takes.
* The output-stationary write counter adds R + C words per fold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.hardware.cycles import tile
from mipnet.hardware.evaluate import evaluate
from mipnet.hardware.machine import Memory, whole

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Sets a buffer of the tool is cut into; half of them are active.
SETS = 100


@dataclass(frozen=True, eq=False)
class ScaleSimReport:
    """Figures as the tool prints them, arrays of one shape.

    Attributes
    ----------
    total_cycles : array of int64
        One less than the cycles taken.
    utilization, mapping_efficiency, compute_utilization : array of float64
        In percent.
    input_reads, filter_reads, output_writes : array of int64
        SRAM words.
    dram_input_reads, dram_filter_reads, dram_output_writes : array of int64
        DRAM words of its stall-free mode, by the rule that an operand is fetched once when it fits
        the active half of its buffer, else as often as it is read. The tool's own set replacement
        lies in between near the limit, and its last write may be padded by up to C - 1 words.
    """

    total_cycles: Ints
    utilization: Floats
    mapping_efficiency: Floats
    compute_utilization: Floats
    input_reads: Ints
    filter_reads: Ints
    output_writes: Ints
    dram_input_reads: Ints
    dram_filter_reads: Ints
    dram_output_writes: Ints


def scalesim_report(
    m: npt.ArrayLike,
    k: npt.ArrayLike,
    n: npt.ArrayLike,
    rows: npt.ArrayLike,
    columns: npt.ArrayLike | None = None,
    *,
    dataflow: str = "ws",
    buffer_kb: tuple[int, int] = (512, 512),
) -> ScaleSimReport:
    """Figures of the tool for GEMMs (M x K) (K x N); everything broadcasts.

    Parameters
    ----------
    m, k, n, rows, columns : array_like of int
        As for :func:`~mipnet.hardware.evaluate.evaluate`.
    dataflow : {"ws", "os", "is"}
    buffer_kb : (int, int)
        Input and filter buffer; a word is one byte.

    Examples
    --------
    >>> int(scalesim_report(64, 64, 64, 16).total_cycles)
    1759
    """
    columns = rows if columns is None else columns
    costs = evaluate(m, k, n, rows, columns, dataflow=dataflow, memory=Memory())
    sizes: Any = np.broadcast_arrays(*(np.asarray(v, dtype=np.int64) for v in (m, k, n)))
    r, c = (np.broadcast_to(np.asarray(v, np.int64), costs.macs.shape) for v in (rows, columns))
    m, k, n = (np.broadcast_to(v, costs.macs.shape) for v in sizes)
    tiling = tile((m, k, n), r, c, dataflow)
    t = tiling.stream
    length = r + c + t - 2 if dataflow == "os" else 2 * r + 2 * c + t - 3
    total = costs.cycles - 1
    active = [SETS // 2 * (whole("buffer_kb", kb) * 1024 // SETS) for kb in buffer_kb]
    return ScaleSimReport(
        total_cycles=total,
        # A single PE that is done in cycle 0 makes the tool divide by zero.
        utilization=100.0 * costs.macs / np.where(total > 0, total * r * c, np.nan),
        mapping_efficiency=100.0 * costs.mapping_efficiency,
        compute_utilization=100.0 * costs.mapping_efficiency * t / length,
        input_reads=costs.input_reads,
        filter_reads=costs.weight_reads,
        output_writes=costs.sram_writes + (dataflow == "os") * tiling.folds * (r + c),
        dram_input_reads=np.where(m * k <= active[0], m * k, costs.input_reads),
        dram_filter_reads=np.where(k * n <= active[1], k * n, costs.weight_reads),
        dram_output_writes=costs.sram_writes,
    )
