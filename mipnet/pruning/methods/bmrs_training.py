"""Training with multiplicative noise on every removable unit, in plain torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import e, log, pi, sqrt
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from mipnet.errors import NetworkError
from mipnet.network import INPUT, Network
from mipnet.pruning.methods.bmrs_evidence import CLIP, HIGH, LOG_SIGMA, LOW, expectation
from mipnet.pruning.torch_layers import RULES, from_torch, to_torch
from mipnet.pruning.training import loss_of, require_torch
from mipnet.pruning.units import is_reader, units_of

if TYPE_CHECKING:
    from torch import Tensor

Array = npt.NDArray[np.float64]
S = TypeVar("S", bound=np.generic)
#: What multiplies the values of each node.
Factors = Mapping[str, "Tensor"]

#: First values of mu and log sigma: noise close to 1.
START = (0.0, -5.0)


class Noise:
    """Noise variables of all units of a network, as vectors over unit numbers.

    Attributes
    ----------
    mu, log_sigma : Tensor, shape (units,)
    keep : Tensor, shape (units,)
        1 for units that stay, 0 for removed ones.
    """

    def __init__(self, network: Network, dtype: Any, averaging: str) -> None:
        torch = require_torch()
        units = units_of(network)
        self.ids = {name: group.ids for name, group in units.groups.items()}
        self.mu = torch.full((units.count,), START[0], dtype=dtype, requires_grad=True)
        self.log_sigma = torch.full((units.count,), START[1], dtype=dtype, requires_grad=True)
        self.keep = torch.ones(units.count, dtype=dtype)
        self.share = torch.ones(units.count, dtype=torch.float64)
        if averaging == "mean":
            for ids in self.ids.values():
                own = np.unique(ids[ids >= 0])
                self.share[own] = 1.0 / (len(self.ids) * len(own))
        #: Where each node that layers read units from lies among all elements with noise.
        self.places: dict[str, tuple[slice, tuple[int, ...]]] = {}
        index: list[npt.NDArray[np.int64]] = []
        for name in dict.fromkeys(network.by_name[reader].inputs[0] for reader in units.columns):
            numbers = units.elements[name]
            if (numbers >= 0).any():
                start = sum(len(part) for part in index)
                self.places[name] = (slice(start, start + numbers.size), numbers.shape)
                index.append(numbers.reshape(-1))
        joined = np.concatenate(index) if index else np.zeros(0, np.int64)
        self.index = torch.tensor(np.maximum(joined, 0))
        self.fixed = torch.tensor(joined < 0) if (joined < 0).any() else None

    def sigma(self) -> Tensor:
        """Return the standard deviations."""
        sigma: Tensor = self.log_sigma.clamp(*LOG_SIGMA).exp()
        return sigma

    def divergence(self) -> Tensor:
        """KL divergence from the prior, averaged over units and layers, or summed."""
        torch = require_torch()
        mu, log_sigma = self.mu.double(), self.log_sigma.double().clamp(*LOG_SIGMA)
        sigma = log_sigma.exp()
        alpha, beta = (LOW - mu) / sigma, (HIGH - mu) / sigma
        right = alpha + beta > 0
        low, high = torch.where(right, -beta, alpha), torch.where(right, -alpha, beta)
        top = torch.special.log_ndtr(high)
        log_z = top + (-torch.expm1(torch.special.log_ndtr(low) - top)).log()
        ends = [t * (-0.5 * t**2 - 0.5 * log(2 * pi) - log_z).exp() for t in (alpha, beta)]
        each = -log_sigma - log_z - 0.5 * (ends[0] - ends[1])
        constant = log(HIGH - LOW) - 0.5 * log(2 * pi * e)
        total: Tensor = (self.share * (each + constant)).sum()
        return total

    def drawn(self, items: int, generator: Any) -> Factors:
        """Noise drawn for every element of every item, by node."""
        torch = require_torch()
        sigma = self.sigma()
        low = torch.special.ndtr((LOW - self.mu) / sigma)
        mass = torch.special.ndtr((HIGH - self.mu) / sigma) - low
        low, mass, mu, sigma, keep = torch.stack([low, mass, self.mu, sigma, self.keep])[
            :, self.index
        ]
        share = torch.rand((items, len(self.index)), generator=generator, dtype=mu.dtype)
        quantile = (low + share * mass).clamp(CLIP, 1.0 - CLIP)
        normal = torch.erfinv(2.0 * quantile - 1.0) * sqrt(2.0)
        return self._by_node((mu + sigma * normal).clamp(LOW, HIGH).exp() * keep)

    def averaged(self) -> Factors:
        """Mean of the noise, 0 for removed units, by node."""
        means = require_torch().tensor(self.means(), dtype=self.keep.dtype) * self.keep
        return self._by_node(means[self.index][None])

    def _by_node(self, factors: Tensor) -> Factors:
        if self.fixed is not None:
            factors = factors.masked_fill(self.fixed, 1.0)
        return {
            name: factors[:, part].reshape(len(factors), *shape)
            for name, (part, shape) in self.places.items()
        }

    def means(self) -> Array:
        """Mean of the noise of every unit, shape (units,)."""
        mu, sigma = self.posterior()
        return expectation(mu, sigma)

    def posterior(self) -> tuple[Array, Array]:
        """Mean and standard deviation of every unit, each of shape (units,)."""
        mu, sigma = (t.detach().double().numpy().copy() for t in (self.mu, self.sigma()))
        return mu, sigma

    def by_layer(self, values: npt.NDArray[S], fixed: Any) -> dict[str, npt.NDArray[S]]:
        """Values of the units of every layer; ``fixed`` for what cannot be removed."""
        return {
            name: np.where(ids >= 0, values[np.maximum(ids, 0)], fixed).astype(values.dtype)
            for name, ids in self.ids.items()
        }

    def keep_only(self, kept: Mapping[str, npt.NDArray[np.bool_]]) -> None:
        """Switch units on and off, by layer."""
        for name, flags in kept.items():
            ids = self.ids[name]
            free = ids >= 0
            self.keep[ids[free]] = require_torch().tensor(flags[free], dtype=self.keep.dtype)

    def kept(self, name: str) -> npt.NDArray[np.bool_]:
        """Which units of a layer are switched on."""
        return self.by_layer(self.keep.numpy() > 0, fixed=True)[name]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained under noise.

    Attributes
    ----------
    lr, noise_lr : float
        Learning rates of Adam for weights and noise, constant.
    batch_size : int
    validation : float
        Share of the data held back to choose the best epoch of the fine-tuning.
    averaging : {"mean", "sum"}
        Whether the divergence is averaged over the units of a layer and over layers.
    train_weights : bool
        Whether weights are trained as well, or only the noise.
    seed : int
    dtype : str
    """

    lr: float
    noise_lr: float
    batch_size: int
    validation: float
    averaging: str
    train_weights: bool
    seed: int
    dtype: str = "float32"


