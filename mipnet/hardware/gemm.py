"""GEMMs: the shapes that are costed, one by one and as columns of a workload."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import QueryError
from mipnet.hardware.counts import LARGEST, CountError
from mipnet.hardware.machine import flag, whole

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Gemm:
    """Activations (M x K) times weights (K x N).

    Attributes
    ----------
    name : str
        Named in reports, and by tile, N:M and element masks.
    m, k, n : int
        Rows (batch, tokens or output positions), inputs, outputs.
    count : int
        Times the product is done, with other data.
    inputs, outputs : str, optional
        Unit group that the K inputs, the N outputs belong to. Removing a unit of the group takes
        its share of K, of N. Unit masks are named after groups.
    repeats : str, optional
        Unit group each of whose units is its share of the repetitions (attention heads).
    units : int, optional
        Units of the group ``outputs``; N when absent.
    weights : bool
        Whether the K x N operand is a trained parameter; a product of activations has none.
    unique_inputs : int, optional
        Different words among the M x K inputs of one repetition; fewer than M K where im2col
        repeats them.
    blocks : int
        Diagonal blocks of the layer (channel groups of a convolution). Each repetition, or an
        equal share of them, is one block: the groups ``inputs`` and ``outputs`` hold K and N words
        of every block in turn. Weight masks of a block are named ``name[block]``.

    Raises
    ------
    QueryError
        When a size is no whole number of at least 1, ``count`` is no multiple of ``blocks``, or
        ``unique_inputs`` are more than M K.
    """

    name: str
    m: int
    k: int
    n: int
    count: int = 1
    inputs: str | None = None
    outputs: str | None = None
    repeats: str | None = None
    units: int | None = None
    weights: bool = True
    unique_inputs: int | None = None
    blocks: int = 1

    def __post_init__(self) -> None:
        for size in ("m", "k", "n", "count", "units", "unique_inputs", "blocks"):
            value = getattr(self, size)
            if value is not None or size not in {"units", "unique_inputs"}:
                label = f"GEMM {self.name!r}: {size.upper() if size in 'mkn' else size}"
                object.__setattr__(self, size, whole(label, value))
        flag(f"GEMM {self.name!r}: weights", self.weights)
        if self.unique_inputs is not None and self.unique_inputs > self.m * self.k:
            msg = f"GEMM {self.name!r}: {self.unique_inputs} unique_inputs among its M x K = "
            msg += f"{self.m * self.k} inputs; give at most that many"
            raise QueryError(msg)
        if self.count % self.blocks:
            msg = f"GEMM {self.name!r}: its {self.count} repetitions do not divide into "
            msg += f"{self.blocks} blocks"
            raise QueryError(msg)

    def renamed(self, name: str) -> Gemm:
        """Return the same GEMM under another name."""
        return replace(self, name=name)


@dataclass(frozen=True, eq=False)
class Workload:
    """GEMMs as columns, in the order they run.

    Attributes
    ----------
    m, k, n, count, unique : array of int64, shape (gemms,)
        ``unique`` holds the different input words of one repetition.
    gemms : tuple of Gemm, optional
        Names and unit groups; absent for bare shapes, which are called gemm0, gemm1, ...
    beside : mapping of str to str
        Kind of every layer of a network that has no GEMM, by name: it runs beside the array.
    """

    m: Ints
    k: Ints
    n: Ints
    count: Ints
    unique: Ints
    gemms: tuple[Gemm, ...] | None = None
    beside: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of(gemms: Iterable[Gemm]) -> Workload:
        """Columns of GEMMs.

        Raises
        ------
        QueryError
            When there are none or two have one name.
        """
        rows = tuple(gemms)
        seen: set[str] = set()
        for gemm in rows:
            if gemm.name in seen:
                msg = f"two GEMMs are called {gemm.name!r}; names must differ"
                raise QueryError(msg)
            if max(gemm.m * gemm.k, gemm.n, gemm.count) > LARGEST:
                msg = f"M={gemm.m}, K={gemm.k}, N={gemm.n}, count={gemm.count} are beyond exact "
                msg += "64-bit counts; split it, or cost a smaller batch"
                raise CountError(gemm.name, msg)
            seen.add(gemm.name)
        sizes = [
            (g.m, g.k, g.n, g.count, g.m * g.k if g.unique_inputs is None else g.unique_inputs)
            for g in rows
        ]
        m, k, n, count, unique = _columns(sizes)
        return Workload(m, k, n, count, unique, rows)

    @staticmethod
    def bare(sizes: npt.ArrayLike) -> Workload:
        """Columns of rows (M, K, N).

        Raises
        ------
        QueryError
            When a row is no triple of whole numbers of at least 1.
        """
        table = np.asarray(sizes)
        if table.ndim != 2 or table.shape[1] != 3 or not np.issubdtype(table.dtype, np.integer):
            msg = f"GEMM shapes must be rows of three whole numbers (M, K, N), not {sizes!r:.120}"
            raise QueryError(msg)
        bad = np.argwhere(table < 1)
        if bad.size:
            row, column = bad[0].tolist()
            msg = (
                f"GEMM 'gemm{row}': {'MKN'[column]} is {table[row, column]}; it must be at least 1"
            )
            raise QueryError(msg)
        if np.issubdtype(table.dtype, np.unsignedinteger) and table.max(initial=1) >= 2**62:
            msg = "GEMM shapes of 2**62 and more are not modelled"
            raise QueryError(msg)
        m, k, n = (np.ascontiguousarray(column, dtype=np.int64) for column in table.T)
        m, k, n, count, unique = _columns((m, k, n, np.ones_like(m), m * k))
        return Workload(m, k, n, count, unique)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the GEMMs."""
        if self.gemms is None:
            return tuple(f"gemm{i}" for i in range(len(self.m)))
        return tuple(gemm.name for gemm in self.gemms)

    @cached_property
    def rows(self) -> tuple[Gemm, ...]:
        """The GEMMs; those of bare shapes own the group of their outputs."""
        if self.gemms is not None:
            return self.gemms
        sizes = zip(self.names, self.m.tolist(), self.k.tolist(), self.n.tolist(), strict=True)
        return tuple(Gemm(name, m, k, n, outputs=name) for name, m, k, n in sizes)

    def part(self, index: Ints) -> Workload:
        """Return some of the GEMMs."""
        sizes = (self.m, self.k, self.n, self.count, self.unique)
        m, k, n, count, unique = (column[index] for column in sizes)
        return Workload(m, k, n, count, unique, tuple(self.rows[i] for i in index))

    def __len__(self) -> int:
        return len(self.m)


