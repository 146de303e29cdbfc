"""A network over a region as a chain of matrix products, without the neurons that are never on.

Splitting neurons bounds many thousands of subproblems of one network, so each pass must be a few
products of small matrices. Over the region a neuron that is proven inactive contributes exactly
nothing and is left out; of the others the unstable ones come first, so that everything a ReLU does
happens in one slice. Values needed further on pass through the stages between unchanged.
:mod:`mipnet.bounds.chaining` makes chains.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from mipnet.network.layers.base import Array
from mipnet.rounding import gamma

Single = npt.NDArray[np.float32]
Index = npt.NDArray[np.intp]
Weight = Array | sp.csr_array


@dataclass(frozen=True, eq=False)
class Stage:
    """One affine map, and the ReLU behind it if there is one.

    Attributes
    ----------
    node : str
        The node whose neurons are made here.
    weight : array or sparse array, shape (n_out, n_in)
        Rows of the neurons kept, unstable ones first, then of what passes through; columns as the
        stage before has rows.
    bias : array, shape (n_out,)
    neurons : array of int
        Flat positions in the node of the first rows; at least of the unstable ones.
    unstable : int
        Number of unstable neurons; the rest passes unchanged.
    first : int
        Column of the first unstable neuron among those of all stages.
    lower, upper : array, shape (unstable,)
        Bounds of the unstable neurons.
    size : float
        Bound on ``|W| |h| + |b|`` of any row, which scales the rounding errors.
    terms : int
        Roundings behind an entry of the weight, where it is a product of several maps.
    """

    node: str
    weight: Weight
    bias: Array
    neurons: Index
    unstable: int
    first: int
    lower: Array
    upper: Array
    size: float
    terms: int = 0

    @property
    def n_out(self) -> int:
        """Number of rows."""
        return int(self.weight.shape[0])

    @property
    def products(self) -> int:
        """Products of one pass of one row."""
        if isinstance(self.weight, np.ndarray):
            return self.weight.size
        return int(self.weight.nnz)

    @cached_property
    def single(self) -> tuple[Single | sp.csr_array, Single]:
        """Weight and bias in float32."""
        return self.weight.astype(np.float32), self.bias.astype(np.float32)

    @property
    def columns(self) -> slice:
        """Columns of the unstable neurons among those of all stages."""
        return slice(self.first, self.first + self.unstable)

    @property
    def error_factor(self) -> float:
        """Relative rounding error of one product with this stage, see :func:`gamma`."""
        return gamma(sum(self.weight.shape) + self.terms + 8)


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
