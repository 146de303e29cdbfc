"""Masks that are malformed, or do not fit what they name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mipnet.errors import MaskError
from mipnet.hardware import ElementMask, Gemm, NMMask, TileMask, attention, conv, cost
from mipnet.pruning import LayerMask


@pytest.mark.parametrize(
    ("shapes", "mask", "said"),
    [
        (
            {"a": (4, 32, 32)},
            {"a": TileMask(np.ones((4, 4), bool), (8, 8), (32, 32))},
            "8x8 do not match the 16x16",
        ),
        (
            {"a": (4, 32, 32)},
            {"a": TileMask(np.ones((2, 4), bool), (16, 16), (32, 64))},
            "32x64, the weights are 32x32",
        ),
        ({"a": (4, 32, 32)}, {"b": NMMask(1, 2)}, "no GEMM 'b'"),
        ({"a": (4, 32, 32)}, {0: NMMask(1, 2)}, "no GEMM 0"),
        ({"a": (4, 32, 32)}, {"b": LayerMask(np.arange(3), 4)}, "no unit group 'b'"),
        ({"a": (4, 32, 32)}, {"a": LayerMask(np.arange(3), 4)}, "has 32 units, the mask has 4"),
        ({"a": (4, 32, 32)}, {"a": np.ones((32, 32))}, "ndarray is no mask"),
        ({"a": (4, 32, 32)}, {"a": (NMMask(1, 2), NMMask(1, 4))}, "two weight masks"),
        ({"a": (4, 32, 32)}, np.ones(3), "masks come as"),
        (attention(8, 8, 2), {"attention.scores": NMMask(1, 2)}, "no weights to mask"),
        (
            conv((4, 4), (3,), (9,), groups=2),
            {"conv": ElementMask(np.ones((6, 2), bool))},
            r"2 blocks with weights of their own.*'conv\[0\]' to 'conv\[1\]'",
        ),
        (
            conv((4, 4), (3,), (9,), groups=2),
            {"conv[1]": ElementMask(np.ones((6, 4), bool))},
            r"'conv\[1\]': the mask is 6x4, the weights are 6x2",
        ),
        (
            conv((4, 4), (3,), (9,), groups=2),
            {"conv[2]": ElementMask(np.ones((6, 2), bool))},
            r"no GEMM 'conv\[2\]'",
        ),
        (
            conv((4, 4), (3,), (9,), groups=2),
            {"conv[1]": NMMask(1, 2), "conv": NMMask(1, 2)},
            "two weight masks",
        ),
        ({"a": (4, 32, 32)}, {"a[0]": NMMask(1, 2), "a": NMMask(1, 2)}, "two weight masks"),
        (
            Gemm("a", 4, 8, 8, count=3),
            {"a": ElementMask(np.ones((8, 8), bool))},
            "repeated 3 times",
        ),
    ],
)
def test_masks_that_do_not_fit(shapes: object, mask: object, said: str) -> None:
    with pytest.raises(MaskError, match=said):
        cost(shapes, mask, array=16)


@pytest.mark.parametrize(
    "make",
    [
        lambda: TileMask(np.ones((2, 2), bool), (16, 16), (16, 16)),
        lambda: TileMask(np.ones((1, 1), int), (16, 16), (16, 16)),
        lambda: TileMask(np.ones((1, 1), bool), (16, 16), (16, 16), tile_map="runs"),
        lambda: TileMask(np.ones((1, 1), bool), (16, 16), (16, 0)),
        lambda: TileMask.from_weights([[np.nan]], 4),
        lambda: TileMask.from_weights([1.0, 2.0], 4),
        lambda: NMMask(3, 2),
        lambda: NMMask(0, 2),
        lambda: NMMask(1.0, 2),
        lambda: ElementMask(np.ones((3, 3))),
        lambda: ElementMask(np.ones(3, bool)),
    ],
)
def test_malformed_masks(make: Any) -> None:
    with pytest.raises(MaskError):
        make()
