"""Which formulation writes which neurons: one for a network, for each layer, or for each neuron."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from formulations import Formulation, Mixed, formulation
from mipnet.errors import QueryError
from mipnet.network import Network, Node, ReLU
from mipnet.network.layers.elementwise import Elementwise
from mipnet.network.layers.smooth import Smooth

#: A registered name (with options: ``"partition(4)"``), or a formulation.
One: TypeAlias = str | Formulation
#: One for the network; or, by layer, one for its neurons or one for each of them. The entry ``"*"``
#: is for the layers that have none of their own.
Choice: TypeAlias = One | Mapping[str, One | Sequence[One]]

#: What the layers get that a mapping says nothing about.
DEFAULT = "big_m"


def choose(
    choice: Choice,
    network: Network,
    *,
    relaxed: bool = True,
    linear: bool = False,
) -> dict[str, Formulation]:
    """Formulation of every nonlinear layer.

    Parameters
    ----------
    choice : str, Formulation, or mapping of layer to them
        See :data:`Choice`. A sequence names one formulation for each neuron of an elementwise
        layer, flattened.
    network : Network
    relaxed : bool
        Whether a formulation that is only a relaxation is welcome.
    linear : bool
        Whether only rows and integers are.

    Returns
    -------
    dict of node name to Formulation

    Raises
    ------
    QueryError
        When a formulation is unknown or unwelcome, a layer has no such name or nothing to choose,
        or a sequence has another length than its layer.
    """
    layers = {node.name: node for node in network.nodes if node.layer.nonlinear}
    given = choice if isinstance(choice, Mapping) else {"*": choice}
    strange = [name for name in given if name != "*" and name not in layers]
    if strange:
        msg = f"formulation: no activation layer {strange[0]!r}; there are: "
        raise QueryError(msg + (", ".join(map(repr, layers)) or "none"))
    chosen = {}
    for name, node in layers.items():
        wanted = given.get(name, given.get("*", DEFAULT))
        how = _of_layer(wanted, node, network)
        if not (how.exact or relaxed):
            msg = f"formulation {how.label!r} of layer {name!r} is a relaxation and cannot decide "
            raise QueryError(msg + "anything exactly; use 'auto', 'big_m', 'partition' or 'ideal'")
        if linear and how.needs:
            msg = (
                f"formulation {how.label!r} of layer {name!r} needs {how.needs}, which HiGHS does "
            )
            msg += "not know; use 'big_m', 'partition' or 'ideal', or put the network into a Pyomo "
            raise QueryError(msg + "model (mipnet.NetworkBlock) and give it to a solver that does")
        chosen[name] = how
    return chosen


def solvable(choice: Choice, network: Network) -> Choice:
    """Return the choice itself when HiGHS can decide the network written that way.

    Raises
    ------
    QueryError
        See :func:`choose`.
    """
    choose(choice, network, relaxed=False, linear=True)
    return choice


def label(choice: Choice) -> str:
    """One line about a choice, for reports and records."""
    if isinstance(choice, str):
        return choice
    if isinstance(choice, Formulation):
        return choice.label
    parts = []
    for name, wanted in choice.items():
        each = [wanted] if isinstance(wanted, str | Formulation) else wanted
        parts.append(f"{name}: {' | '.join(dict.fromkeys(map(label, each)))}")
    return "; ".join(parts) or DEFAULT


def _of_layer(wanted: object, node: Node, network: Network) -> Formulation:
    if not isinstance(wanted, Sequence) or isinstance(wanted, str):
        return _one(wanted, node)
    before, after = network.shapes[node.inputs[0]], network.shapes[node.name]
    if before != after or not isinstance(node.layer, ReLU | Elementwise):
        msg = f"layer {node.name!r} ({node.layer.kind}) takes one formulation, not one for each "
        raise QueryError(msg + "neuron: its outputs read several inputs")
    size = math.prod(before)
    if len(wanted) != size:
        msg = f"layer {node.name!r}: {len(wanted)} formulations for {size} neurons"
        raise QueryError(msg)
    return Mixed([_one(one, node) for one in wanted])


def _one(wanted: object, node: Node) -> Formulation:
    if not isinstance(wanted, str | Formulation):
        msg = f"layer {node.name!r}: expected a name, a Formulation or a sequence of them, not "
        raise QueryError(msg + type(wanted).__name__)
    try:
        found = wanted if isinstance(wanted, Formulation) else formulation(wanted)
    except ValueError as error:
        msg = f"layer {node.name!r}: {error}"
        raise QueryError(msg) from error
    if found.closed and isinstance(node.layer, Smooth) and not node.layer.expressible:
        msg = f"layer {node.name!r} ({node.layer.kind}) has no expression in elementary functions, "
        msg += (
            f"which {found.label!r} needs; choose 'big_m' for it: {{{node.name!r}: 'big_m', ...}}"
        )
        raise QueryError(msg)
    return found
