"""What a user may plug in: variables, expressions, numbers, and their bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo
from pyomo.contrib.fbbt.fbbt import compute_bounds_on_expr
from pyomo.core.base.indexed_component import IndexedComponent
from pyomo.core.base.indexed_component_slice import IndexedComponent_slice
from pyomo.core.expr.numvalue import NumericValue

from mipnet.errors import EmbeddingError
from mipnet.network import Network

Array = npt.NDArray[np.float64]


class Taker(Protocol):
    """What takes inputs: a network, or a set that they shall lie in."""

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape they have."""

    @property
    def input_bounds(self) -> tuple[Array, Array] | None:
        """Bounds for inputs that nobody gave, where there are some."""


@dataclass(frozen=True)
class Plug:
    """One input of a network or trust region.

    Attributes
    ----------
    source : VarData, Pyomo expression, float or None
        What the user gave; None where the block makes a variable of its own.
    own : bool
        Whether the block has to make a variable and, unless ``source`` is None or a number, tie
        it to ``source`` by an equality.
    lower, upper : float
        Bounds of the source; infinite where it has none.
    """

    source: Any
    own: bool
    lower: float
    upper: float

    def describe(self, position: int) -> str:
        """Name of the input for error messages."""
        named = isinstance(self.source, NumericValue)
        return f"input {position} ({self.source})" if named else f"input {position}"


def plug(inputs: Any, taker: Taker) -> list[Plug]:
    """Return one :class:`Plug` for each input, flattened row-major.

    Parameters
    ----------
    inputs : None, Var, expression, number, or nested containers of them
        Indexed components count in the order of their index set; mappings with keys ``0..n-1`` in
        key order, others in their own.

    Raises
    ------
    EmbeddingError
        When there are more or fewer than it takes, or one is not a number, variable or
        expression.
    """
    if inputs is None:
        return [Plug(None, True, -np.inf, np.inf)] * taker.n_inputs
    sources = list(flatten(inputs))
    _check_count(len(sources), taker)
    plugs, seen = [], set()
    for position, source in enumerate(sources):
        plugs.append(_plug(position, source, taken=id(source) in seen))
        seen.add(id(source))
    return plugs


def replug(sources: list[Any], inputs: list[Any], taker: Taker) -> list[Plug]:
    """Plugs of a block that exists, with the bounds that its inputs have now.

    Parameters
    ----------
    sources : list
        What the user gave for each input; None where the block made a variable.
    inputs : list of VarData
        The variable of each.
    taker : Network or trust region

    Raises
    ------
    EmbeddingError
        When it takes another number of inputs.
    """
    _check_count(len(inputs), taker)
    return [
        _plug(position, var, taken=False)
        if source is None
        else _plug(position, source, taken=source is not var)
        for position, (source, var) in enumerate(zip(sources, inputs, strict=True))
    ]


def input_box(
    plugs: list[Plug], taker: Taker, lower: npt.ArrayLike | None, upper: npt.ArrayLike | None
) -> tuple[Array, Array]:
    """Bounds of the inputs: those of the sources, narrowed by ``lower`` and ``upper``.

    Inputs without a source take ``lower``/``upper``, and where those are absent the bounds that
    came with the taker.

    Raises
    ------
    EmbeddingError
        When an input has no finite bounds or contradictory ones; names it.
    """
    shape = taker.input_shape
    free = all(p.source is None for p in plugs)
    if free and taker.input_bounds is not None:
        lower = taker.input_bounds[0] if lower is None else lower
        upper = taker.input_bounds[1] if upper is None else upper
    low = np.maximum([p.lower for p in plugs], _spread(lower, shape, -np.inf))
    high = np.minimum([p.upper for p in plugs], _spread(upper, shape, np.inf))
    for i in np.flatnonzero(~(np.isfinite(low) & np.isfinite(high)))[:1]:
        missing = int(np.count_nonzero(~(np.isfinite(low) & np.isfinite(high))))
        source = plugs[i].source
        msg = f"{plugs[i].describe(i)} has no finite bounds: [{low[i]}, {high[i]}] ({missing} such "
        if isinstance(source, NumericValue) and not source.is_potentially_variable():
            msg += "input(s)); a parameter may change later: give its value, or lower= and upper="
        else:
            msg += "input(s)); set them on the variable, or pass lower= and upper="
        raise EmbeddingError(msg)
    for i in np.flatnonzero(low > high)[:1]:
        msg = f"{plugs[i].describe(i)} has contradictory bounds: [{low[i]}, {high[i]}]"
        raise EmbeddingError(msg)
    return low, high


