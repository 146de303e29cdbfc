"""MLP-Rank: weighted PageRank from the inputs towards the outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mipnet.errors import GraphError, MaskError
from mipnet.graph import mlp_rank
from mipnet.network import Network
from mipnet.network.layers import Conv
from mipnet.pruning.base import Array, Pruner
from mipnet.pruning.layout import drawn, layout
from mipnet.pruning.registry import register_pruner


@register_pruner("mlp_rank")
@dataclass(kw_only=True)
class MLPRank(Pruner):
    """Importance handed on along the weights; see :func:`mipnet.graph.mlp_rank`.

    The published method is for fully connected networks. Elsewhere a layer starts from the ranks
    of the units it reads, divided among the columns of a unit, and from norms of activations where
    it reads something else; sizes of a kernel are added up.

    Parameters
    ----------
    gamma, theta : float
        Damping, and weight of sizes against support; each in [0, 1].
    modified : bool
        The variant that takes neither.
    samples : int or None
        Calibration inputs drawn from the data for the norms; None takes all.
    """

    source = (
        "D. Hoffmann, MLP-Rank: a graph theoretical approach to structured pruning of deep neural "
        "networks based on weighted PageRank centrality; github.com/amazon-science/mlp-rank-pruning"
    )
    needs = frozenset({"data"})

    gamma: float = 0.9
    theta: float = 0.5
    modified: bool = False
    samples: int | None = 64

    def scores(
        self, network: Network, data: Array | None, rng: np.random.Generator
    ) -> Mapping[str, Array]:
        """See :meth:`Pruner.scores`."""
        trace = network.trace(drawn(data, rng, self.samples))
        found = layout(network)
        ranks = np.zeros(found.count)
        scores = {}
        for name, group in found.groups.items():
            source = network.by_name[name].inputs[0]
            norms = _norms(np.asarray(trace[source], dtype=np.float64))
            start = norms / norms.sum() if norms.sum() > 0.0 else norms + 1.0 / norms.size
            owner = found.columns.get(name)
            if owner is not None:
                share = np.maximum(found.sums(owner, np.ones(owner.size)), 1.0)
                start = np.where(owner >= 0, (ranks / share)[owner], start)
            outputs = _norms(np.maximum(np.asarray(trace[name], dtype=np.float64), 0.0))
            try:
                (rank,) = mlp_rank(
                    [_matrix(network, name)],
                    [outputs],
                    start,
                    gamma=self.gamma,
                    theta=self.theta,
                    modified=self.modified,
                )
            except GraphError as error:
                msg = f"mlp_rank, layer {name!r}: {error}"
                raise MaskError(msg) from error
            ranks[found.start[name] : found.start[name] + group.width] = rank
            scores[name] = rank
        return scores


def _norms(values: Array) -> Array:
    """L2 norm of every neuron or channel over batch and positions."""
    flat = values.reshape(*values.shape[:2], -1)
    return np.asarray(np.sqrt(np.square(flat).sum(axis=(0, 2))))


def _matrix(network: Network, name: str) -> Array:
    """Sizes of the weights from every input to every output, shape (n_out, n_in)."""
    layer = network.by_name[name].layer
    weight = np.abs(layer.parameters[0])
    sizes = weight.reshape(*weight.shape[:2], -1).sum(axis=2)
    parts = layer.groups if isinstance(layer, Conv) else 1
    if parts == 1:
        return np.asarray(sizes)
    n_out, n_in = sizes.shape
    dense = np.zeros((parts, n_out // parts, parts, n_in))
    dense[np.arange(parts), :, np.arange(parts)] = sizes.reshape(parts, -1, n_in)
    return dense.reshape(n_out, parts * n_in)
