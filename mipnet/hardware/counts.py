"""Counts that stay exact: what 64 bits hold, sums beyond that, and refusals that name the GEMM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from mipnet.errors import QueryError

#: Largest count of one GEMM; sums of two of them still fit 64 bits.
LARGEST = 2**62


class CountError(QueryError):
    """A figure of one GEMM, all its repetitions, is beyond exact 64-bit counts.

    Attributes
    ----------
    where : int or str
        Index of the GEMM, or its name.
    what : str
        The figure and the remedy.
    """

    def __init__(self, where: int | str, what: str) -> None:
        self.where, self.what = where, what
        label = f"number {where}" if isinstance(where, int) else repr(where)
        super().__init__(f"GEMM {label}: {what}")


@contextmanager
def located(place: Callable[[int], int | str]) -> Iterator[None]:
    """Let refusals from inside say which GEMM they are about."""
    try:
        yield
    except CountError as error:
        where = error.where
        raise CountError(place(where) if isinstance(where, int) else where, error.what) from None


def total(counts: npt.ArrayLike) -> int:
    """Sum of counts that are not negative, exact at any size."""
    values = np.asarray(counts)
    if not values.size or int(values.max()) * values.size <= LARGEST:
        return int(values.sum())
    return sum(values.reshape(-1).tolist())
