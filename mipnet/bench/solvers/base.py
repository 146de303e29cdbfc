"""The registry of MIP solvers a plan may name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

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
    """

    name: str
    solve: Solve
    version: Callable[[], str]
    read_line: Callable[[str], Progress | None]


S = TypeVar("S", bound=Solve)

#: Solvers by name.
SOLVERS: Registry[Solver] = Registry("solver")


def register_solver(
    name: str,
    *,
    version: Callable[[], str],
    read_line: Callable[[str], Progress | None] = lambda line: None,
) -> Callable[[S], S]:
    """Decorate a function with the parameters of :func:`mipnet.solver.solve`.

    Parameters
    ----------
    name : str
    version : callable
    read_line : callable
        See :class:`Solver`.

    Raises
    ------
    TypeError
        When the name is taken.
    """

    def file(solve: S) -> S:
        SOLVERS.file(name, Solver(name, solve, version, read_line))
        return solve

    return file
