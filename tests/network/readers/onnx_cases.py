"""Random ONNX chains, and their function by onnxruntime."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

OPSET = 13


class Builder:
    """A chain that grows by one step at a time."""

    def __init__(self, shape, *, dtype=np.float64, declared=None, opset=OPSET, seed=0):
        self.rng = np.random.default_rng(seed)
        self.dtype, self.opset = np.dtype(dtype), opset
        self.kind = helper.np_dtype_to_tensor_dtype(self.dtype)
        self.input = helper.make_tensor_value_info("x", self.kind, declared or shape)
        self.shape, self.name = tuple(shape), "x"
        self.nodes, self.stored = [], []

    def fresh(self, prefix):
        return f"{prefix}{len(self.nodes)}_{len(self.stored)}"

    def normal(self, *shape):
        """A random constant."""
        return self.rng.normal(size=shape).astype(self.dtype)

    def constant(self, values):
        """Name of a constant: an initializer or, at times, the output of a Constant node."""
        values, name = np.asarray(values), self.fresh("c")
        if self.rng.random() < 0.5:
            self.stored.append(numpy_helper.from_array(values, name))
        else:
            tensor = numpy_helper.from_array(values)
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        return name

    def add(self, kind, *inputs, shape=None, **attributes):
        """Append one node; None stands for the chain so far, arrays for constants."""
        names = [
            self.name if i is None else i if isinstance(i, str) else self.constant(i)
            for i in inputs
        ]
        output = self.fresh("t")
        label = "" if self.rng.random() < 0.3 else f"step{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [output], name=label, **attributes))
        self.name = output
        if shape is not None:
            self.shape = tuple(shape)
        return self

    def model(self, **options):
        output = helper.make_tensor_value_info(self.name, self.kind, None)
        graph = helper.make_graph(self.nodes, "chain", [self.input], [output], self.stored)
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8, **options)


def grow(builder, kind):
    """Append a random step of a kind, if the shape so far allows it."""
    GROWERS.get(kind, grow_same)(builder, kind)


def grow_same(b, kind):
    b.add(kind, None)


def grow_cast(b, kind):
    b.add(kind, None, to=b.kind)


def grow_arithmetic(b, kind):
    rng, rank = b.rng, len(b.shape)
    options = [(), (1,) * rank, b.shape, b.shape[rank // 2 :]]
    options.append(tuple(n if rng.random() < 0.5 else 1 for n in b.shape))
    values = b.normal(*options[rng.integers(len(options))])
    inputs = [None, values]
    if kind == "Div":
        inputs[1] = np.where(np.abs(values) < 0.1, 1, values).astype(b.dtype)
    elif rng.random() < 0.3:
        inputs.reverse()
    b.add(kind, *inputs, shape=np.broadcast_shapes(b.shape, values.shape))


def grow_matmul(b, kind):
    if not b.shape:
        return
    size, last, draw = int(b.rng.integers(1, 5)), b.shape[-1], b.rng.random()
    if len(b.shape) > 1 and draw < 0.3:
        b.add(kind, b.normal(size, b.shape[-2]), None, shape=(*b.shape[:-2], size, last))
    elif draw > 0.85:
        b.add(kind, None, b.normal(last), shape=b.shape[:-1])
    else:
        b.add(kind, None, b.normal(last, size), shape=(*b.shape[:-1], size))


def grow_flatten(b, kind):
    rank = len(b.shape)
    axis = int(b.rng.integers(-rank, rank + 1))
    rows = int(np.prod(b.shape[: axis if axis >= 0 else rank + axis], dtype=int))
    b.add(kind, None, axis=axis, shape=(rows, int(np.prod(b.shape, dtype=int)) // rows))


def grow_transpose(b, kind):
    order = [int(k) for k in b.rng.permutation(len(b.shape))]
    if order:
        b.add(kind, None, perm=order, shape=[b.shape[k] for k in order])


def grow_unsqueeze(b, kind):
    axis = int(b.rng.integers(0, len(b.shape) + 1))
    if len(b.shape) < 5:
        b.add(kind, None, np.array([axis]), shape=np.expand_dims(np.empty(b.shape), axis).shape)


def grow_squeeze(b, kind):
    if 1 in b.shape:
        axis = b.shape.index(1)
        b.add(kind, None, np.array([axis]), shape=np.squeeze(np.empty(b.shape), axis).shape)


def grow_gemm(b, kind):
    if len(b.shape) != 2:
        return
    rng = b.rng
    flips = [int(rng.integers(2)) for _ in range(2)]
    rows, inner = b.shape
    left = rng.random() < 0.3
    if flips[left]:
        rows, inner = inner, rows
    if left:
        rows, inner = inner, rows
        # The chain is B, of shape (inner, rows) after its flip.
    size = int(rng.integers(1, 5))
    constant = b.normal(size, inner) if left else b.normal(inner, size)
    if flips[not left]:
        constant = constant.T.copy()
    shape = (size, rows) if left else (rows, size)
    inputs = [constant, None] if left else [None, constant]
    extra = [None, (), (1,), (shape[1],), (1, shape[1]), shape, (shape[0], 1)][rng.integers(7)]
    if extra is not None:
        inputs.append(b.normal(*extra))
    attributes = {"transA": flips[0], "transB": flips[1]}
    for key in ("alpha", "beta"):
        if rng.random() < 0.5:
            attributes[key] = float(np.float32(rng.normal()))
    b.add(kind, *inputs, shape=shape, **attributes)


def grow_reshape(b, kind):
    rng, size = b.rng, int(np.prod(b.shape, dtype=int))
    divisors = [d for d in range(1, size + 1) if size % d == 0]
    first = divisors[rng.integers(len(divisors))]
    target = [first, size // first]
    shape = tuple(target)
    if rng.random() < 0.5:
        target[rng.integers(2)] = -1
    elif b.shape and b.shape[0] == first and rng.random() < 0.8:
        target[0] = 0
    b.add(kind, None, np.array(target), shape=shape)


GROWERS = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), grow_arithmetic),
    "Cast": grow_cast,
    "Flatten": grow_flatten,
    "Gemm": grow_gemm,
    "MatMul": grow_matmul,
    "Reshape": grow_reshape,
    "Squeeze": grow_squeeze,
    "Transpose": grow_transpose,
    "Unsqueeze": grow_unsqueeze,
}


def run(model, x):
    """Output of onnxruntime for one input, flattened."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Its optimiser rounds scalar factors of double products to float32.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    raw = model if isinstance(model, str) else model.SerializeToString()
    session = onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.asarray(session.run(None, {name: x})[0], float).ravel()


__all__ = ["OPSET", "Builder", "TensorProto", "grow", "helper", "numpy_helper", "onnx", "run"]
