"""ONNX chains: Gemm, MatMul, arithmetic with constants, ReLU, and every reshaping in between."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from mipnet.errors import MissingPackageError, ReadError, UnsupportedError
from mipnet.network.layers.base import Shape
from mipnet.network.network import Network
from mipnet.network.readers.base import (
    Reader,
    existing_file,
    has_suffix,
    head,
    is_instance,
    is_path,
    item_shape,
    register_reader,
)
from mipnet.network.readers.chain import LOST, Chain, RefusalError, Value, located
from mipnet.network.readers.onnx_steps import FLOATS, STEPS, LostError, Step

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto

#: Operations evaluated while reading when all their inputs are constants; all deterministic.
FOLDED = frozenset(STEPS) - {"Dropout"} | {
    *("Abs", "Concat", "Constant", "ConstantOfShape", "Equal", "Exp", "Expand", "Gather", "Log"),
    *("Max", "Min", "Pow", "Range", "Reciprocal", "ReduceProd", "Slice", "Sqrt", "Tile", "Where"),
}


@register_reader("onnx")
class OnnxReader(Reader):
    """Files whose output is one chain of steps from one input.

    A symbolic, missing or zero first dimension of the input is a batch of one. Casts between
    floating types count as the identity: the network is the real function, and its ``dtype`` tells
    the precision of the parameters.
    """

    takes = ".onnx or .onnx.gz file, its bytes, or an onnx.ModelProto"

    def accepts(self, source: object) -> bool:
        """See :meth:`Reader.accepts`."""
        if isinstance(source, (bytes, bytearray, memoryview)):
            start = head(source, 9)
            return start[:2] != b"PK" and start[8:] != b"{"
        return has_suffix(source, ".onnx", ".onnx.gz") or is_instance(source, "onnx", "ModelProto")

    def read(
        self, source: Any, *, input_shape: Shape | int | None = None, output: str | None = None
    ) -> Network:
        """Read a model.

        Parameters
        ----------
        source : path, bytes or onnx.ModelProto
        input_shape : tuple of int or int, optional
            Shape of one input item, where the model leaves it open.
        output : str, optional
            Name of the tensor to take as output; needed when the model has several outputs.

        Raises
        ------
        MissingPackageError
            When onnx is not installed.
        ReadError
            When the file is missing, truncated or damaged.
        UnsupportedError
            When steps cannot be read; all of them are listed.
        NetworkError
            When shapes do not fit or a parameter is NaN or infinite.
        """
        origin = str(source) if is_path(source) else "onnx"
        model = _model(source, origin)
        with located(origin):
            return _Walk(model, origin).network(input_shape, output)


def _model(source: Any, origin: str) -> ModelProto:
    try:
        import onnx
    except ImportError as error:
        raise MissingPackageError("onnx", "reading ONNX", "onnx") from error
    if isinstance(source, onnx.ModelProto):
        return source
    path = existing_file(source) if is_path(source) else None
    try:
        if path is None:
            model = onnx.load_model_from_string(bytes(source))
        elif path.suffix.lower() == ".gz":
            model = onnx.load_model_from_string(gzip.decompress(path.read_bytes()))
        else:
            model = onnx.load(os.fspath(path))
    except Exception as error:
        msg = f"{origin}: truncated, damaged or not an ONNX model: {error}"
        raise ReadError(msg) from error
    if not model.graph.node or not model.graph.output or not model.opset_import:
        msg = f"{origin}: truncated, damaged or not an ONNX model: no nodes, outputs or opset"
        raise ReadError(msg)
    return cast("ModelProto", model)


class _Walk:
    """One pass over the nodes of a graph that its outputs need."""

    def __init__(self, model: ModelProto, origin: str) -> None:
        self.graph = model.graph
        self.opset = max(
            (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")),
            default=0,
        )
        self.chain = Chain(origin)
        self.origin = origin
        self.stored = {tensor.name: tensor for tensor in model.graph.initializer}
        self.values: dict[str, Value | npt.NDArray[Any]] = {}
        self.refused: list[str] = []

    def network(self, input_shape: Shape | int | None, output: str | None) -> Network:
        """Network of the one chain between input and output."""
        outputs = [entry.name for entry in self.graph.output] if output is None else [output]
        if len(outputs) > 1:
            self.refused.append(f"outputs {outputs}: one is read; choose it with output=")
        nodes, needed = self._needed(outputs)
        inputs = [i for i in self.graph.input if i.name in needed and i.name not in self.stored]
        if len(inputs) > 1:
            self.refused.append(f"inputs {[i.name for i in inputs]}: one is read")
        problem = None
        for entry in inputs:
            self.values[entry.name] = LOST
            if entry.type.tensor_type.elem_type not in FLOATS:
                self.refused.append(f"input {entry.name!r}: is no tensor of floating type")
            elif len(inputs) == 1:
                problem = self._start(entry, input_shape)
        for node in nodes:
            self._step(node, needed)
        if self.refused:
            raise UnsupportedError(self.origin, self.refused)
        if problem is not None:
            raise problem
        result = self._lookup(outputs[0], "the model")
        if not isinstance(result, Value):
            msg = f"output {outputs[0]!r} does not depend on an input"
            raise ReadError(msg)
        return self.chain.finish(result, dtype=FLOATS[inputs[0].type.tensor_type.elem_type])

    def _needed(self, outputs: list[str]) -> tuple[list[NodeProto], set[str]]:
        needed, nodes = set(outputs), []
        for node in reversed(self.graph.node):
            if needed.intersection(node.output):
                nodes.append(node)
                needed.update(name for name in node.input if name)
        return nodes[::-1], needed

    def _start(self, entry: ValueInfoProto, given: Shape | int | None) -> ReadError | None:
        """Make the input; what is wrong with its shape can wait for the list of operations."""
        kind = entry.type.tensor_type
        declared = None
        if kind.HasField("shape"):
            declared = [d.dim_value if d.dim_value > 0 else None for d in kind.shape.dim]
        try:
            item, full = _input_shapes(entry.name, declared, given)
        except ReadError as error:
            return error
        self.values[entry.name] = self.chain.start(item, full)
        return None

    def _lookup(self, name: str, reader: str) -> Value | npt.NDArray[Any]:
        from onnx import numpy_helper

        if name not in self.values:
            if name not in self.stored:
                msg = f"{reader} reads {name!r}, which nothing before it produces"
                raise ReadError(msg)
            tensor = self.stored[name]
            if tensor.data_location:
                msg = f"initializer {name!r} lies in another file; give the path of the model"
                raise ReadError(msg)
            try:
                self.values[name] = numpy_helper.to_array(tensor)
            except (ValueError, TypeError, KeyError) as error:
                msg = f"initializer {name!r} is damaged: {error}"
                raise ReadError(msg) from error
        return self.values[name]

    def _step(self, node: NodeProto, needed: set[str]) -> None:
        name = node.name or next(filter(None, node.output), node.op_type)
        label = f"{name!r} ({node.op_type})"
        inputs = [self._lookup(i, f"node {label}") if i else None for i in node.input]
        computed = any(isinstance(value, Value) for value in inputs)
        result: Value | npt.NDArray[Any] = LOST
        try:
            if node.domain not in ("", "ai.onnx"):
                reason = f"operation of domain {node.domain!r} is not supported"
                raise RefusalError(reason)
            if node.op_type not in (STEPS if computed else FOLDED):
                reason = "operation is not supported"
                raise RefusalError(reason)
            if any(extra in needed for extra in node.output[1:] if extra):
                reason = "only its first output is supported"
                raise RefusalError(reason)
            self._check(node, label)
            if computed:
                step = Step(self.chain, name, node, inputs, self.opset)
                result = STEPS[node.op_type](step)
            else:
                result = self._folded(node, inputs, label)
        except RefusalError as error:
            self.refused.append(f"{label}: {error}")
        except LostError:
            result = LOST
        self.values[node.output[0]] = result

    def _check(self, node: NodeProto, label: str) -> None:
        """Refuse attributes and inputs that the operation does not have."""
        from onnx import checker

        context = checker.C.CheckerContext()
        context.ir_version = checker.DEFAULT_CONTEXT.ir_version
        context.opset_imports = {"": self.opset}
        try:
            checker.check_node(node, context)
        except (checker.ValidationError, UnicodeDecodeError) as error:
            msg = f"node {label} is malformed: {error}"
            raise ReadError(msg) from error

    def _folded(self, node: NodeProto, inputs: list[Any], label: str) -> npt.NDArray[Any]:
        """Value of a node whose inputs are constants, as ONNX's reference evaluates it."""
        from onnx import helper
        from onnx.reference import ReferenceEvaluator

        feeds = {n: value for n, value in zip(node.input, inputs, strict=True) if n}
        versions = [helper.make_opsetid("", self.opset)]
        function = helper.make_function(
            "mipnet", "folded", list(feeds), list(node.output)[:1], [node], versions
        )
        try:
            run = ReferenceEvaluator(function).run
            return np.asarray(run(list(node.output)[:1], feeds, attributes={})[0])
        except Exception as error:
            msg = f"node {label} cannot be evaluated: {error}"
            raise ReadError(msg) from error


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
        msg = f"input {name!r} is declared with shape {declared}; input_shape={item} does not fit"
        raise ReadError(msg)
    if declared is None or None in declared[1:] or declared == [None]:
        msg = f"input {name!r} leaves its shape open ({declared}); give input_shape="
        raise ReadError(msg)
    full = tuple(d or 1 for d in declared)
    return (full[1:] if len(full) > 1 and full[0] == 1 else full or (1,)), full
