"""One pass over the calls of a traced torch module."""

from __future__ import annotations

import inspect
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from mipnet.errors import NetworkError
from mipnet.network.readers.complaints import Complaints
from mipnet.network.readers.graph import Graph
from mipnet.network.readers.torch_ops import ALIASES, SCALARS, STEPS, Step, module_step, remedy_of
from mipnet.network.readers.torch_stand_in import stand_in
from mipnet.network.readers.values import LOST, PartError, RefusalError, Value

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import Graph as Traced
    from torch.fx import Node as Call

#: Modules whose result may be a view of their input.
VIEWS = ("Flatten", "Unflatten", "Identity")
#: What joins the parts of an activation; refused, it is told in place of them.
JOINING = frozenset({"add", "div", "ipow", "mul", "pow", "sub", "truediv"})
#: Attributes that share no memory with their tensor, as arguments behind it.
SIZES = (("shape",), ("ndim",), ("dtype",), ("device",))


def _attribute(root: nn.Module, target: str) -> Any:
    found: Any = root
    for part in target.split("."):
        found = getattr(found, part)
    return found


class TorchWalk:
    """One pass over the calls that the output of a traced module needs."""

    def __init__(
        self, graph: Traced, root: nn.Module, origin: str, training: dict[str, str]
    ) -> None:
        self.calls: list[Call] = list(graph.nodes)
        self.position = {call: k for k, call in enumerate(self.calls)}
        self.root = root
        self.origin, self.training = origin, training
        self.again = partial(TorchWalk, graph, root, origin, training)
        self.complaints = Complaints()
        self.written = Graph(origin, self.complaints.fault)
        #: The first layer that does not fit, where no product is in front of it.
        self.early: NetworkError | None = None
        self.values: dict[Call, Any] = {}
        #: Calls whose results may share memory have the same number.
        self.storage: dict[Call, int] = {}
        #: The call that first gave the tensor which a call in place returns again.
        self.first: dict[Call, Call] = {}
        self.readers: Counter[Call] = Counter()

    @property
    def whole(self) -> bool:
        """Whether the run through forward came to its end."""
        return any(call.op == "output" for call in self.calls)

    def output(self, start: Value) -> Any:
        """Value of the output, given the input."""
        needed = self._needed()
        inputs = [call for call in self.calls if call.op == "placeholder" and call in needed]
        if len(inputs) > 1:
            names = [call.name for call in inputs]
            reason = f"takes several inputs {names}; join them, or give all but one a default"
            self.complaints.refuse("'forward'", reason)
        for call in self.calls:
            if call.op == "placeholder":
                self.values[call] = start if len(inputs) == 1 else LOST
            elif call.op == "output":
                result = self._result(call)
                self.complaints.unfinished(self.written, [result])
                return result
            elif call in needed:
                self._step(call)
        return None

    def _needed(self) -> set[Call]:
        """Return the calls the output depends on, and those that change a value in place."""
        from torch.fx.node import map_arg

        needed: set[Call] = set()
        if not self.whole:
            # The run ended early: everything so far counts.
            needed.update(self.calls)
        for call in reversed(self.calls):
            if call.op == "output" or call in needed or _in_place(call, self.root):
                needed.update((call, *call.all_input_nodes))
                if _operation(call) not in ("size", "dim", "numel", "getattr"):
                    map_arg((call.args, call.kwargs), self._count)
        return needed

    def _count(self, call: Call) -> Call:
        self.readers[call] += 1
        return call

    def _result(self, call: Call) -> Any:
        from torch.fx import Node as Call

        result = call.args[0]
        while isinstance(result, (tuple, list)) and len(result) == 1:
            result = result[0]
        if isinstance(result, Call):
            return self.values[result]
        reason = "returns something other than one tensor; return one, joined by torch.cat"
        self.complaints.refuse("'forward'", reason)
        return LOST

    def _step(self, call: Call) -> None:
        from torch.fx.node import map_arg
        from torch.utils._pytree import tree_map

        if call.op == "get_attr":
            self.values[call] = _attribute(self.root, str(call.target))
            return
        args: Any = map_arg(call.args, lambda n: self.values[n])
        kwargs: Any = map_arg(call.kwargs, lambda n: self.values[n])
        label, name = self._label(call)
        if call.op == "call_module" and str(call.target) in self.training:
            self.complaints.refuse(label, self.training[str(call.target)])

        def act() -> Any:
            changed = _in_place(call, self.root)
            if changed:
                self._refuse_state(call)
            if any(isinstance(self.values[n], Value) for n in call.all_input_nodes):
                try:
                    self.values[call] = self._computed(call, name, args, kwargs)
                except PartError as error:
                    self.complaints.part(error)
                    whole = (tree_map(self.written.finished, a) for a in (args, kwargs))
                    self.values[call] = self._computed(call, name, *whole)
            else:
                self.values[call] = _executed(call, self.root, args, kwargs)
            self.storage[call] = self._memory(call, shared=changed)
            if isinstance(self.values[call], Value) and changed:
                self._rebind(call)
            return self.values[call]

        def otherwise() -> Any:
            several = len(call.all_input_nodes) > 1
            if not (several and _operation(call).removesuffix("_") in JOINING):
                self.complaints.unfinished(self.written, (*args, *kwargs.values()))
            known = self.values.get(call)
            return stand_in(call, self.root, self.written, args, kwargs) if known is None else known

        count = self.written.products
        self.values[call] = self.complaints.attempt(label, act, otherwise)
        if not count and self.early is None:
            self.early = self.complaints.faulty
        if isinstance(self.values[call], Value) and self.readers[call] > 1:
            self.values[call] = self.written.anchored(self.values[call])

    def _memory(self, call: Call, *, shared: bool) -> int:
        """Return the number of a result's memory: its input's where it may be a view."""
        name = _operation(call).removesuffix("_")
        if name == "getattr" and call.args[1:] in SIZES:
            return self.position[call]
        if call.op == "call_module":
            kind = type(self.root.get_submodule(str(call.target))).__name__
            name = "flatten" if kind in VIEWS or "Dropout" in kind else ""
        if not (shared or name in ALIASES):
            return self.position[call]
        sources = [self.storage.get(n, self.position[n]) for n in call.all_input_nodes[:1]]
        return sources[0] if sources else self.position[call]

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
            operation = _operation(call)
            step = STEPS.get(operation.removesuffix("_"))
            lost = any(isinstance(a, Value) and a.lost for a in (*args, *kwargs.values()))
            if step is None and operation in SCALARS and lost:
                return LOST
        if step is None:
            part = None
            if call.op == "call_module":
                part = self.root.get_submodule(str(call.target))
            kind = _operation(call) if part is None else type(part).__name__
            raise RefusalError(remedy_of(kind, part) or "is not supported")
        try:
            inspect.signature(step).bind(None, *args, **kwargs)
        except TypeError as error:
            reason = f"is called with unsupported arguments: {error}; leave them out"
            raise RefusalError(reason) from error
        return step(Step(self.written, name), *args, **kwargs)

    def _refuse_state(self, call: Call) -> None:
        """Refuse to change what the module keeps: its next call would give another result."""
        import torch

        kept = (_attribute(self.root, str(c.target)) for c in self.calls if c.op == "get_attr")
        places = {t.untyped_storage().data_ptr() for t in kept if isinstance(t, torch.Tensor)}
        target = self.values.get(_changed(call))
        if isinstance(target, torch.Tensor) and target.untyped_storage().data_ptr() in places:
            reason = "changes a parameter or constant of the module in place; write it out of place"
            raise RefusalError(reason)

    def _rebind(self, call: Call) -> None:
        """Let later readers of a value changed in place see the change."""
        changed, value = _changed(call), self.values[call]
        before: Any = self.values.get(changed)
        moved = _operation(call).removesuffix("_") in ALIASES
        known = isinstance(before, Value) and not (before.lost or value.lost)
        if known and not moved and before.shape != value.shape:
            msg = f"layer {call.name!r}: a result of shape {value.shape} does not fit in place "
            msg += f"of {before.shape}; write it out of place"
            raise NetworkError(msg)
        self.first[call] = first = self.first.get(changed, changed)
        memory = self.storage[call]
        for earlier in self.calls[: self.position[call]]:
            if self.first.get(earlier, earlier) is first:
                self.values[earlier] = value
            elif self.storage.get(earlier, self.position[earlier]) == memory:
                late = [n for n in earlier.users if self.position[n] > self.position[call]]
                # What is lost may be a size, which has no memory to share.
                if late and not value.lost and _holds_tensor(self.values.get(earlier)):
                    reason = f"changes a value in place that {late[0].name!r} may read under "
                    reason += "another name; write it out of place"
                    raise RefusalError(reason)


