"""The calls of a torch module's forward, and its control flow."""

from __future__ import annotations

import inspect
import operator
import os
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mipnet.network.readers.complaints import Complaints

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import Graph as Traced
    from torch.fx import Node as Call

#: How often one line may ask for a decision before tracing ends.
MOST_DECISIONS = 20
BRANCH = (
    "control flow depends on computed values or shapes, and a network has none; take it out of "
    "forward (maximum, clamp and constant masks may stand for it), or export ONNX without it"
)
NUMBER = "turns a computed tensor or shape into a number; let it stay a tensor, or be a constant"
LOOP = "loops over a computed tensor; take its parts by chunk, split or indices that are numbers"
UNTRACED = "write it with torch functions of one tensor, or export ONNX"


@dataclass(frozen=True)
class Trace:
    """Calls of one run through forward.

    Attributes
    ----------
    graph : torch.fx.Graph
        Without an output where the run ended early.
    complaints : Complaints
        Its control flow, and why it ended early.
    """

    graph: Traced
    complaints: Complaints

    @property
    def sound(self) -> bool:
        """Whether these are all calls, whatever the input."""
        return not self.complaints


def traces(root: nn.Module) -> list[Trace]:
    """One run through forward; two, with opposite decisions, where it decides by values."""
    first = _trace(root, decision=False)
    if first.sound:
        return [first]
    return [first, _trace(root, decision=True)]


def unreached(root: nn.Module, runs: list[Trace]) -> Iterator[tuple[str, nn.Module]]:
    """Modules of torch that no run calls, with their names; parts of another one left out."""
    called = {str(c.target) for run in runs for c in run.graph.nodes if c.op == "call_module"}
    inside: list[str] = []
    for name, part in root.named_modules():
        if not name or any(name.startswith(outer) for outer in inside):
            continue
        if is_layer(part):
            inside.append(f"{name}.")
            if name not in called:
                yield name, part


def is_layer(part: nn.Module) -> bool:
    """Whether a module is one of torch's own that computes something."""
    home = type(part).__module__
    return home.startswith("torch.nn.modules") and not home.endswith((".container", ".module"))


def _trace(root: nn.Module, *, decision: bool) -> Trace:
    import torch

    complaints = Complaints()
    tracer = _tracer(complaints, decision=decision)
    try:
        others = list(inspect.signature(root.forward).parameters.items())[1:]
        defaults = {name: p.default for name, p in others if p.default is not p.empty}
        with torch.no_grad():
            return Trace(tracer.trace(root, defaults or None), complaints)
    except Exception as error:
        # The forward is the user's code and may raise anything.
        message = (str(error).splitlines() or ["no message"])[0].replace("; ", ", ")
        reason = f"cannot be traced: {type(error).__name__}: {message}; {UNTRACED}"
        frames = traceback.extract_tb(error.__traceback__)
        complaints.refuse(_where(frames[::-1]), reason, sure=False)
        return Trace(getattr(tracer, "graph", torch.fx.Graph()), complaints)


def _tracer(complaints: Complaints, *, decision: bool) -> Any:
    """Tracer that lists decisions by values and goes on with an answer of its own."""
    import torch
    from torch.fx import Proxy, Tracer
    from torch.fx.graph import inplace_methods
    from torch.fx.proxy import Attribute, TraceError

    decisions: Counter[str] = Counter()

    def listed(reason: str) -> str:
        """List the line that runs, once, and return it."""
        where = _where(list(traceback.extract_stack())[::-1])
        if not decisions[where]:
            complaints.refuse(where, reason)
        decisions[where] += 1
        return where

    class Recorded(Proxy):
        """Records ``h += y`` as what it does to every other name of ``h``.

        Without these methods Python takes it for ``h = h + y``, which leaves the tensor alone.
        """

        def __getattr__(self, k: str) -> Attribute:
            return RecordedAttribute(self, k)

        def __float__(self) -> float:
            listed(NUMBER)
            return 1.0

        def __int__(self) -> int:
            listed(NUMBER)
            return 1

        def __len__(self) -> int:
            listed(NUMBER)
            return 1

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

        def to_bool(self, obj: Proxy) -> bool:
            where = listed(BRANCH)
            if decisions[where] > MOST_DECISIONS:
                msg = "its decisions by values do not end"
                raise TraceError(msg)
            # Alternating answers end loops of either kind.
            return decision ^ (decisions[where] % 2 == 0)

        def iter(self, obj: Proxy) -> Iterator[Any]:
            try:
                return super().iter(obj)
            except TraceError:
                listed(LOOP)
                return iter(())

    return Leaves()


def _where(frames: list[traceback.FrameSummary]) -> str:
    """Line of the user's code among frames, innermost first."""
    import torch

    outside = (os.path.dirname(torch.__file__), os.path.dirname(__file__))
    for frame in frames:
        if not frame.filename.startswith(outside):
            line = f": {frame.line}" if frame.line else ""
            name = os.path.basename(frame.filename)
            return f"{frame.name!r} ({name}, line {frame.lineno}{line})"
    return "'forward'"


def _recording(target: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that records a call of a function."""

    def record(self: Any, *others: Any) -> Any:
        return self.tracer.create_proxy("call_function", target, (self, *others), {})

    return record
