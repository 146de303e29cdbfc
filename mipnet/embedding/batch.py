"""Many copies of a network, one for each row of inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyomo.environ as pyo

from mipnet.embedding.base_block import EmbeddedBatch
from mipnet.embedding.block_data import NetworkBlockData, loaded_network
from mipnet.embedding.embedded import Embedded, Embedder, Options
from mipnet.embedding.inputs import Plug, plug
from mipnet.embedding.report import EmbeddingReport, total
from mipnet.embedding.table import Table, names_of, read
from mipnet.errors import BoundsError, EmbeddingError, MissingPackageError
from mipnet.network import Network


class NetworkBatch(EmbeddedBatch):
    """Copies of a network in a Pyomo model, by row label; each is a block of its own.

    ``batch[label]`` has the components and verbs of a :class:`mipnet.NetworkBlock`. Rows whose
    inputs have the same bounds share one set of bounds and arrays.

    Parameters
    ----------
    network : Network, or anything :func:`mipnet.load` reads
    inputs : DataFrame, array, list, or indexed component
        Rows of inputs: variables, expressions and numbers, mixed as you like. Labels are the index
        of a DataFrame, the first part of the index of a component, else ``0, 1, ...``.
    columns : sequence, optional
        Names of the inputs in the order of the network, to find the columns of a DataFrame by; of
        a scikit-learn estimator those it was fitted with are known. By place when absent.
    **options
        Those of :class:`mipnet.NetworkBlock`.

    Raises
    ------
    EmbeddingError
        When ``inputs`` is a single row, a column is missing, or a row cannot be used; names it.
    """

    _ComponentDataClass = NetworkBlockData

    def __init__(
        self,
        network: Any,
        inputs: Any,
        *,
        columns: Sequence[Any] | None = None,
        **options: Any,
    ) -> None:
        net = loaded_network(network)
        table = inputs
        if not isinstance(table, Table):
            table = read(inputs, net.input_shape, names_of(network, columns))
        if not isinstance(table, Table):
            msg = "expected rows of inputs, not those of one; NetworkBlock takes these"
            raise EmbeddingError(msg)
        if not table.rows:
            msg = "there are no rows of inputs"
            raise EmbeddingError(msg)
        embedder = Embedder(net, Options(**options))
        made = dict(_prepared(embedder, net, table))
        super().__init__(list(made), concrete=True)
        for label, (embedded, plugs) in made.items():
            self[label].build(embedded, plugs)

    @property
    def outputs(self) -> Mapping[Any, Any]:
        """Outputs of every row, by label."""
        return {label: block.outputs for label, block in self.items()}

    def report(self) -> EmbeddingReport:
        """Sum of the reports of all rows."""
        return total([block.report() for block in self.values()])

    def frame(self) -> Any:
        """Return the loaded outputs: a DataFrame with a line for each row.

        Raises
        ------
        MissingPackageError
            When pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingPackageError("pandas", "a DataFrame of outputs", "report") from error
        values = [
            [pyo.value(v, exception=False) for v in outputs.values()]
            for outputs in self.outputs.values()
        ]
        return pd.DataFrame(values, index=list(self.outputs), dtype=float)

    def initialize(self) -> None:
        """Carry values of all inputs through the layers; see the method of a block."""
        for block in self.values():
            block.initialize()

    def rebuild(self, network: Any = None, **options: Any) -> None:
        """Build every row again in its place; see :meth:`mipnet.NetworkBlock.rebuild`."""
        blocks = list(self.values())
        embedder = blocks[0].embedder(network, **options)
        made = [block.prepared(embedder) for block in blocks]
        for block, (embedded, plugs) in zip(blocks, made, strict=True):
            block.replace(embedded, plugs)


def _prepared(
    embedder: Embedder, network: Network, table: Table
) -> Iterator[tuple[Any, tuple[Embedded, list[Plug]]]]:
    """Everything about every row, so that a bad one leaves nothing half done."""
    for label, row in zip(table.labels, table.rows, strict=True):
        try:
            plugs = plug(row, network)
            yield label, (embedder.embed(plugs), plugs)
        except (EmbeddingError, BoundsError) as error:
            msg = f"row {label!r}: {error}"
            raise type(error)(msg) from error
