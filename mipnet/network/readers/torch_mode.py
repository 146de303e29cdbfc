"""Layers of torch that act otherwise in training mode, by module and by function."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from mipnet.network.readers.complaints import Complaints
from mipnet.network.readers.torch_trace import Trace, traces

if TYPE_CHECKING:
    from torch import nn

NORMALISES = "normalises by the statistics of the batch, not by its running ones"
DROPS = "drops at random"
REMEDY = "is in training mode, where it {}; call model.eval() before loading"


def training_modules(root: nn.Module) -> dict[str, str]:
    """Complaints about modules in training mode, by name: BatchNorm and Dropout.

    Other layers compute the same in both modes; so does a Dropout with a rate of zero. A BatchNorm
    without running statistics normalises by the batch in both, which is another fault.
    """
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.modules.dropout import _DropoutNd

    found = {}
    for name, part in root.named_modules():
        if not part.training:
            continue
        if isinstance(part, _BatchNorm) and part.running_mean is not None:
            found[name] = REMEDY.format(NORMALISES)
        elif isinstance(part, _DropoutNd) and part.p > 0:
            found[name] = REMEDY.format(DROPS)
    return found


def twin_of(root: nn.Module) -> nn.Module | None:
    """Copy with the same parameters, where the mode of a part may matter to a function it calls."""
    if not any(p.training and not _own(p) for p in root.modules()):
        return None
    tensors = (*root.parameters(), *root.buffers())
    return copy.deepcopy(root, {id(tensor): tensor for tensor in tensors})


def training_calls(twin: nn.Module, run: Trace) -> Complaints:
    """Functions that forward calls otherwise in the modes of the module than in evaluation.

    Parameters
    ----------
    twin : torch.nn.Module
        In its own modes.
    run : Trace
        Calls in evaluation mode.
    """
    complaints = Complaints()
    other = traces(twin)[0]
    calls, twins = ([_told(c) for c in t.graph.nodes] for t in (run, other))
    if [c[:3] for c in calls] != [c[:3] for c in twins] or not other.sound:
        complaints.refuse("'forward'", REMEDY.format("computes something else"))
        return complaints
    for call, twin_call in zip(calls, twins, strict=True):
        if call != twin_call:
            what = NORMALISES if "norm" in call[2] else DROPS if "dropout" in call[2] else ""
            label = f"{call[0]!r} ({call[2]})"
            complaints.refuse(label, REMEDY.format(what or "computes something else"))
    return complaints


def _own(part: nn.Module) -> bool:
    """Whether a module is of torch, whose modes are those of its layers."""
    return type(part).__module__.startswith("torch.nn")


def _told(call: Any) -> tuple[str, str, str, str, str]:
    """Name, kind, function and arguments of a call, to be compared."""
    target = getattr(call.target, "__name__", str(call.target))
    return call.name, call.op, target, str(call.args), str(call.kwargs)
