"""What a check is about, and the error that says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from mipnet.errors import MipnetError
from mipnet.network.layers.base import Array


class ConformanceError(MipnetError, AssertionError):
    """A layer, formulation or pruning method does not do what it has to.

    The message names it, the circumstances with the seed, and what differs.
    """


@dataclass(frozen=True, kw_only=True)
class Where:
    """Circumstances of a check; what does not matter to it is empty.

    Attributes
    ----------
    layer, formulation, solver, pruner : str
        Registered names.
    sparsity : float or None
        Share of weights that are zero.
    seed : int
        Everything random follows from it and the name of the layer.
    """

    layer: str = ""
    formulation: str = ""
    pruner: str = ""
    sparsity: float | None = None
    solver: str = ""
    seed: int = 0

    @property
    def circumstances(self) -> str:
        """What is known, in words."""
        names = ("layer", "formulation", "pruner", "sparsity", "solver", "seed")
        known = [(name, getattr(self, name)) for name in names]
        return ", ".join(f"{n} {v!r}" for n, v in known if v is not None and v != "")

    def rng(self) -> np.random.Generator:
        """Random numbers of these circumstances, the same for every formulation and solver."""
        return np.random.default_rng([self.seed, *(self.layer or self.pruner).encode()])

    def demand(self, holds: object, what: str) -> None:
        """Raise :class:`ConformanceError` unless something holds."""
        if not holds:
            msg = f"{self.circumstances}: {what}"
            raise ConformanceError(msg)

    def below(self, low: Array, high: Array, what: str, slack: float = 1e-9) -> None:
        """Raise :class:`ConformanceError` unless ``low <= high`` everywhere, up to rounding.

        Parameters
        ----------
        low, high : array
            Broadcastable to each other, batch first.
        what : str
            What this shows.
        slack : float
            Relative to the values, and absolute.
        """
        low, high = np.broadcast_arrays(low, high)
        self.demand(not (np.isnan(low) | np.isnan(high)).any(), f"{what}: a value is NaN")
        with np.errstate(invalid="ignore"):
            size = np.where(np.isfinite(high), np.abs(high), 0.0)
            over = np.where(low <= high, 0.0, low - high) - slack * (1.0 + size)
        if over.size and over.max() > 0.0:
            spot = np.unravel_index(int(over.argmax()), over.shape)
            index = [int(i) for i in spot]
            self.demand(False, f"{what}: {low[spot]:.9g} > {high[spot]:.9g} at {index}")

    def near(self, found: Array, wanted: Array, what: str, slack: float = 1e-9) -> None:
        """Raise :class:`ConformanceError` unless two arrays agree, relative and absolute."""
        self.demand(
            np.shape(found) == np.shape(wanted),
            f"{what}: shape {np.shape(found)} instead of {np.shape(wanted)}",
        )
        self.below(found, wanted, what, slack)
        self.below(wanted, found, what, slack)

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Name whatever foreign code raises meanwhile."""
        try:
            yield
        except ConformanceError:
            raise
        except Exception as error:
            msg = f"{self.circumstances}: {what} raised {type(error).__name__}: {error}"
            raise ConformanceError(msg) from error
