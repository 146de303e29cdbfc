"""Malformed layers, and items that do not fit, are refused with what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from mipnet.errors import NetworkError
from mipnet.network.layers import (
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    GlobalAvgPool,
    Reshape,
    Scale,
    Slice,
    Transpose,
)

KERNEL = np.ones((2, 1, 3, 3))
VECTOR = np.ones(2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv(np.ones((2, 3)), VECTOR), r"n_in / groups, \*kernel.*\(2, 3\)"),
        (lambda: Conv(KERNEL, np.ones(3)), r"needs a bias of shape \(2,\), not \(3,\)"),
        (lambda: Conv(KERNEL * np.nan, VECTOR), "18 weight value.*NaN or infinite"),
        (lambda: Conv(KERNEL, VECTOR * np.inf), "bias"),
        (lambda: Conv(KERNEL, VECTOR, groups=3), "2 output channels.*3 groups"),
        (lambda: Conv(KERNEL, VECTOR, stride=0), "stride.*at least 1"),
        (lambda: Conv(KERNEL, VECTOR, padding=-1), "padding.*at least 0"),
        (lambda: Conv(KERNEL, VECTOR, padding=(1, 1, 1)), "padding needs 2 or 4 numbers"),
        (lambda: Conv(KERNEL, VECTOR, dilation=(1, 1, 1)), "dilation needs 2 numbers"),
        (lambda: AvgPool((0, 2)), "kernel"),
        (lambda: BatchNorm(VECTOR, VECTOR, VECTOR, np.ones(3)), "one length"),
        (lambda: BatchNorm(VECTOR, VECTOR, VECTOR, -VECTOR), "variance -1.0.*channel 0"),
        (lambda: BatchNorm(VECTOR, VECTOR, VECTOR * np.nan, VECTOR), "mean"),
        (lambda: Scale(np.inf), "Scale.*NaN or infinite"),
        (lambda: Scale(["a"]), "arrays of numbers"),
        (lambda: Add((1.0, np.nan)), "finite factors"),
        (lambda: Add(()), "finite factors"),
        (lambda: Concat(0), "at least one"),
        (lambda: Reshape((-1, -1)), "at most one"),
        (lambda: Transpose((0, 2)), "no permutation"),
        (lambda: Slice((0, 1), (1,)), "2 starts, but 1 ends"),
        (lambda: Slice((0,), (1,), steps=(0,)), "step must not be 0"),
    ],
)
def test_bad_parameters(make, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (Conv(KERNEL, VECTOR), [(1, 5)], r"3 axes \(channels first\)"),
        (Conv(KERNEL, VECTOR), [(2, 5, 5)], "takes 1 channels, not 2"),
        (Conv(KERNEL, VECTOR), [(1, 2, 5)], "does not fit"),
        (Conv(KERNEL, VECTOR, dilation=2), [(1, 4, 5)], r"\(5, 5\) does not fit into \(4, 5\)"),
        (AvgPool((2, 2)), [(1, 1, 3)], "does not fit"),
        (AvgPool((2, 2)), [(4, 4)], "3 axes"),
        (GlobalAvgPool(), [(4,)], "spatial"),
        (BatchNorm(*[VECTOR] * 4), [(3, 2)], "2 channels do not fit"),
        (BatchNorm(*[VECTOR] * 4), [()], "2 channels do not fit"),
        (Scale(np.ones((2, 1))), [(3,)], "do not fit items"),
        (Scale(np.ones((2, 1)), np.ones(3)), [(2, 2)], "do not fit items"),
        (Add(), [(2,), (1,)], "differ"),
        (Concat(2, 1), [(2,), (2,)], "axis 1"),
        (Concat(2, 0), [(2, 3), (2, 2)], "do not join"),
        (Concat(2, 0), [(2, 3), (2,)], "do not join"),
        (Reshape((4, -1)), [(2, 3)], "6 elements"),
        (Reshape((0, -1)), [(2, 3)], "6 elements"),
        (Transpose((1, 0)), [(2, 3, 4)], "2 axes"),
        (Slice((0,), (1,), (2,)), [(2, 3)], "axes"),
        (Slice((0, 0), (1, 1), (0, -2)), [(2, 3)], "axes"),
        (Slice((2,), (1,)), [(3,)], "nothing is left"),
    ],
)
def test_items_that_do_not_fit(layer, shapes, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        layer.output_shape(*shapes)
