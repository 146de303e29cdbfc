"""Points of a design space, their Pareto front and their ranking."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import MissingPackageError, QueryError
from mipnet.hardware.savings import Ranking

#: Objectives that are better when larger; all others are better when smaller.
MAXIMISED = ("accuracy", "utilization", "pruned", "skippable", "speed_up", "energy_saving")


@dataclass(frozen=True)
class DesignPoint:
    """One array and dataflow with one share of tiles pruned.

    Attributes
    ----------
    array, tile : str
        Sizes; the mask was made of ``tile``, skipped in folds of ``array``.
    dataflow : str
    rate, pruned : float
        Share of tiles asked for, and zeroed.
    skippable : float
        Share of the array's own tiles that are zero.
    accuracy : float, optional
        Of the pruned model.
    cycles, cycles_dense : int
    dram_bytes, dram_bytes_dense : int
    utilization : float
    energies, energies_dense : mapping of str to float
        By table that knows the precision, in its unit.
    """

    array: str
    tile: str
    dataflow: str
    rate: float
    pruned: float
    skippable: float
    accuracy: float | None
    cycles: int
    cycles_dense: int
    dram_bytes: int
    dram_bytes_dense: int
    utilization: float
    energies: Mapping[str, float]
    energies_dense: Mapping[str, float]

    @property
    def label(self) -> str:
        """Array, dataflow, tile and rate in one word."""
        return f"{self.array}-{self.dataflow}-t{self.tile}-p{self.rate:g}"

    @property
    def speed_up(self) -> float:
        """Dense cycles over these, on the same array."""
        return self.cycles_dense / self.cycles if self.cycles else math.inf

    @property
    def energy(self) -> float:
        """Energy under the first table."""
        return next(iter(self.energies.values()))

    @property
    def energy_saving(self) -> float:
        """Share of the dense energy saved on the same array, under the first table."""
        dense = next(iter(self.energies_dense.values()))
        return 1.0 - self.energy / dense if dense else 0.0


@dataclass(frozen=True, eq=False)
class DesignSpace:
    """Points of a sweep.

    Attributes
    ----------
    points : tuple of DesignPoint
    """

    points: tuple[DesignPoint, ...]

    def pareto(self, *objectives: str) -> tuple[DesignPoint, ...]:
        """Points that no other beats in one objective without losing in another.

        Parameters
        ----------
        *objectives : str
            Fields or properties of :class:`DesignPoint`, or names of energy tables;
            ``accuracy``, ``cycles`` and ``energy`` when absent (without ``accuracy`` where none
            was measured).

        Raises
        ------
        QueryError
            When an objective is unknown or was not measured.
        """
        known = self.points[0].accuracy is not None
        names = objectives or (*(("accuracy",) if known else ()), "cycles", "energy")
        values = np.array([[_objective(p, name) for name in names] for p in self.points])
        front = pareto_front(values)
        return tuple(point for point, best in zip(self.points, front, strict=True) if best)

    @property
    def ranking(self) -> Ranking:
        """All points by energy, under every table."""
        tables = self.points[0].energies
        return Ranking(
            tuple(point.label for point in self.points),
            {name: tuple(point.energies[name] for point in self.points) for name in tables},
        )

    def to_frame(self) -> Any:
        """Table of the points as a pandas DataFrame; ``pareto`` marks the front.

        Raises
        ------
        MissingPackageError
            When pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            package, purpose, extra = "pandas", "a table of a design space", "report"
            raise MissingPackageError(package, purpose, extra) from error
        return pd.DataFrame(self._rows())

    def _rows(self) -> list[dict[str, Any]]:
        best = {id(point) for point in self.pareto()}
        rows = []
        for point in self.points:
            plain = asdict(point)
            energies, _ = plain.pop("energies"), plain.pop("energies_dense")
            plain |= {f"energy_{name}": value for name, value in energies.items()}
            plain |= {"speed_up": point.speed_up, "energy_saving": point.energy_saving}
            rows.append({**plain, "pareto": id(point) in best})
        return rows

    def _repr_html_(self) -> str:
        from mipnet.hardware.report import plain_table

        rows = self._rows()
        cells = [
            [f"{v:.5g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows
        ]
        return plain_table(cells, list(rows[0]))


def _objective(point: DesignPoint, name: str) -> float:
    if name in point.energies:
        return point.energies[name]
    value = getattr(point, name, None) if not name.startswith("_") else None
    if not isinstance(value, int | float):
        numbers = [f.name for f in fields(point) if isinstance(getattr(point, f.name), int | float)]
        msg = f"{name!r} is no objective that was measured; there are "
        msg += ", ".join([*numbers, "speed_up", "energy", "energy_saving", *point.energies])
        raise QueryError(msg)
    return -float(value) if name in MAXIMISED else float(value)


def pareto_front(values: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which rows no other row beats; smaller is better.

    Parameters
    ----------
    values : array_like, shape (points, objectives)

    Raises
    ------
    QueryError
        When the values are no table of numbers, or one is NaN: it cannot be compared.

    Examples
    --------
    >>> pareto_front([[1, 3], [2, 2], [2, 3], [3, 1]])
    array([ True,  True, False,  True])
    """
    try:
        table = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        msg = f"a Pareto front needs numbers: {error}"
        raise QueryError(msg) from error
    if table.ndim != 2 or np.isnan(table).any():
        msg = "a Pareto front needs one row per point and one number per objective, not "
        msg += (
            f"{np.argwhere(np.isnan(table)).tolist()[0]} NaN"
            if table.ndim == 2
            else str(table.shape)
        )
        raise QueryError(msg)
    beaten = [bool(np.any((table <= row).all(axis=1) & (table < row).any(axis=1))) for row in table]
    return ~np.array(beaten, dtype=bool)
