"""Options of methods, checked against what they are declared as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from mipnet.errors import MaskError

#: What a declared type takes, and how a message calls it.
KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "int": ((int, np.integer), "a whole number"),
    "float": ((int, float, np.integer, np.floating), "a number"),
    "str": ((str,), "a word"),
    "bool": ((bool, np.bool_), "true or false"),
    "None": ((type(None),), "none"),
}


def check_kinds(method: Any) -> None:
    """Raise MaskError where an option is not of the type its method declares.

    Only plain types are looked at: whole numbers, numbers, words, flags, and those or None.

    Parameters
    ----------
    method : Pruner
    """
    for option in fields(method):
        declared = option.type if isinstance(option.type, str) else _name(option.type)
        parts = [part.strip() for part in declared.split("|")]
        if not set(parts) <= set(KINDS):
            continue
        value = getattr(method, option.name)
        flag = isinstance(value, bool | np.bool_)
        fine = any(
            isinstance(value, KINDS[part][0]) and (not flag or part == "bool") for part in parts
        )
        if not fine:
            wanted = " or ".join(KINDS[part][1] for part in parts)
            msg = f"{method.name}: {option.name} must be {wanted}, not {value!r}"
            raise MaskError(msg)


def _name(kind: Any) -> str:
    """Write a declared type as annotations do."""
    return kind.__name__ if isinstance(kind, type) else str(kind)
