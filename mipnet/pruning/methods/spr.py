"""The structured perspective regularisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mipnet.errors import MaskError
from mipnet.network import Affine, Network
from mipnet.network.layers import Conv
from mipnet.pruning.base import Array
from mipnet.pruning.methods.regularised import TINY, Regularised, unit_rows
from mipnet.pruning.registry import register_pruner

if TYPE_CHECKING:
    from torch import Tensor


def perspective(square: Tensor, largest: Tensor, alpha: float, bound: Tensor | float) -> Tensor:
    r"""Perspective term of every group of weights.

    .. math::
        z(w) = \min_{0 < y \le 1,\ \|w\|_\infty \le M y}
            \frac{\alpha \|w\|_2^2}{y} + (1 - \alpha) y

    With :math:`\tilde y = \max(\|w\|_\infty / M, \sqrt{\alpha / (1 - \alpha)} \, \|w\|_2)`:

    1. :math:`\tilde y \ge 1`: :math:`\alpha \|w\|_2^2 + 1 - \alpha`,
    2. else, where the second part is the larger one: :math:`2 \sqrt{\alpha (1 - \alpha)} \|w\|_2`,
    3. else: :math:`\alpha \|w\|_2^2 M / \|w\|_\infty + (1 - \alpha) \|w\|_\infty / M`.

    Parameters
    ----------
    square, largest : Tensor, shape (groups,)
        Sum of squares, and largest absolute value, of the weights of a group.
    alpha : float
        Within (0, 1).
    bound : Tensor, shape (groups,), or float
        :math:`M`, above 0.

    Returns
    -------
    Tensor, shape (groups,)
    """
    import torch

    # Where everything is 0 the root would have no gradient.
    norm = square.clamp(min=TINY**2).sqrt()
    by_size, by_norm = largest / bound, (alpha / (1.0 - alpha)) ** 0.5 * norm
    one = alpha * square + (1.0 - alpha)
    two = 2.0 * (alpha * (1.0 - alpha)) ** 0.5 * norm
    three = alpha * square * bound / largest.clamp(min=TINY) + (1.0 - alpha) * by_size
    inner = torch.where(by_size <= by_norm, two, three)
    return torch.where(torch.maximum(by_size, by_norm) >= 1.0, one, inner)


@register_pruner("spr")
@dataclass(kw_only=True)
class SPR(Regularised):
    r"""Structured perspective regularisation, then whole neurons go.

    See :func:`perspective` for the term :math:`z` and :class:`Regularised` for the rest. A unit's
    score is :math:`\tilde y`, the indicator of the relaxed program, not cut off at 1.

    The settings of the paper's comparison are (lam, alpha) = (0.5, 0.9) for 2x50 and 2x100,
    (0.5, 0.5) for 2x200, (1.0, 0.1) for 6x100, trained from scratch with the bounds of a network
    trained without penalty.

    Parameters
    ----------
    lam, alpha, epochs, finetune_epochs, lr, batch_size, start, tolerance, survivors
        See :class:`Regularised`.
    bound : float
        Factor on :math:`M`, the largest absolute weight (biases do not count) of each layer of
        the network given; fixed while training.
    """

    source = (
        "M. Cacciola, A. Frangioni, A. Lodi, Structured Pruning of Neural Networks for Constraints "
        "Learning, arXiv:2307.07457; term of M. Cacciola, A. Frangioni, X. Li, A. Lodi, Deep "
        "Neural Networks Pruning via the Structured Perspective Regularization, arXiv:2206.14056"
    )

    bound: float = 1.0

    def term(self, square: Tensor, largest: Tensor, bound: Tensor) -> Tensor:
        """See :meth:`Regularised.term`."""
        return perspective(square, largest, self.alpha, bound)

    def rate(self, network: Network, reference: Network) -> dict[str, Array]:
        """See :meth:`Regularised.rate`."""
        bounds = self.bounds(reference)
        factor = (self.alpha / (1.0 - self.alpha)) ** 0.5
        return {
            name: np.maximum(
                np.abs(rows).max(axis=1) / bounds[name], factor * np.linalg.norm(rows, axis=1)
            )
            for name, rows in unit_rows(network).items()
        }

    def bounds(self, reference: Network) -> dict[str, float]:
        """Largest absolute weight of every layer, times the factor."""
        if not 0.0 < self.bound < np.inf:
            msg = f"spr: bound must be a finite number above 0, not {self.bound}"
            raise MaskError(msg)
        found = {}
        for node in reference.nodes:
            if isinstance(node.layer, Affine | Conv):
                largest = float(np.abs(node.layer.weight).max(initial=0.0))
                # A layer of zeros has no scale of its own: 1 is as good as any.
                found[node.name] = self.bound * (largest or 1.0)
        return found
