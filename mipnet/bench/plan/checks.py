"""What is wrong with a single value of a plan; nothing for a good one."""

from __future__ import annotations

import math
from collections.abc import Callable

from mipnet.bench.registry import unknown_name


def positive(value: float | None) -> str:
    """Check a number that has to be above 0."""
    good = value is None or 0 < value < math.inf
    return "" if good else f"must be above 0 and finite, not {value!r}"


def up_to(most: float) -> Callable[[float | None], str]:
    """Check a number that has to be above 0, and no more than what can be asked of a system."""

    def wrong(value: float | None) -> str:
        if value is not None and most < value < math.inf:
            return f"must be at most {most:g}, not {value!r}"
        return positive(value)

    return wrong


def seed(value: int) -> str:
    """Check a seed."""
    return "" if 0 <= value < 2**31 else f"must lie in 0..{2**31 - 1}, not {value!r}"


def share(value: float) -> str:
    """Check a share of a whole."""
    return "" if 0.0 <= value <= 1.0 else f"must lie in [0, 1], not {value!r}"


def named(what: str, known: tuple[str, ...]) -> Callable[[str], str]:
    """Check a name against those there are."""
    return lambda name: "" if name in known else f"names an {unknown_name(what, name, known)}"
