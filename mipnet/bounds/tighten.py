"""LP tightening of unstable neurons (Tjeng, Xiao and Tedrake, ICLR 2019), with safe bounds.

Every bound is recomputed from the dual vector in interval arithmetic, so neither the tolerance of
the solver nor an early stop can make it wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from formulations import AffineForm, ProgramArrays
from mipnet.bounds.data import deciders, unstable
from mipnet.bounds.safe import dual_bounds
from mipnet.clocks import Stopwatch
from mipnet.encode import encode
from mipnet.network import Interval, Network
from mipnet.network.layers.base import Array
from mipnet.region import Region
from mipnet.solver.sequence import LinearSequence

#: Neurons tried before it is asked whether tightening a layer pays.
_TRIAL = 12
#: Average shrinkage of the intervals, as a share of their width, below which it does not.
_WORTH = 0.05


@dataclass
class _Layer:
    """Shared state of the threads that tighten one layer; ``signs``: a sign settles a neuron."""

    lower: Array
    upper: Array
    queue: Iterator[int]
    watch: Stopwatch
    signs: bool = True
    lock: threading.Lock = field(default_factory=threading.Lock)
    tried: int = 0
    shrunk: float = 0.0
    settled: int = 0

    def next(self) -> int | None:
        with self.lock:
            idle = self.tried >= _TRIAL and self.settled < 0.05 * self.tried
            if self.watch.expired or (idle and self.shrunk < _WORTH * self.tried):
                return None
            return next(self.queue, None)

    def record(self, neuron: int, low: float, high: float) -> None:
        with self.lock:
            before = self.upper[neuron] - self.lower[neuron]
            self.lower[neuron] = max(self.lower[neuron], low)
            self.upper[neuron] = min(self.upper[neuron], high)
            self.tried += 1
            self.shrunk += 1.0 - (self.upper[neuron] - self.lower[neuron]) / before
            self.settled += bool(self.lower[neuron] >= 0.0 or self.upper[neuron] <= 0.0)


def tighten_layer(
    network: Network,
    region: Region,
    intervals: dict[str, Interval],
    name: str,
    watch: Stopwatch,
    *,
    threads: int = 1,
) -> Interval:
    """Tighten the unstable neurons of the node ``name`` by two linear programs each.

    The side nearer to zero comes first; when it settles the phase, the other is left alone.

    Parameters
    ----------
    network : Network
    region : Region
    intervals : mapping of node name to Interval
        Bounds of ``name`` and of every node before it, batch of one.
    name : str
        A node whose value a nonlinear node reads.
    watch : Stopwatch
        The budget.
    threads : int
        Linear programs solved at once.

    Returns
    -------
    Interval
        The known bounds, tightened where it paid.
    """
    known = intervals[name]
    shape = known.lower.shape[1:]
    lower, upper = known.lower.reshape(-1).copy(), known.upper.reshape(-1).copy()
    readers = deciders(network).get(name, [])
    signs = all(layer.hinged for layer in readers)
    open_ = np.flatnonzero((lower < 0.0) & (upper > 0.0) if signs else unstable(readers, known))
    if not open_.size or watch.expired:
        return known
    names = [n.name for n in network.nodes]
    prefix = replace(network, nodes=network.nodes[: names.index(name) + 1])
    encoding = encode(
        prefix, region, intervals, formulation_name="triangle", relaxed=True, max_big_m=np.inf
    )
    arrays, forms = encoding.arrays(), encoding.output
    nearest = open_[np.argsort(np.minimum(-lower[open_], upper[open_]))]
    state = _Layer(lower, upper, iter(nearest.tolist()), watch, signs)

    def work() -> None:
        sequence = LinearSequence(arrays)
        while (neuron := state.next()) is not None:
            state.record(neuron, *_tighten(sequence, arrays, forms, neuron, state))

    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        for future in [pool.submit(work) for _ in range(max(1, threads))]:
            future.result()
    return Interval(lower[None], upper[None]).reshape(shape)


def _tighten(
    sequence: LinearSequence,
    arrays: ProgramArrays,
    forms: AffineForm,
    neuron: int,
    state: _Layer,
) -> tuple[float, float]:
    low, high = float(state.lower[neuron]), float(state.upper[neuron])
    row: npt.NDArray[np.intp] = np.array([neuron])
    form = forms.select(row)
    cost = form.matrix(arrays.n_columns).toarray().ravel()
    constant = float(form.constant[0])
    for sign in (1.0, -1.0) if -low < high else (-1.0, 1.0):
        duals = sequence.duals(sign * cost, state.watch.left)
        if duals is None:
            continue
        value = float(dual_bounds(sequence.arrays, sign * cost[None], duals[None])[0])
        value = float(np.nextafter(value + sign * constant, -np.inf))
        low, high = (max(low, value), high) if sign > 0 else (low, min(high, -value))
        if state.signs and (low >= 0.0 or high <= 0.0):
            break
    return low, high
