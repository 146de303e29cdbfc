"""One recorded call, and the registry of the functions and methods that are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from mipnet.network.numbers import Array
from mipnet.network.readers.graph import Graph
from mipnet.network.readers.values import RefusalError, Value


@dataclass(frozen=True)
class Step:
    """One call: where its layers go and what they are named."""

    graph: Graph
    name: str

    def constant(self, values: Any, what: str = "constant") -> Array:
        """Parameter as float64."""
        if isinstance(values, Value):
            reason = "takes a computed tensor where only a constant is supported; let it be a "
            reason += "parameter or buffer"
            raise RefusalError(reason)
        return self.graph.constant(values, f"{what} of {self.name!r}")


Rule = Callable[..., Any]
R = TypeVar("R", bound=Rule)
#: By the name of a function or method, a trailing underscore (in place) aside.
STEPS: dict[str, Rule] = {}
#: Those whose result may share memory with their input.
ALIASES: set[str] = set()
#: Arithmetic on sizes, which are unknown behind an unsupported step.
SCALARS = frozenset(
    (
        "floordiv",
        "mod",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "floor",
        "ceil",
        "index",
        "int",
        "len",
        "ifloordiv",
        "imod",
    )
)


def reads(*names: str, alias: bool = False) -> Callable[[R], R]:
    """File a rule under names of functions and methods, as a decorator.

    Parameters
    ----------
    *names : str
    alias : bool
        Whether the result may share memory with the input.

    Raises
    ------
    TypeError
        When a name is taken.
    """

    def file(rule: R) -> R:
        for name in names:
            if name in STEPS:
                msg = f"torch function {name!r} has two rules"
                raise TypeError(msg)
            STEPS[name] = rule
            if alias:
                ALIASES.add(name)
        return rule

    return file


def computed(input: Any) -> Value:
    """Return the tensor a call works on.

    Raises
    ------
    RefusalError
        When that is a constant, and the computed one stands elsewhere.
    """
    if not isinstance(input, Value):
        reason = "uses the computed tensor in an unsupported place; let it be the first argument"
        raise RefusalError(reason)
    return input


def spread(given: int | Sequence[int], count: int) -> list[int]:
    """One number for every axis."""
    numbers = [int(n) for n in given] if isinstance(given, (tuple, list)) else [int(given)]  # type: ignore[arg-type]
    return numbers * count if len(numbers) == 1 else numbers


def whole(sizes: Sequence[Any], what: str) -> list[int]:
    """Sizes as integers.

    Raises
    ------
    RefusalError
        When one is none.
    """
    if not all(isinstance(size, int) for size in sizes):
        reason = f"{what} {tuple(sizes)}, which are no integers; give whole numbers"
        raise RefusalError(reason)
    return [int(size) for size in sizes]
