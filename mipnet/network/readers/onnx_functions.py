"""Functions stored in an ONNX model, put in place of the nodes that call them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mipnet.errors import ReadError
from mipnet.network.onnx_double import DOMAIN

if TYPE_CHECKING:
    from onnx import ModelProto

#: Most nodes a model may have once its functions are inlined.
MAX_NODES = 10**6


class ForeignFunctionError(Exception):
    """A function of this package's domain is none that this package writes."""


def inlined(model: ModelProto, *, whole: bool = False) -> ModelProto:
    """Return the model without functions of its own.

    Parameters
    ----------
    model : onnx.ModelProto
    whole : bool
        Whether functions of this package's domain, which stand for layers, are inlined too.

    Raises
    ------
    ReadError
        When functions call each other in a circle, or far too often.
    """
    kept = [] if whole else [(f.domain, f.name) for f in model.functions if f.domain == DOMAIN]
    if len(kept) == len(model.functions):
        return model
    from onnx import inliner

    bodies = {(f.domain, f.name): f for f in model.functions}
    sizes: dict[tuple[str, str], int] = {}
    open_: set[tuple[str, str]] = set()

    def size(key: tuple[str, str]) -> int:
        if key not in bodies:
            return 1
        if key in open_ or len(open_) > 100:
            msg = f"function {key[1]!r} calls itself"
            raise ReadError(msg)
        if key not in sizes:
            open_.add(key)
            sizes[key] = sum(size((n.domain, n.op_type)) for n in bodies[key].node)
            open_.discard(key)
        return sizes[key]

    count = sum(size((n.domain, n.op_type)) for n in model.graph.node)
    if count > MAX_NODES:
        msg = f"its functions expand to {count} nodes, above {MAX_NODES}"
        raise ReadError(msg)
    try:
        return cast("ModelProto", inliner.inline_selected_functions(model, kept, exclude=True))
    except Exception as error:
        msg = f"its functions cannot be inlined: {error}"
        raise ReadError(msg) from error
