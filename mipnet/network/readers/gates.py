"""Products of computed results that are activations: SiLU, HardSwish, both kinds of GELU.

A file may spell them out as ``x * sigmoid(x)``, ``x * clip(x + 3, 0, 6) / 6``,
``x * (1 + erf(x / sqrt 2)) / 2`` or ``x * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2``.
Constants may be rounded to single precision; factors other than these stay as Scale layers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from mipnet.network.layers import GELU, Clip, HardSigmoid, HardSwish, Sigmoid, SiLU, Tanh
from mipnet.network.numbers import Array
from mipnet.network.readers import combine
from mipnet.network.readers.combine import elementwise, unscaled
from mipnet.network.readers.graph import Graph
from mipnet.network.readers.values import Pending, RefusalError, Value

#: Relative error of a constant in single precision.
SINGLE = 2.0**-23
RATE, CUBE = math.sqrt(2.0 / math.pi), 0.044715
REASON = (
    "multiplies two computed results; only SiLU, HardSwish and GELU are read as such products: use "
    "one of them, or a constant factor"
)


def product(graph: Graph, name: str, first: Value, second: Value) -> Value:
    """Product of two computed results.

    Raises
    ------
    RefusalError
        When it is none of the activations.
    """
    if first.lost or second.lost:
        return (first if first.lost else second).unknown
    if first.shape != second.shape:
        raise RefusalError(REASON)
    for gate, x in ((second, first), (first, second)):
        found = _gated(graph, name, gate, x) or _power(graph, name, gate, x)
        if found is not None:
            return found
    raise RefusalError(REASON)


def error_function(graph: Graph, name: str, value: Value) -> Value:
    """Error function, to become part of a GELU."""
    return _pending(graph, "erf", name, value)


def power(graph: Graph, name: str, value: Value, exponent: float) -> Value:
    """Whole power, to become part of a GELU."""
    if exponent == 1.0 or value.lost:
        return value
    if exponent not in (2.0, 3.0):
        reason = f"raises a computed result to the power {exponent:g}; only as a part of a GELU "
        reason += "is that read: use an activation of docs/layers.md"
        raise RefusalError(reason)
    return _pending(graph, "power", name, value, factor=exponent)


def total(graph: Graph, name: str, values: Sequence[Value], scales: Sequence[float]) -> Value:
    """Weighted sum of results; ``x + k x^3`` is to become part of a GELU."""
    if len(values) == 2 and not any(v.lost for v in values) and tuple(scales) == (1.0, 1.0):
        for x, cube in (values, values[::-1]):
            source, factor = _of(cube, "power", 3.0), _uniform(cube.scale)
            if source is not None and factor and not cube.shift.any() and _equal(x, source):
                return _pending(graph, "cubic", name, source, factor=factor)
    return combine.total(graph, name, values, scales)


def tanh(graph: Graph, name: str, value: Value) -> Value:
    """Hyperbolic tangent, of a cubic as part of a GELU."""
    if _of(value, "cubic") is None:
        return elementwise(graph, name, value, Tanh)
    rate = _uniform(value.scale)
    base = value.base
    if not rate or value.shift.any() or not isinstance(base, Pending):
        reason = "is the hyperbolic tangent of a polynomial that is not that of a GELU; use the "
        reason += "constants of torch's GELU(approximate='tanh')"
        raise RefusalError(reason)
    return _pending(graph, "tanh", name, base.source, factor=base.factor, rate=rate)


def _pending(
    graph: Graph,
    kind: Literal["erf", "power", "cubic", "tanh"],
    name: str,
    source: Value,
    *,
    factor: float = 0.0,
    rate: float = 1.0,
) -> Value:
    if source.lost:
        return source
    # No part of an activation is a function of another one as it stands.
    graph.complete(source)
    base = Pending(kind, name, source, factor, rate)
    return graph.value(base, source.shape, batched=source.batched)


def _gated(graph: Graph, name: str, gate: Value, x: Value) -> Value | None:
    """Activation ``x * gate``, when the gate is that of one."""
    if isinstance(gate.base, Pending):
        return _gelu(graph, name, gate, x)
    node = graph.layers.get(str(gate.base))
    factor = _uniform(gate.scale)
    if node is None or not factor or gate.shift.any() or isinstance(x.base, Pending):
        return None
    kind: type[SiLU | HardSwish]
    end, added = 1.0, 0.0
    if isinstance(node.layer, Sigmoid):
        kind = SiLU
    elif isinstance(node.layer, HardSigmoid) and _is_sixth(node.layer):
        kind = HardSwish
    elif isinstance(node.layer, Clip) and (node.layer.low, node.layer.high) == (0.0, 6.0):
        kind, end, added = HardSwish, 6.0, 3.0
    else:
        return None
    inner = x if not added else x.apply(name, "add", np.asarray(added))
    if not _reads(graph, node.inputs[0], gate, inner):
        return None
    result = elementwise(graph, name, x, kind)
    return _times(name, result, factor * end)


def _is_sixth(layer: HardSigmoid) -> bool:
    return _close(layer.alpha, 1.0 / 6.0) and layer.beta == 0.5


def _reads(graph: Graph, before: str, gate: Value, x: Value) -> bool:
    """Whether an elementwise layer with this input, seen as ``gate``, is one of ``x``."""
    if x.plain and str(x.base) == before and np.array_equal(gate.index, x.index):
        return True
    return gate.straight and graph.node(x) == before


def _gelu(graph: Graph, name: str, gate: Value, x: Value) -> Value | None:
    """GELU of ``n``, for ``x = outer n`` and the gate ``weight (1 + f(rate n))``."""
    base, weight, shift = gate.base, _uniform(gate.scale), _uniform(gate.shift)
    outer = _uniform(x.scale)
    if not isinstance(base, Pending) or not weight or not outer:
        return None
    # Both functions are odd: their sign may stand in front of them.
    sign, weight = math.copysign(1.0, weight), abs(weight)
    if not _close(shift, weight):
        return None
    source = base.source
    inner = sign * _uniform(source.scale)
    if not gate.straight or not inner or x.shift.any() or not _same(source, x):
        return None
    approximate: Literal["none", "tanh"]
    if base.kind == "erf":
        approximate, stretch = "none", math.sqrt(2.0) * inner
    elif base.kind == "tanh" and _close(base.rate, RATE) and _close(base.factor, CUBE):
        approximate, stretch = "tanh", inner
    else:
        return None
    stretch = 1.0 if _close(stretch, 1.0) else stretch
    ones, zeros = np.ones(x.shape), np.zeros(x.shape)
    bare = replace(x, scale=ones, shift=zeros, moves=unscaled(x))
    bare = _times(name, bare, stretch)
    result = elementwise(graph, name, bare, lambda: GELU(approximate=approximate))
    return _times(name, result, 2.0 * weight * outer / stretch)


def _power(graph: Graph, name: str, first: Value, second: Value) -> Value | None:
    """Square or cube, to become part of a GELU."""
    if isinstance(second.base, Pending):
        return None
    if not isinstance(first.base, Pending):
        return power(graph, name, first, 2.0) if _equal(first, second) else None
    source = _of(first, "power", 2.0)
    if source is None or not first.plain or not _equal(source, second):
        return None
    return power(graph, name, source, 3.0)


def _of(value: Value, kind: str, factor: float | None = None) -> Value | None:
    """Return what a whole pending step of a kind is a function of."""
    base = value.base
    if isinstance(base, Pending) and base.kind == kind and value.straight:
        return base.source if factor in (None, base.factor) else None
    return None


def _same(first: Value, second: Value) -> bool:
    """Whether two views are multiples of the same elements."""
    unmoved = not first.shift.any() and not second.shift.any()
    return first.base == second.base and unmoved and np.array_equal(first.index, second.index)


def _equal(first: Value, second: Value) -> bool:
    return _same(first, second) and np.array_equal(first.scale, second.scale)


def _uniform(values: Array) -> float:
    """Return the value that all elements have; 0 when they differ."""
    first = float(values.flat[0])
    return first if np.all(values == first) else 0.0


def _close(value: float, exact: float) -> bool:
    """Whether a constant is another one, possibly rounded to single precision."""
    return abs(value - exact) <= SINGLE * abs(exact)


def _times(name: str, value: Value, factor: float) -> Value:
    return value if _close(factor, 1.0) else value.apply(name, "mul", np.asarray(factor))
