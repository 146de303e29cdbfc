"""torch modules whose forward can be traced, pruned ones included."""

from __future__ import annotations

import copy
import inspect
import operator
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from mipnet.errors import NetworkError, ReadError, UnsupportedError
from mipnet.network.layers.base import Shape
from mipnet.network.network import Network
from mipnet.network.readers.base import Reader, is_instance, item_shape, register_reader
from mipnet.network.readers.graph import Graph
from mipnet.network.readers.torch_ops import REMEDIES, module_step
from mipnet.network.readers.torch_walk import TorchWalk
from mipnet.network.readers.values import LOST, RefusalError, Value, located

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import Graph as Traced
    from torch.fx import Node as Call

#: Wrappers that change how a module runs and not what it computes, with where they keep it.
WRAPPERS = {
    "OptimizedModule": "_orig_mod",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
}
HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_hooks", "_backward_pre_hooks")


@register_reader("torch")
class TorchReader(Reader):
    """Modules that ``torch.fx`` can trace, of the functions and modules in ``torch_ops``.

    The module is read in evaluation mode, whatever its own mode: dropout is the identity, batch
    normalisation uses its running statistics. Weights and biases under ``torch.nn.utils.prune``
    are read as ``weight_orig * weight_mask``, because ``weight`` itself is only refreshed by the
    next forward pass. The module is not changed. Other forward hooks may change values and are
    refused.
    """

    takes = "torch.nn.Module that torch.fx can trace"

    def accepts(self, source: object) -> bool:
        """See :meth:`Reader.accepts`."""
        return is_instance(source, "torch.nn", "Module")

    def read(self, source: Any, *, input_shape: Shape | int | None = None) -> Network:
        """Read a module.

        Parameters
        ----------
        source : torch.nn.Module
        input_shape : tuple of int or int, optional
            Shape of one input item, without the batch axis; a vector for the first Linear when
            absent.

        Raises
        ------
        ReadError
            When the module cannot be copied or its input shape is unknown.
        UnsupportedError
            When steps cannot be read or traced; all of them are listed.
        NetworkError
            When shapes do not fit or a parameter is NaN or infinite.
        """
        origin = f"torch {type(source).__name__}"
        item = None if input_shape is None else item_shape(input_shape)
        while type(source).__name__ in WRAPPERS and type(source).__module__.startswith("torch."):
            source = getattr(source, WRAPPERS[type(source).__name__])
        refused = list(_foreign_hooks(source))
        with located(origin):
            root = _evaluated(source)
            graph = _traced(root, origin, refused)
            # The first pass knows no shapes: it lists what cannot be read, and finds the width.
            trial = TorchWalk(graph, root, Graph(origin))
            trial.output(LOST)
            trial.refused = refused + trial.refused
            trial.complain(origin)
            width = trial.written.width
            if item is None and width is None:
                msg = "has no Linear that tells the shape of the input; give input_shape="
                raise ReadError(msg)
            written = Graph(origin)
            walk = TorchWalk(graph, root, written)
            value = walk.output(written.start(item or (width or 1,)))
            if walk.faults and item is None and not written.products:
                msg = f"{walk.faults[0]} (the input was taken as a vector; give input_shape= if it "
                msg += "is none)"
                raise NetworkError(msg) from walk.faults[0]
            walk.complain(origin)
            if not isinstance(value, Value):
                msg = "its output does not depend on its input"
                raise ReadError(msg)
            try:
                return written.finish(value, dtype="float32")
            except RefusalError as error:
                raise UnsupportedError(origin, [f"the output: {error}"]) from error


def _foreign_hooks(module: nn.Module) -> Iterator[str]:
    """Forward hooks that may change values: all but those of pruning."""
    from torch.nn.utils.prune import BasePruningMethod

    for name, part in module.named_modules():
        for kind in HOOKS[:2]:
            for hook in getattr(part, kind).values():
                if not isinstance(hook, BasePruningMethod):
                    what = getattr(hook, "__qualname__", type(hook).__qualname__)
                    yield (
                        f"{name or 'the module'!r} ({type(part).__name__}): forward hook {what} "
                        f"may change values; remove it before loading"
                    )


