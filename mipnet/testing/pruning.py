"""What every pruning method has to do."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mipnet.errors import MaskError
from mipnet.network import Affine, Network, ReLU
from mipnet.pruning import apply, prunable_layers, prune, pruner
from mipnet.pruning.base import NEEDS
from mipnet.pruning.budget import count
from mipnet.testing.where import Where


def check_pruner(name: str, *, keeps: tuple[float, ...] = (0.0, 0.4, 1.0), seed: int = 0) -> None:
    """Run a pruning method through its obligations on a small network.

    It declares source and needs; compacted and masked networks agree; budgets are reached, by layer
    and over all layers; keeping everything changes nothing unless it trains; the same seed gives
    the same mask; the network given is left alone; missing data and labels are asked for.

    Parameters
    ----------
    name : str
        Registered name.
    keeps : tuple of float
        Shares of the units to keep.
    seed : int

    Raises
    ------
    ConformanceError
    MaskError
        When no method has that name.
    """
    method = pruner(name)
    where = Where(pruner=name, seed=seed)
    rng = where.rng()
    network = _network(rng)
    before = network.fingerprint
    data, labels = rng.normal(size=(24, 4)), np.arange(24) % 3
    where.demand(method.name == name, f"its name is {method.name!r}")
    where.demand(method.source, "it has no source")
    where.demand(method.needs <= NEEDS, f"unknown needs {sorted(method.needs - NEEDS)}")
    for scope in ("layer", "global"):
        for keep in keeps:
            with where.doing(f"prune(keep={keep}, scope={scope!r})"):
                _one(name, network, (data, labels), keep, scope=scope, where=where)
    with where.doing("prune"):
        first, again = (
            prune(network, name, 0.5, data, labels, random_state=seed).network.fingerprint
            for _ in range(2)
        )
    where.demand(first == again, "the same random_state gives another network")
    where.demand(network.fingerprint == before, "the network given was changed")
    _asks(name, network, data, labels, where)


def _network(rng: np.random.Generator) -> Network:
    layers: list[Affine | ReLU] = []
    for n, m in pairwise((4, 8, 6, 3)):
        layers += [ReLU()] if layers else []
        layers.append(Affine(rng.normal(size=(m, n)), 0.3 * rng.normal(size=m)))
    return Network.sequential(layers)


def _one(
    name: str,
    network: Network,
    given: tuple[np.ndarray, np.ndarray],
    keep: float,
    *,
    scope: str,
    where: Where,
) -> None:
    data, labels = given
    trains = "training" in pruner(name).needs
    result = prune(network, name, keep, data, labels, scope=scope)
    asked = f"keep {keep}, scope {scope!r}"
    small, masked = result.network(data), result.masked(data)
    where.near(small, masked, f"{asked}: compacted and masked network", 1e-9)
    widths = [layer.width for layer in result.mask.layers.values()]
    kept = [int(np.size(layer.kept)) for layer in result.mask.layers.values()]
    units = set(result.mask.layers) == set(prunable_layers(network))
    where.demand(units, f"{asked}: the mask covers {sorted(result.mask.layers)}")
    wanted = [count(keep, width) for width in widths]
    total = sum(wanted)
    if scope == "global":
        total = max(count(keep, sum(widths)), (keep > 0) * len(widths))
    reached = sum(kept) == total and (scope == "global" or kept == wanted)
    where.demand(reached, f"{asked}: kept {kept} of {widths}, wanted {total} in all")
    if trains:
        return
    same = apply(network, result.mask).fingerprint == result.masked.fingerprint
    where.demand(same, f"{asked}: the masked network is not the mask applied")
    if keep == 1.0:
        same = result.network.fingerprint == network.fingerprint
        where.demand(same, f"{asked}: the network changes although every unit is kept")


def _asks(name: str, network: Network, data: np.ndarray, y: np.ndarray, where: Where) -> None:
    """Demand that what a method needs and does not get is refused."""
    method = pruner(name)
    trials: list[tuple[bool, dict[str, object], str]] = [
        ("data" in method.needs, {"y": y}, "without data"),
        (bool(method.needs & {"training", "gradients"}), {"data": data}, "without labels"),
        (not method.decides, {"data": data, "y": y, "keep": None}, "without a budget"),
    ]
    for needed, options, what in trials:
        if not needed:
            continue
        try:
            prune(network, name, **options)  # type: ignore[arg-type]
        except MaskError:
            continue
        where.demand(False, f"it prunes {what}, which it says it needs")
