"""What a network cost the model it was embedded in."""

from __future__ import annotations

from dataclasses import dataclass, field

from mipnet.encode import LayerSize


@dataclass(frozen=True)
class EmbeddingReport:
    """Size and cost of one embedded network.

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

    def __str__(self) -> str:
        head = f"{'layer':<16}{'inactive':>10}{'active':>10}{'unstable':>10}{'M':>24}"
        lines = [
            f"{self.inputs} inputs, {self.outputs} outputs; formulation {self.formulation}, "
            f"bounds {self.bounds}",
            f"{self.columns} columns ({self.binaries} binary), {self.rows} rows, "
            f"{self.nonzeros} nonzeros; bound {self.bound_s:.3f} s, build {self.build_s:.3f} s",
            head,
        ]
        for layer in self.layers:
            span = f"{layer.min_big_m:.4g} .. {layer.max_big_m:.4g}" if layer.unstable else "-"
            lines.append(
                f"{layer.layer:<16}{layer.inactive:>10}{layer.active:>10}{layer.unstable:>10}"
                f"{span:>24}"
            )
        return "\n".join(lines)
