"""The clocks every timed result keeps apart."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from mipnet.errors import QueryError

Clock = Literal["prune", "attack", "bound", "build", "solve", "check"]


@dataclass(frozen=True)
class Clocks:
    """Seconds by activity.

    Attributes
    ----------
    prune, attack, bound, build, solve, check : float
        Seconds spent pruning, searching by gradient, bounding neurons, building the program,
        in the solver, and replaying answers.
    """

    prune: float = 0.0
    attack: float = 0.0
    bound: float = 0.0
    build: float = 0.0
    solve: float = 0.0
    check: float = 0.0

    @property
    def total(self) -> float:
        """Sum of all clocks."""
        return float(sum(asdict(self).values()))

    def __add__(self, other: Clocks) -> Clocks:
        mine, theirs = asdict(self), asdict(other)
        return Clocks(**{name: mine[name] + theirs[name] for name in mine})


def seconds(what: str, value: float) -> float:
    """Return a number of seconds, or any other amount.

    Raises
    ------
    QueryError
        When it is no finite number of at least 0.
    """
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not (math.isfinite(value) and value >= 0.0):
        msg = f"{what} must be a finite number >= 0, not {value!r}"
        raise QueryError(msg)
    return float(value)


def stopwatch(time_limit: float | None) -> Stopwatch:
    """Stopwatch over the time limit of a call, which is checked; see :func:`seconds`."""
    return Stopwatch(None if time_limit is None else seconds("time_limit", time_limit))


class Stopwatch:
    """Accumulates :class:`Clocks`, and knows when the time is up.

    Parameters
    ----------
    limit : float or None
        Seconds from now; None for no limit.
    """

    def __init__(self, limit: float | None = None) -> None:
        self._spent: dict[str, float] = {}
        self._begin = time.perf_counter()
        self.limit = limit

    @contextmanager
    def __call__(self, clock: Clock) -> Iterator[None]:
        """Charge the body of the ``with`` statement to a clock."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self._spent[clock] = self._spent.get(clock, 0.0) + spent

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._begin

    @property
    def left(self) -> float | None:
        """Seconds left, never negative; None without a limit."""
        return None if self.limit is None else max(0.0, self.limit - self.elapsed)

    @property
    def expired(self) -> bool:
        """Whether the time is up."""
        return self.limit is not None and self.elapsed >= self.limit

    @property
    def clocks(self) -> Clocks:
        """Return what was spent so far."""
        return Clocks(**self._spent)