def _changed(call: Call) -> Call:
    """Return the call whose result a call in place changes."""
    changed: Any = call.kwargs.get("out")
    if changed is None:
        changed = call.args[0] if call.args else call.kwargs.get("input")
    while isinstance(changed, (tuple, list)) and changed:
        changed = changed[0]
    return changed  # type: ignore[no-any-return]


def _holds_tensor(value: Any) -> bool:
    """Whether a value is a tensor, or several."""
    import torch

    if isinstance(value, (tuple, list)):
        return any(map(_holds_tensor, value))
    return isinstance(value, (Value, torch.Tensor))


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
    from torch.fx.graph import inplace_methods

    name = _operation(call)
    relu = name == "relu" and len(call.args) > 1 and bool(call.args[1])
    return (
        relu
        or bool(call.kwargs.get("inplace", False))
        or call.kwargs.get("out") is not None
        or name.removeprefix("__").removesuffix("__") in inplace_methods
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
        told = (str(error).splitlines() or [""])[0].replace("; ", ", ")
        reason = f"cannot be evaluated: {told}; correct it, or take it out of forward"
        raise RefusalError(reason) from error


def checked_alone(name: str, part: nn.Module, training: dict[str, str]) -> Complaints:
    """Return what is wrong with a module whatever it reads, for one that no run calls."""
    found, label = Complaints(), f"{name!r} ({type(part).__name__})"
    step = module_step(part)
    if name in training:
        found.refuse(label, training[name])
    if step is None:
        found.refuse(label, remedy_of(type(part).__name__, part) or "is not supported")
        return found
    call = Step(Graph(name, found.fault), name)
    found.attempt(label, lambda: step(call, LOST), lambda: LOST)
    return found
