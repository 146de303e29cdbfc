"""Variables of networks and trust regions that are not there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mipnet.embedding.base_block import EmbeddedBlockData


def strays(variables: Sequence[Any], root: Any) -> tuple[list[Any], list[Any]]:
    """Find variables that no block holds any more, though they belong to one of ours.

    Parameters
    ----------
    variables : sequence of VarData
        Used by active components of a model.
    root : BlockData
        The model, or the part of it that is solved.

    Returns
    -------
    removed : list of VarData
        One for each component that is in no model any more.
    idle : list of VarData
        One for each component of a block that is deactivated.
    """
    firsts = {id(v.parent_component()): v for v in variables}
    removed, idle = [], []
    for var in firsts.values():
        # A variable outlives the component it was part of; the latter is gone without a trace.
        home = None if var.parent_component() is None else var.parent_block()
        top = None if home is None else home.model()
        if home is None or (isinstance(top, EmbeddedBlockData) and top is not root.model()):
            removed.append(var)
        elif isinstance(home, EmbeddedBlockData) and not home.active:
            idle.append(var)
    return removed, idle