def _check_count(given: int, taker: Taker) -> None:
    n = taker.n_inputs
    if given != n:
        what = "network" if isinstance(taker, Network) else "trust region"
        msg = f"the {what} takes {n} inputs (shape {taker.input_shape}), {given} given"
        raise EmbeddingError(msg)


def is_pandas(inputs: Any) -> bool:
    """Whether something is a DataFrame or a Series, without loading pandas."""
    return type(inputs).__module__.partition(".")[0] == "pandas" and hasattr(inputs, "iloc")


def flatten(inputs: Any) -> Iterator[Any]:
    """Scalar inputs of nested containers, in order."""
    if is_pandas(inputs):
        inputs = inputs.to_numpy(dtype=object)
    if isinstance(inputs, IndexedComponent) and inputs.is_indexed():
        if not inputs.is_constructed():
            msg = f"{inputs.name} is not constructed yet; embed networks in a ConcreteModel"
            raise EmbeddingError(msg)
        for item in inputs.values():
            yield from flatten(item)
    elif isinstance(inputs, Mapping):
        keys = list(inputs)
        ordered = range(len(keys)) if set(keys) == set(range(len(keys))) else keys
        for key in ordered:
            yield from flatten(inputs[key])
    elif isinstance(inputs, list | tuple | np.ndarray | IndexedComponent_slice):
        for item in inputs:
            yield from flatten(item)
    else:
        yield inputs


def _plug(position: int, source: Any, *, taken: bool) -> Plug:
    if isinstance(source, Real):
        value = float(source)
        return Plug(value, True, value, value)
    if not isinstance(source, NumericValue):
        msg = f"input {position} is a {type(source).__name__}; give variables, expressions, numbers"
        raise EmbeddingError(msg)
    try:
        if source.is_variable_type():
            low, high = source.bounds
            if source.fixed and source.value is not None:
                low = source.value if low is None else low
                high = source.value if high is None else high
            return Plug(source, taken, _number(low, -np.inf), _number(high, np.inf))
        low, high = _expression_bounds(source, ignore_fixed=True)
    except (TypeError, ValueError, AttributeError) as error:
        msg = f"input {position} ({source}) has unusable bounds: {error}"
        raise EmbeddingError(msg) from error
    return Plug(source, True, low, high)


def reach(source: Any) -> tuple[float, float]:
    """Range that the model leaves a variable or expression now; one value where it is fixed."""
    if source.is_fixed() and (value := pyo.value(source, exception=False)) is not None:
        return float(value), float(value)
    if source.is_variable_type():
        low, high = source.bounds
        return _number(low, -np.inf), _number(high, np.inf)
    return _expression_bounds(source, ignore_fixed=False)


def _expression_bounds(source: Any, *, ignore_fixed: bool) -> tuple[float, float]:
    """Interval bounds of an expression, widened to cover their rounding.

    Parameters may change after the block was built, so an expression without variables has none.
    """
    if not source.is_potentially_variable():
        return -np.inf, np.inf
    low, high = compute_bounds_on_expr(source, ignore_fixed=ignore_fixed)
    lower, upper = _number(low, -np.inf), _number(high, np.inf)
    return lower - 1e-12 * (1.0 + abs(lower)), upper + 1e-12 * (1.0 + abs(upper))


def _number(bound: Any, absent: float) -> float:
    return absent if bound is None else float(pyo.value(bound))


def _spread(bound: npt.ArrayLike | None, shape: tuple[int, ...], absent: float) -> Array:
    size = int(np.prod(shape))
    if bound is None:
        return np.full(size, absent)
    try:
        values = np.asarray(bound, dtype=np.float64)
        if values.shape == (size,):
            return values
        return np.broadcast_to(values, shape).reshape(-1)
    except (TypeError, ValueError) as error:
        msg = f"bounds of shape {np.shape(bound)} do not fit the inputs of shape {shape}"
        raise EmbeddingError(msg) from error
