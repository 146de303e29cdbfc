"""The machine a GEMM runs on: array, dataflow, timing mode, word widths and memories."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

import numpy as np

from mipnet.errors import QueryError

#: Weight-, output- and input-stationary.
DATAFLOWS = ("ws", "os", "is")
#: How successive folds follow each other; see :func:`mipnet.hardware.cycles.compute_cycles`.
MODES = ("serial", "no_fill", "overlap", "paper")
#: Where partial sums of different row folds wait for each other.
PARTIAL_SUMS = ("accumulator", "spill")
#: Longest side of an array; keeps every count within 64 bits.
LARGEST_SIDE = 2**20
#: Bits of the widest word, for the same reason.
WIDEST_WORD = 1024


def whole(name: str, value: object) -> int:
    """Positive whole number, or a QueryError that names it."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        msg = f"{name} must be a whole number of at least 1, not {value!r}"
        raise QueryError(msg)
    if value < 1:
        msg = f"{name} is {value}; it must be at least 1"
        raise QueryError(msg)
    return int(value)


def flag(name: str, value: object) -> None:
    """Raise QueryError for a value that is neither True nor False: text such as "no" is true."""
    if not isinstance(value, bool | np.bool_):
        msg = f"{name} must be True or False, not {value!r}"
        raise QueryError(msg)


def one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    """Raise QueryError for a value that is none of the known ones."""
    if value not in known:
        msg = f"{name} {value!r} is unknown; choose one of {', '.join(known)}"
        raise QueryError(msg)


@dataclass(frozen=True)
class Precision:
    """Word widths in bits.

    Attributes
    ----------
    name : str
        What energy tables list their MACs under.
    inputs, weights, outputs, partial_sums : int

    Raises
    ------
    QueryError
        When a width is no whole number from 1 to 1024.
    """

    name: str
    inputs: int
    weights: int
    outputs: int
    partial_sums: int

    def __post_init__(self) -> None:
        for field_name in ("inputs", "weights", "outputs", "partial_sums"):
            label = f"precision {self.name!r}: bits of {field_name}"
            width = whole(label, getattr(self, field_name))
            if width > WIDEST_WORD:
                msg = f"{label} is {width}; words of more than {WIDEST_WORD} bits are not modelled"
                raise QueryError(msg)


#: Word widths by name; ``fp32_int8`` is SASP's mix of FP32 activations and INT8 weights.
PRECISIONS = {
    p.name: p
    for p in (
        Precision("int8", 8, 8, 8, 32),
        Precision("fp16", 16, 16, 16, 32),
        Precision("fp32", 32, 32, 32, 32),
        Precision("fp32_int8", 32, 8, 32, 32),
    )
}


@dataclass(frozen=True)
class Memory:
    """Buffers and ports.

    Attributes
    ----------
    input_bytes, weight_bytes, output_bytes : int
        Capacity of each buffer in bytes. The defaults, 512, 512 and 256 KiB, are those of the
        SCALE-Sim reference runs.
    bandwidth : float, optional
        DRAM bytes per cycle; None means that memory never stalls the array. It is shared by
        reads and writes unless ``write_bandwidth`` is given.
    write_bandwidth : float, optional
        Bytes per cycle of a write port of its own.
    sram_bandwidth : float, optional
        Bytes per cycle between buffers and array; None for ports as wide as the array needs.
    double_buffered : bool
        Whether one half of a buffer is filled while the other half is in use. Tensors then have
        to fit one half.
    partial_sums : {"accumulator", "spill"}
        ``accumulator`` keeps partial sums in the output buffer while they fit (and spills those
        that do not), ``spill`` sends every one to DRAM and back.

    Raises
    ------
    QueryError
        When a capacity or bandwidth is not positive.
    """

    input_bytes: int = 512 * 1024
    weight_bytes: int = 512 * 1024
    output_bytes: int = 256 * 1024
    bandwidth: float | None = None
    write_bandwidth: float | None = None
    sram_bandwidth: float | None = None
    double_buffered: bool = True
    partial_sums: str = "accumulator"

    def __post_init__(self) -> None:
        for name in ("input_bytes", "weight_bytes", "output_bytes"):
            object.__setattr__(self, name, whole(name, getattr(self, name)))
        for name in ("bandwidth", "write_bandwidth", "sram_bandwidth"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float | np.number):
                msg = f"{name} must be a number of bytes per cycle or None, not {value!r}"
                raise QueryError(msg)
            if not value > 0.0:
                msg = f"{name} is {value:g} bytes per cycle: nothing would ever arrive; give a "
                msg += "positive number, or None for a memory that never stalls"
                raise QueryError(msg)
            object.__setattr__(self, name, None if math.isinf(value) else float(value))
        if self.write_bandwidth is not None and self.bandwidth is None:
            msg = "write_bandwidth without bandwidth: give both, or bandwidth alone (shared port)"
            raise QueryError(msg)
        flag("double_buffered", self.double_buffered)
        one_of("partial_sums", self.partial_sums, PARTIAL_SUMS)

    @property
    def share(self) -> int:
        """Parts a buffer is split into: 2 when double-buffered."""
        return 2 if self.double_buffered else 1


