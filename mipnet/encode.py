"""From a network with bounds to a program: the one place where the two meet."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from formulations import AffineForm, BigM, Formulation, Program, ProgramArrays, ReducedSpace, worth
from mipnet.choice import Choice, choose
from mipnet.errors import BoundsError, QueryError, RegionError
from mipnet.network import INPUT, Interval, Network, Node
from mipnet.network.layers.base import Array
from mipnet.region import Region

#: What layers get that have nothing to choose.
_PLAIN: Formulation = BigM()
#: Largest |M| that is encoded. A solver that accepts a binary of 1e-9 instead of 0 lets M * 1e-9
#: through, so at this limit a pre-activation may be off by 0.1 before the replay sees it.
MAX_BIG_M = 1e8


@dataclass(frozen=True)
class LayerSize:
    """What one nonlinear layer became.

    Attributes
    ----------
    layer : str
        Node name.
    inactive, active, unstable : int
        Neurons by phase.
    min_big_m, max_big_m : float
        Range of the big-M constants of the unstable neurons; 0 where there is none.
    """

    layer: str
    inactive: int
    active: int
    unstable: int
    min_big_m: float
    max_big_m: float


@dataclass(frozen=True)
class Encoding:
    """A network as a program.

    Attributes
    ----------
    program : Program
        Columns, rows and the definitions that complete a point.
    inputs : array of int32, shape (n_inputs,)
        Columns of the flattened inputs.
    output : AffineForm, n_outputs rows
        Output forms over the columns.
    layers : tuple of LayerSize
    chosen : mapping of node name to Formulation
        What wrote each nonlinear layer.
    n_binaries : int
        Binaries of the network, those of the region aside.
    bands : mapping of node name to float
        Nodes whose output the program only holds within a band, and its width. Whatever the network
        does stays possible in the program, so that its bounds are bounds of the network; its points
        need a replay.
    seconds : float
        Time spent.
    """

    program: Program
    inputs: npt.NDArray[np.int32]
    output: AffineForm
    layers: tuple[LayerSize, ...]
    chosen: Mapping[str, Formulation]
    n_binaries: int
    bands: Mapping[str, float]
    seconds: float = field(default=0.0, compare=False)

    @property
    def exact(self) -> bool:
        """Whether every formulation is exact; else the program is a relaxation."""
        return all(how.exact for how in self.chosen.values())

    @property
    def band(self) -> float:
        """Widest of the :attr:`bands`; 0 where the program is the network exactly."""
        return max(self.bands.values(), default=0.0)

    def arrays(self, objective: Array | None = None) -> ProgramArrays:
        """Return the program that minimises ``objective . outputs`` (zero when absent)."""
        if objective is None:
            return self.program.freeze()
        row = np.asarray(objective, dtype=np.float64).reshape(1, -1)
        if row.shape[1] != self.output.size or not np.isfinite(row).all():
            msg = f"the objective needs {self.output.size} finite coefficients, one for each output"
            raise QueryError(msg)
        return self.program.freeze(self.output.affine(row, np.zeros(1)))

    def complete(self, point: Array) -> Array:
        """Full column vector of a flat input point, by running the network forward.

        Raises
        ------
        QueryError
            When the point has another number of inputs.
        """
        if point.size != self.inputs.size:
            msg = f"the point has {point.size} values for {self.inputs.size} inputs"
            raise QueryError(msg)
        return self.program.complete(self.inputs, point.reshape(-1))


def encode(
    network: Network,
    region: Region,
    intervals: Mapping[str, Interval],
    *,
    formulation_name: Choice = "big_m",
    max_big_m: float = MAX_BIG_M,
    output_columns: bool = False,
    relaxed: bool = False,
    linear: bool = True,
) -> Encoding:
    """Compile a network over a region into a program.

    Parameters
    ----------
    network : Network
    region : Region
        The input set; becomes columns and rows.
    intervals : mapping of node name to Interval
        Valid bounds of every node (``Bounds.intervals``).
    formulation_name : str, Formulation, or mapping of layer to them
        How unstable activations are written: one way for all, or by layer, or by neuron
        (:data:`mipnet.choice.Choice`).
    max_big_m : float
        Refuse larger constants.
    output_columns : bool
        Whether every output gets a column of its own.
    relaxed : bool
        Whether a formulation that is only a relaxation is welcome.
    linear : bool
        Whether only rows and integers are welcome, not SOS1 sets and the like
        (:class:`formulations.Constructs`).

    Raises
    ------
    BoundsError
        When a neuron has no finite bounds, contradictory bounds, or a constant above the limit;
        names layer and neuron.
    RegionError
        When the region has another number of inputs than the network.
    QueryError
        When a formulation is unknown or not welcome, or is named for a layer that does not exist.
    """
    start = time.perf_counter()
    _fits(network, region, intervals, output_columns=output_columns)
    program = Program()
    chosen = choose(formulation_name, network, relaxed=relaxed, linear=linear)
    forms = {INPUT: AffineForm.of_columns(inputs := region.encode(program))}
    sizes, given = [], program.n_integers
    last = {source: node.name for node in network.nodes for source in node.inputs}
    for node in network.nodes:
        boxes = tuple(intervals[i] for i in node.inputs)
        how = chosen.get(node.name, _PLAIN)
        if node.layer.nonlinear:
            # A formulation that needs more than rows has no M.
            sizes.append(_size(node, boxes[0], np.inf if how.needs else max_big_m))
        forms[node.name] = node.layer.encode(
            program, *(forms[i] for i in node.inputs), bounds=boxes, formulation=how
        )
        # A dense form is as large as its rows: none outlives its last reader.
        for source in set(node.inputs):
            if last[source] == node.name:
                del forms[source]
    program.reconsider(worth)
    output = forms[network.output]
    if output_columns:
        box = intervals[network.output]
        ends = box.lower.reshape(-1), box.upper.reshape(-1)
        reduced = chosen and all(isinstance(how, ReducedSpace) for how in chosen.values())
        write = ReducedSpace().column if reduced else Program.materialise
        output = write(program, output, *ends)
    bands = {
        node.name: node.layer.band
        for node in network.nodes
        if node.layer.band > 0.0 and not chosen[node.name].closed
    }
    binaries, seconds = program.n_integers - given, time.perf_counter() - start
    return Encoding(program, inputs, output, tuple(sizes), chosen, binaries, bands, seconds)


def _fits(
    network: Network,
    region: Region,
    intervals: Mapping[str, Interval],
    *,
    output_columns: bool,
) -> None:
    """Refuse bounds that are missing, of other shapes, or of a region that is not covered."""
    if region.n_inputs != network.n_inputs:
        msg = f"the region has {region.n_inputs} inputs, the network {network.n_inputs}"
        raise RegionError(msg)
    readers = [(node.name, node.inputs) for node in network.nodes]
    if output_columns:
        readers.append(("output", (network.output,)))
    for reader, names in readers:
        for name in names:
            if name not in intervals:
                msg = f"layer {reader!r}: no bounds of {name!r}; compute bounds of this network"
                raise BoundsError(msg)
            found, expected = intervals[name].lower.shape, (1, *network.shapes[name])
            if found != expected:
                msg = f"layer {reader!r}: bounds of {name!r} have shape {found}, not {expected}"
                raise BoundsError(msg)
    box = intervals[INPUT]
    low, high = box.lower.reshape(-1), box.upper.reshape(-1)
    outside = np.flatnonzero((region.lower < low) | (region.upper > high))
    if outside.size:
        i = int(outside[0])
        msg = (
            f"input {i}: the region [{region.lower[i]}, {region.upper[i]}] is larger than the "
            f"bounds [{low[i]}, {high[i]}] were computed for; compute bounds over this region"
        )
        raise BoundsError(msg)


def _size(node: Node, box: Interval, max_big_m: float) -> LayerSize:
    name, source = node.name, node.inputs[0]
    lower, upper = box.lower.reshape(-1), box.upper.reshape(-1)
    remedy = "give tighter input bounds, or rescale the inputs and the first layer"
    bad = np.flatnonzero(~(np.isfinite(lower) & np.isfinite(upper)))
    if bad.size:
        i = int(bad[0])
        msg = f"layer {name!r}, neuron {i}: unbounded pre-activation [{lower[i]}, {upper[i]}] from "
        msg += f"{source!r}; {remedy}"
        raise BoundsError(msg)
    bad = np.flatnonzero(lower > upper)
    if bad.size:
        i = int(bad[0])
        msg = f"layer {name!r}, neuron {i}: contradictory bounds [{lower[i]}, {upper[i]}]; "
        msg += "the bounds are wrong or the region is empty"
        raise BoundsError(msg)
    inactive, open_ = int(node.layer.inactive(box).sum()), node.layer.unstable(box).reshape(-1)
    constants = np.maximum(-lower, upper)[open_]
    if constants.size and float(constants.max()) > max_big_m:
        i = int(np.flatnonzero(open_)[int(constants.argmax())])
        msg = f"layer {name!r}, neuron {i}: big-M constant {constants.max():.6g} from bounds "
        msg += f"[{lower[i]:.6g}, {upper[i]:.6g}] exceeds the limit {max_big_m:.6g}; {remedy}, or "
        msg += "raise max_big_m knowing that the solver may be off by |M| times its tolerance"
        raise BoundsError(msg)
    both = np.abs(np.concatenate([lower[open_], upper[open_]]))
    least, most = (float(both.min()), float(both.max())) if both.size else (0.0, 0.0)
    unstable = int(open_.sum())
    return LayerSize(name, inactive, lower.size - inactive - unstable, unstable, least, most)
