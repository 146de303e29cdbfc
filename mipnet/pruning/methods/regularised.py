"""What methods share that train under a penalty on groups and remove what it has shrunk."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError
from mipnet.network import Affine, Layer, Network
from mipnet.network.layers import Conv
from mipnet.pruning.base import Array, Choice, Job, Pruner
from mipnet.pruning.layout import layout
from mipnet.pruning.mask import Mask
from mipnet.pruning.torch_layers import Parameters
from mipnet.pruning.training import Penalty, finetune, initialised, quality
from mipnet.pruning.units import prunable_layers

if TYPE_CHECKING:
    from torch import Tensor

Indices = npt.NDArray[np.int64]
#: The threshold on weights is looked for between 0 and this, in so many halvings.
HIGHEST, HALVINGS = 0.1, 6
#: What the norm and the largest weight of a group are kept from falling below.
TINY = 1e-10
STARTS = ("network", "scratch")


@dataclass(kw_only=True)
class Regularised(Pruner):
    r"""Train under :math:`\lambda \sum_g n_g z(w_g) / \sum_g n_g`, prune, fine-tune.

    A group :math:`g` is the incoming weights of a unit and its bias, of all layers, the output
    layer included; :math:`n_g` is its size. What to keep is decided, without a budget, as
    Cacciola et al. do: the largest threshold below which all weights and biases can be zeroed
    without the training accuracy falling by more than ``tolerance`` points is found by bisection;
    units with at most a share ``survivors`` of their weights above it are removed, the others get
    all their weights back. Under a budget the units of highest score stay.

    Training is gradient descent without momentum, decay or schedule, as in the paper. The authors
    keep the fine-tuning epoch of best test accuracy and drop the constant output of removed units;
    here the rate of the fine-tuning falls to 0 and its last epoch counts, which takes no test set,
    and constants are folded.

    Parameters
    ----------
    lam, alpha : float
        Strength of the penalty, and its share of squares, within (0, 1).
    epochs, finetune_epochs, batch_size : int
    lr : float
    start : {"network", "scratch"}
        Whether training starts from the weights of the network, or from new ones, which follow
        the law of torch as the authors' do.
    tolerance : float
        Percentage points.
    survivors : float
    """

    needs = frozenset({"data", "training"})
    decides = True

    lam: float = 0.5
    alpha: float = 0.5
    epochs: int = 50
    finetune_epochs: int = 10
    lr: float = 0.1
    batch_size: int = 128
    start: str = "network"
    tolerance: float = 0.05
    survivors: float = 0.005

    @abstractmethod
    def term(self, square: Tensor, largest: Tensor, bound: Tensor) -> Tensor:
        """Penalty of groups, shape (groups,).

        Parameters
        ----------
        square, largest : Tensor, shape (groups,)
            Sum of squares, and largest absolute value, of the weights of each group.
        bound : Tensor, shape (groups,)
            What :meth:`bounds` gives for its layer.
        """

    def bounds(self, reference: Network) -> dict[str, float]:
        """Return a number for every layer that the term depends on; 1 unless overridden.

        Parameters
        ----------
        reference : Network
            The network as it was given, before training.
        """
        return {node.name: 1.0 for node in reference.nodes if isinstance(node.layer, Affine | Conv)}

    @abstractmethod
    def rate(self, network: Network, reference: Network) -> dict[str, Array]:
        """Scores of the units of a trained network; see :meth:`Pruner.scores`."""

    def scores(
        self, network: Network, data: Array | None, rng: np.random.Generator
    ) -> Mapping[str, Array]:
        """Scores without any training; see :meth:`Pruner.scores`."""
        del data, rng
        return self.rate(network, network)

    def choose(self, job: Job) -> Choice:
        """See :meth:`Pruner.choose`."""
        self._check()
        begin = job.network
        if self.start == "scratch":
            # Larger first weights would outlast the penalty in the paper's 50 epochs.
            begin = initialised(begin, job.seed, "torch")
        penalty = self.penalty(job.network)
        trained = self._train(job, begin, self.epochs, "constant", penalty)
        scores = self.rate(trained, job.network)
        if job.asked is None:
            return Choice(self._survivors(job, trained, scores), scores, trained)
        return Choice(job.select(scores, trained), scores, trained)

    def finish(self, job: Job, masked: Network, mask: Mask) -> Network:
        """See :meth:`Pruner.finish`."""
        del mask
        return self._train(job, masked, self.finetune_epochs, "cosine")

    def penalty(self, reference: Network) -> Penalty:
        """Return the weighted mean of the terms of all groups, times ``lam``."""
        bounds = self.bounds(reference)

        def value(parameters: Parameters) -> Tensor:
            import torch

            squares, largest, sizes = [], [], []
            for name in bounds:
                weight, bias = parameters[name]
                flat = weight.flatten(1)
                squares.append(torch.linalg.vector_norm(flat, dim=1).square() + bias.square())
                # The gradient of one weight a group costs a quarter of that of a maximum.
                held = flat.detach().abs()
                place = (held == held.amax(dim=1, keepdim=True)).to(torch.uint8).argmax(dim=1)
                ends = flat.gather(1, place[:, None])[:, 0].abs()
                largest.append(torch.maximum(ends, bias.abs()))
                sizes.append((flat.shape[1] + 1, len(bias), bounds[name]))
            like = squares[0]
            size = torch.cat([like.new_full((count,), n) for n, count, _ in sizes])
            bound = torch.cat([like.new_full((count,), m) for _, count, m in sizes])
            # All layers at once: on small networks it is the number of operations that costs.
            terms = self.term(torch.cat(squares), torch.cat(largest), bound)
            return self.lam * (size * terms).sum() / size.sum()

        return value

    def _train(
        self,
        job: Job,
        network: Network,
        epochs: int,
        schedule: str,
        penalty: Penalty | None = None,
    ) -> Network:
        return finetune(
            network,
            *job.examples,
            epochs=epochs,
            lr=self.lr,
            batch_size=self.batch_size,
            seed=job.seed,
            dtype=job.network.dtype,
            optimizer="sgd",
            schedule=schedule,
            penalty=penalty,
        )

    def _survivors(
        self, job: Job, trained: Network, scores: Mapping[str, Array]
    ) -> dict[str, Indices]:
        """Units that keep more than a share of their weights above the threshold."""
        threshold = self.threshold(job, trained)
        shares = {}
        for name in scores:
            weight = trained.by_name[name].layer.parameters[0]
            shares[name] = (np.abs(weight) > threshold).reshape(len(weight), -1).mean(axis=1)
        found = layout(trained)
        alive, leader = found.join(shares) > self.survivors, found.leader
        # What falls together stays when any of it survives; what has no choice stays.
        stays = np.zeros(found.count, bool)
        stays[leader[alive & (leader >= 0)]] = True
        stays = np.where(leader < 0, True, stays[leader])
        kept = {}
        for name, flags in found.split(stays.astype(np.float64)).items():
            units = np.flatnonzero(flags)
            # A layer is never emptied; its best unit stays, with what falls together with it.
            lead = leader[found.start[name] : found.start[name] + flags.size]
            best = lead == lead[int(np.argmax(scores[name]))]
            kept[name] = units if units.size else np.flatnonzero(best)
        return kept

    def threshold(self, job: Job, trained: Network) -> float:
        """Largest threshold found that costs less than ``tolerance`` points on the training set."""
        dense = quality(trained, *job.examples)
        low, high = 0.0, HIGHEST
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            loss = 100.0 * (dense - quality(_cut(trained, middle), *job.examples))
            low, high = (middle, high) if loss < self.tolerance else (low, middle)
        return low

    def _check(self) -> None:
        if not 0.0 < self.alpha < 1.0 or not 0.0 <= self.lam < np.inf:
            msg = f"{self.name}: alpha must lie within (0, 1) and lam be finite, from 0 on; "
            msg += f"got {self.alpha}, {self.lam}"
            raise MaskError(msg)
        if self.start not in STARTS:
            msg = f"{self.name}: unknown start {self.start!r}; there are {', '.join(STARTS)}"
            raise MaskError(msg)


def _cut(network: Network, threshold: float) -> Network:
    """Network without the weights and biases of at most that size."""
    layers: dict[str, Layer] = {}
    for node in network.nodes:
        if isinstance(node.layer, Affine | Conv):
            pair = node.layer.weight, node.layer.bias
            weight, bias = (np.where(np.abs(p) > threshold, p, 0.0) for p in pair)
            layers[node.name] = replace(node.layer, weight=weight, bias=bias)
    return network.with_layers(layers)


def unit_rows(network: Network) -> dict[str, Array]:
    """Incoming weights and bias of every removable unit, by layer, shape (width, n)."""
    found = {}
    for name in prunable_layers(network):
        weight, bias = network.by_name[name].layer.parameters
        found[name] = np.column_stack([weight.reshape(len(weight), -1), bias])
    return found
