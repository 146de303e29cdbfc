"""What pruning returns: the mask, the small network, and what it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mipnet.network import Network
from mipnet.pruning.budgets import Budget, Keep
from mipnet.pruning.counting import n_macs
from mipnet.pruning.mask import LayerMask, Mask
from mipnet.pruning.tiles import nonzero_tiles


@dataclass(frozen=True)
class LayerReport:
    """One pruned layer.

    Attributes
    ----------
    layer : str
    units_before, units_kept, units_after : int
        Units of the network, of the mask, and of the compacted network. Fewer units after than
        kept: some were constant and folded away, or dead.
    parameters_before, parameters_after : int
        Weights and biases of the layer itself.
    """

    layer: str
    units_before: int
    units_kept: int
    units_after: int
    parameters_before: int
    parameters_after: int


@dataclass(frozen=True)
class PruneReport:
    """What a pruner did.

    Attributes
    ----------
    method : str
    scope : str
    keep_requested : float or None
        Fraction of units asked for; None when it was left to the method.
    keep_reached : float
        Fraction of units kept by the mask.
    layers : tuple of LayerReport
        Layers with removable units.
    parameters_before, parameters_after : int
        Of the whole network.
    prune_seconds, finish_seconds, compact_seconds : float
        Wall time to choose (training that leads to the choice included), to train under the mask,
        and to shrink and check.
    budget : str
        Currency of the budget; empty where there was none but a fraction of units.
    requested, reached, before : float or None
        Budget asked for, what the compacted network costs and what the network did.
    macs_before, macs_after : int
        Multiplications by a weight for one input.
    rounds : int
        How often training had broken the budget, so that more units went and what was left was
        trained again.
    notes : tuple of str
        What is worth saying: that nothing was pruned, or that a layer vanished.
    """

    method: str
    scope: str
    keep_requested: float | None
    keep_reached: float
    layers: tuple[LayerReport, ...]
    parameters_before: int
    parameters_after: int
    prune_seconds: float
    compact_seconds: float
    finish_seconds: float = 0.0
    budget: str = ""
    requested: float | None = None
    reached: float | None = None
    before: float | None = None
    macs_before: int = 0
    macs_after: int = 0
    rounds: int = 0
    notes: tuple[str, ...] = ()

    @property
    def units_before(self) -> int:
        """Removable units of the network."""
        return sum(layer.units_before for layer in self.layers)

    @property
    def units_after(self) -> int:
        """Those left in the compacted network."""
        return sum(layer.units_after for layer in self.layers)

    def __str__(self) -> str:
        asked = self.keep_requested
        wish = "by its own rule" if asked is None else f"asked for {asked:.1%}"
        if self.budget:
            wish = f"asked for {self.requested:g} {self.budget}, reached {self.reached:g}"
        lines = [
            f"{self.method} ({self.scope}): kept {self.keep_reached:.1%} of units ({wish}), "
            f"parameters {self.parameters_before} -> {self.parameters_after}"
        ]
        for row in self.layers:
            folded = row.units_kept - row.units_after
            lines.append(
                f"  {row.layer}: units {row.units_before} -> {row.units_after}"
                + (f" ({folded} constant or dead)" if folded else "")
                + f", parameters {row.parameters_before} -> {row.parameters_after}"
            )
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


@dataclass(frozen=True, eq=False)
class PruneResult:
    """A mask and what came of it.

    Attributes
    ----------
    mask : Mask
    network : Network
        Compacted: same function as the masked network, fewer units.
    report : PruneReport
    masked : Network
        Same shapes as the given network, removed units switched off; with the weights that a
        method that trains has given it.
    """

    mask: Mask
    network: Network
    report: PruneReport
    masked: Network


def layer_reports(network: Network, small: Network, mask: Mask) -> tuple[LayerReport, ...]:
    """Compare the masked layers of a network before and after."""
    rows = []
    for name, layer in mask.layers.items():
        rows.append(
            LayerReport(
                layer=name,
                units_before=layer.width,
                units_kept=len(layer.kept),
                units_after=_units_left(small, name, layer),
                parameters_before=_size(network, name),
                parameters_after=_size(small, name),
            )
        )
    return tuple(rows)


def _units_left(small: Network, name: str, layer: LayerMask) -> int:
    """Units of a layer in the small network; of tiles those with any weight."""
    if name not in small.by_name:
        return 0
    if layer.tile is None:
        return small.shapes[name][0]
    return int(nonzero_tiles(small.by_name[name].layer.parameters[0], layer.tile).sum())


def _size(network: Network, name: str) -> int:
    node = network.by_name.get(name)
    return sum(values.size for values in node.layer.parameters) if node else 0


def prune_report(
    mask: Mask,
    networks: tuple[Network, Network],
    budget: Budget | None,
    rounds: int = 0,
    **more: Any,
) -> PruneReport:
    """Report on a mask, the network it was made for and the small one it left."""
    network, small = networks
    layers = layer_reports(network, small, mask)
    priced: dict[str, Any] = {}
    if budget is not None and not isinstance(budget, Keep):
        priced = {
            "budget": budget.currency,
            "requested": budget.amount,
            "reached": budget.measure(small),
            "before": budget.measure(network),
        }
    return PruneReport(
        method=mask.provenance.method,
        keep_requested=float(budget.amount) if isinstance(budget, Keep) else None,
        keep_reached=mask.kept_share,
        layers=layers,
        parameters_before=network.n_parameters,
        parameters_after=small.n_parameters,
        macs_before=n_macs(network),
        macs_after=n_macs(small),
        rounds=rounds,
        notes=_notes(layers, network, small, rounds),
        **priced,
        **more,
    )


def _notes(
    layers: tuple[LayerReport, ...], network: Network, small: Network, rounds: int
) -> tuple[str, ...]:
    notes = []
    if rounds:
        times = "once" if rounds == 1 else f"{rounds} times"
        notes.append(
            f"what was chosen cost more than the budget after training: more units went {times}"
        )
    if all(row.units_kept == row.units_before for row in layers):
        same = small.n_parameters == network.n_parameters
        notes.append(
            "nothing was pruned: every unit is kept"
            if same
            else "the mask removes nothing; what went was constant or dead"
        )
    gone = [row.layer for row in layers if not row.units_after]
    if gone:
        notes.append(f"no unit is left of {', '.join(gone)}: what read them is constant")
    return tuple(notes)