def _columns(sizes: Sequence[Any]) -> tuple[Ints, ...]:
    """Read-only columns; given as rows of five or as five columns."""
    if not len(sizes) or (isinstance(sizes, tuple) and not len(sizes[0])):
        msg = "there is no GEMM to cost: give at least one shape (M, K, N)"
        raise QueryError(msg)
    columns = sizes if isinstance(sizes, tuple) else np.array(sizes, dtype=object).T
    result = []
    for column in columns:
        values = np.array(column, dtype=np.int64)
        values.flags.writeable = False
        result.append(values)
    return tuple(result)


def read_shapes(shapes: Any) -> Workload | None:
    """Workload of anything that holds shapes; None for what does not.

    Parameters
    ----------
    shapes : Workload, Gemm, triple, array (gemms, 3), mapping of name to triple, or sequence of
        Gemm and triples

    Raises
    ------
    QueryError
        When a shape is malformed.
    """
    if isinstance(shapes, Workload):
        return shapes
    if isinstance(shapes, Mapping):
        return Workload.of(_named(str(name), size) for name, size in shapes.items())
    if isinstance(shapes, np.ndarray):
        return Workload.bare(np.atleast_2d(shapes))
    if isinstance(shapes, list | tuple) and shapes and _numbers(shapes) and len(shapes) != 3:
        msg = f"a GEMM shape is three whole numbers (M, K, N), not {shapes!r}"
        raise QueryError(msg)
    if isinstance(shapes, Gemm) or (_numbers(shapes) and len(shapes) == 3):
        shapes = [shapes]
    if isinstance(shapes, Iterator):
        shapes = list(shapes)
    return _listed(shapes) if isinstance(shapes, list | tuple) else None


def _listed(shapes: Sequence[Any]) -> Workload | None:
    table = _table(shapes)
    if table is not None:
        return Workload.bare(table)
    if all(isinstance(shape, Gemm) or _numbers(shape) for shape in shapes):
        return Workload.of(_named(f"gemm{i}", shape) for i, shape in enumerate(shapes))
    return None


def _table(shapes: Sequence[Any]) -> npt.NDArray[np.integer] | None:
    """Rows of triples as an array; None when any row is something else."""
    if not shapes:
        return np.empty((0, 3), np.int64)
    if not _numbers(shapes[0]):
        return None
    try:
        table = np.array(shapes)
    except (ValueError, OverflowError, TypeError):  # rows of different kinds, or huge numbers
        return None
    if {bool, np.bool_} & set(map(type, chain.from_iterable(shapes))):
        return None  # numpy would count True as 1; refused one by one
    fits = table.ndim == 2 and table.shape[1] == 3 and np.issubdtype(table.dtype, np.integer)
    return table if fits else None


def _numbers(shape: Any) -> bool:
    if isinstance(shape, np.ndarray):
        return shape.ndim == 1
    return isinstance(shape, list | tuple) and all(
        isinstance(size, int | float | np.number) for size in shape
    )


def _named(name: str, size: Any) -> Gemm:
    if isinstance(size, Gemm):
        return size
    if not _numbers(size) or len(size) != 3:
        msg = f"GEMM {name!r}: a shape is three whole numbers (M, K, N), not {size!r}"
        raise QueryError(msg)
    m, k, n = size
    return Gemm(name, m, k, n, outputs=name)
