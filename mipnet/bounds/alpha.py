r"""Optimised CROWN: the slopes of the lower lines chosen by gradient (Xu et al., ICLR 2021).

Every unstable ReLU may use any lower line :math:`c\,a` with :math:`0 \le c \le 1`. The bound of a
target is concave in none of them but its gradient is cheap: at the input that minimises the form,
follow the lines the backward pass picked forwards; the derivative with respect to :math:`c` is the
coefficient, where it is positive, times the pre-activation reached there. Any slopes give a sound
bound, so the best one seen is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mipnet.bounds.crown import Relaxations, backward_form, concretise
from mipnet.bounds.data import deciders, unstable
from mipnet.clocks import Stopwatch
from mipnet.network import INPUT, Interval, LinearForm, Network
from mipnet.network.layers.base import Array
from mipnet.region import Region

#: Adam step, its decay by step, and steps (the values of the authors' released configuration).
_STEP, _DECAY, STEPS = 0.1, 0.98, 20
#: Largest number of slopes optimised at once (4 MiB a copy).
_CHUNK = 2**19


@dataclass
class _Adam:
    """Projected Adam ascent on slopes in [0, 1]."""

    values: Array
    step: int = 0
    first: Array = field(init=False)
    second: Array = field(init=False)

    def __post_init__(self) -> None:
        self.first = np.zeros_like(self.values)
        self.second = np.zeros_like(self.values)

    def ascend(self, gradient: Array) -> None:
        self.step += 1
        self.first += 0.1 * (gradient - self.first)
        self.second += 0.001 * (gradient * gradient - self.second)
        mean = self.first / (1.0 - 0.9**self.step)
        size = np.sqrt(self.second / (1.0 - 0.999**self.step))
        length = _STEP * _DECAY**self.step
        self.values = np.clip(self.values + length * mean / (size + 1e-12), 0.0, 1.0)


def optimise_forms(
    relaxations: Relaxations,
    region: Region,
    name: str,
    form: LinearForm,
    watch: Stopwatch,
    *,
    steps: int = STEPS,
    enough: float = np.inf,
) -> Array:
    """Best lower bounds found for forms over the node ``name``.

    Parameters
    ----------
    relaxations : Relaxations
        Over one box.
    region : Region
    name : str
    form : LinearForm, batch of one
    watch : Stopwatch
        Stops when its time is up.
    steps : int
    enough : float
        Stop once every bound exceeds this.

    Returns
    -------
    array, shape (targets,)
    """
    network = relaxations.network
    targets = form.coefficients.shape[1]
    slopes: dict[str, _Adam] = {}
    best = np.full(targets, -np.inf)
    for step in range(steps + 1):
        record: dict[str, Array] = {}
        chosen = {n: a.values for n, a in slopes.items()}
        final = backward_form(relaxations, name, form, slopes=chosen or None, record=record)
        best = np.maximum(best, concretise(final, region)[0])
        if step == steps or watch.expired or bool((best > enough).all()):
            break
        if not slopes:
            slopes = {
                n.name: _Adam(np.repeat(start[:, None], targets, axis=1))
                for n in network.nodes
                if n.name in record and (start := n.layer.start(relaxations[n.name])) is not None
            }
            if not slopes:
                break
            chosen = {n: a.values for n, a in slopes.items()}
        values = _follow(relaxations, region, final, record, chosen)
        for node_name, state in slopes.items():
            node = network.by_name[node_name]
            before = (values[source] for source in node.inputs)
            gain = node.layer.gain(relaxations[node_name], *before)
            state.ascend(np.maximum(record[node_name], 0.0) * gain)
    return np.asarray(best)


def _follow(
    relaxations: Relaxations,
    region: Region,
    final: LinearForm,
    record: Mapping[str, Array],
    slopes: Mapping[str, Array],
) -> dict[str, Array]:
    """Value of every node along the picked lines, at the minimiser of every target."""
    network, n = relaxations.network, region.n_inputs
    targets = final.coefficients.shape[1]
    points = region.minimiser(final.coefficients.reshape(targets, n)).astype(np.float64)
    values = {INPUT: points.reshape(1, targets, *network.input_shape)}
    for node in network.nodes:
        if node.name in record:
            inputs = (values[i] for i in node.inputs)
            values[node.name] = node.layer.follow(
                record[node.name], relaxations[node.name], slopes.get(node.name), *inputs
            )
    return values


def optimise_node(
    relaxations: Relaxations,
    region: Region,
    name: str,
    chosen: npt.NDArray[np.intp],
    watch: Stopwatch,
    *,
    steps: int = STEPS,
) -> Interval:
    """Bounds of a node with optimised slopes for the chosen flat neurons, one box.

    Returns
    -------
    Interval
        The known bounds, tightened at the chosen neurons.
    """
    known = relaxations.intervals[name]
    shape = known.lower.shape[1:]
    size = int(np.prod(shape))
    lower, upper = known.lower.reshape(-1).copy(), known.upper.reshape(-1).copy()
    widths = sum(int(np.prod(s)) for s in relaxations.network.shapes.values())
    step = max(1, _CHUNK // (2 * widths))
    for first in range(0, chosen.size, step):
        if watch.expired:
            break
        part = chosen[first : first + step]
        rows = np.zeros((1, 2 * part.size, size))
        count = np.arange(part.size)
        rows[0, count, part], rows[0, part.size + count, part] = 1.0, -1.0
        zero = np.zeros((1, 2 * part.size))
        form = LinearForm(rows.reshape(1, 2 * part.size, *shape), zero, zero)
        value = optimise_forms(relaxations, region, name, form, watch, steps=steps)
        lower[part] = np.maximum(lower[part], value[: part.size])
        upper[part] = np.minimum(upper[part], -value[part.size :])
    return Interval(lower[None], upper[None]).reshape(shape)


def alpha_intervals(
    network: Network,
    region: Region,
    intervals: Mapping[str, Interval],
    watch: Stopwatch,
    *,
    steps: int = STEPS,
) -> tuple[dict[str, Interval], list[str]]:
    """Optimised CROWN for every unstable neuron, layer by layer, and for the output.

    Parameters
    ----------
    network : Network
    region : Region
    intervals : mapping of node name to Interval
        Bounds that hold, batch of one.
    watch : Stopwatch
    steps : int

    Returns
    -------
    intervals : dict
        Never looser than the given ones.
    names : list of str
        The nodes that were optimised.
    """
    tight, names = {INPUT: intervals[INPUT]}, []
    relaxations = Relaxations(network, tight)
    decisive = deciders(network)
    behind_relu = False
    for node in network.nodes:
        box = node.layer.interval(*(tight[i] for i in node.inputs)).intersect(intervals[node.name])
        tight[node.name] = box
        behind_relu |= node.layer.nonlinear
        if not behind_relu or node.layer.nonlinear or watch.expired:
            continue
        chosen = np.flatnonzero(unstable(decisive.get(node.name, ()), box))
        if node.name == network.output:
            chosen = np.arange(box.lower.size)
        if chosen.size:
            tight[node.name] = optimise_node(
                relaxations, region, node.name, chosen, watch, steps=steps
            )
            names.append(node.name)
    return tight, names
