"""A network over a region as a chain of matrix products, without the neurons that are never on.

Splitting neurons bounds many thousands of subproblems of one network, so each pass must be a few
products of small matrices. Over the region a neuron that is proven inactive contributes exactly
nothing and is left out; of the others the unstable ones come first, so that everything a ReLU does
happens in one slice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mipnet.network import INPUT, Affine, Interval, Network
from mipnet.network.layers.base import Array
from mipnet.rounding import gamma

Single = npt.NDArray[np.float32]
Index = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Stage:
    """One affine map, and the ReLU behind it if there is one.

    Attributes
    ----------
    node : str
        The affine node.
    weight : array, shape (n_out, n_in)
        Rows of the neurons kept, unstable ones first; columns as the stage before keeps them.
    bias : array, shape (n_out,)
    neurons : array of int, shape (n_out,)
        Flat positions of the rows in the node.
    unstable : int
        Number of unstable neurons; the rest passes unchanged.
    first : int
        Column of the first unstable neuron among those of all stages.
    lower, upper : array, shape (unstable,)
        Bounds of the unstable neurons.
    size : float
        Bound on ``|W| |h| + |b|`` of any row, which scales the rounding errors.
    """

    node: str
    weight: Array
    bias: Array
    neurons: Index
    unstable: int
    first: int
    lower: Array
    upper: Array
    size: float

    @cached_property
    def single(self) -> tuple[Single, Single]:
        """Weight and bias in float32."""
        return self.weight.astype(np.float32), self.bias.astype(np.float32)

    @property
    def columns(self) -> slice:
        """Columns of the unstable neurons among those of all stages."""
        return slice(self.first, self.first + self.unstable)

    @property
    def error_factor(self) -> float:
        """Relative rounding error of one product with this stage, see :func:`gamma`."""
        return gamma(sum(self.weight.shape) + 8)


@dataclass(frozen=True, eq=False)
class Hull:
    """One upper plane for every unstable neuron of the first stage.

    Attributes
    ----------
    slopes : array, shape (unstable, n_inputs)
    offsets : array, shape (unstable,)
        Rounded up: ``max(0, w x + b) <= slopes . x + offsets`` over the box.
    size : float
        Largest ``|slopes| |x| + |offsets|``.
    """

    slopes: Array
    offsets: Array
    size: float

    @cached_property
    def single(self) -> tuple[Single, Single]:
        """Slopes and offsets in float32."""
        return self.slopes.astype(np.float32), self.offsets.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Chain:
    """Stages from the input to a node.

    Attributes
    ----------
    stages : tuple of Stage
        The last one has no ReLU.
    hull : Hull, optional
        Upper planes of the unstable neurons of the first stage, over the whole region.
    """

    stages: tuple[Stage, ...]
    hull: Hull | None = None

    @property
    def n_unstable(self) -> int:
        """Unstable neurons of all stages."""
        return sum(stage.unstable for stage in self.stages)

    @cached_property
    def lower(self) -> Array:
        """Lower bounds of all unstable neurons, stage by stage."""
        return np.concatenate([stage.lower for stage in self.stages])

    @cached_property
    def upper(self) -> Array:
        """Upper bounds of all unstable neurons, stage by stage."""
        return np.concatenate([stage.upper for stage in self.stages])


def chain_of(
    network: Network, intervals: Mapping[str, Interval], stop: str | None = None
) -> Chain | None:
    """Chain from the input to the affine node ``stop``, the output by default.

    Parameters
    ----------
    network : Network
    intervals : mapping of node name to Interval
        Bounds that hold, batch of one.
    stop : str, optional

    Returns
    -------
    Chain or None
        None for a network that is no chain of affine maps, ReLUs and changes of shape.
    """
    stop = stop or network.output
    stages: list[Stage] = []
    # What reaches the next affine map: largest sizes, and the positions that are kept.
    size = intervals[INPUT].magnitude.reshape(-1)
    kept = np.arange(size.size)
    before, first = INPUT, 0
    for i, node in enumerate(network.nodes):
        if node.inputs != (before,):
            return None
        before = node.name
        if node.layer.kind in {"Flatten", "ReLU"}:
            if node.layer.kind == "ReLU" and not (stages and stages[-1].node == node.inputs[0]):
                return None
            continue
        if not isinstance(node.layer, Affine):
            return None
        rows = np.arange(node.layer.weight.shape[0])
        box = intervals[node.name].reshape((rows.size,))
        lower, upper = box.lower[0], box.upper[0]
        behind = network.nodes[i + 1] if i + 1 < len(network.nodes) else None
        open_ = np.zeros(rows.size, dtype=bool)
        if node.name != stop and behind is not None and behind.layer.kind == "ReLU":
            open_ = (lower < 0.0) & (upper > 0.0)
            rows = np.concatenate([np.flatnonzero(open_), np.flatnonzero(lower >= 0.0)])
        reach = node.layer.absolute[rows][:, kept] @ size[kept] + np.abs(node.layer.bias[rows])
        count = int(open_.sum())
        stages.append(
            Stage(
                node.name,
                np.ascontiguousarray(node.layer.weight[rows][:, kept]),
                node.layer.bias[rows],
                rows,
                count,
                first,
                lower[rows[:count]],
                upper[rows[:count]],
                float(reach.max(initial=0.0)) * (1.0 + 1e-9),
            )
        )
        first += count
        kept, size = rows, box.magnitude[0]
        if node.name == stop:
            return Chain(tuple(stages))
    return None
