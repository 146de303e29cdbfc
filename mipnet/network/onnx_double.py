"""Layers that onnxruntime has in single precision only, as functions of operations it has in both.

A function is stored in the model beside the node that calls it, so that any runtime can evaluate
it. Its documentation says which layer it stands for; a reader makes the function anew and takes
the layer only when the two are equal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mipnet.errors import NetworkError
from mipnet.network.architecture import layer_data
from mipnet.network.layers import (
    GELU,
    LAYERS,
    AvgPool,
    Conv,
    HardSigmoid,
    Layer,
    LeakyReLU,
    PReLU,
    Softplus,
)
from mipnet.network.layers.base import Shape
from mipnet.network.layers.window import Window

if TYPE_CHECKING:
    from onnx import FunctionProto, NodeProto

DOMAIN = "mipnet"
OPSET = 20
#: Points of the quadrature of the error function; the integrand is exp(-42 t^2) at its steepest.
POINTS, REACH = 64, 6.5


class Body:
    """Nodes of a function from ``X`` and parameters to ``Y``."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Append a node and return its output."""
        from onnx import helper

        name = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, values: Any, dtype: type = np.float64) -> str:
        """Append a constant and return its name."""
        from onnx import numpy_helper

        tensor = numpy_helper.from_array(np.asarray(values, dtype=dtype))
        return self.add("Constant", value=tensor)

    def integers(self, *values: int) -> str:
        """Append whole numbers."""
        return self.constant(values, np.int64)


def _windows(body: Body, window: Window, shape: Shape, outputs: Shape) -> str:
    """All windows: (N, channels, volume, number of windows); the padding is zero."""
    flat = body.add("Reshape", "X", body.integers(0, shape[0], math.prod(shape[1:])))
    padded = body.add("Pad", flat, body.integers(0, 0, 0, 0, 0, 1))
    index = window.index(shape[1:], outputs).T
    places = body.constant(np.where(index < 0, math.prod(shape[1:]), index), np.int64)
    return body.add("Gather", padded, places, axis=2)


