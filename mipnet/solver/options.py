"""Options of HiGHS, checked before a solve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any


def option_faults(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Options HiGHS does not take, or a plan says elsewhere: each with what is wrong."""
    import highspy

    highs = highspy.Highs()
    highs.silent()
    known = tuple(n for n in dir(highs.getOptions()) if not n.startswith("_"))
    for name, value in options.items():
        if name in {"threads", "time_limit"}:
            where = "[limits] time" if name == "time_limit" else "every cell has one thread"
            yield name, f"{name} is set by the plan ({where}); leave it out"
        elif highs.getOptionType(name)[0] != highspy.HighsStatus.kOk:
            near = get_close_matches(name, known, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            yield name, f"HiGHS has no option {name!r}{hint}"
        elif not _takes(highs, name, value):
            yield name, f"HiGHS does not take {name} = {value!r}"


def _takes(highs: Any, name: str, value: Any) -> bool:
    import highspy

    if not isinstance(value, bool | int | float | str) or value != value:  # noqa: PLR0124
        return False
    if (
        isinstance(value, str)
        and not value
        and highs.getOptionType(name)[1] != highspy.HighsOptionType.kString
    ):
        return False
    try:
        return bool(highs.setOptionValue(name, value) == highspy.HighsStatus.kOk)
    except (TypeError, OverflowError, ValueError):
        # Numbers beyond those of C.
        return False
