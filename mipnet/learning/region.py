"""Sets of inputs that a trained network can be trusted on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from formulations import Program
from mipnet.embedding.inputs import is_pandas
from mipnet.errors import RegionError

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]

#: Units of inputs are powers of two within this range.
_LEAST, _MOST = 2.0**-20, 2.0**20


class TrustRegion(ABC):
    """A set of inputs, learned from data, that can be written as rows and integers.

    Attributes
    ----------
    n_inputs : int
    names : tuple or None
        Names of the inputs, in order, where the data had them.
    tolerance : float
        Largest :meth:`outside` of a point that counts as inside.
    """

    n_inputs: int
    names: tuple[Any, ...] | None
    tolerance: float = 0.0

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return (self.n_inputs,)

    @property
    def input_bounds(self) -> tuple[Array, Array] | None:
        """Box that holds the whole set; None where there is none."""
        return None

    @property
    def needs_bounds(self) -> bool:
        """Whether the rows are valid only within bounds of the inputs."""
        return self.input_bounds is None

    @abstractmethod
    def encode(self, program: Program, inputs: Index, whole: Flags) -> None:
        """Append columns and rows that hold the inputs in the set.

        Parameters
        ----------
        program : Program
            With the columns of the inputs, within their bounds.
        inputs : array of int32, shape (n_inputs,)
        whole : array of bool, shape (n_inputs,)
            Inputs that take whole numbers only.

        Raises
        ------
        EmbeddingError
            When no point of the bounds is in the set, as far as that is seen here.
        """

    @abstractmethod
    def measure(self, points: Array) -> Array:
        """By how much points of shape (n, n_inputs) are outside; not positive inside."""

    @abstractmethod
    def describe(self) -> str:
        """One line for reports."""

    def outside(self, points: npt.ArrayLike) -> Array:
        """By how much points are outside; see the class for the unit.

        Parameters
        ----------
        points : array_like, shape (n, n_inputs) or (n_inputs,)

        Returns
        -------
        array, shape (n,)
            0 where a point is inside.

        Raises
        ------
        RegionError
            When a point has another number of inputs, or a value is missing.
        """
        given = points.to_numpy() if is_pandas(points) else points  # type: ignore[union-attr]
        try:
            found = np.atleast_2d(np.asarray(given, dtype=np.float64))
        except (TypeError, ValueError) as error:
            msg = f"the points are no table of numbers: {error}"
            raise RegionError(msg) from error
        if found.ndim != 2 or found.shape[1] != self.n_inputs or not np.isfinite(found).all():
            msg = f"points need {self.n_inputs} finite values each; given: shape {found.shape}"
            raise RegionError(msg)
        return np.maximum(self.measure(found), 0.0)

    def contains(self, points: npt.ArrayLike) -> Flags:
        """Whether points are inside, to within :attr:`tolerance`; see :meth:`outside`."""
        return np.asarray(self.outside(points) <= self.tolerance)

    def __deepcopy__(self, memo: dict[int, Any]) -> TrustRegion:
        return self


def table_of(data: Any) -> tuple[Array, tuple[Any, ...] | None]:
    """Points and names of a table of numbers.

    Parameters
    ----------
    data : DataFrame or array_like, shape (n, n_inputs)

    Raises
    ------
    RegionError
        When there is no row or no column, or a cell is no finite number; names it.
    """
    names = None
    if is_pandas(data):
        if data.ndim != 2:
            msg = "expected a DataFrame with a column for each input, not a Series"
            raise RegionError(msg)
        names = tuple(data.columns.tolist())
        data = data.to_numpy(dtype=object)
    try:
        points = np.asarray(data)
        if points.ndim != 2 or not points.size:
            msg = f"expected a table with a row for each point and at least one: {points.shape}"
            raise RegionError(msg)
        values = points.astype(np.float64)
    except (TypeError, ValueError) as error:
        if isinstance(error, RegionError):
            raise
        msg = f"the data are no table of numbers: {error}; encode categories as numbers first"
        raise RegionError(msg) from error
    for row, column in np.argwhere(~np.isfinite(values))[:1].tolist():
        named = column if names is None else repr(names[column])
        count = int(np.count_nonzero(~np.isfinite(values)))
        msg = f"row {row}, column {named} is {values[row, column]} ({count} such cell(s)); leave "
        raise RegionError(msg + "the rows out or fill the gaps")
    return values, names


def units(lower: Array, upper: Array) -> Array:
    """Power of two next to the width of each input, so that tolerances mean the same for all."""
    width = np.where(upper > lower, upper - lower, 1.0)
    return np.asarray(np.clip(np.exp2(np.round(np.log2(width))), _LEAST, _MOST))