def _conv(body: Body, layer: Conv, shape: Shape) -> None:
    n_out, per_group, *kernel = layer.weight.shape
    outputs = layer.output_shape(shape)[1:]
    rows, groups = per_group * math.prod(kernel), layer.groups
    found = _windows(body, layer.window, shape, outputs)
    count = math.prod(outputs)
    found = body.add("Reshape", found, body.integers(0, groups, rows, count))
    weight = body.add("Reshape", "weight", body.integers(groups, n_out // groups, rows))
    product = body.add("MatMul", weight, found)
    product = body.add("Reshape", product, body.integers(0, n_out, *outputs))
    bias = body.add("Reshape", "bias", body.integers(n_out, *(1,) * len(outputs)))
    body.add("Add", product, bias, output="Y")


def _avg_pool(body: Body, layer: AvgPool, shape: Shape) -> None:
    outputs = layer.output_shape(shape)[1:]
    found = _windows(body, layer.window, shape, outputs)
    total = body.add("ReduceSum", found, body.integers(2), keepdims=0)
    counts = layer.window.counts(shape[1:], outputs, padding=layer.count_padding)
    mean = body.add("Div", total, body.constant(counts.reshape(-1)))
    body.add("Reshape", mean, body.integers(0, shape[0], *outputs), output="Y")


def _global(kind: str) -> Callable[[Body, Layer, Shape], None]:
    def write(body: Body, layer: Layer, shape: Shape) -> None:
        del layer
        body.add(kind, "X", body.integers(*range(2, len(shape) + 1)), keepdims=1, output="Y")

    return write


def _hinge(body: Body, slope: str) -> None:
    zero = body.constant(0.0)
    below = body.add("Mul", slope, body.add("Min", "X", zero))
    body.add("Add", body.add("Max", "X", zero), below, output="Y")


def _leaky(body: Body, layer: LeakyReLU, shape: Shape) -> None:
    del shape
    _hinge(body, body.constant(layer.slope))


def _prelu(body: Body, layer: PReLU, shape: Shape) -> None:
    del layer, shape
    _hinge(body, "slope")


def _hard_sigmoid(body: Body, layer: HardSigmoid, shape: Shape) -> None:
    del shape
    line = body.add("Mul", "X", body.constant(layer.alpha))
    line = body.add("Add", line, body.constant(layer.beta))
    body.add("Clip", line, body.constant(0.0), body.constant(1.0), output="Y")


def _hard_swish(body: Body, layer: Layer, shape: Shape) -> None:
    del layer, shape
    gate = body.add("Add", "X", body.constant(3.0))
    gate = body.add("Clip", gate, body.constant(0.0), body.constant(6.0))
    body.add("Div", body.add("Mul", "X", gate), body.constant(6.0), output="Y")


def _softplus(body: Body, layer: Softplus, shape: Shape) -> None:
    """``max(t, 0) + log1p(u)`` with ``u = exp(-|t|)``; ``log1p(u) = u log(w) / (w - 1)``.

    With ``w = 1 + u``. The rounding of ``w`` cancels in the quotient (Goldberg, ACM Computing
    Surveys 23, theorem 4).
    """
    del shape
    beta, one = body.constant(layer.beta), body.constant(1.0)
    t = body.add("Mul", "X", beta)
    u = body.add("Exp", body.add("Neg", body.add("Abs", t)))
    w = body.add("Add", one, u)
    ratio = body.add("Div", body.add("Mul", u, body.add("Log", w)), body.add("Sub", w, one))
    log1p = body.add("Where", body.add("Equal", w, one), u, ratio)
    total = body.add("Add", body.add("Max", t, body.constant(0.0)), log1p)
    body.add("Div", total, beta, output="Y")


def _gelu(body: Body, layer: GELU, shape: Shape) -> None:
    """``erf(z) = 2 z / sqrt(pi)`` times the integral of ``exp(-z^2 t^2)`` over [0, 1], by Gauss."""
    if layer.approximate == "tanh":
        cube = body.add("Mul", "X", body.add("Mul", "X", "X"))
        inner = body.add("Add", "X", body.add("Mul", cube, body.constant(0.044715)))
        inner = body.add("Mul", inner, body.constant(math.sqrt(2.0 / math.pi)))
        _shared(body, body.add("Tanh", inner))
        return
    nodes, weights = np.polynomial.legendre.leggauss(POINTS)
    t = 0.5 * (nodes + 1.0)
    z = body.add("Mul", "X", body.constant(math.sqrt(0.5)))
    z = body.add("Clip", z, body.constant(-REACH), body.constant(REACH))
    square = body.add("Unsqueeze", body.add("Mul", z, z), body.integers(len(shape) + 1))
    powers = body.add("Exp", body.add("Mul", square, body.constant(-t * t)))
    # The weights hold 2 / sqrt(pi): onnxruntime rounds a scalar factor behind a MatMul to float32.
    integral = body.add("MatMul", powers, body.constant(weights / math.sqrt(math.pi)))
    erf = body.add("Mul", z, integral)
    _shared(body, erf)


def _shared(body: Body, gate: str) -> None:
    """``x (1 + gate) / 2``."""
    share = body.add("Mul", body.add("Add", gate, body.constant(1.0)), body.constant(0.5))
    body.add("Mul", "X", share, output="Y")


#: Layers that onnxruntime has, or has to full precision, in single precision only.
BODIES: dict[str, Callable[[Body, Any, Shape], None]] = {
    "AvgPool": _avg_pool,
    "Conv": _conv,
    "GELU": _gelu,
    "GlobalAvgPool": _global("ReduceMean"),
    "GlobalMaxPool": _global("ReduceMax"),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "LeakyReLU": _leaky,
    "PReLU": _prelu,
    "Softplus": _softplus,
}


def function(layer: Layer, shape: Shape, name: str) -> FunctionProto:
    """Return the function of a layer over items of a shape.

    Parameters
    ----------
    layer : Layer
    shape : tuple of int
    name : str
        Name of the function.
    """
    from onnx import helper

    body = Body()
    BODIES[layer.kind](body, layer, shape)
    options, arrays = layer_data(layer)
    options.pop("error", None)
    made = helper.make_function(
        DOMAIN, name, ["X", *arrays], ["Y"], body.nodes, [helper.make_opsetid("", OPSET)]
    )
    made.doc_string = json.dumps({"kind": layer.kind, "options": options}, sort_keys=True)
    return made


def restored(made: FunctionProto, arrays: list[Any], shape: Shape) -> Layer | None:
    """Return the layer a function stands for, when it is the function of that layer.

    Parameters
    ----------
    made : onnx.FunctionProto
    arrays : list of array
        Parameters behind its first input.
    shape : tuple of int
        Shape of one input item.

    Returns
    -------
    Layer or None
    """
    try:
        told = json.loads(made.doc_string)
        kind, options = told["kind"], told["options"]
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
        parameters = dict(zip(list(made.input)[1:], arrays, strict=True))
        if kind not in BODIES:
            return None
        layer = LAYERS[kind](**values, **parameters)
        again = function(layer, shape, made.name)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, NetworkError):
        return None
    same = again.SerializeToString(deterministic=True) == made.SerializeToString(deterministic=True)
    return layer if same else None
