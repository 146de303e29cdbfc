"""Plain arrays: weights and biases of a ReLU network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import ReadError
from mipnet.network.network import Network
from mipnet.network.readers.base import Reader, register_reader
from mipnet.network.readers.combine import relu
from mipnet.network.readers.graph import Graph
from mipnet.network.readers.products import dense
from mipnet.network.readers.values import located


def from_arrays(
    weights: Sequence[npt.ArrayLike],
    biases: Sequence[npt.ArrayLike | None] | None = None,
    *,
    lower: npt.ArrayLike | None = None,
    upper: npt.ArrayLike | None = None,
    names: Sequence[str] | None = None,
    source: str = "arrays",
) -> Network:
    """Network ``y = W x + b`` per layer, with ReLU after every layer but the last.

    Parameters
    ----------
    weights : sequence of array_like, shape (n_out, n_in)
    biases : sequence of array_like, shape (n_out,), optional
        Zeros where None.
    lower, upper : array_like, scalar or shape (n_in,), optional
        Bounds of the inputs; a missing side is infinite.
    names : sequence of str, optional
        Names of the affine layers; ``affine0``, ``affine1``, ... when absent.
    source : str
        Where the arrays come from, for messages and reports.

    Raises
    ------
    ReadError
        When there are no weights, their numbers differ or they are no numbers.
    NetworkError
        When shapes do not fit or values are NaN or infinite.

    Examples
    --------
    >>> net = from_arrays([[[1.0, -1.0], [2.0, 0.0]], [[1.0, 1.0]]], [[0.0, -1.0], [0.5]])
    >>> net([3.0, 1.0])
    array([7.5])
    """
    count = len(weights)
    biases = [None] * count if biases is None else biases
    names = [f"affine{k}" for k in range(count)] if names is None else names
    if not count or len(biases) != count or len(names) != count:
        msg = (
            f"{source}: needs as many weights as biases and names, at least one; got {count} "
            f"weights, {len(biases)} biases, {len(names)} names"
        )
        raise ReadError(msg)
    graph = Graph(source)
    with located(source):
        value = dense(graph, names[0], None, weights[0], biases[0])
        for k in range(1, count):
            value = relu(graph, f"relu{k - 1}", value)
            value = dense(graph, names[k], value, weights[k], biases[k])
        bounds = None
        if lower is not None or upper is not None:
            bounds = (-np.inf if lower is None else lower, np.inf if upper is None else upper)
        return graph.finish(value, input_bounds=bounds)


@register_reader("arrays")
class ArraysReader(Reader):
    """``(weights, biases)``, or a sequence of pairs ``(weight, bias)``."""

    takes = "(weights, biases) or a list of (weight, bias), weights of shape (n_out, n_in)"

    def accepts(self, source: object) -> bool:
        """See :meth:`Reader.accepts`."""
        return (
            isinstance(source, (list, tuple))
            and all(isinstance(item, (Sequence, np.ndarray)) for item in source)
            and _layers(source) is not None
        )

    def read(
        self,
        source: Sequence[Any],
        *,
        lower: npt.ArrayLike | None = None,
        upper: npt.ArrayLike | None = None,
        names: Sequence[str] | None = None,
    ) -> Network:
        """See :func:`from_arrays`."""
        layers = _layers(source)
        if layers is None:
            msg = f"arrays: expected {self.takes}"
            raise ReadError(msg)
        return from_arrays(*layers, lower=lower, upper=upper, names=names)


def _layers(source: Sequence[Any]) -> tuple[list[Any], list[Any]] | None:
    """Weights and biases of either form; None when the source has neither."""
    if len(source) == 2 and _rank(source[0]) == 2 and _rank(source[1]) == 1:
        return [source[0]], [source[1]]
    pairs = len(source) > 0 and all(len(item) == 2 for item in source)
    if pairs and all(_rank(weight) == 2 and _rank(bias) in (1, None) for weight, bias in source):
        return [pair[0] for pair in source], [pair[1] for pair in source]
    if len(source) == 2 and any(_rank(weight) == 2 for weight in source[0]):
        return list(source[0]), list(source[1])
    return None


def _rank(values: Any) -> int | None:
    """Return the number of axes; None for None, -1 for what is no array."""
    if values is None:
        return None
    try:
        return int(np.ndim(values))
    except ValueError:
        return -1
