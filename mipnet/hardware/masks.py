"""Masks of weights: tiles, N:M patterns, single elements.

All are laid out like the K x N operand of a GEMM: row k belongs to input k, column n to output n,
the transpose of a torch or :class:`~mipnet.network.Affine` weight. Masks of whole units (neurons,
channels, heads) are :class:`mipnet.pruning.LayerMask`; those of kind ``tile`` mask weights too, and
:meth:`TileMask.from_units` reads them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError
from mipnet.hardware.machine import flag, sides
from mipnet.pruning import LayerMask
from mipnet.pruning.tiles import grid_counts

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: Ways to write down which tiles are kept: one bit per tile, or the number of each kept one.
TILE_MAPS = ("bitmap", "indices")


def weights_of(values: npt.ArrayLike, what: str = "weights") -> npt.NDArray[Any]:
    """Matrix of finite numbers or flags, shape (K, N).

    Raises
    ------
    MaskError
        When it is none.
    """
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged rows, tensors with gradients
        msg = f"{what}: cannot be made a matrix (K x N) of numbers: {error}"
        raise MaskError(msg) from error
    number = np.issubdtype(array.dtype, np.number) and not np.iscomplexobj(array)
    if array.ndim != 2 or not array.size or not (number or array.dtype == np.bool_):
        msg = f"{what} must be a matrix (K x N) of numbers, not {array.dtype} {array.shape}"
        raise MaskError(msg)
    if not np.isfinite(array).all():
        msg = f"{what}: {int((~np.isfinite(array)).sum())} values are NaN or infinite"
        raise MaskError(msg)
    return array


@dataclass(frozen=True, eq=False)
class TileMask:
    """Tiles of a weight matrix that are kept; all others are zero throughout.

    Parameters
    ----------
    keep : array of bool, shape (ceil(K / r), ceil(N / c))
    tile : (int, int)
        Rows r and columns c; the last ones along each side may be cut off.
    shape : (int, int)
        K, N.
    tile_map : {"bitmap", "indices"}
        How the kept tiles are written down.

    Raises
    ------
    MaskError
        When ``keep`` has another shape or type.

    Examples
    --------
    >>> mask = TileMask.from_weights([[0, 0, 1], [0, 0, 0]], 2)
    >>> mask.keep, mask.kept_elements
    (array([[False,  True]]), 2)
    """

    keep: Flags
    tile: tuple[int, int]
    shape: tuple[int, int]
    tile_map: str = "bitmap"

    def __post_init__(self) -> None:
        object.__setattr__(self, "tile", sides(self.tile))
        object.__setattr__(self, "shape", _shape(self.shape))
        keep = np.array(self.keep)
        counts = (len(self.heights), len(self.widths))
        if keep.dtype != np.bool_ or keep.shape != counts:
            msg = f"{self.size} tiles of a {_text(self.shape)} matrix need a boolean array of shape"
            msg += f" {counts}, not {keep.dtype} {keep.shape}"
            raise MaskError(msg)
        if self.tile_map not in TILE_MAPS:
            msg = f"tile_map {self.tile_map!r} is unknown; choose one of {', '.join(TILE_MAPS)}"
            raise MaskError(msg)
        keep.flags.writeable = False
        object.__setattr__(self, "keep", keep)

    @staticmethod
    def from_weights(weights: npt.ArrayLike, tile: object, **options: Any) -> TileMask:
        """Keep the tiles that hold any weight other than 0.

        Parameters
        ----------
        weights : array_like, shape (K, N)
        tile : int, (int, int) or text such as "16x16"
        **options
            Fields of :class:`TileMask`.
        """
        array = weights_of(weights) != 0
        size = sides(tile)
        return TileMask(tile_any(array, size), size, _shape(array.shape), **options)

    @staticmethod
    def from_units(
        units: LayerMask, shape: tuple[int, int] | None = None, **options: Any
    ) -> TileMask:
        """Read the tiles that a pruning mask keeps.

        Parameters
        ----------
        units : LayerMask
            With units of kind ``tile``.
        shape : (int, int), optional
            K, N; that of the layer the mask was made for when absent.
        **options
            Fields of :class:`TileMask`.

        Raises
        ------
        MaskError
            When its units are others, or not as many as there are tiles.
        """
        if units.tile is None:
            msg = f"units of kind {units.unit!r} are no tiles"
            raise MaskError(msg)
        if shape is None:
            if not units.shape:
                msg = "the mask has no shape of its layer: give the weights' (K, N)"
                raise MaskError(msg)
            shape = math.prod(units.shape[1:]), units.shape[0]
        side = _shape(shape)
        counts = grid_counts(side, units.tile)
        if math.prod(counts) != units.width:
            msg = f"a {_text(side)} matrix has {math.prod(counts)} tiles of {_text(units.tile)}, "
            msg += f"the mask has {units.width}"
            raise MaskError(msg)
        return TileMask(units.keep.reshape(counts), units.tile, side, **options)

    @property
    def size(self) -> str:
        """Size of a tile as text."""
        return _text(self.tile)

    @cached_property
    def heights(self) -> Ints:
        """Rows of each row of tiles."""
        return pieces(self.shape[0], self.tile[0])

    @cached_property
    def widths(self) -> Ints:
        """Columns of each column of tiles."""
        return pieces(self.shape[1], self.tile[1])

    @property
    def kept_tiles(self) -> int:
        """Number of kept tiles."""
        return int(self.keep.sum())

    @property
    def kept_elements(self) -> int:
        """Elements of the kept tiles."""
        return int(self.heights @ self.keep @ self.widths)

    @property
    def elements(self) -> Flags:
        """Elements in kept tiles, shape (K, N)."""
        return np.repeat(np.repeat(self.keep, self.heights, axis=0), self.widths, axis=1)

    def map_bytes(self, weight_bits: int) -> int:
        """Bytes of the tile map.

        No more than the zero tiles would take: weights that are stored whole need no map, zero
        tiles are then recognised when they are loaded. Nothing for a mask that keeps all.
        """
        if self.keep.all():
            return 0
        bits = self.keep.size
        if self.tile_map == "indices":
            bits = self.kept_tiles * max(1, math.ceil(math.log2(self.keep.size)))
        saved = (math.prod(self.shape) - self.kept_elements) * weight_bits
        return -(-min(bits, saved) // 8)

    def retile(self, tile: object) -> TileMask:
        """Return the same zeros as tiles of another size: one is kept if any of it is."""
        return TileMask.from_weights(self.elements, tile, tile_map=self.tile_map)


@dataclass(frozen=True)
class NMMask:
    """At most ``n`` of every ``m`` successive inputs of an output have a weight.

    Parameters
    ----------
    n, m : int
        With 1 <= n <= m.

    Raises
    ------
    MaskError
        When the numbers do not fit.
    """

    n: int
    m: int

    def __post_init__(self) -> None:
        whole = all(
            isinstance(v, int | np.integer) and not isinstance(v, bool) for v in (self.n, self.m)
        )
        if not whole or not 1 <= self.n <= self.m:
            msg = f"an N:M mask keeps N of M weights with 1 <= N <= M, not {self.n!r}:{self.m!r}"
            raise MaskError(msg)

    @staticmethod
    def from_weights(weights: npt.ArrayLike, n: int, m: int) -> NMMask:
        """Check that a matrix follows the pattern.

        Raises
        ------
        MaskError
            Naming the first group with more than ``n`` weights.
        """
        mask, array = NMMask(n, m), weights_of(weights) != 0
        counts = np.add.reduceat(array.astype(int), np.arange(0, len(array), m), axis=0)
        bad = np.argwhere(counts > n)
        if bad.size:
            group, output = bad[0].tolist()
            msg = (
                f"the weights are not {n}:{m}: output {output} has {counts[group, output]} weights "
            )
            msg += f"on inputs {group * m} to {min((group + 1) * m, len(array)) - 1}"
            raise MaskError(msg)
        return mask

    def rows(self, k: int) -> int:
        """Rows of weights that are left of ``k`` inputs."""
        return k // self.m * self.n + min(self.n, k % self.m)

    def index_bytes(self, k: int, n: int, weight_bits: int) -> int:
        """Bytes of the indices: ceil(log2 M) bits for each kept weight.

        No more than the weights that are left out would take, since these could be stored. Nothing
        where all are kept.
        """
        if self.n == self.m:
            return 0
        kept = self.rows(k) * n
        bits = kept * max(1, math.ceil(math.log2(self.m)))
        return -(-min(bits, (k * n - kept) * weight_bits) // 8)

    def __str__(self) -> str:
        return f"{self.n}:{self.m}"


@dataclass(frozen=True, eq=False)
class ElementMask:
    """Single weights that are kept: an unstructured mask.

    Parameters
    ----------
    keep : array of bool, shape (K, N)
    compressed : bool
        Whether only kept weights are stored, with one bit per element to tell them.

    Raises
    ------
    MaskError
        When ``keep`` is no boolean matrix.
    """

    keep: Flags
    compressed: bool = False

    def __post_init__(self) -> None:
        keep = np.array(self.keep)
        flag("compressed", self.compressed)
        if keep.dtype != np.bool_:
            msg = f"an element mask is a boolean matrix (K x N), not {keep.dtype} {keep.shape}"
            raise MaskError(msg)
        weights_of(keep, "an element mask")
        keep.flags.writeable = False
        object.__setattr__(self, "keep", keep)

    @staticmethod
    def from_weights(weights: npt.ArrayLike, **options: Any) -> ElementMask:
        """Keep the weights other than 0."""
        return ElementMask(weights_of(weights) != 0, **options)

    @property
    def shape(self) -> tuple[int, int]:
        """K, N."""
        return _shape(self.keep.shape)

    @property
    def kept(self) -> int:
        """Number of kept weights."""
        return int(self.keep.sum())

    def tile_counts(self, tile: object) -> Ints:
        """Kept weights of every tile; they sum to :attr:`kept`."""
        rows, columns = sides(tile)
        k, n = self.shape
        counts = np.add.reduceat(self.keep.astype(np.int64), np.arange(0, k, rows), axis=0)
        return np.add.reduceat(counts, np.arange(0, n, columns), axis=1)

    def storage(self, weight_bits: int) -> tuple[int, int]:
        """Weight words stored, and bytes that say which; whichever form is smaller."""
        total = self.keep.size
        saved = (total - self.kept) * weight_bits
        if not self.compressed or saved <= total:
            return total, 0
        return self.kept, -(-total // 8)


def tile_any(flags: Flags, tile: tuple[int, int]) -> Flags:
    """Whether any element of each tile is set."""
    k, n = flags.shape
    some = np.logical_or.reduceat(flags, np.arange(0, k, tile[0]), axis=0)
    return np.asarray(np.logical_or.reduceat(some, np.arange(0, n, tile[1]), axis=1))


def pieces(size: int, side: int) -> Ints:
    """Sizes of the pieces a length is cut into."""
    return np.minimum(side, size - np.arange(0, size, side))


def _shape(shape: Any) -> tuple[int, int]:
    if len(shape) != 2 or any(int(side) != side or side < 1 for side in shape):
        msg = f"a weight matrix has two sides of at least 1, not {shape!r}"
        raise MaskError(msg)
    return int(shape[0]), int(shape[1])


def _text(pair: tuple[int, int]) -> str:
    return f"{pair[0]}x{pair[1]}"
