"""Errors of plans, results folders and runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mipnet.errors import MipnetError


@dataclass(frozen=True, order=True)
class Fault:
    """One thing wrong with a plan.

    Attributes
    ----------
    line : int
        Line of the file, from 1; 0 where no line is to blame.
    message : str
    """

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}" if self.line else self.message


class PlanError(MipnetError, ValueError):
    """A plan cannot be run; everything wrong with it is listed.

    Attributes
    ----------
    source : str
        Name of the file.
    faults : tuple of Fault
        Sorted by line.
    """

    def __init__(self, source: str, faults: Sequence[Fault]) -> None:
        self.source = source
        self.faults = tuple(sorted(set(faults)))
        listing = "\n".join(f"  {fault}" for fault in self.faults)
        count = len(self.faults)
        super().__init__(f"{source}: {count} fault{'s' if count > 1 else ''}:\n{listing}")


class StoreError(MipnetError, ValueError):
    """A folder or table of results cannot be used; says which and why."""


class DamagedError(StoreError):
    """A file of a results folder is damaged, and can be made anew."""


class RunError(MipnetError, RuntimeError):
    """A run had to stop; what is finished is kept."""
