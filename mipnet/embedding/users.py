"""Who uses the variables of a network block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from typing import Any

import pyomo.environ as pyo
from pyomo.core.expr.visitor import identify_variables
from pyomo.gdp import Disjunct

from mipnet.embedding.rows import Rows
from mipnet.errors import EmbeddingError

#: Users named in a message before the rest is counted.
_NAMED = 5


def refuse_users(name: str, blocks: Sequence[Any], variables: Sequence[Any], what: str) -> None:
    """Raise when an active component outside some blocks uses their variables.

    Parameters
    ----------
    name : str
        Name of the blocks, for the message.
    blocks : sequence of BlockData
    variables : sequence of VarData
    what : str
        What they cannot be.

    Raises
    ------
    EmbeddingError
        Names the users.
    """
    root, inside = blocks[0].model(), {id(block) for block in blocks}
    found = [f"{user} uses {used}" for user, used in users(root, variables, inside)]
    if found:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        msg = f"{name} cannot be {what}: {'; '.join(found[:_NAMED])}{more}; delete or deactivate "
        raise EmbeddingError(msg + ("it" if len(found) == 1 else "them") + " first")


def users(
    root: Any, variables: Sequence[Any], left_out: Set[int] = frozenset()
) -> Iterator[tuple[str, str]]:
    """Name of every active component that uses some variables, and of the first it uses.

    Parameters
    ----------
    root : BlockData
        Where to look.
    variables : sequence of VarData
    left_out : set of int
        ``id`` of blocks to pass over.
    """
    wanted = {id(v): v for v in variables}
    kinds = (pyo.Constraint, pyo.Objective, pyo.SOSConstraint)
    for home in _outside(root, left_out):
        for component in home.component_objects(kinds, active=True, descend_into=False):
            for name, used in _reads(component):
                hit = next((wanted[id(v)] for v in used if id(v) in wanted), None)
                if hit is not None:
                    yield name, hit.name


def _outside(home: Any, left_out: Set[int]) -> Iterator[Any]:
    """Active blocks and disjuncts of a model, but for some and what is in them."""
    if id(home) in left_out:
        return
    yield home
    for kind in (pyo.Block, Disjunct):
        for component in home.component_objects(kind, active=True, descend_into=False):
            for member in component.values():
                if member.active:
                    yield from _outside(member, left_out)


def _reads(component: Any) -> Iterator[tuple[str, Any]]:
    """Name and variables of every active member; a matrix is one member."""
    if isinstance(component, Rows):
        if component.kept().size:
            yield component.name, component.columns
        members = component.replaced()
    else:
        members = [data for data in component.values() if data.active]
    for data in members:
        if component.ctype is pyo.SOSConstraint:
            yield data.name, data.variables
        else:
            yield data.name, identify_variables(data.expr)
