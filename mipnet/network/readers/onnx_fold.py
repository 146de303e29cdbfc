"""Nodes whose inputs are constants, evaluated while reading."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import ReadError
from mipnet.network.readers.onnx_ops import STEPS
from mipnet.network.readers.values import MAX_ELEMENTS

if TYPE_CHECKING:
    from onnx import NodeProto

Ints = npt.NDArray[Any]

#: Operations evaluated while reading when all their inputs are constants; all deterministic.
FOLDED = frozenset(STEPS) - {"Dropout"} | {
    *("And", "Ceil", "Constant", "ConstantOfShape", "Equal", "Exp", "Floor", "Greater", "Less"),
    *("Log", "Mod", "Not", "Or", "Range", "Reciprocal", "ReduceProd", "Sqrt", "Where"),
}


def folded(
    node: NodeProto, inputs: list[Any], label: str, opset: int
) -> npt.NDArray[Any] | list[npt.NDArray[Any]]:
    """Values of a node whose inputs are constants, as ONNX's reference evaluates it.

    Parameters
    ----------
    node : onnx.NodeProto
    inputs : list of array or None
    label : str
        The node, for messages.
    opset : int

    Raises
    ------
    ReadError
        When it cannot be evaluated, or its result would be larger than any parameter is.
    """
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    size = _size(node, inputs)
    if size > MAX_ELEMENTS:
        msg = f"node {label} makes a constant of {size} elements, above {MAX_ELEMENTS}"
        raise ReadError(msg)
    feeds = {n: value for n, value in zip(node.input, inputs, strict=True) if n}
    outputs = [o for o in node.output if o]
    versions = [helper.make_opsetid("", opset)]
    function = helper.make_function("mipnet", "folded", list(feeds), outputs, [node], versions)
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(function).run(outputs, feeds, attributes={})
        arrays = [np.asarray(result) for result in results]
    except Exception as error:
        msg = f"node {label} cannot be evaluated: {error}"
        raise ReadError(msg) from error
    return arrays if len(arrays) > 1 else arrays[0]


def _size(node: NodeProto, inputs: list[Any]) -> int:
    """Upper bound of the number of elements of the result, without making it."""
    arrays = [np.asarray(i) for i in inputs if i is not None]
    every = sum(a.size for a in arrays)
    try:
        if node.op_type in _SIZES:
            return _SIZES[node.op_type](*arrays)
        return max(every, math.prod(np.broadcast_shapes(*(a.shape for a in arrays))))
    except (ValueError, IndexError, ZeroDivisionError, OverflowError, TypeError):
        # Shapes that do not broadcast: what selects and moves makes no more than it is given.
        return every


def _range(start: Ints, limit: Ints, delta: Ints) -> int:
    first, end, step = (float(np.ravel(a)[0]) for a in (start, limit, delta))
    return int(abs(end - first) / abs(step)) + 1


def _padded(data: Ints, pads: Ints, *_: Ints) -> int:
    grown = sum(abs(int(n)) for n in np.ravel(pads))
    return math.prod(int(n) + grown for n in data.shape)


def _product(shape: npt.NDArray[Any]) -> int:
    return math.prod(max(int(n), 1) for n in np.ravel(shape))


#: Sizes of results that may be larger than all inputs together, by operation.
_SIZES: dict[str, Callable[..., int]] = {
    "ConstantOfShape": _product,
    "Expand": lambda data, shape: max(data.size, 1) * _product(shape),
    "Gather": lambda data, index: data.size * max(index.size, 1),
    "Gemm": lambda a, b, *_: a.size * b.size,
    "MatMul": lambda a, b: a.size * b.size,
    "Pad": _padded,
    "Range": _range,
    "Tile": lambda data, counts: data.size * _product(counts),
}
