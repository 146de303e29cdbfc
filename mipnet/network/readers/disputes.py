"""Sizes that two layers see differently, where either may be the wrong one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mipnet.errors import NetworkError


@dataclass(eq=False)
class Dispute:
    """A layer that keeps the size of an axis declares another one than it is given.

    What follows tells which is wrong: layers that go by the declared size are no faults of their
    own, unless one takes the given size.

    Attributes
    ----------
    given, declared : int
    waiting : list of NetworkError
        What would be wrong with layers that go by the declared size.
    settled : bool
        Whether the given size is the right one.
    """

    given: int
    declared: int
    waiting: list[NetworkError] = field(default_factory=list)
    settled: bool = False

    def settle(self, tell: Callable[[NetworkError], None]) -> None:
        """Take the given size for the right one: what went by the other is wrong."""
        self.settled = True
        for error in self.waiting:
            tell(error)
        self.waiting.clear()
