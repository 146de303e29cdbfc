"""torch modules of networks of any layers."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from mipnet.errors import MissingPackageError, QueryError, UnsupportedError
from mipnet.network.network import INPUT, Network, Node
from mipnet.network.writers.torch_layers import RULES

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import Graph
    from torch.fx import Node as Call


def to_torch(network: Network, *, dtype: str | None = None) -> nn.Module:
    """Return a network as a torch module.

    A ``torch.fx.GraphModule`` in evaluation mode whose parts are torch's own modules, under the
    names of the layers; a name such as ``block.conv`` becomes a module in a module. It can be
    trained, exported and read back by :func:`~mipnet.network.readers.load`.

    Parameters
    ----------
    network : Network
    dtype : {"float32", "float64"}, optional
        That of the network when absent.

    Returns
    -------
    torch.nn.Module
        Takes (batch, *input_shape).

    Raises
    ------
    MissingPackageError
        When torch is not installed.
    QueryError
        When the dtype is another.
    UnsupportedError
        When torch has no such layer; all of them are listed.

    Examples
    --------
    >>> from mipnet.network.readers import load
    >>> net = load([([[1.0, -1.0]], [0.5])])
    >>> module = to_torch(net)  # doctest: +SKIP
    """
    try:
        import torch
        from torch.fx import GraphModule
    except ImportError as error:
        raise MissingPackageError("torch", "writing a torch module", "torch") from error
    chosen = dtype or network.dtype
    if chosen not in ("float32", "float64"):
        msg = f"dtype must be float32 or float64, not {dtype!r}"
        raise QueryError(msg)
    draft = _Draft(network)
    refused = []
    # Modules draw their first weights from the generator of the user.
    with torch.random.fork_rng(devices=[]):
        for node in network.nodes:
            rule = RULES.get(node.layer.kind)
            shapes = [network.shapes[i] for i in node.inputs]
            draft.place = node
            inputs = [draft.calls[i] for i in node.inputs]
            call = None if rule is None else rule(draft, node.layer, inputs, shapes)
            if call is None:
                refused.append(f"{node.name!r} ({node.layer.kind}): torch has no such layer")
            draft.calls[node.name] = call
    if refused:
        raise UnsupportedError("torch", refused)
    draft.graph.output(draft.calls[network.output])
    module = GraphModule(draft.root, draft.graph, "Network")
    return module.to(getattr(torch, chosen)).eval()


class _Draft:
    """A traced graph while it is written; see :class:`~.torch_layers.Draft`."""

    def __init__(self, network: Network) -> None:
        from torch import nn
        from torch.fx import Graph

        self.root = nn.Module()
        self.graph: Graph = Graph()
        self.calls: dict[str, Any] = {INPUT: self.graph.placeholder(INPUT)}
        self.place: Node = network.nodes[0]
        self.targets = _targets([node.name for node in network.nodes])

    def module(self, module: Any, *inputs: Call) -> Call:
        self._store(self.targets[self.place.name], module)
        return self.graph.call_module(self.targets[self.place.name], inputs)

    def function(self, name: str, *args: Any, **options: Any) -> Call:
        import torch

        if name == "pad":
            return self.graph.call_function(torch.nn.functional.pad, args, options)
        if name == "getitem":
            return self.graph.call_function(operator.getitem, args)
        return self.graph.call_function(getattr(torch, name), args, options)

    def method(self, name: str, *args: Any) -> Call:
        return self.graph.call_method(name, args)

    def buffer(self, values: Any, key: str) -> Call:
        import torch

        target = f"{self.targets[self.place.name]}_{key}"
        owner, _, last = target.rpartition(".")
        self._parent(owner).register_buffer(last, torch.from_numpy(np.array(values)))
        return self.graph.get_attr(target)

    def _store(self, target: str, module: Any) -> None:
        owner, _, last = target.rpartition(".")
        self._parent(owner).add_module(last, module)

    def _parent(self, path: str) -> Any:
        """Return the module of a path, made where it is missing."""
        from torch import nn

        found = self.root
        for part in path.split(".") if path else ():
            if part not in dict(found.named_children()):
                found.add_module(part, nn.Module())
            found = getattr(found, part)
        return found


def _targets(names: list[str]) -> dict[str, str]:
    """Where each layer lies in the module: its name, where torch takes that."""
    from torch import nn

    taken = set(dir(nn.Module()))
    prefixes = {name[:k] for name in names for k in range(len(name)) if name[k] == "."}
    targets: dict[str, str] = {}
    used: set[str] = set()
    for name in names:
        parts = name.split(".")
        fits = all(re.fullmatch(r"[A-Za-z0-9_]+", p) and p not in taken for p in parts)
        chosen = name if fits and name not in prefixes else re.sub(r"\W", "_", f"layer_{name}")
        while chosen in used or (chosen != name and chosen in names):
            chosen += "_"
        used.add(chosen)
        targets[name] = chosen
    return targets
