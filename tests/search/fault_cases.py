"""A solver that breaks or lies: stands between the library and HiGHS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import highspy

from mipnet.solver import highs, sequence

#: What is called instead of a method of HiGHS; takes the real object.
Lie = Callable[[Any], Any]
_STATUS = highspy.HighsModelStatus


class Broken:
    """A HiGHS object some of whose methods are replaced."""

    def __init__(self, real: Any, lies: dict[str, Lie]) -> None:
        object.__setattr__(self, "_real", real)
        object.__setattr__(self, "_lies", lies)

    def __getattr__(self, name: str) -> Any:
        lie = self._lies.get(name)
        return getattr(self._real, name) if lie is None else lambda: lie(self._real)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._real, name, value)


class Info:
    """The figures of a run, some of them changed."""

    def __init__(self, real: Any, **changes: Callable[[float], float]) -> None:
        self._real, self._changes = real, changes

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._real, name)
        return self._changes[name](value) if name in self._changes else value


def fails(error: BaseException) -> Lie:
    def run(_: Any) -> None:
        raise error

    return run


def says(status: str) -> Lie:
    return lambda _: getattr(_STATUS, status)


def figures(**changes: Callable[[float], float]) -> Lie:
    return lambda real: Info(real.getInfo(), **changes)


#: Break-downs: whatever comes out of them proves nothing.
BREAKDOWNS: dict[str, dict[str, Lie]] = {
    "returns an error": {"run": lambda _: highspy.HighsStatus.kError},
    "does not run": {"run": lambda _: highspy.HighsStatus.kOk},
    "time limit": {"getModelStatus": says("kTimeLimit")},
    "memory limit": {"getModelStatus": says("kMemoryLimit")},
    "interrupted": {"getModelStatus": says("kInterrupt")},
    "solve error": {"getModelStatus": says("kSolveError")},
    "unknown": {"getModelStatus": says("kUnknown")},
    "unbounded": {"getModelStatus": says("kUnbounded")},
    "unbounded or infeasible": {"getModelStatus": says("kUnboundedOrInfeasible")},
    "target": {"getModelStatus": says("kObjectiveTarget")},
}
#: Runs that die: an exception on the thread of the solver.
DEATHS: dict[str, dict[str, Lie]] = {
    "raises": {"run": fails(RuntimeError("the solver was killed"))},
    "out of memory": {"run": fails(MemoryError("std::bad_alloc"))},
}
#: Wrong figures that the run's own solution contradicts.
LIES: dict[str, dict[str, Lie]] = {
    "bound above its solution": {"getInfo": figures(mip_dual_bound=lambda v: v + 1e3)},
    "infinite bound": {"getInfo": figures(mip_dual_bound=lambda _: float("inf"))},
    "wrong optimum": {
        "getInfo": figures(
            objective_function_value=lambda v: v + 1e3, mip_dual_bound=lambda v: v + 1e3
        )
    },
}


@contextmanager
def solver(lies: dict[str, Lie]) -> Iterator[None]:
    """Replace methods of every HiGHS object."""
    load = highs.load_model

    def broken(arrays: Any) -> Any:
        return Broken(load(arrays), lies)

    with patch.object(highs, "load_model", broken), patch.object(sequence, "load_model", broken):
        yield
