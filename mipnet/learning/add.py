"""One call that keeps the inputs of a model where a network can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
from pyomo.common.modeling import unique_component_name
from pyomo.core.base.block import BlockData

from mipnet.embedding.table import Table, names_of, read
from mipnet.errors import EmbeddingError
from mipnet.learning.block import TrustRegionBatch, TrustRegionBlock, as_region, prepared


def add_trust_region(
    model: Any,
    region: Any,
    inputs: Any = None,
    *,
    name: str = "trust_region",
    columns: Sequence[Any] | None = None,
    lower: npt.ArrayLike | None = None,
    upper: npt.ArrayLike | None = None,
) -> Any:
    """Hold inputs in a trust region: once, or for each row of inputs.

    Parameters
    ----------
    model : ConcreteModel or block
    region : TrustRegion, fitted ``sklearn.ensemble.IsolationForest``, or data
        :class:`~mipnet.learning.ConvexHull`, :class:`~mipnet.learning.IsolationRegion`,
        :class:`~mipnet.learning.DensityRegion`; a forest stands for the second at its own offset,
        a DataFrame or array for the first.
    inputs : optional
        As for :func:`mipnet.add_network`: variables, expressions, numbers; rows of them;
        DataFrames. The block makes variables of its own when absent.
    name : str
        Name of the component; a number is appended where it is taken.
    columns : sequence, optional
        Names of the inputs in the order of the region; those of the data when absent.
    lower, upper : array_like, optional
        Bounds of the inputs, besides those of the variables. Forests need bounds; the other kinds
        have their own.

    Returns
    -------
    TrustRegionBlock or TrustRegionBatch
        Already in the model, with ``print_stats()``, ``error()``, ``point()`` and ``remove()``.
        :func:`mipnet.solve` replays it.

    Raises
    ------
    EmbeddingError
        When inputs do not fit, an input has no bounds where they are needed, or none of the points
        within them is in the region. The model is then as it was.
    RegionError
        When the region cannot be made of what was given.

    Examples
    --------
    >>> import pyomo.environ as pyo
    >>> import mipnet
    >>> m = pyo.ConcreteModel()
    >>> m.x = pyo.Var(range(2))
    >>> trust = mipnet.add_trust_region(m, [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], m.x)
    >>> m.goal = pyo.Objective(expr=m.x[0] + 2 * m.x[1], sense=pyo.maximize)
    >>> round(mipnet.solve(m).objective, 6), trust.error() <= 1e-7
    (2.0, True)
    """
    if not isinstance(model, BlockData) or not model.is_constructed():
        msg = f"expected a constructed Pyomo model or block, not {model}"
        raise EmbeddingError(msg)
    chosen = as_region(region)
    names = names_of(chosen, columns if columns is not None else chosen.names)
    given = None if inputs is None else read(inputs, chosen.input_shape, names)
    added: Any
    if isinstance(given, Table):
        if not given.rows:
            msg = "there are no rows of inputs"
            raise EmbeddingError(msg)
        made = {}
        for label, row in zip(given.labels, given.rows, strict=True):
            try:
                made[label] = prepared(chosen, row, lower, upper)
            except EmbeddingError as error:
                msg = f"row {label!r}: {error}"
                raise EmbeddingError(msg) from error
        added = TrustRegionBatch(list(made), concrete=True)
        for label, parts in made.items():
            added[label].build(*parts)
    else:
        parts = prepared(chosen, given, lower, upper)
        added = TrustRegionBlock(concrete=True)
        added.build(*parts)
    model.add_component(unique_component_name(model, name), added)
    return added
