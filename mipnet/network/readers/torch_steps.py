"""The torch functions, methods and modules that make up a chain, one function each.

Parameters have torch's names and order, so that calls recorded from a model bind to them as they
are. What does not change the values of a batch of one in evaluation mode is the identity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.network.readers.base import Array
from mipnet.network.readers.combine import relu
from mipnet.network.readers.graph import Graph
from mipnet.network.readers.products import dense, matmul
from mipnet.network.readers.values import LOST, Operation, RefusalError, Value, reshaped


@dataclass(frozen=True)
class Step:
    """One call: where its layers go and what they are named."""

    chain: Graph
    name: str

    def constant(self, values: Any, what: str = "constant") -> Array:
        """Parameter as float64."""
        if isinstance(values, Value):
            reason = "combines two computed tensors; only chains are read"
            raise RefusalError(reason)
        return self.chain.constant(values, f"{what} of {self.name!r}")


def _value(input: Any) -> Value:
    if not isinstance(input, Value):
        reason = "uses the computed tensor in an unsupported place"
        raise RefusalError(reason)
    return input


def _relu(step: Step, input: Any, inplace: bool = False) -> Value:
    del inplace
    return relu(step.chain, step.name, _value(input))


def _linear(step: Step, input: Any, weight: Any, bias: Any = None) -> Value:
    value = _value(input)
    for parameter in (weight, bias):
        if isinstance(parameter, Value):
            step.constant(parameter)
    return dense(step.chain, step.name, value, weight, bias)


def _matmul(step: Step, input: Any, other: Any) -> Value:
    left = not isinstance(input, Value)
    constant = step.constant(input if left else other)
    return matmul(step.chain, step.name, _value(other if left else input), constant, left=left)


def _identity(step: Step, input: Any, *args: Any, **options: Any) -> Value:
    del step, args, options
    return _value(input)


def _dropout(
    step: Step, input: Any, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Value:
    del step, inplace
    if training and p > 0:
        reason = "drops at random whatever the mode; pass training=self.training"
        raise RefusalError(reason)
    return _value(input)


def _to(step: Step, input: Any, *args: Any, **options: Any) -> Value:
    del step
    for target in (*args, *options.values()):
        if not getattr(target, "is_floating_point", True):
            reason = f"casts to {target}, which is no floating type"
            raise RefusalError(reason)
    return _value(input)


def _flatten(step: Step, input: Any, start_dim: int = 0, end_dim: int = -1) -> Value:
    def change(a: npt.NDArray[Any]) -> npt.NDArray[Any]:
        first, last = start_dim % max(a.ndim, 1), end_dim % max(a.ndim, 1)
        return a.reshape(*a.shape[:first], -1, *a.shape[last + 1 :])

    return _value(input).view(step.name, change)


def _reshape(step: Step, input: Any, *shape: Any, **options: Any) -> Value:
    sizes = options.get("shape", options.get("size", shape))
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = sizes[0]
    if any(isinstance(size, Value) and size.lost for size in sizes):
        return LOST
    if not all(isinstance(size, int) for size in sizes):
        reason = f"reshapes to {tuple(sizes)}, which are no integers"
        raise RefusalError(reason)
    return _value(input).view(step.name, lambda a: reshaped(a, sizes))


def _squeeze(step: Step, input: Any, dim: Any = None) -> Value:
    def change(a: npt.NDArray[Any]) -> npt.NDArray[Any]:
        axes = range(a.ndim) if dim is None else np.atleast_1d(dim)
        return np.squeeze(a, tuple(int(k) for k in axes if a.shape[k] == 1))

    return _value(input).view(step.name, change)


def _unsqueeze(step: Step, input: Any, dim: int) -> Value:
    return _value(input).view(step.name, lambda a: np.expand_dims(a, dim))


def _transpose(step: Step, input: Any, dim0: int, dim1: int) -> Value:
    return _value(input).view(step.name, lambda a: np.swapaxes(a, dim0, dim1))


def _permute(step: Step, input: Any, *dims: Any) -> Value:
    order = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    return _value(input).view(step.name, lambda a: np.transpose(a, order))


def _t(step: Step, input: Any) -> Value:
    return _value(input).view(step.name, np.transpose)


def _arithmetic(operation: Operation) -> Callable[..., Value]:
    def calculate(
        step: Step, input: Any, other: Any, *, alpha: float = 1, rounding_mode: Any = None
    ) -> Value:
        if rounding_mode is not None:
            reason = f"rounds its result ({rounding_mode})"
            raise RefusalError(reason)
        if isinstance(input, Value):
            return input.apply(step.name, operation, alpha * step.constant(other))
        if operation == "div":
            reason = "divides by a computed tensor"
            raise RefusalError(reason)
        reverse: Operation = "rsub" if operation == "sub" else operation
        value = _value(other)
        if alpha != 1:
            value = value.apply(step.name, "mul", np.asarray(float(alpha)))
        return value.apply(step.name, reverse, step.constant(input))

    return calculate


def _neg(step: Step, input: Any) -> Value:
    return _value(input).apply(step.name, "mul", np.asarray(-1.0))


def _size(step: Step, input: Any, dim: int | None = None) -> Any:
    import torch

    del step
    value = _value(input)
    if value.lost:
        return LOST
    return torch.Size(value.shape) if dim is None else value.shape[dim]


def _rank(step: Step, input: Any) -> Any:
    del step
    return LOST if _value(input).lost else len(input.shape)


def _getattr(step: Step, input: Any, name: str) -> Any:
    known = {"shape": _size, "ndim": _rank, "T": _t, "data": _identity}
    value = _value(input)
    if name not in known:
        # Not knowing what a lost value is, every attribute of it is as unknown.
        if value.lost:
            return LOST
        reason = f"attribute {name!r} is not supported"
        raise RefusalError(reason)
    return known[name](step, value)


def _getitem(step: Step, input: Any, index: Any) -> Any:
    del step, index
    if _value(input).lost:
        return LOST
    reason = "selects elements of a computed tensor"
    raise RefusalError(reason)


#: By the name of a function or method, a trailing underscore (in place) aside.
STEPS: dict[str, Callable[..., Any]] = {
    **{kind: _arithmetic(kind) for kind in ("add", "sub", "mul", "div")},
    "iadd": _arithmetic("add"),
    "isub": _arithmetic("sub"),
    "imul": _arithmetic("mul"),
    "itruediv": _arithmetic("div"),
    "truediv": _arithmetic("div"),
    "true_divide": _arithmetic("div"),
    "divide": _arithmetic("div"),
    "multiply": _arithmetic("mul"),
    "subtract": _arithmetic("sub"),
    "neg": _neg,
    "negative": _neg,
    "relu": _relu,
    "linear": _linear,
    "matmul": _matmul,
    "mm": _matmul,
    "dropout": _dropout,
    "flatten": _flatten,
    "ravel": _flatten,
    "reshape": _reshape,
    "view": _reshape,
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    "transpose": _transpose,
    "swapaxes": _transpose,
    "permute": _permute,
    "t": _t,
    "size": _size,
    "dim": _rank,
    "getattr": _getattr,
    "getitem": _getitem,
    "to": _to,
    **dict.fromkeys(("float", "double", "contiguous", "clone", "detach"), _identity),
}


def module_step(module: Any) -> Callable[..., Any] | None:
    """Step of a supported module; None for every other one.

    A subclass counts as its parent while it inherits ``forward``.
    """
    from torch import nn

    known: dict[type[Any], Callable[..., Any]] = {
        nn.Linear: lambda step, input: _linear(step, input, module.weight, module.bias),
        nn.ReLU: _relu,
        nn.Flatten: lambda step, input: _flatten(step, input, module.start_dim, module.end_dim),
        nn.Identity: _identity,
        **dict.fromkeys(
            (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout), _identity
        ),
    }
    for kind, step in known.items():
        if isinstance(module, kind) and type(module).forward is kind.forward:
            return None if "forward" in vars(module) else step
    return None
