"""torch modules whose forward can be traced, pruned ones included."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from mipnet.errors import NetworkError, ReadError
from mipnet.network.layers.base import Shape
from mipnet.network.network import Network
from mipnet.network.readers.base import Reader, is_instance, item_shape, register_reader
from mipnet.network.readers.complaints import Complaints
from mipnet.network.readers.torch_mode import training_calls, training_modules, twin_of
from mipnet.network.readers.torch_ops import module_step
from mipnet.network.readers.torch_trace import is_layer, traces, unreached
from mipnet.network.readers.torch_walk import TorchWalk, checked_alone
from mipnet.network.readers.values import OPEN, Value, located

if TYPE_CHECKING:
    from torch import nn

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

    The module is read as it computes in evaluation mode: dropout is the identity, batch
    normalisation uses its running statistics. Where that is not what it computes in its own mode,
    it is refused: call ``model.eval()`` first. Weights and biases under ``torch.nn.utils.prune``
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
        with located(origin):
            found = _foreign_hooks(source)
            root = _copied(source)
            training = training_modules(root)
            twin = twin_of(root)
            runs = traces(root.eval())
            found.join(run.complaints for run in runs)
            if twin is not None and runs[0].sound:
                found.join([training_calls(twin, runs[0])])
            walks = [_walked(TorchWalk(run.graph, root, origin, training), item) for run in runs]
            found.join(walk.complaints for walk, _ in walks)
            if not runs[0].sound:
                for name, part in unreached(root, runs):
                    found.join([checked_alone(name, part, training)])
            found.tell(origin)
            walk, value = walks[0]
            if not isinstance(value, Value):
                msg = "its output does not depend on its input; return what is computed from it"
                raise ReadError(msg)
            return walk.written.finish(value, dtype="float32")


def _walked(walk: TorchWalk, item: Shape | None) -> tuple[TorchWalk, Any]:
    """Walk through all calls, and the value of the output.

    Without a shape of the input, a first pass finds the width of the vectors that the first Linear
    takes, and what does not depend on shapes.
    """
    if item is not None:
        return walk, walk.output(walk.written.start(item))
    value = walk.output(OPEN)
    width, guess = walk.written.width, walk.written.guess
    if width is None and (walk.written.images or guess is None):
        if walk.whole:
            msg = "no Linear tells the shape of the input; give input_shape="
            walk.complaints.damage(ReadError(msg))
        return walk, value
    if width is None and walk.complaints:
        return walk, value
    second = walk.again()
    size = width or guess or 1
    value = second.output(second.written.start((size,)))
    if second.early is not None:
        # What follows a wrong guess tells nothing.
        told = str(second.early).split("; ", maxsplit=1)[0]
        if any(entry.text.startswith(told) for entry in walk.complaints.entries):
            return walk, value
        msg = f"{told} (the input was taken as a vector of {size}); give input_shape="
        walk.complaints.fault(NetworkError(msg))
        return walk, value
    return second, value


def _foreign_hooks(module: nn.Module) -> Complaints:
    """Forward hooks that may change values: all but those of pruning."""
    from torch.nn.utils.prune import BasePruningMethod

    found = Complaints()
    for name, part in module.named_modules():
        for kind in HOOKS[:2]:
            for hook in getattr(part, kind).values():
                if not isinstance(hook, BasePruningMethod):
                    what = getattr(hook, "__qualname__", type(hook).__qualname__)
                    reason = f"forward hook {what} may change values; remove it before loading"
                    found.refuse(f"{name or 'the module'!r} ({type(part).__name__})", reason)
    return found


def _copied(module: nn.Module) -> nn.Module:
    """Copy without hooks and with masks applied."""
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
            root = copy.deepcopy(module, memo)
        except Exception as error:
            msg = f"cannot be copied: {error}; let deepcopy copy it"
            raise ReadError(msg) from error
        for part in root.modules():
            _apply_masks(part)
    if module_step(root) is None and not is_layer(root):
        return root
    wrapped = torch.nn.Sequential(OrderedDict({type(root).__name__.lower(): root}))
    wrapped.training = root.training
    return wrapped


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
