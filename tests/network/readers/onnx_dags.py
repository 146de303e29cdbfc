"""Random ONNX graphs with branches, of every operation that is read."""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto, helper, numpy_helper


class Dag:
    """A graph that grows by one node at a time over any of its tensors."""

    def __init__(self, shape, *, opset=20, seed=0, dtype=np.float32, batch="N"):
        self.rng = np.random.default_rng(seed)
        self.dtype, self.opset, self.shape = np.dtype(dtype), opset, tuple(shape)
        self.kind = helper.np_dtype_to_tensor_dtype(self.dtype)
        self.input = helper.make_tensor_value_info("x", self.kind, [batch, *shape[1:]])
        self.tensors = {"x": self.shape}
        self.nodes, self.stored = [], []
        self.read = set()

    def constant(self, values, dtype=None):
        name = f"c{len(self.stored)}"
        array = np.asarray(values)
        array = array.astype(dtype or (self.dtype if array.dtype.kind == "f" else array.dtype))
        self.stored.append(numpy_helper.from_array(array, name))
        return name

    def normal(self, *shape):
        return self.rng.normal(size=shape)

    def add(self, kind, *inputs, shape, outputs=1, **attributes):
        """Append a node; arrays become constants. Returns the names of its outputs."""
        names = [i if isinstance(i, str) else "" if i is None else self.constant(i) for i in inputs]
        self.read.update(names)
        made = [f"t{len(self.nodes)}_{k}" for k in range(outputs)]
        node = helper.make_node(kind, names, made, name=f"step{len(self.nodes)}", **attributes)
        self.nodes.append(node)
        for name, one in zip(made, shape if outputs > 1 else [shape], strict=True):
            self.tensors[name] = tuple(one)
        return made if outputs > 1 else made[0]

    def pick(self, rank=None, most=200):
        """A tensor of some rank; a late one more often than not."""
        fits = [
            n
            for n, s in self.tensors.items()
            if (rank is None or len(s) == rank) and math.prod(s) <= most
        ]
        if not fits:
            return None
        late = fits[-3:]
        chosen = late if self.rng.random() < 0.7 else fits
        return chosen[self.rng.integers(len(chosen))]

    def model(self):
        """Every tensor that nothing reads, joined into one vector."""
        loose = [n for n in self.tensors if n not in self.read]
        flat = [self.add("Flatten", n, shape=(1, math.prod(self.tensors[n]))) for n in loose]
        size = sum(self.tensors[n][1] for n in flat)
        last = self.add("Concat", *flat, shape=(1, size), axis=1)
        output = helper.make_tensor_value_info(last, self.kind, None)
        graph = helper.make_graph(self.nodes, "dag", [self.input], [output], self.stored)
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def grow(d, kind):
    """Append a random step of a kind, where some tensor allows it."""
    before = set(d.tensors)
    GROWERS[kind](d, kind)
    if kind in ("erf", "silu", "tanh-gelu"):
        # What lies within an activation is read by it alone.
        for name in [n for n in d.tensors if n not in before][:-1]:
            del d.tensors[name]


def same(d, kind):
    x = d.pick()
    d.add(kind, x, shape=d.tensors[x])


def whole(rng, low, high):
    return int(rng.integers(low, high + 1))


