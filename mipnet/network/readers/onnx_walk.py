"""One pass over an ONNX graph."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import ReadError
from mipnet.network.layers.base import Shape
from mipnet.network.network import Network
from mipnet.network.onnx_double import DOMAIN, restored
from mipnet.network.readers.base import item_shape
from mipnet.network.readers.complaints import Complaints
from mipnet.network.readers.graph import Graph
from mipnet.network.readers.onnx_fold import FOLDED, folded
from mipnet.network.readers.onnx_functions import ForeignFunctionError
from mipnet.network.readers.onnx_ops import FLOATS, REMEDIES, STEPS, Result, Step
from mipnet.network.readers.onnx_stand_in import declared_shapes, stand_ins
from mipnet.network.readers.values import LOST, PartError, RefusalError, Value, bounded

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto

#: What joins the parts of an activation; refused, it is told in place of them.
JOINING = frozenset({"Add", "Div", "Mul", "Pow", "Sub", "Sum"})


class Walk:
    """One pass over the nodes of a graph that its outputs need.

    Parameters
    ----------
    model : onnx.ModelProto
        Without functions of its own.
    origin : str
        Where it comes from, for messages.
    """

    def __init__(self, model: ModelProto, origin: str) -> None:
        self.graph = model.graph
        self.opset = max(
            (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")),
            default=0,
        )
        self.complaints = Complaints()
        self.written = Graph(origin, self.complaints.fault)
        self.functions = {f.name: f for f in model.functions if f.domain == DOMAIN}
        self.notes = {entry.key: entry.value for entry in model.metadata_props}
        self.origin = origin
        self.stored = {tensor.name: tensor for tensor in model.graph.initializer}
        self.values: dict[str, Value | npt.NDArray[Any]] = {}
        self.readers: Counter[str] = Counter()
        self.declared = declared_shapes(model.graph)

    def network(self, input_shape: Shape | int | None, output: str | None) -> Network:
        """Network between input and output."""
        self._texts()
        outputs = [entry.name for entry in self.graph.output] if output is None else [output]
        if len(outputs) > 1:
            self.complaints.refuse(f"outputs {outputs}", "one is read; choose it with output=")
        for sparse in self.graph.sparse_initializer:
            label = f"initializer {sparse.values.name!r}"
            self.complaints.refuse(label, "is sparse; store it dense")
        nodes, needed = self._needed(outputs)
        inputs = [i for i in self.graph.input if i.name in needed and i.name not in self.stored]
        if len(inputs) > 1:
            names = [i.name for i in inputs]
            reason = "one is read; join them into one, or make the others constants"
            self.complaints.refuse(f"inputs {names}", reason)
        for entry in inputs:
            self._enter(entry, input_shape, alone=len(inputs) == 1)
        for node in nodes:
            self._step(node, needed)
        result = self.complaints.attempt(
            "the model", lambda: self._lookup(outputs[0], "the model"), lambda: LOST
        )
        self.complaints.unfinished(self.written, [result])
        self.complaints.tell(self.origin)
        if not isinstance(result, Value):
            msg = (
                f"output {outputs[0]!r} does not depend on an input; name one that does by output="
            )
            raise ReadError(msg)
        kind = inputs[0].type.tensor_type.elem_type
        return self._bounded(self.written.finish(result, dtype=FLOATS[kind]))

    def _bounded(self, network: Network) -> Network:
        """Network with the input bounds the file notes."""
        if not {"mipnet.lower", "mipnet.upper"} <= set(self.notes):
            return network
        try:
            lower, upper = (
                np.asarray(json.loads(self.notes[f"mipnet.{side}"]), dtype=np.float64)
                for side in ("lower", "upper")
            )
            shape = network.input_shape
            return network.with_input_bounds(lower.reshape(shape), upper.reshape(shape))
        except (ValueError, TypeError, RecursionError) as error:
            msg = f"the input bounds in its metadata are damaged: {error}"
            raise ReadError(msg) from error

    def _texts(self) -> None:
        """Refuse names that are no text; they come as bytes."""
        parts = (self.graph.input, self.graph.output, self.graph.initializer)
        names = [entry.name for part in parts for entry in part]
        for node in self.graph.node:
            names += [node.name, node.op_type, node.domain, *node.input, *node.output]
        odd = next((name for name in names if not isinstance(name, str)), None)
        if odd is not None:
            msg = f"damaged: holds a name that is no text (UTF-8): {odd!r}"
            raise ReadError(msg)

    def _needed(self, outputs: list[str]) -> tuple[list[NodeProto], set[str]]:
        needed, nodes = set(outputs), []
        for node in reversed(self.graph.node):
            if needed.intersection(node.output):
                nodes.append(node)
                needed.update(name for name in (*node.input, *_captured(node)) if name)
                if node.op_type not in ("Shape", "Size"):
                    self.readers.update(node.input)
        self.readers.update(outputs)
        return nodes[::-1], needed

    def _enter(self, entry: ValueInfoProto, given: Shape | int | None, *, alone: bool) -> None:
        """Make an input; where it cannot be one, what follows goes by its shape."""
        kind, label = entry.type.tensor_type, f"input {entry.name!r}"
        floating = kind.elem_type in FLOATS
        if not floating:
            reason = "is no tensor of floating type; give the network what it is cast to"
            self.complaints.refuse(label, reason)
        declared = None
        if kind.HasField("shape"):
            declared = [d.dim_value if d.dim_value > 0 else None for d in kind.shape.dim]

        def act() -> Value:
            item, full = _input_shapes(entry.name, declared, given if alone else None)
            bounded(entry.name, full)
            started = alone and floating
            return (
                self.written.start(item, full) if started else self.written.ghost(entry.name, full)
            )

        self.values[entry.name] = self.complaints.attempt(label, act, lambda: LOST)

    def _lookup(self, name: str, reader: str) -> Value | npt.NDArray[Any]:
        from onnx import numpy_helper

        if name not in self.values:
            if name not in self.stored:
                msg = f"{reader} reads {name!r}, which nothing before it produces; "
                msg += "repair the model, or export it again"
                raise ReadError(msg)
            tensor = self.stored[name]
            if tensor.data_location:
                msg = f"initializer {name!r} lies in another file; give the path of the model"
                raise ReadError(msg)
            try:
                self.values[name] = numpy_helper.to_array(tensor)
            except (ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
                msg = f"initializer {name!r} is damaged: {error}"
                raise ReadError(msg) from error
        return self.values[name]

    def _step(self, node: NodeProto, needed: set[str]) -> None:
        name = node.name or next(filter(None, node.output), node.op_type)
        label = f"{name!r} ({node.op_type})"
        inputs: list[Any] = []

        def act() -> Result:
            inputs.extend(self._lookup(i, f"node {label}") if i else None for i in node.input)
            try:
                return self._result(node, name, label, inputs, needed)
            except PartError as error:
                self.complaints.part(error)
                whole = [self.written.finished(value) for value in inputs]
                return self._result(node, name, label, whole, needed)

        def otherwise() -> Result:
            several = sum(isinstance(value, Value) for value in inputs) > 1
            if not (several and node.op_type in JOINING):
                captured = [self.values.get(key) for key in _captured(node)]
                self.complaints.unfinished(self.written, (*inputs, *captured))
            known = inputs if len(inputs) == len(node.input) else [LOST] * len(node.input)
            return stand_ins(node, known, self.written, self.opset, self.declared)

        taken = [o for o in node.output if o in self.values]
        if taken:
            msg = f"node {label} produces {taken}, which something before it produces already"
            self.complaints.damage(ReadError(msg))
            return
        result = self.complaints.attempt(label, act, otherwise)
        results = result if isinstance(result, list) else [result]
        results += [LOST] * (len(node.output) - len(results))
        for output, value in zip(node.output, results, strict=False):
            if not output:
                continue
            self.values[output] = value
            if isinstance(value, Value) and self.readers[output] > 1:
                self.values[output] = self.written.anchored(value)

    def _result(
        self, node: NodeProto, name: str, label: str, inputs: list[Any], needed: set[str]
    ) -> Result:
        computed = any(isinstance(value, Value) for value in inputs)
        if node.domain == DOMAIN:
            return self._own(node, name, inputs)
        if node.domain not in ("", "ai.onnx"):
            reason = f"operation of domain {node.domain!r} is not supported; export with standard "
            reason += "operations, or register a layer of your own (entry point group "
            reason += "'mipnet.layers') and load the weights with architecture="
            raise RefusalError(reason)
        if node.op_type not in (STEPS if computed else FOLDED):
            raise RefusalError(REMEDIES.get(node.op_type, "operation is not supported"))
        several = node.op_type == "Split"
        if not several and any(extra in needed for extra in node.output[1:] if extra):
            reason = "only its first output is supported; leave the others unused"
            raise RefusalError(reason)
        self._check(node, label)
        if computed:
            return STEPS[node.op_type](Step(self.written, name, node, inputs, self.opset))
        return folded(node, inputs, label, self.opset)

    def _own(self, node: NodeProto, name: str, inputs: list[Any]) -> Value:
        """Layer that a function of this package stands for."""
        made, value = self.functions.get(node.op_type), inputs[0] if inputs else None
        if made is None or not isinstance(value, Value) or len(node.output) != 1:
            raise ForeignFunctionError
        if value.lost:
            return value
        constants = [i for i in inputs[1:] if isinstance(i, np.ndarray)]
        arrays = [self.written.constant(c, f"parameter of {name!r}") for c in constants]
        found = None
        if len(arrays) == len(inputs) - 1 and value.shape[:1] == (1,) and len(value.shape) > 1:
            found = restored(made, arrays, value.shape[1:])
        if found is None:
            raise ForeignFunctionError
        written = self.written.emit(name, found, self.written.node(value))
        shape = (1, *self.written.shapes[written])
        return self.written.value(written, shape, batched=value.batched)

    def _check(self, node: NodeProto, label: str) -> None:
        """Refuse attributes and inputs that the operation does not have."""
        from onnx import checker

        context = checker.C.CheckerContext()
        context.ir_version = checker.DEFAULT_CONTEXT.ir_version
        context.opset_imports = {"": self.opset}
        try:
            checker.check_node(node, context)
        except (checker.ValidationError, UnicodeDecodeError) as error:
            told = str(error).split("\n", maxsplit=1)[0].replace("; ", ", ")
            msg = f"node {label} is malformed: {told}"
            raise ReadError(msg) from error


def _captured(node: NodeProto) -> Iterator[str]:
    """Names that the branches of a node may read outside of it."""
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from inner.input
            yield from _captured(inner)


def _input_shapes(
    name: str, declared: list[int | None] | None, given: Shape | int | None
) -> tuple[Shape, Shape]:
    """Shape of one item, and of the tensor with a batch of one."""
    if given is not None:
        item = item_shape(given)
        full = item if declared is not None and len(declared) == len(item) else (1, *item)
        fits = declared is None or (
            len(declared) == len(full)
            and all(d in (None, f) for d, f in zip(declared[1:], full[1:], strict=True))
        )
        if fits:
            return item, full
        msg = f"input {name!r} is declared with shape {declared}; input_shape={item} does "
        msg += "not fit; give one that does"
        raise ReadError(msg)
    if declared is None or None in declared[1:] or declared == [None]:
        msg = f"input {name!r} leaves its shape open ({declared}); give input_shape="
        raise ReadError(msg)
    full = tuple(d or 1 for d in declared)
    return (full[1:] if len(full) > 1 and full[0] == 1 else full or (1,)), full
