"""The one door to :mod:`mipnet.hardware`: what a mask costs on an array, as plain columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import MipnetError
from mipnet.network import Affine, Network
from mipnet.pruning import Mask


def array_faults(options: Mapping[str, Any]) -> Iterator[str]:
    """Say what is wrong with the options of an array, by costing the smallest network on it.

    Parameters
    ----------
    options : mapping
        Arguments of :func:`mipnet.hardware.cost` beside network and mask.
    """
    if "array" not in options:
        yield "'array' is missing: write array = \"16x16\""
        return
    try:
        array_cost(Network.sequential([Affine(np.ones((1, 1)), np.zeros(1))]), None, options)
    except (MipnetError, TypeError, ValueError) as error:
        yield str(error)


def array_cost(network: Network, mask: Mask | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Cost of a network under a mask.

    Parameters
    ----------
    network : Network
        The one the mask was made for.
    mask : Mask or None
    options : mapping
        ``array``, ``dataflow`` and whatever else :func:`mipnet.hardware.cost` takes.

    Returns
    -------
    dict
        Totals by name: all of :class:`mipnet.hardware.Figures` (``cycles``, ``macs``,
        ``utilization``, memory traffic), ``tiles`` (folds of the array), ``cycles_before``, and
        energy under two tables (None under one that has no MAC of the precision).
    """
    from mipnet.hardware import cost

    found = cost(network, mask, **options)
    first, second = found.energies[0], found.energies[1]
    return {
        **asdict(found.after),
        "tiles": found.after.folds,
        "cycles_before": found.before.cycles,
        "energy_pj": found.energy_pj,
        "energy": _known(first.total),
        "energy_table": first.table.name,
        "energy_unit": first.table.unit,
        "energy_second": _known(second.total),
        "energy_table_second": second.table.name,
        "energy_unit_second": second.table.unit,
    }


def _known(energies: npt.NDArray[np.float64]) -> float | None:
    total = float(np.sum(energies))
    return None if np.isnan(total) else total
