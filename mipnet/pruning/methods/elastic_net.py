"""The group elastic net, the regularisation SPR is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mipnet.network import Network
from mipnet.pruning.base import Array
from mipnet.pruning.methods.regularised import TINY, Regularised, unit_rows
from mipnet.pruning.registry import register_pruner

if TYPE_CHECKING:
    from torch import Tensor


@register_pruner("elastic_net")
@dataclass(kw_only=True)
class ElasticNet(Regularised):
    r"""Group elastic net, :math:`z(w) = \alpha \|w\|_2^2 + (1 - \alpha) \|w\|_2`.

    Everything else as in :class:`~mipnet.pruning.methods.spr.SPR`; strengths of the two are not
    comparable. A unit's score is the norm of its incoming weights and bias after training.

    Parameters
    ----------
    lam, alpha, epochs, finetune_epochs, lr, batch_size, start, tolerance, survivors
        See :class:`~mipnet.pruning.methods.regularised.Regularised`.
    """

    source = (
        "comparison of M. Cacciola, A. Frangioni, A. Lodi, Structured Pruning of Neural Networks "
        "for Constraints Learning, arXiv:2307.07457 (choice l1l2 of the authors' code)"
    )

    def term(self, square: Tensor, largest: Tensor, bound: Tensor) -> Tensor:
        """See :meth:`Regularised.term`."""
        del largest, bound
        # Where everything is 0 the root would have no gradient.
        norm = square.clamp(min=TINY**2).sqrt()
        return self.alpha * square + (1.0 - self.alpha) * norm

    def rate(self, network: Network, reference: Network) -> dict[str, Array]:
        """See :meth:`Regularised.rate`."""
        del reference
        return {
            name: np.asarray(np.linalg.norm(rows, axis=1))
            for name, rows in unit_rows(network).items()
        }
