"""Shapes of what torch calls that are not read would give, so that what follows can be checked."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from mipnet.errors import NetworkError
from mipnet.network.readers.graph import Graph
from mipnet.network.readers.torch_ops import KEEPING
from mipnet.network.readers.values import LOST, Value

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import Node as Call


class _UnknownError(Exception):
    """A shape the call depends on is not known."""


def stand_in(call: Call, root: nn.Module, graph: Graph, args: Any, kwargs: Any) -> Any:
    """Stand-in for the result of a call, by its shape on tensors without data.

    Parameters
    ----------
    call : torch.fx.Node
        A module or function of torch; nothing else is run.
    root : torch.nn.Module
    graph : Graph
    args, kwargs : tuple, dict
        Arguments of the call, with values for computed tensors.

    Returns
    -------
    Value, or a tuple of them
        Unknown in every respect when torch cannot tell the shape.
    """
    import torch
    from torch.utils._pytree import tree_map

    kind = str(getattr(call.target, "__name__", call.target)).removesuffix("_")
    if call.op == "call_module":
        kind = type(root.get_submodule(str(call.target))).__name__
    if kind in KEEPING and args and isinstance(args[0], Value) and args[0].lost:
        return args[0]
    own = str(getattr(call.target, "__module__", "") or "torch").split(".", maxsplit=1)[0]
    if call.op == "call_function" and own not in ("torch", "_operator", "builtins"):
        return LOST
    floating = (p.dtype for p in root.parameters() if p.is_floating_point())
    precision = next(floating, torch.float32)

    def bare(value: Any) -> Any:
        if isinstance(value, Value):
            if value.lost:
                raise _UnknownError
            return torch.empty(value.shape, device="meta", dtype=precision)
        return value.to("meta") if isinstance(value, torch.Tensor) else value

    try:
        given, named = (tree_map(bare, a) for a in (args, kwargs))
        with torch.no_grad():
            if call.op == "call_module":
                part = copy.deepcopy(root.get_submodule(str(call.target))).to("meta")
                result = part(*given, **named)
            elif isinstance(call.target, str):
                result = getattr(given[0], call.target)(*given[1:], **named)
            else:
                result = call.target(*given, **named)
    except Exception:
        # A call that is listed already may raise anything; nothing is known of its result then.
        return LOST
    name = str(call.target) if call.op == "call_module" else call.name
    return _known(result, name, graph)


def _known(result: Any, name: str, graph: Graph) -> Any:
    """Values of the shapes of a result."""
    import torch

    if isinstance(result, (tuple, list)):
        return tuple(_known(part, name, graph) for part in result)
    if not isinstance(result, torch.Tensor):
        return LOST
    shape = tuple(result.shape)
    if 0 in shape:
        return LOST
    try:
        return graph.ghost(name, shape)
    except NetworkError:
        return LOST
