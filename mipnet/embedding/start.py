"""Full start vectors for a model of network blocks: values at hand, or a forward pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mipnet.embedding.compile import CompiledModel

Array = npt.NDArray[np.float64]

#: Largest violation of a start vector that is handed over.
FEASIBLE = 1e-6


@dataclass(frozen=True, eq=False)
class Start:
    """A feasible full column vector.

    Attributes
    ----------
    values : array, shape (n_columns,)
    given : bool
        Whether every variable had a value: an earlier solution, or the user's own.
    """

    values: Array
    given: bool


def find_start(compiled: CompiledModel) -> Start | None:
    """Best feasible one of: the loaded values, and forward passes from them and the mid-point.

    Inputs without a value start in the middle of their bounds, other variables at the value
    nearest to zero; network blocks are run forward in order of declaration.
    """
    loaded = np.array(
        [np.nan if v.value is None else v.value for v in compiled.variables], dtype=np.float64
    )
    candidates = [] if np.isnan(loaded).any() else [Start(loaded, True)]
    candidates.append(Start(_forward(compiled, loaded), False))
    if not np.isnan(loaded).all():
        fixed = np.where(compiled.arrays.lower == compiled.arrays.upper, loaded, np.nan)
        candidates.append(Start(_forward(compiled, fixed), False))
    feasible = [c for c in candidates if compiled.arrays.violation(c.values) <= FEASIBLE]
    return min(feasible, key=lambda c: compiled.arrays.objective(c.values), default=None)


def _forward(compiled: CompiledModel, loaded: Array) -> Array:
    """Fill the gaps of ``loaded`` and make the columns of every block follow from its inputs."""
    arrays = compiled.arrays
    low = np.where(np.isfinite(arrays.lower), arrays.lower, np.minimum(arrays.upper, 0.0))
    high = np.where(np.isfinite(arrays.upper), arrays.upper, np.maximum(arrays.lower, 0.0))
    values = np.where(np.isnan(loaded), np.clip(0.0, low, high), loaded)
    known = ~np.isnan(loaded)
    for block in compiled.blocks:
        columns = compiled.columns(block.rows.columns)
        if (columns < 0).any():
            continue
        inputs = columns[block.embedded.encoding.inputs]
        middle = 0.5 * (low[inputs] + high[inputs])
        middle = np.where(arrays.integer[inputs], np.ceil(middle - 0.5), middle)
        point = np.where(known[inputs], values[inputs], middle)
        values[columns] = block.embedded.encoding.complete(
            np.clip(point, low[inputs], high[inputs])
        )
        known[columns] = True
    return values