@dataclass(frozen=True)
class Machine:
    """A systolic array with its schedule and memories.

    Attributes
    ----------
    rows, columns : int
        Processing elements (PEs).
    dataflow : {"ws", "os", "is"}
        What stays in the PEs: weights, outputs or inputs.
    mode : {"serial", "no_fill", "overlap", "paper"}
        Timing of successive folds.
    edge_aware : bool
        Charge under-filled folds for the rows and columns they use instead of all.
    precision : Precision
    memory : Memory
    nm_support : bool
        Whether PEs can pick their input by the index of an N:M mask. Without it such a mask
        saves no cycles.
    skip_slices : bool
        Whether an output- or input-stationary schedule leaves out zero weight tiles. A
        weight-stationary one always can, since a tile is one fold.
    """

    rows: int
    columns: int
    dataflow: str = "ws"
    mode: str = "serial"
    edge_aware: bool = False
    precision: Precision = PRECISIONS["int8"]
    memory: Memory = field(default_factory=Memory)
    nm_support: bool = True
    skip_slices: bool = False

    def __post_init__(self) -> None:
        rows, columns = sides((self.rows, self.columns))
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "columns", columns)
        if isinstance(self.dataflow, str):
            object.__setattr__(self, "dataflow", self.dataflow.lower())
        one_of("dataflow", self.dataflow, DATAFLOWS)
        one_of("mode", self.mode, MODES)
        for name in ("edge_aware", "nm_support", "skip_slices"):
            flag(name, getattr(self, name))
        object.__setattr__(self, "precision", precision(self.precision))
        memory: object = self.memory
        if not isinstance(memory, Memory):
            msg = f"memory must be a mipnet.hardware.Memory, not {memory!r}"
            raise QueryError(msg)

    @property
    def array(self) -> str:
        """Size as text, rows first."""
        return f"{self.rows}x{self.columns}"

    @property
    def stationary(self) -> bool:
        """Whether an operand is loaded before it is used (weight- and input-stationary)."""
        return self.dataflow != "os"

    @property
    def skips_tiles(self) -> bool:
        """Whether zero weight tiles cost no cycles."""
        return self.dataflow == "ws" or self.skip_slices

    def __str__(self) -> str:
        edge = ", edge-aware" if self.edge_aware else ""
        return f"{self.array} {self.dataflow}, {self.mode}{edge}, {self.precision.name}"


def sides(array: object) -> tuple[int, int]:
    """Rows and columns of ``16``, ``(16, 8)`` or ``"16x8"``.

    Raises
    ------
    QueryError
        When a side is no whole number of at least 1.

    Examples
    --------
    >>> sides("16x8"), sides(4)
    ((16, 8), (4, 4))
    """
    parts: object = array
    if isinstance(array, str):
        match = re.fullmatch(r"\s*(-?\d+)(?:\s*[xX×]\s*(-?\d+))?\s*", array)
        parts = [int(part) for part in match.groups() if part is not None] if match else None
    if isinstance(parts, int | np.integer):
        parts = [parts]
    if isinstance(parts, np.ndarray):
        parts = parts.tolist()
    if not isinstance(parts, list | tuple) or len(parts) not in (1, 2):
        msg = f"array {array!r} is no size: write 16x16 (rows x columns), (16, 16) or 16"
        raise QueryError(msg)
    rows, columns = whole("array rows", parts[0]), whole("array columns", parts[-1])
    if max(rows, columns) > LARGEST_SIDE:
        msg = f"array {rows}x{columns}: sides of more than {LARGEST_SIDE} are not modelled"
        raise QueryError(msg)
    return rows, columns


def precision(name: str | Precision) -> Precision:
    """Word widths by name, or as they are."""
    if isinstance(name, Precision):
        return name
    one_of("precision", name, tuple(PRECISIONS))
    return PRECISIONS[name]
