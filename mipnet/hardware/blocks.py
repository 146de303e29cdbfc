"""GEMMs of common blocks: dense chains, convolutions, attention, feed-forward, transformers.

Unit masks are named after the groups given here: a dense layer, a convolution and a feed-forward
block each own a group of their name; the heads of an attention block are its group.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from mipnet.errors import QueryError
from mipnet.hardware.gemm import Gemm
from mipnet.hardware.machine import whole


def dense(widths: Sequence[int], *, batch: int = 1, name: str = "dense") -> tuple[Gemm, ...]:
    """Chain of fully connected layers ``name.0``, ``name.1``, ...

    Parameters
    ----------
    widths : sequence of int
        Inputs, hidden widths, outputs.
    batch : int
    name : str

    Examples
    --------
    >>> [(g.name, g.m, g.k, g.n) for g in dense((784, 100, 10), batch=32)]
    [('dense.0', 32, 784, 100), ('dense.1', 32, 100, 10)]
    """
    if len(widths) < 2:
        msg = f"a dense chain needs at least inputs and outputs, not widths {list(widths)}"
        raise QueryError(msg)
    names = [f"{name}.{i}" for i in range(len(widths) - 1)]
    sources = [None, *names[:-1]]
    # The outputs of the last layer are the answer: no group, nothing to remove.
    groups = [*names[:-1], None]
    return tuple(
        Gemm(own, batch, k, n, inputs=source, outputs=group)
        for own, source, group, (k, n) in zip(names, sources, groups, pairwise(widths), strict=True)
    )


def conv(
    channels: tuple[int, int],
    kernel: Sequence[int],
    image: Sequence[int],
    *,
    batch: int = 1,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    name: str = "conv",
    inputs: str | None = None,
) -> Gemm:
    """Convolution over any number of dimensions by im2col.

    Parameters
    ----------
    channels : (int, int)
        In, out.
    kernel, image : sequence of int
        One entry per dimension.
    batch : int
    stride, padding, dilation : int or sequence of int
    groups : int
        Channel groups; each is one repetition, and a block of its own for masks.
    name : str
    inputs : str, optional
        Unit group of the input channels.

    Raises
    ------
    QueryError
        When the sizes leave no output or do not fit each other.

    Examples
    --------
    >>> g = conv((3, 64), (7, 7), (224, 224), stride=2, padding=3)
    >>> g.m, g.k, g.n
    (12544, 147, 64)
    """
    lists: tuple[object, ...] = (channels, kernel, image)
    if not all(isinstance(values, list | tuple) for values in lists) or len(channels) != 2:
        msg = f"convolution {name!r}: channels (in, out), kernel and image are lists of numbers, "
        msg += f"not {channels!r}, {kernel!r}, {image!r}"
        raise QueryError(msg)
    for label, values in (("channel", channels), ("kernel side", kernel), ("image side", image)):
        for value in values:
            whole(f"convolution {name!r}: {label}", value)
    sizes = len(kernel)
    if sizes != len(image) or channels[0] % whole("groups", groups) or channels[1] % groups:
        msg = f"convolution {name!r}: kernel {tuple(kernel)}, image {tuple(image)}, channels "
        msg += f"{tuple(channels)} and {groups} groups do not fit each other"
        raise QueryError(msg)
    steps, pads, gaps = (
        (value,) * sizes if isinstance(value, int) else tuple(value)
        for value in (stride, padding, dilation)
    )
    if {len(steps), len(pads), len(gaps)} != {sizes}:
        msg = f"convolution {name!r}: stride, padding and dilation need {sizes} entries each"
        raise QueryError(msg)
    m = whole("batch", batch)
    volume = m * (channels[0] // groups)
    k = channels[0] // groups
    for size, side, step, pad, gap in zip(image, kernel, steps, pads, gaps, strict=True):
        if isinstance(pad, bool) or not isinstance(pad, int | np.integer) or pad < 0:
            msg = f"convolution {name!r}: padding is {pad!r}; it must be at least 0, a whole number"
            raise QueryError(msg)
        span = whole("dilation", gap) * (side - 1) + 1
        out = (size + 2 * pad - span) // whole("stride", step) + 1
        m *= whole(f"convolution {name!r}: output side", out)
        volume *= size
        k *= side
    return Gemm(
        name,
        m,
        k,
        channels[1] // groups,
        count=groups,
        inputs=inputs,
        outputs=name,
        # A kernel smaller than its stride skips inputs.
        unique_inputs=min(volume, m * k),
        blocks=groups,
    )


def attention(
    tokens: int,
    d_model: int,
    heads: int,
    *,
    d_head: int | None = None,
    context: int | None = None,
    batch: int = 1,
    name: str = "attention",
) -> tuple[Gemm, ...]:
    """Multi-head attention: projections, score and value products, output projection.

    Parameters
    ----------
    tokens, d_model, heads : int
    d_head : int, optional
        Width of a head; ``d_model // heads`` when absent.
    context : int, optional
        Tokens attended to; ``tokens`` when absent (self-attention).
    batch : int
    name : str
        Also the unit group of the heads.

    Examples
    --------
    >>> [(g.name, g.m, g.k, g.n, g.count) for g in attention(128, 512, 4, d_head=128)][3:]
    [('attention.scores', 128, 128, 128, 4), ('attention.values', 128, 128, 128, 4),
     ('attention.out', 128, 512, 512, 1)]
    """
    width, heads = d_head, whole("heads", heads)
    if width is None:
        if whole("d_model", d_model) % heads:
            msg = f"attention {name!r}: d_model {d_model} is no multiple of {heads} heads; give "
            msg += "d_head"
            raise QueryError(msg)
        width = d_model // heads
    seen = tokens if context is None else context
    rows = {"q": tokens, "k": seen, "v": seen}
    batch = whole("batch", batch)
    return (
        *(
            Gemm(f"{name}.{p}", batch * m, d_model, heads * width, outputs=name, units=heads)
            for p, m in rows.items()
        ),
        *(
            Gemm(f"{name}.{p}", tokens, k, n, batch * heads, repeats=name, weights=False)
            for p, k, n in (("scores", width, seen), ("values", seen, width))
        ),
        Gemm(f"{name}.out", batch * tokens, heads * width, d_model, inputs=name),
    )


def feed_forward(
    tokens: int, d_model: int, d_ff: int, *, batch: int = 1, name: str = "ffn"
) -> tuple[Gemm, ...]:
    """Feed-forward block ``name.up``, ``name.down``; its hidden units are the group ``name``."""
    rows = whole("batch", batch) * whole("tokens", tokens)
    return (
        Gemm(f"{name}.up", rows, d_model, d_ff, outputs=name),
        Gemm(f"{name}.down", rows, d_ff, d_model, inputs=name),
    )


def transformer_block(
    tokens: int,
    d_model: int,
    heads: int,
    d_ff: int,
    *,
    d_head: int | None = None,
    batch: int = 1,
    name: str = "block",
) -> tuple[Gemm, ...]:
    """Join :func:`attention` and :func:`feed_forward` to an encoder block.

    They are called ``name.attention`` and ``name.ffn``, and so are their unit groups.
    """
    return (
        *attention(tokens, d_model, heads, d_head=d_head, batch=batch, name=f"{name}.attention"),
        *feed_forward(tokens, d_model, d_ff, batch=batch, name=f"{name}.ffn"),
    )
