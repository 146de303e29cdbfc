"""One call that puts a network into a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyomo.environ as pyo
from pyomo.common.modeling import unique_component_name
from pyomo.core.base.block import BlockData

from mipnet.embedding.batch import NetworkBatch
from mipnet.embedding.block_data import loaded_network
from mipnet.embedding.inputs import flatten
from mipnet.embedding.network_block import NetworkBlock
from mipnet.embedding.table import Table, names_of, read
from mipnet.errors import EmbeddingError


def add_network(
    model: Any,
    network: Any,
    inputs: Any = None,
    outputs: Any = None,
    *,
    name: str = "network",
    columns: Sequence[Any] | None = None,
    **options: Any,
) -> Any:
    """Embed a network in a Pyomo model: once, or once for each row of inputs.

    Parameters
    ----------
    model : ConcreteModel or block
    network : Network, or anything :func:`mipnet.load` reads
    inputs : optional
        Variables, expressions and numbers for one input, as for :class:`mipnet.NetworkBlock`, or
        rows of them, as for :class:`NetworkBatch`: a DataFrame, an array or list with one axis
        more, a variable indexed by row and input.
    outputs : optional
        Variables or expressions, as many as there are outputs, row by row, that shall equal them.
    name : str
        Name of the component; a number is appended where it is taken.
    columns : sequence, optional
        Names of the inputs in the order of the network.
    **options
        Those of :class:`mipnet.NetworkBlock`.

    Returns
    -------
    NetworkBlock or NetworkBatch
        Already in the model.

    Raises
    ------
    EmbeddingError
        When inputs or outputs do not fit. The model is then as it was.
    BoundsError
        When a neuron has no usable bounds.

    Examples
    --------
    >>> import numpy as np
    >>> import pyomo.environ as pyo
    >>> import mipnet
    >>> net = mipnet.load(([[[1.0, -1.0]], [[2.0]]], [[0.0], [1.0]]))
    >>> m = pyo.ConcreteModel()
    >>> m.x = pyo.Var(["a", "b"], range(2), bounds=(0, 1))
    >>> nn = mipnet.add_network(m, net, m.x)
    >>> list(nn), nn["b"].outputs[0].name
    (['a', 'b'], 'network[b].outputs[0]')
    """
    if not isinstance(model, BlockData) or not model.is_constructed():
        msg = f"expected a constructed Pyomo model or block, not {model}"
        raise EmbeddingError(msg)
    names = names_of(network, columns)
    net = loaded_network(network)
    chosen = None if inputs is None else read(inputs, net.input_shape, names)
    added: Any
    if isinstance(chosen, Table):
        added = NetworkBatch(net, chosen, **options)
        blocks = list(added.values())
    else:
        added = NetworkBlock(net, chosen, **options)
        blocks = [added]
    wanted = None if outputs is None else list(flatten(outputs))
    count = sum(len(block.outputs) for block in blocks)
    if wanted is not None and len(wanted) != count:
        msg = f"the network has {count} outputs in all, {len(wanted)} given"
        raise EmbeddingError(msg)
    model.add_component(unique_component_name(model, name), added)
    if wanted is not None:
        _tie(blocks, wanted)
    return added


def _tie(blocks: list[Any], wanted: list[Any]) -> None:
    """Make the outputs of blocks equal to what is wanted, one after the other."""
    following = iter(wanted)
    for block in blocks:
        block.output_links = pyo.Constraint(list(block.outputs))
        for k, var in block.outputs.items():
            block.output_links[k] = next(following) == var
