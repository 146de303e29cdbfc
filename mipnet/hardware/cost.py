"""The one call: networks or shapes in, costs on an array out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mipnet.hardware.apply import Masks, Pruned, prune, unit_masks
from mipnet.hardware.compared import TableLike, compared, table_notes
from mipnet.hardware.costs import GemmCosts
from mipnet.hardware.counts import LARGEST, CountError
from mipnet.hardware.extract import extract
from mipnet.hardware.gemm import Workload, read_shapes
from mipnet.hardware.machine import Machine, Memory, Precision, precision, sides, whole
from mipnet.hardware.packing import Packing, pack_units
from mipnet.hardware.price import price
from mipnet.hardware.result import HardwareCost
from mipnet.hardware.staircase import Staircase
from mipnet.hardware.staircase import staircase as staircase_of
from mipnet.network import Network
from mipnet.pruning import Mask


def cost(
    network_or_shapes: object,
    mask: Masks = None,
    *,
    array: object = (16, 16),
    dataflow: str = "ws",
    mode: str = "serial",
    edge_aware: bool = False,
    batch: int = 1,
    precision: str | Precision = "int8",
    memory: Memory | None = None,
    bandwidth: float | None = None,
    energy_table: TableLike = "horowitz45",
    compare: TableLike | Sequence[TableLike] = (),
    nm_support: bool = True,
    skip_slices: bool = False,
) -> HardwareCost:
    """Cycles, utilisation, memory traffic, stalls and energy, before and after pruning.

    Parameters
    ----------
    network_or_shapes : Network, anything :func:`mipnet.load` reads, or shapes
        Shapes are triples (M, K, N), :class:`~mipnet.hardware.gemm.Gemm` (see
        :mod:`mipnet.hardware.blocks`), a mapping of names to triples, an array (gemms, 3), or
        sequences of these.
    mask : Mask or mapping of str to masks, optional
        :class:`mipnet.pruning.LayerMask` by unit group (neurons, channels, heads), and
        ``TileMask``, ``NMMask``, ``ElementMask`` or a ``LayerMask`` of tiles by GEMM. GEMMs and
        groups of a network are called like its layers, those of bare shapes gemm0, gemm1, ...
    array : int, (int, int) or text such as "16x16"
        Rows and columns.
    dataflow : {"ws", "os", "is"}
    mode : {"serial", "no_fill", "overlap", "paper"}
        See :mod:`mipnet.hardware.cycles`.
    edge_aware : bool
        Charge under-filled folds for what they use.
    batch : int
        Items, or tokens of a network that works on one token. Multiplies M; products of
        activations are repeated instead.
    precision : {"int8", "fp16", "fp32", "fp32_int8"} or Precision
    memory : Memory, optional
        Buffers and ports.
    bandwidth : float, optional
        DRAM bytes per cycle; replaces that of ``memory``.
    energy_table : str, path or EnergyTable
        Name of a shipped table, or a TOML file. Under one without a MAC of the precision energy is
        NaN (``null`` in JSON), with a note.
    compare : table or sequence of tables
        Further tables for rankings; without any, one is added. Tables of one name are told apart
        as ``name (file)``.
    nm_support : bool
        Whether PEs can use N:M indices.
    skip_slices : bool
        Whether os and is schedules skip zero weight tiles.

    Returns
    -------
    HardwareCost

    Raises
    ------
    QueryError
        When a size, option or bandwidth is not usable, or figures of a GEMM exceed 64 bits.
    MaskError
        When a mask does not fit.
    ReadError
        When network or table cannot be read.
    UnsupportedError
        When layers of the network have no GEMM rule.

    Examples
    --------
    >>> dense = cost([(5, 7, 9)], array=4, dataflow="ws")
    >>> dense.cycles, dense.sram_reads, dense.sram_writes
    (90, 168, 90)
    """
    machine = _machine(
        array,
        dataflow=dataflow,
        mode=mode,
        edge_aware=edge_aware,
        precision=precision,
        memory=memory,
        bandwidth=bandwidth,
        nm_support=nm_support,
        skip_slices=skip_slices,
    )
    tables = compared(energy_table, compare, machine.precision.name)
    workload, network = _workload(network_or_shapes, batch)
    if isinstance(mask, Mask) and network is not None:
        _check_model(mask, network)
    dense = prune(workload, None, machine)
    before = dense.costs(machine)  # refuses sizes that masks could not be applied to
    pruned = dense if mask is None else prune(workload, mask, machine)
    after = before if mask is None else pruned.costs(machine)
    prices = [
        [price(costs, t, machine.memory, stationary=machine.stationary) for t in tables]
        for costs in ((before,) if mask is None else (before, after))
    ]
    return HardwareCost(
        machine=machine,
        workload=workload,
        masks=mask,
        dense=dense,
        pruned=pruned,
        costs_before=before,
        costs=after,
        energies_before=tuple(prices[0]),
        energies=tuple(prices[-1]),
        packings=_packings(workload, mask, pruned, machine),
        notes=(
            *pruned.notes,
            *_notes(workload, after, machine),
            *table_notes(tables, machine.precision.name),
        ),
        source="shapes" if network is None else network.source,
    )


def staircase(
    network_or_shapes: object,
    group: str,
    *,
    array: object = (16, 16),
    dataflow: str = "ws",
    batch: int = 1,
    **options: Any,
) -> Staircase:
    """Cycles of the whole workload for every width of one unit group.

    Parameters
    ----------
    network_or_shapes : as for :func:`cost`
    group : str
        Layer of a network, or unit group of shapes.
    array, dataflow, batch
        As for :func:`cost`.
    **options
        ``mode``, ``edge_aware``, ``precision``, ``memory`` and ``bandwidth`` of :func:`cost`.

    Raises
    ------
    QueryError
        When there is no such group, or as for :func:`cost`.

    Examples
    --------
    >>> stairs = staircase({"fc": (1, 100, 300)}, "fc", array=128)
    >>> stairs.steps.tolist(), stairs.best_width(130)
    ([128, 256, 300], 256)
    """
    workload, _ = _workload(network_or_shapes, batch)
    return staircase_of(workload, group, _machine(array, dataflow=dataflow, **options))


def _machine(
    array: object,
    *,
    memory: Memory | None = None,
    bandwidth: float | None = None,
    **options: Any,
) -> Machine:
    memory = memory or Memory()
    if bandwidth is not None and isinstance(memory, Memory):
        memory = replace(memory, bandwidth=bandwidth)
    rows, columns = sides(array)
    options["precision"] = precision(options.get("precision", "int8"))
    return Machine(rows, columns, memory=memory, **options)


def read_workload(source: object) -> tuple[Workload, Network | None]:
    """Read shapes, or a network and its GEMMs for one item."""
    network = source if isinstance(source, Network) else None
    workload = None if network is not None else read_shapes(source)
    if workload is None:
        if network is None:
            from mipnet.network.readers import load

            network = load(source)
        workload = extract(network)
    return workload, network


def _workload(source: object, batch: int) -> tuple[Workload, Network | None]:
    items = whole("batch", batch)
    workload, network = read_workload(source)
    if items == 1:
        return workload, network
    _check_batch(workload, items)
    products = np.array([not gemm.weights for gemm in workload.rows])
    m = np.where(products, workload.m, workload.m * items)
    count = np.where(products, workload.count * items, workload.count)
    unique = np.where(products, workload.unique, workload.unique * items)
    return replace(workload, m=m, count=count, unique=unique, gemms=workload.rows), network


def _check_batch(workload: Workload, items: int) -> None:
    """Refuse a batch that takes rows or repetitions beyond 64 bits."""
    products = np.array([not gemm.weights for gemm in workload.rows])
    for label, column, times in (("M", workload.m, ~products), ("count", workload.count, products)):
        bad = times & (column > LARGEST // items)
        if bad.any():
            i = int(np.argmax(bad))
            msg = (
                f"{label} = {column[i]} times batch {items} is beyond exact 64-bit counts; cost a "
            )
            msg += "smaller batch"
            raise CountError(workload.names[i], msg)


def _check_model(mask: Mask, network: Network) -> None:
    """Widths are checked with the workload; other kinds of unit than neurons pass here."""
    if all(layer.unit in {"neuron", "tile"} for layer in mask.layers.values()):
        mask.check(network)


def _packings(
    workload: Workload, mask: Masks, pruned: Pruned, machine: Machine
) -> dict[str, Packing]:
    """Packing of the first GEMM whose columns a unit mask thins out."""
    if mask is None:
        return {}
    found = {}
    for group in unit_masks(mask):
        gemm = next(g for g in workload.rows if g.outputs == group)
        keep = pruned.units.outputs(gemm)
        found[group] = pack_units(keep, gemm.k, (machine.rows, machine.columns))
    return found


def _notes(workload: Workload, costs: GemmCosts, machine: Machine) -> list[str]:
    """Say what a reader of the figures should know."""
    notes = []
    on_rows, on_columns = {"ws": ("K", "N"), "os": ("M", "N"), "is": ("K", "M")}[machine.dataflow]
    r, c = getattr(workload, on_rows.lower()), getattr(workload, on_columns.lower())
    wide = (r < machine.rows) | (c < machine.columns)
    if wide.any():
        first = workload.names[int(np.argmax(wide))]
        notes.append(
            f"the {machine.array} array is larger than the {on_rows} x {on_columns} operand of "
            f"{int(wide.sum())} GEMM(s), first {first!r}: part of it idles throughout"
        )
    if machine.memory.partial_sums == "accumulator" and costs.spilled.any():
        first = workload.names[int(np.argmax(costs.spilled))]
        notes.append(
            f"partial sums of {int(costs.spilled.sum())} GEMM(s), first {first!r}, do not fit the "
            "output buffer and spill to DRAM"
        )
    limited = machine.memory.bandwidth is not None and machine.memory.double_buffered
    if limited and not costs.buffered.all():
        first = workload.names[int(np.argmin(costs.buffered))]
        notes.append(
            f"two working tiles of {int((~costs.buffered).sum())} GEMM(s), first {first!r}, do not "
            "fit their buffers: transfers do not overlap with computing"
        )
    if workload.beside:
        kinds = ", ".join(f"{n} {kind}" for kind, n in Counter(workload.beside.values()).items())
        notes.append(f"beside the array, without a GEMM and at no cost: {kinds}")
    return notes
