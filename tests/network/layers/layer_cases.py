"""Random layers of every kind with the shapes of their inputs, and odd boxes to bound them over."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mipnet.network import Interval, Layer
from mipnet.network.layers import (
    GELU,
    Abs,
    Add,
    Affine,
    AvgPool,
    BatchNorm,
    Clip,
    Concat,
    Conv,
    Flatten,
    GlobalAvgPool,
    GlobalMaxPool,
    HardSigmoid,
    HardSwish,
    Identity,
    LeakyReLU,
    LogSoftmax,
    MaxPool,
    PReLU,
    ReLU,
    Reshape,
    Scale,
    Sigmoid,
    SiLU,
    Slice,
    Softmax,
    Softplus,
    Tanh,
    Transpose,
)
from tests.core_cases import wild

Rng = np.random.Generator
Shapes = list[tuple[int, ...]]
Case = tuple[Layer, Shapes]
SPREAD = (-6.0, 4.0)


def item(rng: Rng, axes: int, smallest: int = 1, largest: int = 4) -> tuple[int, ...]:
    return tuple(int(n) for n in rng.integers(smallest, largest + 1, size=axes))


def window(rng: Rng, axes: int, *, largest: int = 2) -> dict[str, tuple[int, ...]]:
    """Stride, padding at every end, dilation."""
    return {
        "stride": item(rng, axes, 1, 2),
        "padding": tuple(int(p) for p in rng.integers(0, largest + 1, size=2 * axes)),
        "dilation": item(rng, axes, 1, 2),
    }


def conv(rng: Rng) -> Case:
    axes, groups = int(rng.integers(1, 3)), int(rng.integers(1, 3))
    n_out, per_group = groups * int(rng.integers(1, 3)), int(rng.integers(1, 3))
    kernel = item(rng, axes, 1, 2)
    weight = wild(rng, n_out, per_group, *kernel, spread=SPREAD)
    layer = Conv(weight, wild(rng, n_out, spread=SPREAD), **window(rng, axes), groups=groups)
    return layer, [(groups * per_group, *item(rng, axes, 3, 4))]


def avg_pool(rng: Rng) -> Case:
    axes = int(rng.integers(1, 3))
    options = window(rng, axes, largest=0)
    kernel = item(rng, axes, 1, 3)
    sides = [int(p) for p in rng.integers(0, [k // 2 + 1 for k in kernel])]
    options["padding"] = (*sides, *sides)
    options["dilation"] = (1,) * axes
    layer = AvgPool(
        kernel, ceil=bool(rng.random() < 0.5), count_padding=bool(rng.random() < 0.5), **options
    )
    return layer, [(int(rng.integers(1, 3)), *item(rng, axes, 3, 5))]


def batch_norm(rng: Rng) -> Case:
    n = int(rng.integers(1, 4))
    vectors = (wild(rng, n, spread=SPREAD) for _ in range(3))
    variance = 10.0 ** rng.uniform(-6, 4, size=n)
    return BatchNorm(*vectors, variance, 1e-5), [(n, *item(rng, int(rng.integers(3)), 1, 3))]


def scale(rng: Rng) -> Case:
    shape = item(rng, int(rng.integers(1, 4)), 1, 3)
    parts = [tuple(n if rng.random() < 0.5 else 1 for n in shape) for _ in range(2)]
    return Scale(*(wild(rng, *part, spread=SPREAD) for part in parts)), [shape]


def affine(rng: Rng) -> Case:
    m, n = item(rng, 2, 1, 5)
    return Affine(wild(rng, m, n, spread=SPREAD), wild(rng, m, spread=SPREAD)), [(n,)]


def add(rng: Rng) -> Case:
    count = int(rng.integers(1, 4))
    scales = [(1.0, 1.0), (1.0, -1.0), wild(rng, count, spread=SPREAD)][rng.integers(3)]
    return Add(scales), [item(rng, int(rng.integers(1, 3)))] * len(scales)


def concat(rng: Rng) -> Case:
    axes, count = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    shape, axis = item(rng, axes, 1, 3), int(rng.integers(-axes, axes))
    shapes = []
    for _ in range(count):
        sizes = list(shape)
        sizes[axis] = int(rng.integers(1, 4))
        shapes.append(tuple(sizes))
    return Concat(count, axis), shapes


def slice_(rng: Rng) -> Case:
    shape = item(rng, 3, 2, 4)
    count = int(rng.integers(1, 4))
    axes = rng.permutation(3)[:count]
    while True:
        bounds = rng.integers(-6, 7, size=(2, count))
        layer = Slice(*bounds, axes, rng.choice([-2, -1, 1, 2], size=count))
        try:
            layer.output_shape(shape)
        except ValueError:
            continue
        return layer, [shape]


def reshape(rng: Rng) -> Case:
    shape = item(rng, 3, 1, 3)
    sizes = [shape[::-1], (shape[0], -1), (-1,), (1, *shape, 1)][rng.integers(4)]
    return Reshape(sizes), [shape]


LINEAR: dict[str, Callable[[Rng], Case]] = {
    "Add": add,
    "Affine": affine,
    "AvgPool": avg_pool,
    "BatchNorm": batch_norm,
    "Concat": concat,
    "Conv": conv,
    "Flatten": lambda rng: (Flatten(), [item(rng, 3, 1, 3)]),
    "GlobalAvgPool": lambda rng: (GlobalAvgPool(), [item(rng, int(rng.integers(2, 4)), 1, 3)]),
    "Identity": lambda rng: (Identity(), [item(rng, 2)]),
    "Reshape": reshape,
    "Scale": scale,
    "Slice": slice_,
    "Transpose": lambda rng: (Transpose(rng.permutation(3)), [item(rng, 3, 1, 3)]),
}


def box(rng: Rng, shape: tuple[int, ...], spread: tuple[float, float] = SPREAD) -> Interval:
    """Bounds of every size, some of width zero, some all zero; batch of one."""
    one, other = wild(rng, 1, *shape, spread=spread), wild(rng, 1, *shape, spread=spread)
    other = np.where(rng.random(one.shape) > 0.8, one, other)
    return Interval(np.minimum(one, other), np.maximum(one, other))


def points(rng: Rng, boxes: list[Interval], count: int = 2) -> list[list[np.ndarray]]:
    """Both ends and random points of boxes, one array for each box, without the batch axis."""
    found = [[b.lower[0] for b in boxes], [b.upper[0] for b in boxes]]
    found += [[np.where(rng.random(b.lower[0].shape) < 0.5, b.lower[0], b.upper[0]) for b in boxes]]
    found += [[rng.uniform(b.lower[0], b.upper[0]) for b in boxes] for _ in range(count)]
    return found


def max_pool(rng: Rng) -> Case:
    layer, shapes = avg_pool(rng)
    w = layer.window
    padding = (*w.before, *w.after)
    return MaxPool(w.kernel, w.stride, padding, w.dilation, ceil=w.ceil), shapes


def leaky(rng: Rng) -> Case:
    slope = [0.01, 0.3, -0.5, 1.0, 2.5, 0.0][rng.integers(6)]
    return LeakyReLU(slope), [item(rng, int(rng.integers(1, 3)))]


def prelu(rng: Rng) -> Case:
    channels, *spatial = item(rng, int(rng.integers(1, 4)), 1, 3)
    column = (channels, *(1,) * len(spatial)) if rng.random() < 0.7 else (1,)
    return PReLU(rng.uniform(-1.0, 2.0, size=column)), [(channels, *spatial)]


def clip(rng: Rng) -> Case:
    low, high = np.sort(wild(rng, 2, spread=(-3.0, 2.0)))
    if low == high:
        low, high = 0.0, 6.0
    ends = [(low, high), (-1.0, 1.0), (0.0, 6.0), (low, np.inf), (-np.inf, high)]
    return Clip(*ends[rng.integers(5)]), [item(rng, int(rng.integers(1, 3)))]


def hard_sigmoid(rng: Rng) -> Case:
    options = [(), (0.2, 0.5), (float(10.0 ** rng.uniform(-3, 2)), float(rng.normal()))]
    return HardSigmoid(*options[rng.integers(3)]), [item(rng, int(rng.integers(1, 3)))]


#: With kinks, encoded exactly.
PIECEWISE: dict[str, Callable[[Rng], Case]] = {
    "Abs": lambda rng: (Abs(), [item(rng, int(rng.integers(1, 3)))]),
    "Clip": clip,
    "GlobalMaxPool": lambda rng: (GlobalMaxPool(), [item(rng, int(rng.integers(2, 4)), 1, 3)]),
    "HardSigmoid": hard_sigmoid,
    "LeakyReLU": leaky,
    "MaxPool": max_pool,
    "PReLU": prelu,
    "ReLU": lambda rng: (ReLU(), [item(rng, 2)]),
}


def smooth(make: Callable[[float], Layer]) -> Callable[[Rng], Case]:
    """Layer with any error, and shapes."""
    return lambda rng: (make(10.0 ** rng.uniform(-3, -1)), [item(rng, int(rng.integers(1, 3)))])


#: Encoded as pieces with a band.
SMOOTH: dict[str, Callable[[Rng], Case]] = {
    "GELU": lambda rng: smooth(
        lambda e: GELU(e, approximate="tanh" if rng.random() < 0.5 else "none")
    )(rng),
    "HardSwish": smooth(HardSwish),
    "Sigmoid": smooth(Sigmoid),
    "SiLU": smooth(SiLU),
    "Softplus": lambda rng: smooth(lambda e: Softplus(e, 10.0 ** rng.uniform(-1, 1)))(rng),
    "Tanh": smooth(Tanh),
}


def head(kind: type[Softmax | LogSoftmax]) -> Callable[[Rng], Case]:
    """Layer along any axis, and shapes."""

    def make(rng: Rng) -> Case:
        axes = int(rng.integers(1, 4))
        return kind(int(rng.integers(-axes, axes)), 0.05), [item(rng, axes, 1, 4)]

    return make


#: Of several inputs at once, encoded with a band.
HEADS: dict[str, Callable[[Rng], Case]] = {
    "LogSoftmax": head(LogSoftmax),
    "Softmax": head(Softmax),
}
#: All of them.
CASES = LINEAR | PIECEWISE | SMOOTH | HEADS
