"""The problem a network file states: minimise a linear function of the outputs over a box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mipnet.errors import RegionError
from mipnet.network import Network
from mipnet.network.readers import load, read_problem
from mipnet.search import Optimum, minimize

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Problem:
    """``min objective . outputs`` over ``lower <= inputs <= upper``.

    Attributes
    ----------
    network : Network
    lower, upper : array, shape (n_inputs,) or (1,)
    objective : array, shape (n_outputs,)
    """

    network: Network
    lower: Array
    upper: Array
    objective: Array

    def minimize(self, *, time_limit: float | None, threads: int, seed: int) -> Optimum:
        """Solve the problem; parameters as for :func:`mipnet.minimize`."""
        return minimize(
            self.network,
            self.objective,
            (self.lower, self.upper),
            time_limit=time_limit,
            threads=threads,
            seed=seed,
        )

    def value(self, point: Array) -> float:
        """Objective at a point, by a float64 forward pass."""
        return float(self.objective @ self.network(point).reshape(-1))


def open_problem(
    path: Path,
    lower: Sequence[float] | None = None,
    upper: Sequence[float] | None = None,
    objective: Sequence[float] | None = None,
) -> Problem:
    """Read a problem from a network file; what is given overrides the file.

    Parameters
    ----------
    path : Path
        Any file :func:`mipnet.load` reads; an ``.npz`` file may hold ``lb``, ``ub`` and ``c``.
    lower, upper, objective : sequence of float, optional
        One number for all elements, or one for each. The first output when there is no objective.

    Raises
    ------
    RegionError
        When a bound is in neither.
    ReadError, UnsupportedError, NetworkError
        When the file is no network.
    """
    weights = None
    if path.suffix.lower() == ".npz":
        stored = read_problem(path)
        network, low, high, weights = stored.network, stored.lower, stored.upper, stored.objective
    else:
        network = load(path)
        low, high = network.input_bounds or (None, None)
    low = low if lower is None else np.array(lower, np.float64)
    high = high if upper is None else np.array(upper, np.float64)
    if low is None or high is None:
        sides = [name for name, side in (("lower", low), ("upper", high)) if side is None]
        msg = (
            f"{path}: no {' and '.join(sides)} bounds of the inputs; give --lower and --upper, or "
            "store lb and ub in an .npz file"
        )
        raise RegionError(msg)
    if objective is not None:
        weights = np.array(objective, np.float64)
        if weights.size == 1:
            weights = np.full(network.n_outputs, weights[0])
    elif weights is None:
        weights = np.eye(network.n_outputs)[0]
    return Problem(network, low, high, weights)