def _evaluated(module: nn.Module) -> nn.Module:
    """Copy in evaluation mode, without hooks and with masks applied."""
    import torch

    memo: dict[int, Any] = {}
    with torch.no_grad():
        for part in module.modules():
            for attribute in (key for key in HOOKS if hasattr(part, key)):
                memo[id(getattr(part, attribute))] = OrderedDict()
            for tensor in (*part.parameters(False), *part.buffers(False), *vars(part).values()):
                if torch.nn.parameter.is_lazy(tensor):
                    msg = "has lazy parameters without values; run one batch first"
                    raise ReadError(msg)
                # Tensors with a history, such as a pruned weight, cannot be deep-copied.
                if isinstance(tensor, torch.nn.Parameter):
                    twin = torch.nn.Parameter(tensor.detach().clone(), requires_grad=False)
                    memo[id(tensor)] = twin
                elif isinstance(tensor, torch.Tensor):
                    memo[id(tensor)] = tensor.detach().clone()
        try:
            root = copy.deepcopy(module, memo).eval()
        except Exception as error:
            msg = f"cannot be copied: {error}"
            raise ReadError(msg) from error
        for part in root.modules():
            _apply_masks(part)
    return root if module_step(root) is None else torch.nn.Sequential(OrderedDict(linear=root))


def _apply_masks(part: nn.Module) -> None:
    """Turn every ``<name>_orig`` with a ``<name>_mask`` into the parameter ``<name>``."""
    import torch

    for key in [key for key, _ in part.named_parameters(recurse=False) if key.endswith("_orig")]:
        name = key.removesuffix("_orig")
        mask = dict(part.named_buffers(recurse=False)).get(f"{name}_mask")
        if mask is None:
            continue
        original = getattr(part, key)
        if mask.shape != original.shape:
            msg = f"{key} of shape {tuple(original.shape)} has a mask of {tuple(mask.shape)}"
            raise NetworkError(msg)
        for stale in (key, f"{name}_mask", name):
            if hasattr(part, stale):
                delattr(part, stale)
        masked = mask.to(original.dtype) * original
        part.register_parameter(name, torch.nn.Parameter(masked, requires_grad=False))


def _traced(root: nn.Module, origin: str, refused: list[str]) -> Traced:
    import torch
    from torch.fx import Proxy, Tracer
    from torch.fx.graph import inplace_methods
    from torch.fx.proxy import Attribute

    class Recorded(Proxy):
        """Records ``h += y`` as what it does to every other name of ``h``.

        Without these methods Python takes it for ``h = h + y``, which leaves the tensor alone.
        """

        def __getattr__(self, k: str) -> Attribute:
            return RecordedAttribute(self, k)

    class RecordedAttribute(Attribute, Recorded):
        """An attribute, such as ``h.T``."""

    for name in inplace_methods:
        if hasattr(torch.Tensor, f"__{name}__"):
            setattr(Recorded, f"__{name}__", _recording(getattr(operator, name)))

    class Leaves(Tracer):
        """Stops at torch's own modules, and sees through subclasses with another forward."""

        def proxy(self, node: Call) -> Proxy:
            return Recorded(node, self)

        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            own = getattr(type(m).forward, "__module__", "").startswith("torch.nn")
            inherited = own and "forward" not in vars(m)
            if inherited and type(m).__module__ == "torch.nn.utils.parametrize":
                return True
            return inherited and super().is_leaf_module(m, module_qualified_name)

    try:
        others = list(inspect.signature(root.forward).parameters.items())[1:]
        defaults = {name: p.default for name, p in others if p.default is not p.empty}
        with torch.no_grad():
            return Leaves().trace(root, defaults or None)
    except Exception as error:
        reason = (
            f"forward cannot be traced: {type(error).__name__}: {error}; branches and loops that "
            f"depend on values have no network: write them without, or export ONNX"
        )
        raise UnsupportedError(origin, [*refused, *_unread(root), reason]) from error


def _recording(target: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that records a call of a function."""

    def record(self: Any, *others: Any) -> Any:
        return self.tracer.create_proxy("call_function", target, (self, *others), {})

    return record


def _unread(root: nn.Module) -> Iterator[str]:
    """Modules that have no layer, where the trace cannot tell which are called."""
    for name, part in root.named_modules():
        kind = type(part).__name__
        if kind in REMEDIES:
            yield f"{name!r} ({kind}): {REMEDIES[kind]}"
