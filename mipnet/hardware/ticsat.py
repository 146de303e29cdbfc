"""Custom instructions of the tightly coupled arrays of TiC-SAT, the framework of SASP's paper.

Per kept K x K tile and S rows of activations, with A = 32 / activation bits values per word,
B = 32 / weight bits, a = ceil(K / A), b = ceil(K / B): K b weight loads, and a (S + 2K - 1) - 1
input words, of which S + 2K - 2 advance the array (``stream``) and the rest fill its input
register (``queue``). Source: gem5-X/TiC-SAT, used by Palacios et al., GLSVLSI 2025
(arXiv 2411.10285).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mipnet.errors import MaskError
from mipnet.hardware.blocks import transformer_block
from mipnet.hardware.gemm import Gemm
from mipnet.hardware.machine import PRECISIONS, one_of, whole
from mipnet.hardware.masks import TileMask

WORD_BITS = 32
#: Precisions of the framework.
TYPES = ("fp32", "fp32_int8")


@dataclass(frozen=True)
class TileInstructions:
    """Instructions for one tile.

    Attributes
    ----------
    load, stream, queue : int
    """

    load: int
    stream: int
    queue: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.load + self.stream + self.queue


def tile_instructions(tokens: int, side: int, types: str = "fp32") -> TileInstructions:
    """Instructions for one tile.

    Parameters
    ----------
    tokens : int
        Rows S of the activations.
    side : int
        Side K of array and tile.
    types : {"fp32", "fp32_int8"}
        Activations, and weights where they differ.

    Examples
    --------
    >>> tile_instructions(128, 4)
    TileInstructions(load=16, stream=134, queue=405)
    """
    one_of("types", types, TYPES)
    tokens, side = whole("tokens", tokens), whole("side", side)
    width = PRECISIONS[types]
    a = -(-side // (WORD_BITS // width.inputs))
    b = -(-side // (WORD_BITS // width.weights))
    stream = tokens + 2 * side - 2
    return TileInstructions(side * b, stream, a * (tokens + 2 * side - 1) - 1 - stream)


def instructions(
    gemms: Iterable[Gemm],
    side: int,
    types: str = "fp32",
    masks: Mapping[str, TileMask] | None = None,
) -> dict[str, int]:
    """Instructions of each GEMM, by name.

    Parameters
    ----------
    gemms : iterable of Gemm
        For example those of :func:`~mipnet.hardware.blocks.transformer_block`.
    side : int
        Side of array and tile.
    types : {"fp32", "fp32_int8"}
    masks : mapping of str to TileMask, optional
        Tiles to skip, by GEMM.

    Raises
    ------
    MaskError
        When a mask names no GEMM or has other tiles.
    """
    rows = {gemm.name: gemm for gemm in gemms}
    masks = masks or {}
    for name, mask in masks.items():
        if name not in rows or mask.tile != (side, side) or mask.shape != _sides(rows[name]):
            msg = f"the mask of {name!r} ({mask.size} tiles, {mask.shape}) fits none of the GEMMs "
            msg += f"{list(rows)} on a {side}x{side} array"
            raise MaskError(msg)
    return {
        name: gemm.count
        * (masks[name].kept_tiles if name in masks else -(-gemm.k // side) * -(-gemm.n // side))
        * tile_instructions(gemm.m, side, types).total
        for name, gemm in rows.items()
    }


def _sides(gemm: Gemm) -> tuple[int, int]:
    return gemm.k, gemm.n


#: Encoder blocks of the framework.
BLOCKS = {
    "librispeech": transformer_block(128, 512, 4, 2048, d_head=128, name="librispeech"),
    "libritrans": transformer_block(128, 256, 4, 2048, d_head=64, name="libritrans"),
    "test_model": transformer_block(32, 64, 2, 64, d_head=32, name="test_model"),
}
