"""torch modules whose forward is a chain, pruned ones included."""

from __future__ import annotations

import copy
import inspect
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mipnet.errors import NetworkError, ReadError, UnsupportedError
from mipnet.network.layers.base import Shape
from mipnet.network.network import Network
from mipnet.network.readers.base import Reader, is_instance, item_shape, register_reader
from mipnet.network.readers.graph import Graph
from mipnet.network.readers.torch_steps import STEPS, Step, module_step
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
    """Modules that ``torch.fx`` can trace into one chain.

    The module is read in evaluation mode, whatever its own mode: dropout is the identity. Weights
    and biases under ``torch.nn.utils.prune`` are read as ``weight_orig * weight_mask``, because
    ``weight`` itself is only refreshed by the next forward pass. The module is not changed. Other
    forward hooks may change values and are refused.
    """

    takes = "torch.nn.Module whose forward is a chain"

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
            trial = _Walk(graph, root, Graph(origin))
            trial.output(LOST)
            refused += trial.refused
            if refused:
                raise UnsupportedError(origin, refused)
            width = trial.chain.width
            if item is None and width is None:
                msg = "has no Linear that tells the shape of the input; give input_shape="
                raise ReadError(msg)
            chain = Graph(origin)
            walk = _Walk(graph, root, chain)
            try:
                value = walk.output(chain.start(item or (width or 1,)))
            except NetworkError as error:
                if item is not None or chain.products:
                    raise
                msg = f"{error} (the input was taken as a vector; give input_shape= if it is none)"
                raise NetworkError(msg) from error
            if walk.refused:
                raise UnsupportedError(origin, walk.refused)
            if not isinstance(value, Value):
                msg = "its output does not depend on its input"
                raise ReadError(msg)
            return chain.finish(value, dtype="float32")


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
    from torch.fx import Tracer

    class Leaves(Tracer):
        """Stops at torch's own modules, and sees through subclasses with another forward."""

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
        reason = f"forward cannot be traced as a chain: {type(error).__name__}: {error}"
        raise UnsupportedError(origin, [*refused, reason]) from error


def _attribute(root: nn.Module, target: str) -> Any:
    found: Any = root
    for part in target.split("."):
        found = getattr(found, part)
    return found


class _Walk:
    """One pass over the calls that the output of a traced module needs."""

    def __init__(self, graph: Traced, root: nn.Module, chain: Graph) -> None:
        self.calls: list[Call] = list(graph.nodes)
        self.position = {call: k for k, call in enumerate(self.calls)}
        self.root = root
        self.chain = chain
        self.refused: list[str] = []
        self.values: dict[Call, Any] = {}

    def output(self, start: Value) -> Any:
        """Value of the output, given the input."""
        needed = self._needed()
        inputs = [call for call in self.calls if call.op == "placeholder" and call in needed]
        if len(inputs) > 1:
            names = [call.name for call in inputs]
            self.refused.append(f"forward takes several inputs {names}; one is read")
        for call in self.calls:
            if call.op == "placeholder":
                self.values[call] = start if len(inputs) == 1 else LOST
            elif call.op == "output":
                return self._result(call)
            elif call in needed:
                self._step(call)
        return None

    def _needed(self) -> set[Call]:
        """Return the calls the output depends on, and those that change a value in place."""
        needed: set[Call] = set()
        for call in reversed(self.calls):
            if call.op == "output" or call in needed or _in_place(call, self.root):
                needed.update((call, *call.all_input_nodes))
        return needed

    def _result(self, call: Call) -> Any:
        from torch.fx import Node as Call

        result = call.args[0]
        while isinstance(result, (tuple, list)) and len(result) == 1:
            result = result[0]
        if isinstance(result, Call):
            return self.values[result]
        self.refused.append("forward returns something other than one tensor")
        return LOST

    def _step(self, call: Call) -> None:
        from torch.fx.node import map_arg

        if call.op == "get_attr":
            self.values[call] = _attribute(self.root, str(call.target))
            return
        args, kwargs = (map_arg(a, lambda n: self.values[n]) for a in (call.args, call.kwargs))
        computed = any(isinstance(self.values[n], Value) for n in call.all_input_nodes)
        label, name = self._label(call)
        try:
            if computed:
                self.values[call] = self._computed(call, name, args, kwargs)
            else:
                self.values[call] = _executed(call, self.root, args, kwargs)
            if isinstance(self.values[call], Value) and _in_place(call, self.root):
                self._rebind(call)
        except RefusalError as error:
            self.refused.append(f"{label}: {error}")
            self.values[call] = LOST

    def _label(self, call: Call) -> tuple[str, str]:
        """Name and kind for messages, and the name for layers."""
        if call.op == "call_module":
            kind = type(self.root.get_submodule(str(call.target))).__name__
            return f"{call.target!r} ({kind})", str(call.target)
        kind = getattr(call.target, "__name__", str(call.target))
        return f"{call.name!r} ({kind})", call.name

    def _computed(self, call: Call, name: str, args: Any, kwargs: Any) -> Any:
        if call.op == "call_module":
            step = module_step(self.root.get_submodule(str(call.target)))
        else:
            step = STEPS.get(_operation(call).removesuffix("_"))
        if step is None:
            reason = "is not supported"
            raise RefusalError(reason)
        try:
            inspect.signature(step).bind(None, *args, **kwargs)
        except TypeError as error:
            reason = f"is called with unsupported arguments: {error}"
            raise RefusalError(reason) from error
        return step(Step(self.chain, name), *args, **kwargs)

    def _rebind(self, call: Call) -> None:
        """Let later readers of a value changed in place see the change."""
        changed = call.args[0] if call.args else call.kwargs.get("input")
        for earlier in self.calls[: self.position[call]]:
            late = [user for user in earlier.users if self.position[user] > self.position[call]]
            if late and earlier is not changed and isinstance(self.values.get(earlier), Value):
                reason = (
                    f"changes a value in place that {late[0].name!r} may read under another name"
                )
                raise RefusalError(reason)
        for earlier in self.calls:
            if earlier is changed:
                self.values[earlier] = self.values[call]


def _operation(call: Call) -> str:
    """Name of a torch function or a method; empty for functions from elsewhere."""
    if call.op == "call_method":
        return str(call.target)
    home = str(getattr(call.target, "__module__", "") or "torch")
    known = home in ("_operator", "builtins") or home.split(".", maxsplit=1)[0] == "torch"
    return str(getattr(call.target, "__name__", "")) if known else ""


def _in_place(call: Call, root: nn.Module) -> bool:
    if call.op == "call_module":
        return bool(getattr(root.get_submodule(str(call.target)), "inplace", False))
    if call.op not in ("call_function", "call_method"):
        return False
    name = _operation(call)
    relu = name == "relu" and len(call.args) > 1 and bool(call.args[1])
    return (
        relu
        or bool(call.kwargs.get("inplace", False))
        or name in ("iadd", "isub", "imul", "itruediv", "setitem")
        or (name.endswith("_") and not name.endswith("__"))
    )


def _executed(call: Call, root: nn.Module, args: Any, kwargs: Any) -> Any:
    """Compute a call on constants only, as torch does."""
    import torch

    target = call.target
    try:
        with torch.no_grad():
            if call.op == "call_module":
                return root.get_submodule(str(target))(*args, **kwargs)
            if isinstance(target, str):
                return getattr(args[0], target)(*args[1:], **kwargs)
            return target(*args, **kwargs)
    except Exception as error:
        reason = f"cannot be evaluated: {error}"
        raise RefusalError(reason) from error
