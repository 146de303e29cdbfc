"""Budgets that need more than a network: a machine, or a region and its bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mipnet.bounds import compute_bounds
from mipnet.encode import encode
from mipnet.errors import MaskError
from mipnet.hardware import TileMask, cost, weight_matrices
from mipnet.network import Network
from mipnet.pruning import Budget
from mipnet.region import Region

#: What the size of a program can be counted in.
SIZES = ("rows", "columns", "nonzeros")


@dataclass(frozen=True)
class Cycles(Budget):
    """Cycles of one input on a systolic array; zero tiles of weights are skipped where it can.

    Parameters
    ----------
    amount : float
    array : int, (int, int) or text such as "16x16"
    options : mapping
        Further options of :func:`mipnet.hardware.cost`: dataflow, mode, batch, ...
    """

    amount: float
    array: Any = 16
    options: Mapping[str, Any] = field(default_factory=dict)
    currency = "cycles"

    def measure(self, network: Network) -> float:
        """See :meth:`Budget.measure`."""
        found = {
            name: TileMask.from_weights(matrix, self.array)
            for name, matrix in weight_matrices(network).items()
        }
        masks = {name: mask for name, mask in found.items() if not mask.keep.all()}
        return cost(network, masks, array=self.array, **self.options).cycles

    def describe(self) -> dict[str, Any]:
        """See :meth:`Budget.describe`."""
        return {**super().describe(), "array": self.array, **self.options}


@dataclass(frozen=True)
class Unstable(Budget):
    """Neurons that bounds over a region leave unstable.

    Parameters
    ----------
    amount : float
    region : Region
    method : str
        Bounding method (:func:`mipnet.compute_bounds`).
    """

    amount: float
    region: Region
    method: str = "crown"
    currency = "unstable neurons"

    def measure(self, network: Network) -> float:
        """See :meth:`Budget.measure`."""
        return compute_bounds(network, self.region, self.method).n_unstable

    def describe(self) -> dict[str, Any]:
        """See :meth:`Budget.describe`."""
        where = self.region.describe()
        return {**super().describe(), "region": where, "bounds": self.method}


@dataclass(frozen=True)
class Binaries(Unstable):
    """Binaries of the program of the network over a region.

    Parameters
    ----------
    amount, region, method
        As for :class:`Unstable`.
    formulation : str
    """

    formulation: str = "big_m"
    currency = "binaries"

    def measure(self, network: Network) -> float:
        """See :meth:`Budget.measure`."""
        bounds = compute_bounds(network, self.region, self.method)
        made = encode(network, self.region, bounds.intervals, formulation_name=self.formulation)
        return made.n_binaries


@dataclass(frozen=True)
class ProgramSize(Unstable):
    """Size of the program of the network over a region.

    Parameters
    ----------
    amount, region, method
        As for :class:`Unstable`.
    formulation : str
    count : {"rows", "columns", "nonzeros"}
    """

    formulation: str = "big_m"
    count: str = "nonzeros"
    currency = "entries of the program"

    def measure(self, network: Network) -> float:
        """See :meth:`Budget.measure`."""
        if self.count not in SIZES:
            msg = f"a program is counted in {', '.join(SIZES)}, not in {self.count!r}"
            raise MaskError(msg)
        bounds = compute_bounds(network, self.region, self.method)
        made = encode(
            network,
            self.region,
            bounds.intervals,
            formulation_name=self.formulation,
            output_columns=True,
        )
        size: int = getattr(made.arrays(), f"n_{self.count}")
        return size

    def describe(self) -> dict[str, Any]:
        """See :meth:`Budget.describe`."""
        return {**super().describe(), "count": self.count, "formulation": self.formulation}
