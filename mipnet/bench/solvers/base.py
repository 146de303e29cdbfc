"""The registry of MIP solvers a plan may name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from formulations import ProgramArrays
from mipnet.bench.registry import Registry
from mipnet.solver import Limits, Profile, Solution

Array = npt.NDArray[np.float64]


class Solve(Protocol):
    """A function that minimises a program, with the parameters of :func:`mipnet.solver.solve`."""

    def __call__(
        self,
        arrays: ProgramArrays,
        *,
        limits: Limits | None = None,
        profile: Profile | None = None,
        start: Array | None = None,
        threads: int = 1,
        seed: int = 0,
        log: Callable[[str], None] | None = None,
    ) -> Solution:
        """Minimise."""


#: Names of options that are wrong, each with the reason, of the options a plan gives.
OptionFaults = Callable[[Mapping[str, Any]], Iterable[tuple[str, str]]]


@dataclass(frozen=True)
class Progress:
    """What one line of a solver's log tells; in the units of the solver.

    Attributes
    ----------
    incumbent : float or None
        Value of the best solution found.
    bound : float or None
        Proven lower bound.
    nodes : int or None
    """

    incumbent: float | None
    bound: float | None
    nodes: int | None = None


@dataclass(frozen=True)
class Solver:
    """A solver a plan may name.

    Attributes
    ----------
    name : str
    solve : Solve
    version : callable
        Returns the version; it is part of the identity of every cell.
    read_line : callable
        Returns the :class:`Progress` a line of the log tells, or None.
    option_faults : callable, optional
        Receives the options of a plan; yields the name of each that is wrong, and why. Without it
        any option is let through.
    """

    name: str
    solve: Solve
    version: Callable[[], str]
    read_line: Callable[[str], Progress | None]
    option_faults: OptionFaults | None = None


S = TypeVar("S", bound=Solve)

#: Solvers by name.
SOLVERS: Registry[Solver] = Registry("solver")


def register_solver(
    name: str,
    *,
    version: Callable[[], str],
    read_line: Callable[[str], Progress | None] = lambda line: None,
    option_faults: OptionFaults | None = None,
) -> Callable[[S], S]:
    """Decorate a function with the parameters of :func:`mipnet.solver.solve`.

    Parameters
    ----------
    name : str
    version : callable
    read_line, option_faults : callable
        See :class:`Solver`.

    Raises
    ------
    TypeError
        When the name is taken.
    """

    def file(solve: S) -> S:
        SOLVERS.file(name, Solver(name, solve, version, read_line, option_faults))
        return solve

    return file


def solver_faults(name: str, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Options a solver does not take, as far as it says, each with the reason.

    Parameters
    ----------
    name : str
        Of a solver, registered or not: nothing is said about options of one that is not.
    options : mapping
    """
    check = SOLVERS[name].option_faults if name in SOLVERS else None
    if check is None:
        return
    try:
        yield from check(options)
    except Exception as error:
        # Somebody else's code, asked about values that may be anything.
        yield "", f"{name!r} cannot check them ({type(error).__name__}: {error})"
