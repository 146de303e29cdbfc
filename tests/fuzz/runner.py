"""Runs of many questions; a failure keeps its seed."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from dataclasses import dataclass

from tests.fuzz.questions import Outcome, check


@dataclass(frozen=True)
class Failure:
    """A question whose answer is wrong, or that ended with an error."""

    seed: int
    reason: str

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.reason}\n  replay: make fuzz SEED={self.seed} COUNT=1"


def run(seeds: Iterable[int]) -> tuple[list[Outcome], list[Failure]]:
    """Ask the questions of some seeds."""
    outcomes, failures = [], []
    for seed in seeds:
        try:
            outcomes.append(check(seed))
        # Whatever goes wrong is a finding, and the other questions are still worth asking.
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{last.filename.rsplit('/', 1)[-1]}:{last.lineno}"
            failures.append(Failure(seed, f"{type(error).__name__} at {where}: {error}"))
    return outcomes, failures
