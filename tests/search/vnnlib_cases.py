"""The head of small properties."""

from __future__ import annotations

from mipnet.search.vnnlib import Property, parse_property

HEAD = "".join(f"(declare-const {v} Real)\n" for v in ("X_0", "X_1", "Y_0", "Y_1"))
BOX = "(assert (and (>= X_0 -1) (<= X_0 1) (>= X_1 -1.0) (<= X_1 1e0)))\n"


def prop(body: str) -> Property:
    return parse_property(HEAD + BOX + body)