def conv(d, kind):
    x = d.pick(4)
    if x is None:
        return
    _, c, *size = d.tensors[x]
    groups = c if d.rng.random() < 0.3 else 1
    n_out, kernel = groups * whole(d.rng, 1, 2), [whole(d.rng, 1, 2) for _ in size]
    pads = [whole(d.rng, 0, 2) for _ in range(4)]
    stride, dilation = ([whole(d.rng, 1, 2) for _ in size] for _ in range(2))
    reach = [dd * (k - 1) + 1 for k, dd in zip(kernel, dilation, strict=True)]
    out = [
        (n + a + b - r) // s + 1
        for n, a, b, r, s in zip(size, pads[:2], pads[2:], reach, stride, strict=True)
    ]
    if min(out) < 1:
        return
    attributes = {"group": groups, "strides": stride, "dilations": dilation}
    if d.rng.random() < 0.3:
        dilation[:] = [1, 1]
        attributes["auto_pad"] = ["SAME_UPPER", "SAME_LOWER"][whole(d.rng, 0, 1)]
        attributes["dilations"] = dilation
        out = [-(-n // s) for n, s in zip(size, stride, strict=True)]
    else:
        attributes["pads"] = pads
    bias = [d.normal(n_out)] if d.rng.random() < 0.7 else []
    weight = d.normal(n_out, c // groups, *kernel)
    d.add("Conv", x, weight, *bias, shape=(1, n_out, *out), **attributes)


def pool(d, kind):
    x = d.pick(4)
    if x is None or min(d.tensors[x][2:]) < 2:
        return
    _, c, *size = d.tensors[x]
    kernel, stride = [2, 2], [whole(d.rng, 1, 2) for _ in size]
    pads = [whole(d.rng, 0, 1) for _ in range(4)]
    out = [
        (n + a + b - 2) // s + 1
        for n, a, b, s in zip(size, pads[:2], pads[2:], stride, strict=True)
    ]
    attributes = {"kernel_shape": kernel, "strides": stride, "pads": pads}
    if kind == "AveragePool":
        attributes["count_include_pad"] = whole(d.rng, 0, 1)
    d.add(kind, x, shape=(1, c, *out), **attributes)


def global_pool(d, kind):
    x = d.pick(4)
    if x is not None:
        d.add(kind, x, shape=(*d.tensors[x][:2], 1, 1))


def batch_norm(d, kind):
    x = d.pick(4) or d.pick(2)
    if x is None:
        return
    n = d.tensors[x][1]
    parts = [d.normal(n), d.normal(n), d.normal(n), d.rng.uniform(0.5, 2.0, n)]
    d.add(kind, x, *parts, shape=d.tensors[x], epsilon=1e-3)


def arithmetic(d, kind):
    x = d.pick()
    shape = d.tensors[x]
    other = [(), (1,) * len(shape), shape[1:], (1, shape[1], *(1,) * (len(shape) - 2))]
    values = d.normal(*other[whole(d.rng, 0, 3)])
    if kind == "Div":
        values = np.where(np.abs(values) < 0.3, 1.0, values)
    inputs = [x, np.asarray(values)]
    if kind != "Div" and d.rng.random() < 0.4:
        inputs.reverse()
    d.add(kind, *inputs, shape=shape)


def binary(d, kind):
    """Two computed tensors of one shape, or one that broadcasts."""
    x = d.pick()
    shape = d.tensors[x]
    fits = [n for n, s in d.tensors.items() if s == shape]
    fits += [n for n, s in d.tensors.items() if len(shape) == 4 and s == (*shape[:2], 1, 1)]
    y = fits[d.rng.integers(len(fits))]
    d.add(kind.removesuffix("2"), *([x, y] if d.rng.random() < 0.5 else [y, x]), shape=shape)


def total(d, kind):
    x = d.pick()
    fits = [n for n, s in d.tensors.items() if s == d.tensors[x]]
    names = [fits[d.rng.integers(len(fits))] for _ in range(whole(d.rng, 1, 3))]
    d.add(kind, *names, shape=d.tensors[x])


def concat(d, kind):
    x = d.pick()
    shape = list(d.tensors[x])
    axis = whole(d.rng, 1, len(shape) - 1)
    names, size = [x], shape[axis]
    for n, s in d.tensors.items():
        fits = len(s) == len(shape) and all(
            a == b or k == axis for k, (a, b) in enumerate(zip(s, shape, strict=True))
        )
        if fits and len(names) < 3 and d.rng.random() < 0.5:
            names.append(n)
            size += s[axis]
    if d.rng.random() < 0.3:
        other = (*shape[:axis], 2, *shape[axis + 1 :])
        names.append(d.normal(*other))
        size += 2
    shape[axis] = size
    d.add(kind, *names, shape=shape, axis=axis - (len(shape) if d.rng.random() < 0.5 else 0))


def slices(d, kind):
    x = d.pick()
    shape = list(d.tensors[x])
    axis = whole(d.rng, 1, len(shape) - 1)
    n = shape[axis]
    bounds = [(0, n, 1), (n // 2, 10**6, 1), (-1, -(10**6), -1), (0, n, 2)][whole(d.rng, 0, 3)]
    shape[axis] = len(range(n)[slice(*bounds) if bounds[2] > 0 else slice(None, None, -1)])
    parts = [np.array([v], dtype=np.int64) for v in (*bounds[:2], axis, bounds[2])]
    d.add(kind, x, *parts, shape=shape)


def split(d, kind):
    x = d.pick()
    shape = d.tensors[x]
    axis = whole(d.rng, 1, len(shape) - 1)
    if shape[axis] < 2:
        return
    sizes = [1, shape[axis] - 1]
    shapes = [(*shape[:axis], n, *shape[axis + 1 :]) for n in sizes]
    d.add(kind, x, np.array(sizes, dtype=np.int64), shape=shapes, outputs=2, axis=axis)


def reshape(d, kind):
    x = d.pick()
    shape = d.tensors[x]
    size = math.prod(shape)
    first = next(k for k in (3, 2, 1) if size % k == 0)
    target, sizes = [
        ((1, size), (0, -1)),
        ((1, first, size // first), (0, first, -1)),
        ((1, first, size // first, 1), (-1, first, size // first, 1)),
    ][whole(d.rng, 0, 2)]
    d.add(kind, x, np.array(sizes, dtype=np.int64), shape=target)


def transpose(d, kind):
    x = d.pick(4) or d.pick(3)
    if x is None:
        return
    order = [0, *(int(k) + 1 for k in d.rng.permutation(len(d.tensors[x]) - 1))]
    d.add(kind, x, shape=[d.tensors[x][k] for k in order], perm=order)


def unsqueeze(d, kind):
    x = d.pick(3) or d.pick(2)
    if x is not None:
        shape = list(d.tensors[x])
        shape.insert(1, 1)
        d.add(kind, x, np.array([1], dtype=np.int64), shape=shape)


def squeeze(d, kind):
    fits = [n for n, s in d.tensors.items() if len(s) > 2 and 1 in s[1:]]
    if fits:
        shape = list(d.tensors[fits[-1]])
        axis = 1 + shape[1:].index(1)
        shape.pop(axis)
        d.add(kind, fits[-1], np.array([axis], dtype=np.int64), shape=shape)


def clip(d, kind):
    x = d.pick()
    ends = [(0.0, 6.0), (-0.5, None), (None, 0.7), (-1.0, 1.0)][whole(d.rng, 0, 3)]
    d.add(kind, x, *(None if e is None else np.float64(e) for e in ends), shape=d.tensors[x])


def prelu(d, kind):
    x = d.pick()
    shape = d.tensors[x]
    slope = [(1,), (shape[1], *(1,) * (len(shape) - 2)), shape[1:]][whole(d.rng, 0, 2)]
    d.add(kind, x, d.normal(*slope), shape=shape)


def with_attributes(**options):
    def make(d, kind):
        x = d.pick()
        chosen = {k: v[whole(d.rng, 0, len(v) - 1)] for k, v in options.items()}
        d.add(kind, x, shape=d.tensors[x], **chosen)

    return make


def softmax(d, kind):
    x = d.pick()
    d.add(kind, x, shape=d.tensors[x], axis=whole(d.rng, 1, len(d.tensors[x]) - 1))


def padding(d, kind):
    x = d.pick(4)
    if x is None:
        return
    pads = [0, 0, *(whole(d.rng, 0, 1) for _ in range(2))] * 2
    shape = [n + pads[k] + pads[k + 4] for k, n in enumerate(d.tensors[x])]
    value = [] if d.rng.random() < 0.6 else [np.float64(d.rng.normal())]
    y = d.add(kind, x, np.array(pads, dtype=np.int64), *value, shape=shape)
    if d.rng.random() < 0.6:
        size = (1, 2, *(n - 1 for n in shape[2:]))
        d.add("Conv", y, d.normal(2, shape[1], 2, 2), shape=size) if min(size) > 0 else None


def reduction(d, kind):
    x = d.pick()
    shape = d.tensors[x]
    axes = sorted({whole(d.rng, 1, len(shape) - 1) for _ in range(2)})
    keep = 1 if len(shape) - len(axes) < 2 else whole(d.rng, 0, 1)
    left = [1 if k in axes else n for k, n in enumerate(shape) if keep or k not in axes]
    d.add(kind, x, np.array(axes, dtype=np.int64), shape=left, keepdims=keep)


def matmul(d, kind):
    x = d.pick(2) or d.pick(3)
    if x is None:
        return
    shape, size = d.tensors[x], whole(d.rng, 1, 4)
    y = d.add(kind, x, d.normal(shape[-1], size), shape=(*shape[:-1], size))
    d.add("Add", y, d.normal(size), shape=(*shape[:-1], size))


def gemm(d, kind):
    x = d.pick(2)
    if x is not None:
        n, size = d.tensors[x][1], whole(d.rng, 1, 4)
        d.add(kind, x, d.normal(size, n), d.normal(size), shape=(1, size), transB=1)


def expand(d, kind):
    x = d.pick(4)
    if x is not None and 1 in d.tensors[x][1:]:
        shape = [1, *(2 if n == 1 else n for n in d.tensors[x][1:])]
        d.add(kind, x, np.array(shape, dtype=np.int64), shape=shape)


def tile(d, kind):
    x = d.pick(3, most=30)
    if x is not None:
        shape = d.tensors[x]
        d.add(kind, x, np.array([1, 2, 1]), shape=(1, 2 * shape[1], shape[2]))


def gather(d, kind):
    x = d.pick()
    shape = d.tensors[x]
    axis = whole(d.rng, 1, len(shape) - 1)
    n = shape[axis]
    index = [np.array(n - 1), np.arange(n)[::-1].copy(), d.rng.integers(-n, n, size=3)]
    index = index[whole(d.rng, 0, 2) if len(shape) > 2 else whole(d.rng, 1, 2)]
    d.add(kind, x, index, shape=(*shape[:axis], *index.shape, *shape[axis + 1 :]), axis=axis)


def silu(d, kind):
    x = d.pick()
    shape = d.tensors[x]
    if d.rng.random() < 0.5:
        s = d.add("Sigmoid", x, shape=shape)
        d.add("Mul", *([x, s] if d.rng.random() < 0.5 else [s, x]), shape=shape)
        return
    s = d.add("Add", x, np.float64(3.0), shape=shape)
    s = d.add("Clip", s, np.float64(0.0), np.float64(6.0), shape=shape)
    if d.rng.random() < 0.5:
        s = d.add("Div", s, np.float64(6.0), shape=shape)
        d.add("Mul", x, s, shape=shape)
    else:
        s = d.add("Mul", x, s, shape=shape)
        d.add("Div", s, np.float64(6.0), shape=shape)


def erf_gelu(d, kind):
    x = d.pick()
    shape = d.tensors[x]
    e = d.add("Div", x, np.float64(math.sqrt(2.0)), shape=shape)
    e = d.add("Erf", e, shape=shape)
    e = d.add("Add", e, np.float64(1.0), shape=shape)
    if d.rng.random() < 0.5:
        half = d.add("Mul", x, np.float64(0.5), shape=shape)
        d.add("Mul", half, e, shape=shape)
    else:
        e = d.add("Mul", x, e, shape=shape)
        d.add("Mul", e, np.float64(0.5), shape=shape)


def tanh_gelu(d, kind):
    x = d.pick()
    shape = d.tensors[x]
    if d.rng.random() < 0.5:
        cube = d.add("Pow", x, np.float64(3.0), shape=shape)
    else:
        cube = d.add("Mul", x, d.add("Mul", x, x, shape=shape), shape=shape)
    cube = d.add("Mul", cube, np.float64(0.044715), shape=shape)
    s = d.add("Add", x, cube, shape=shape)
    s = d.add("Mul", s, np.float64(math.sqrt(2.0 / math.pi)), shape=shape)
    s = d.add("Add", d.add("Tanh", s, shape=shape), np.float64(1.0), shape=shape)
    half = d.add("Mul", x, np.float64(0.5), shape=shape)
    d.add("Mul", half, s, shape=shape)


GROWERS = {
    **dict.fromkeys(
        ("Abs", "HardSwish", "Identity", "Neg", "Relu", "Sigmoid", "Softplus", "Tanh", "Dropout"),
        same,
    ),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Max", "Min"), arithmetic),
    **dict.fromkeys(("Add2", "Sub2", "Max2", "Min2"), binary),
    **dict.fromkeys(("Sum", "Mean"), total),
    **dict.fromkeys(("MaxPool", "AveragePool"), pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), global_pool),
    **dict.fromkeys(("Softmax", "LogSoftmax"), softmax),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"), reduction),
    "BatchNormalization": batch_norm,
    "Clip": clip,
    "Concat": concat,
    "Conv": conv,
    "Expand": expand,
    "Gather": gather,
    "Gelu": with_attributes(approximate=["none", "tanh"]),
    "Gemm": gemm,
    "HardSigmoid": with_attributes(alpha=[0.2, 0.25], beta=[0.5, 0.1]),
    "LeakyRelu": with_attributes(alpha=[0.25, 0.5, -0.5]),
    "MatMul": matmul,
    "PRelu": prelu,
    "Pad": padding,
    "Reshape": reshape,
    "Slice": slices,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
    "erf": erf_gelu,
    "silu": silu,
    "tanh-gelu": tanh_gelu,
}
__all__ = ["GROWERS", "Dag", "TensorProto", "grow", "helper", "numpy_helper"]
