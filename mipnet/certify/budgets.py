"""Budgets that need more than a network: a machine, or a region and its bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.bounds import as_region, compute_bounds
from mipnet.encode import Encoding, encode
from mipnet.errors import MaskError, RegionError
from mipnet.hardware import TileMask, cost, weight_matrices
from mipnet.hardware.machine import sides
from mipnet.network import Network
from mipnet.pruning import Budget, Macs, Parameters, Tiles
from mipnet.region import Box, Region

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
    region : Region or (lower, upper)
    method : str
        Bounding method (:func:`mipnet.compute_bounds`).
    """

    amount: float
    region: Region | tuple[npt.ArrayLike, npt.ArrayLike]
    method: str = "crown"
    currency = "unstable neurons"

    def measure(self, network: Network) -> float:
        """See :meth:`Budget.measure`."""
        return compute_bounds(network, self.region, self.method).n_unstable

    def describe(self) -> dict[str, Any]:
        """See :meth:`Budget.describe`."""
        where: Any = self.region
        if isinstance(where, Region):
            where = where.describe()
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
        return self._encoded(network, output_columns=False).n_binaries

    def _encoded(self, network: Network, *, output_columns: bool) -> Encoding:
        bounds = compute_bounds(network, self.region, self.method)
        return encode(
            network,
            as_region(network, self.region),
            bounds.intervals,
            formulation_name=self.formulation,
            output_columns=output_columns,
        )


@dataclass(frozen=True)
class ProgramSize(Binaries):
    """Size of the program of the network over a region.

    Parameters
    ----------
    amount, region, method, formulation
        As for :class:`Binaries`.
    count : {"rows", "columns", "nonzeros"}
    """

    count: str = "nonzeros"
    currency = "entries of the program"

    def measure(self, network: Network) -> float:
        """See :meth:`Budget.measure`."""
        if self.count not in SIZES:
            msg = f"a program is counted in {', '.join(SIZES)}, not in {self.count!r}"
            raise MaskError(msg)
        made = self._encoded(network, output_columns=True)
        size: int = getattr(made.arrays(), f"n_{self.count}")
        return size

    def describe(self) -> dict[str, Any]:
        """See :meth:`Budget.describe`."""
        return {**super().describe(), "count": self.count, "formulation": self.formulation}


def budget_of(
    network: Network,
    name: str,
    amount: float,
    array: object = 16,
    ends: tuple[npt.ArrayLike | None, npt.ArrayLike | None] = (None, None),
) -> Budget:
    """Budget by the name of its currency.

    Parameters
    ----------
    network : Network
    name : str
        ``parameters``, ``macs``, ``tiles``, ``cycles``, ``unstable``, ``binaries``, ``rows``,
        ``columns`` or ``nonzeros``.
    amount : float
    array : int, (int, int) or text such as "16x16"
        For tiles and cycles.
    ends : tuple of two array_like, optional
        Bounds of the inputs, for the last five; where one is None, that of the network.

    Raises
    ------
    MaskError
        When there is no such currency.
    """
    plain: dict[str, Callable[[], Budget]] = {
        "parameters": lambda: Parameters(amount),
        "macs": lambda: Macs(amount),
        "tiles": lambda: Tiles(amount, sides(array)),
        "cycles": lambda: Cycles(amount, array),
        "unstable": lambda: Unstable(amount, _region(network, ends)),
        "binaries": lambda: Binaries(amount, _region(network, ends)),
    }
    if name in SIZES:
        return ProgramSize(amount, _region(network, ends), count=name)
    if name not in plain:
        msg = f"unknown budget {name!r}; there are {', '.join((*plain, *SIZES))}"
        raise MaskError(msg)
    return plain[name]()


def _region(network: Network, ends: tuple[npt.ArrayLike | None, npt.ArrayLike | None]) -> Region:
    if ends == (None, None):
        return as_region(network, None)
    own = network.input_bounds or (None, None)
    lower, upper = (mine if given is None else given for given, mine in zip(ends, own, strict=True))
    if lower is None or upper is None:
        msg = "the network carries no input bounds: give both ends of the inputs"
        raise RegionError(msg)
    sizes = [np.asarray(end, dtype=np.float64).reshape(-1) for end in (lower, upper)]
    spread = [np.broadcast_to(e, network.n_inputs) if e.size == 1 else e for e in sizes]
    return as_region(network, Box(spread[0], spread[1]))
