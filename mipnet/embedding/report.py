"""What a network cost the model it was embedded in."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from formulations import ProgramArrays
from mipnet.encode import Encoding, LayerSize
from mipnet.network import Network

#: A weight that is not zero and not larger than this is called tiny.
TINY = 1e-9


@dataclass(frozen=True)
class EmbeddingReport:
    """Size and cost of one embedded network, or of several copies of it.

    Attributes
    ----------
    formulation : str
        Formulation of the unstable neurons.
    bounds : str
        Method that bounded them.
    inputs, outputs : int
    binaries : int
        One for each unstable neuron, in exact formulations.
    columns : int
        Variables of the network: inputs, hidden, binaries and outputs.
    rows, nonzeros : int
        Constraints and their terms, without the one-variable rows that hold the inputs in the
        region.
    layers : tuple of LayerSize
        Phases and range of M of every layer with activations.
    parameters, zeros, tiny : int
        Weights and biases of the network; those that are exactly zero, which cost nothing; and
        those that are not zero but below 1e-9 in size, which are hard on a solver.
    bands : mapping of layer name to float
        Layers that the rows hold only within a band, and its width.
    exact : bool
        Whether the formulation is one; else the rows are a relaxation.
    copies : int
        Number of blocks summed up here.
    bound_s, build_s : float
        Seconds spent bounding neurons, and writing the program and the Pyomo components.
    """

    formulation: str
    bounds: str
    inputs: int
    outputs: int
    binaries: int
    columns: int
    rows: int
    nonzeros: int
    layers: tuple[LayerSize, ...]
    bound_s: float = field(compare=False)
    build_s: float = field(compare=False)
    parameters: int = 0
    zeros: int = 0
    tiny: int = 0
    bands: Mapping[str, float] = field(default_factory=dict)
    exact: bool = True
    copies: int = 1

    @property
    def inactive(self) -> int:
        """Number of neurons that are always 0."""
        return sum(layer.inactive for layer in self.layers)

    @property
    def active(self) -> int:
        """Number of neurons that are always linear."""
        return sum(layer.active for layer in self.layers)

    @property
    def unstable(self) -> int:
        """Number of neurons whose phase depends on the input."""
        return sum(layer.unstable for layer in self.layers)

    @property
    def min_big_m(self) -> float:
        """Smallest big-M constant; 0 where there is none."""
        return min((layer.min_big_m for layer in self.layers if layer.unstable), default=0.0)

    @property
    def max_big_m(self) -> float:
        """Largest big-M constant; 0 where there is none."""
        return max((layer.max_big_m for layer in self.layers), default=0.0)

    @property
    def band(self) -> float:
        """Width of the widest band; 0 where the rows are the network exactly."""
        return max(self.bands.values(), default=0.0)

    @property
    def _facts(self) -> list[str]:
        """Lines in front of the table of layers."""
        copies = f"{self.copies} blocks; " if self.copies > 1 else ""
        relaxed = "" if self.exact else " (a relaxation)"
        facts = [
            f"{copies}{self.inputs} inputs, {self.outputs} outputs; formulation "
            f"{self.formulation}{relaxed}, bounds {self.bounds}",
            f"{self.columns} columns ({self.binaries} binary), {self.rows} rows, "
            f"{self.nonzeros} nonzeros; bound {self.bound_s:.3f} s, build {self.build_s:.3f} s",
        ]
        if self.parameters:
            share = 100.0 * self.zeros / self.parameters
            facts.append(f"{self.parameters} weights, {self.zeros} zero ({share:.1f} %)")
        if self.tiny:
            facts[-1] += f", {self.tiny} tiny (below {TINY:g}): set them to zero"
        if self.bands:
            names = ", ".join(f"{name} {width:g}" for name, width in self.bands.items())
            facts.append(f"held within a band: {names}")
        return facts

    @property
    def _table(self) -> list[tuple[str, ...]]:
        """Heading and a line for every layer."""
        lines: list[tuple[str, ...]] = [("layer", "inactive", "active", "unstable", "M")]
        for layer in self.layers:
            span = f"{layer.min_big_m:.4g} .. {layer.max_big_m:.4g}" if layer.unstable else "-"
            phases = (layer.inactive, layer.active, layer.unstable)
            lines.append((layer.layer, *map(str, phases), span))
        return lines

    def __str__(self) -> str:
        wide = max(16, *(len(line[0]) + 2 for line in self._table))
        table = [
            f"{name:<{wide}}{inactive:>10}{active:>10}{unstable:>10}{span:>24}"
            for name, inactive, active, unstable, span in self._table
        ]
        return "\n".join([*self._facts, *table])

    def _repr_html_(self) -> str:
        facts = "<br>".join(map(html.escape, self._facts))
        head, *body = self._table
        lines = [_html_line(head, "th"), *(_html_line(line, "td") for line in body)]
        return f"<div><p>{facts}</p><table>{''.join(lines)}</table></div>"


def _html_line(cells: tuple[str, ...], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"


def report_of(
    network: Network,
    encoding: Encoding,
    arrays: ProgramArrays,
    *,
    formulation: str,
    bounds: str,
    seconds: tuple[float, float],
) -> EmbeddingReport:
    """Report of one embedding; ``seconds`` to bound and to build."""
    weights = [p for node in network.nodes for p in node.layer.parameters]
    count = sum(p.size for p in weights)
    zeros = count - sum(int(np.count_nonzero(p)) for p in weights)
    small = sum(int(np.count_nonzero((p <= TINY) & (p >= -TINY))) for p in weights)
    return EmbeddingReport(
        formulation=formulation,
        bounds=bounds,
        inputs=network.n_inputs,
        outputs=network.n_outputs,
        binaries=arrays.n_binaries,
        columns=arrays.n_columns,
        rows=arrays.n_rows,
        nonzeros=arrays.n_nonzeros,
        layers=encoding.layers,
        bound_s=seconds[0],
        build_s=seconds[1],
        parameters=count,
        zeros=zeros,
        tiny=small - zeros,
        bands=dict(encoding.bands),
        exact=encoding.exact,
    )


def total(reports: Sequence[EmbeddingReport]) -> EmbeddingReport:
    """Sum of the reports of blocks that hold the same network."""
    layers = []
    for sizes in zip(*(r.layers for r in reports), strict=True):
        open_ = [s for s in sizes if s.unstable]
        layers.append(
            LayerSize(
                sizes[0].layer,
                sum(s.inactive for s in sizes),
                sum(s.active for s in sizes),
                sum(s.unstable for s in sizes),
                min((s.min_big_m for s in open_), default=0.0),
                max((s.max_big_m for s in open_), default=0.0),
            )
        )
    sums = {
        name: sum(getattr(r, name) for r in reports)
        for name in ("binaries", "columns", "rows", "nonzeros", "copies")
    }
    # Blocks over one box share what was made for it.
    made = {id(r): r for r in reports}.values()
    sums |= {name: sum(getattr(r, name) for r in made) for name in ("bound_s", "build_s")}
    return replace(reports[0], layers=tuple(layers), **sums)
