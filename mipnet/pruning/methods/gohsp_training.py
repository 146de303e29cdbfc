"""The optimisation of GOHSP-style pruning: ADMM-like steps towards a structured-sparse copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mipnet.network import Network
from mipnet.pruning.layout import layout
from mipnet.pruning.torch_layers import Parameters
from mipnet.pruning.training import require_torch

if TYPE_CHECKING:
    from torch import Tensor

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

GUIDES = ("soft", "hard", "none")


class Sparsity:
    r"""State of the optimisation, and its hooks for :func:`~mipnet.pruning.training.finetune`.

    Parameters
    ----------
    network : Network
    kept : mapping of str to array of int
        Best ranked units; every layer keeps as many.
    guide : {"soft", "hard", "none"}
    epochs : int
    rho, growth : float

    Attributes
    ----------
    gates : mapping of str to Tensor
        Soft weights, on every node that units are read from.
    """

    def __init__(
        self,
        network: Network,
        kept: Mapping[str, npt.ArrayLike],
        guide: str,
        *,
        epochs: int,
        rho: float,
        growth: float,
    ) -> None:
        torch = require_torch()
        self.layout = layout(network)
        self.guide, self.rho, self.growth, self.epochs = guide, rho, growth, epochs
        leader = self.layout.leader
        own = np.arange(self.layout.count) == leader
        #: One unit for everything that falls together; those alone are chosen from.
        self.leads = {name: np.flatnonzero(f > 0.0) for name, f in self._parts(own).items()}
        favoured = self.layout.flags(kept) & own
        self.quota = {name: int(f.sum()) for name, f in self._parts(favoured).items()}
        self.ranked = self.favoured = favoured
        self.soft = np.where(favoured | (guide != "hard"), 1.0, 0.0)
        self.norms = np.zeros(self.layout.count)
        self.targets: dict[str, tuple[Tensor, Tensor]] = {}
        self.duals: dict[str, tuple[Tensor, Tensor]] = {}
        dtype = getattr(torch, network.dtype)
        self.gates = {
            node: torch.ones(self.layout.elements[node].shape, dtype=dtype)
            for node in self.layout.sources
        }
        self._set_gates()

    def penalty(self, parameters: Parameters) -> Tensor:
        r""":math:`\rho/2` times the squared distance of the weights from :math:`Z - U`."""
        torch = require_torch()
        total: Tensor = torch.zeros(())
        for name, pair in self._held(parameters).items():
            if name not in self.targets:
                self._begin(name, pair)
            for w, z, u in zip(pair, self.targets[name], self.duals[name], strict=True):
                total = total + (w - z + u).square().sum()
        return 0.5 * self.rho * total

    def step(self, epoch: int, parameters: Parameters) -> None:
        """Update the copy, the duals, the soft weights and rho after an epoch."""
        moved = {
            name: tuple(w + u for w, u in zip(pair, self.duals[name], strict=True))
            for name, pair in self._held(parameters).items()
        }
        self.norms = self._norms(moved)
        left = 1.0 - (epoch + 1) / self.epochs
        outside = {"soft": left, "hard": 0.0, "none": 1.0}[self.guide]
        self.soft = np.where(self.ranked, 1.0, outside)
        self.rated = self.norms * self.soft
        rated = self._parts(self.rated)
        self.favoured = np.zeros(self.layout.count, bool)
        for name, units in self.leads.items():
            best = units[np.argsort(-rated[name][units], kind="stable")[: self.quota[name]]]
            self.favoured[self.layout.start[name] + best] = True
        for name, (weight, bias) in moved.items():
            keep_rows, keep_columns = self._stays(name, weight)
            self.targets[name] = weight * keep_rows * keep_columns, bias * keep_rows.flatten()
            self.duals[name] = tuple(  # type: ignore[assignment]
                v - z for v, z in zip(moved[name], self.targets[name], strict=True)
            )
        self._set_gates()
        self.rho *= self.growth

    def kept(self) -> dict[str, Indices]:
        """Units in favour by layer, and those without a choice."""
        leader = self.layout.leader
        flags = np.where(leader < 0, True, self.favoured[leader])
        return {name: np.flatnonzero(f) for name, f in self._parts(flags).items()}

    def scores(self) -> dict[str, Array]:
        """Norm of every group times its soft weight, at the last choice."""
        return self._parts(self.rated[self.layout.leader])

    def _parts(self, values: npt.NDArray[np.generic]) -> dict[str, Array]:
        return self.layout.split(np.asarray(values, dtype=np.float64))

    def _held(self, parameters: Parameters) -> Parameters:
        names = self.layout.rows.keys() | self.layout.columns.keys()
        return {name: pair for name, pair in parameters.items() if name in names}

    def _begin(self, name: str, pair: tuple[Tensor, Tensor]) -> None:
        """Z starts as the weights of the units in favour, U at 0."""
        weight, bias = (p.detach() for p in pair)
        keep_rows, keep_columns = self._stays(name, weight)
        self.targets[name] = weight * keep_rows * keep_columns, bias * keep_rows.flatten()
        self.duals[name] = weight.new_zeros(weight.shape), bias.new_zeros(bias.shape)

    def _stays(self, name: str, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Rows and columns of a layer that belong to units in favour, as factors."""
        spread = (1,) * (weight.ndim - 2)
        rows = self._factor(self.layout.rows.get(name), weight.shape[0], weight)
        columns = self._factor(self.layout.columns.get(name), weight.shape[1], weight)
        return rows.reshape(-1, 1, *spread), columns.reshape(1, -1, *spread)

    def _factor(self, owner: Indices | None, size: int, like: Tensor) -> Tensor:
        stays = np.ones(size, bool)
        if owner is not None:
            stays = np.where(owner < 0, True, self.favoured[owner])
        return like.new_tensor(stays)

    def _norms(self, moved: Mapping[str, tuple[Tensor, ...]]) -> Array:
        """Norm of the group of every unit: rows, biases, columns."""
        square = np.zeros(self.layout.count)
        for name, (weight, bias) in moved.items():
            size = (
                weight.square().double().flatten(2) if weight.ndim > 2 else weight.square().double()
            )
            table = size.numpy().reshape(*weight.shape[:2], -1).sum(axis=2)
            if name in self.layout.rows:
                rows = table.sum(axis=1) + bias.square().double().numpy()
                square += self.layout.sums(self.layout.rows[name], rows)
            if name in self.layout.columns:
                square += self.layout.sums(self.layout.columns[name], table.sum(axis=0))
        return np.asarray(np.sqrt(square))

    def _set_gates(self) -> None:
        torch = require_torch()
        for node, gate in self.gates.items():
            owner = self.layout.elements[node]
            gate.copy_(torch.tensor(np.where(owner < 0, 1.0, self.soft[owner])))
