"""Several networks over the same inputs, of which some may disagree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyomo.environ as pyo
from pyomo.common.modeling import unique_component_name

from mipnet.embedding.block_data import loaded_network
from mipnet.embedding.network_block import NetworkBlock
from mipnet.errors import EmbeddingError


def add_ensemble(
    model: Any,
    networks: Sequence[Any],
    inputs: Any = None,
    *,
    lower: float | None = None,
    upper: float | None = None,
    violations: float = 0.0,
    output: int = 0,
    name: str = "ensemble",
    **options: Any,
) -> Any:
    """Embed several networks over the same inputs, and demand of most what they predict.

    Parameters
    ----------
    model : ConcreteModel or block
    networks : sequence of Network, or anything :func:`mipnet.load` reads
        Of equal numbers of inputs and outputs.
    inputs
        As for :class:`mipnet.NetworkBlock`; free, within the bounds that came with the first
        network, when absent.
    lower, upper : float, optional
        Least and largest value of the chosen output.
    violations : float
        Share of the networks, in [0, 1), that may predict otherwise: 0.1 of ten is one.
    output : int
        The output that is limited.
    name : str
        Name of the block; a number is appended where it is taken.
    **options
        Of :class:`mipnet.NetworkBlock`.

    Returns
    -------
    Block
        ``members``, an indexed block of the networks; ``mean``, the mean of each output, an
        Expression; ``violated``, a binary for each network, and ``lowest``, ``highest`` and
        ``share``, the constraints, where something is limited.

    Raises
    ------
    EmbeddingError
        When there are no networks, their outputs differ, or an argument is out of range.
    """
    nets = [loaded_network(network) for network in networks]
    counts = {net.n_outputs for net in nets}
    if len(counts) != 1 or not 0 <= output < max(counts) or not 0.0 <= violations < 1.0:
        msg = f"an ensemble takes networks of one number of outputs (found: {sorted(counts)}), an "
        msg += f"output among them (given: {output}) and a share of violations below 1 (given: "
        raise EmbeddingError(f"{msg}{violations})")
    block = pyo.Block(concrete=True)
    block.members = pyo.Block(range(len(nets)))
    first = NetworkBlock(nets[0], inputs, **options)
    block.members[0].transfer_attributes_from(first)
    for k, net in enumerate(nets[1:], start=1):
        shared = block.members[0].inputs
        block.members[k].transfer_attributes_from(NetworkBlock(net, shared, **options))
    members = list(block.members.values())
    block.mean = pyo.Expression(range(counts.pop()))
    for j in block.mean:
        block.mean[j] = sum(member.outputs[j] for member in members) / len(members)
    if lower is not None or upper is not None:
        allowed = math.floor(violations * len(members) + 1e-9)
        _limit(block, [member.outputs[output] for member in members], lower, upper, allowed)
    model.add_component(unique_component_name(model, name), block)
    return block


def _limit(
    block: Any, outputs: list[Any], lower: float | None, upper: float | None, allowed: int
) -> None:
    """Hold all outputs but ``allowed`` many within limits; the proven bounds are the big-M."""
    numbers = range(len(outputs))
    block.violated = pyo.Var(numbers, domain=pyo.Binary)
    block.share = pyo.Constraint(expr=sum(block.violated.values()) <= allowed)
    if lower is not None:
        block.lowest = pyo.Constraint(numbers)
        for k, var in enumerate(outputs):
            slack = max(0.0, lower - var.lb)
            block.lowest[k] = var + slack * block.violated[k] >= lower
    if upper is not None:
        block.highest = pyo.Constraint(numbers)
        for k, var in enumerate(outputs):
            slack = max(0.0, var.ub - upper)
            block.highest[k] = var - slack * block.violated[k] <= upper