class NoisyTraining:
    """A network in training, with noise on all that layers read from removable units.

    Parameters
    ----------
    network : Network
        Where training starts; not changed.
    inputs : array, shape (n, *input_shape)
    targets : array, shape (n,) of int or (n, n_outputs) of float
    recipe : Recipe
    """

    def __init__(
        self, network: Network, inputs: Array, targets: npt.NDArray[Any], recipe: Recipe
    ) -> None:
        torch = require_torch()
        self.network, self.recipe = network, recipe
        dtype = getattr(torch, recipe.dtype)
        self.parameters = to_torch(network, dtype)
        self.noise = Noise(network, dtype, recipe.averaging)
        rates = [{"params": [self.noise.mu, self.noise.log_sigma], "lr": recipe.noise_lr}]
        if recipe.train_weights:
            rates.append({"params": [t for pair in self.parameters.values() for t in pair]})
        self.optimiser = torch.optim.Adam(rates, lr=recipe.lr)
        self.generator = torch.Generator().manual_seed(recipe.seed)
        whole = bool(np.issubdtype(targets.dtype, np.integer))
        self.classes = whole and network.n_outputs > 1
        self.loss = loss_of(torch, whole, network.n_outputs)
        self.x = torch.tensor(inputs, dtype=dtype)
        self.t = torch.tensor(targets, dtype=None if self.classes else dtype)
        order = torch.randperm(len(inputs), generator=self.generator)
        held = int(recipe.validation * len(inputs))
        self.rows, self.held = order[held:], order[:held]
        self.seen = 0

    def forward(self, x: Tensor, factors: Factors) -> Tensor:
        """Evaluate the network, what layers read from units multiplied by factors."""
        values: dict[str, Tensor] = {INPUT: x}
        read: dict[str, Tensor] = {}
        for node in self.network.nodes:
            inputs = [values[name] for name in node.inputs]
            if is_reader(node) and node.inputs[0] in factors:
                inputs = [read[node.inputs[0]]]
            tensors = self.parameters.get(node.name, ())
            values[node.name] = RULES[type(node.layer)](node.layer, tensors, inputs)
            if node.name in factors:
                read[node.name] = values[node.name] * factors[node.name]
        return values[self.network.output].flatten(1)

    def epoch(self) -> None:
        """One pass over the data.

        Raises
        ------
        NetworkError
            When the training diverges.
        """
        torch = require_torch()
        order = self.rows[torch.randperm(len(self.rows), generator=self.generator)]
        self.seen += 1
        for rows in order.split(self.recipe.batch_size):
            self.optimiser.zero_grad()
            factors = self.noise.drawn(len(rows), self.generator)
            outputs = self.forward(self.x[rows], factors)
            value = self.loss(outputs, self.t[rows]) + self.noise.divergence()
            value.backward()
            self.optimiser.step()
        if not bool(value.isfinite()):
            msg = f"training diverged in epoch {self.seen}: lower lr={self.recipe.lr} or rescale"
            raise NetworkError(msg)

    def best_of(self, epochs: int) -> None:
        """Train with units as they are, and end with the epoch of best validation.

        With no data held back it ends with the last one.
        """
        best, kept = -np.inf, self.state()
        for _ in range(epochs):
            self.epoch()
            if len(self.held) and (score := self.score()) >= best:
                best, kept = score, self.state()
        if len(self.held):
            for tensor, value in zip(self.tensors(), kept, strict=True):
                tensor.data.copy_(value)

    def norms(self) -> dict[str, Array]:
        """Norm of the incoming weights of every unit, by layer; infinite for fixed ones."""
        found = {}
        for name, ids in self.noise.ids.items():
            rows = self.parameters[name][0].detach().double().flatten(1)
            found[name] = np.where(ids >= 0, rows.norm(dim=1).numpy(), np.inf)
        return found

    def tensors(self) -> list[Tensor]:
        """Everything that is trained."""
        pairs = [tensor for pair in self.parameters.values() for tensor in pair]
        return [self.noise.mu, self.noise.log_sigma, *pairs]

    def state(self) -> list[Tensor]:
        """Copy of everything that is trained."""
        return [tensor.detach().clone() for tensor in self.tensors()]

    def score(self) -> float:
        """Accuracy on the data held back, or the negative loss for other targets."""
        with require_torch().no_grad():
            outputs = self.forward(self.x[self.held], self.noise.averaged())
            wanted = self.t[self.held]
            if self.classes:
                return float((outputs.argmax(1) == wanted).double().mean())
            return -float(self.loss(outputs, wanted))

    def result(self) -> Network:
        """Network without noise: its mean is folded into the columns that read each unit.

        Removed units are still there, for a mask to take away.
        """
        means = self.noise.means()
        trained = from_torch(self.network, self.parameters)
        layers = {}
        for name, numbers in units_of(self.network).columns.items():
            layer: Any = trained.by_name[name].layer
            factor = np.where(numbers >= 0, means[np.maximum(numbers, 0)], 1.0)
            factor = factor.reshape(1, -1, *(1,) * (layer.weight.ndim - 2))
            layers[name] = replace(layer, weight=layer.weight * factor)
        return trained.with_layers(layers)
