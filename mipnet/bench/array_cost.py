"""The one door to :mod:`mipnet.hardware`: what a mask costs on an array, as plain columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from inspect import signature
from typing import Any, get_type_hints

import numpy as np
import numpy.typing as npt

from mipnet.bench.registry import unknown_name
from mipnet.errors import MipnetError, QueryError
from mipnet.network import Affine, Network
from mipnet.pruning import Mask


def array_keys() -> dict[str, Any]:
    """Keywords of :func:`mipnet.hardware.cost` with their type hints; ``memory`` is a table."""
    from mipnet.hardware import cost

    hints = get_type_hints(cost)
    names = (p.name for p in signature(cost).parameters.values() if p.kind is p.KEYWORD_ONLY)
    return {name: dict if name == "memory" else hints[name] for name in names}


def array_faults(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Say what is wrong with the options of an array: the option to blame, and why.

    Each is tried by itself, then all of them together, on the smallest network there is.

    Parameters
    ----------
    options : mapping
        Some of :func:`array_keys`.

    Yields
    ------
    tuple of str
        Name of the option, empty where several do not go together; and the message.
    """
    network = Network.sequential([Affine(np.ones((1, 1)), np.zeros(1))])
    alone = [(name, {name: value}) for name, value in options.items()]
    wrong = False
    for name, chosen in (*alone, ("", dict(options))):
        if name or not wrong:
            try:
                array_cost(network, None, chosen)
            except (MipnetError, OSError, TypeError, ValueError) as error:
                wrong = True
                yield name, str(error)


def array_cost(network: Network, mask: Mask | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Cost of a network under a mask.

    Parameters
    ----------
    network : Network
        The one the mask was made for.
    mask : Mask or None
    options : mapping
        ``array``, ``dataflow`` and whatever else :func:`mipnet.hardware.cost` takes; ``memory`` as
        a mapping of the fields of :class:`mipnet.hardware.Memory`.

    Returns
    -------
    dict
        Totals by name: all of :class:`mipnet.hardware.Figures` (``cycles``, ``macs``,
        ``utilization``, memory traffic), ``tiles`` (folds of the array), ``cycles_before``, and
        energy under two tables (None under one that has no MAC of the precision).
    """
    from mipnet.hardware import Memory, cost

    given = dict(options)
    if "memory" in given:
        unknown = [k for k in given["memory"] if k not in Memory.__dataclass_fields__]
        if unknown:
            raise QueryError(unknown_name("key", unknown[0], tuple(Memory.__dataclass_fields__)))
        given["memory"] = Memory(**given["memory"])
    found = cost(network, mask, **given)
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
