"""What an embedding consists of, made once and shared by every copy of a model."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from formulations import ProgramArrays, top_rows
from mipnet.bounds import Bounds, compute_bounds
from mipnet.choice import Choice, label
from mipnet.embedding.inputs import Plug, input_box
from mipnet.embedding.report import EmbeddingReport, report_of
from mipnet.encode import MAX_BIG_M, Encoding, encode
from mipnet.errors import EmbeddingError
from mipnet.network import INPUT, Network
from mipnet.network.layers import Affine, Flatten
from mipnet.network.rewrite import same_order
from mipnet.region import Box, Region

Array = npt.NDArray[np.float64]
Columns = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Options:
    """How a network is to be embedded; see :class:`mipnet.NetworkBlock`."""

    lower: npt.ArrayLike | None = None
    upper: npt.ArrayLike | None = None
    bounds: str | Bounds = "crown"
    formulation: Choice = "big_m"
    max_big_m: float = MAX_BIG_M
    top_k: int | None = None
    order_only: bool = False
    relaxed: bool = False

    def __deepcopy__(self, memo: dict[int, Any]) -> Options:
        return self


@dataclass(frozen=True, eq=False)
class Embedded:
    """Everything about an embedding that no copy of the model may change.

    Attributes
    ----------
    network : Network
        What the rows describe: without layers that ``order_only`` leaves out.
    source : Network
        The network as it was given.
    options : Options
    region : Region
        The inputs the rows are valid for.
    encoding : Encoding
    arrays : ProgramArrays
    marks : array of int32
        Columns of the binaries that mark the largest outputs; empty without ``top_k``.
    report : EmbeddingReport
    promised_lower, promised_upper : array, shape (n_inputs,)
        Bounds the input variables had when the block was built, before ``lower`` and ``upper``
        narrowed them.
    """

    network: Network
    source: Network
    options: Options
    region: Region
    encoding: Encoding
    arrays: ProgramArrays
    marks: Columns
    report: EmbeddingReport
    promised_lower: Array
    promised_upper: Array

    def __deepcopy__(self, memo: dict[int, Any]) -> Embedded:
        return self

    @property
    def outputs(self) -> Columns:
        """Columns of the outputs."""
        return self.encoding.output.coefficients.indices

    @property
    def outputs_named(self) -> bool:
        """Whether the outputs are expressions, not variables."""
        return bool(np.isin(self.outputs, self.arrays.constructs.named).any())

    @property
    def names(self) -> npt.NDArray[np.str_]:
        """Component that holds the variable of each column."""
        names = np.where(self.arrays.integer, "binaries", "hidden").astype("<U11")
        names[self.encoding.inputs] = "inputs"
        names[self.arrays.constructs.named] = "expressions"
        names[self.outputs] = "outputs"
        names[self.marks] = "marks"
        return names

    def misranked(self, marked: Array, outputs: Array) -> float:
        """By how much an output without a mark exceeds one with; 0 without ``top_k``."""
        chosen = marked > 0.5
        if not self.marks.size or chosen.all() or not chosen.any():
            return 0.0
        return max(0.0, float(outputs[~chosen].max() - outputs[chosen].min()))


class Embedder:
    """Embeds one network over any number of boxes, each box once.

    Parameters
    ----------
    network : Network
    options : Options
    """

    def __init__(self, network: Network, options: Options) -> None:
        self.network, self.options = network, options
        if options.top_k is None:
            self._ranked = same_order(network) if options.order_only else network
        else:
            self._ranked = _classes(same_order(network))
            n, count = self._ranked.n_outputs, options.top_k
            whole = isinstance(count, int | np.integer) and not isinstance(count, bool)
            if not (whole and 1 <= count < n):
                msg = f"top_k must be a number between 1 and {n - 1} of {n} outputs, not {count!r}"
                raise EmbeddingError(msg)
        self._known: dict[tuple[bytes, bytes], Embedded] = {}

    def embed(self, plugs: list[Plug]) -> Embedded:
        """Embedding over the box of the inputs.

        Raises
        ------
        EmbeddingError
            When an input has no usable bounds.
        BoundsError
            When a neuron has none.
        """
        box = Box(*input_box(plugs, self.network, self.options.lower, self.options.upper))
        key = box.lower.tobytes(), box.upper.tobytes()
        if key not in self._known:
            self._known[key] = self._over(box)
        own = np.array([p.source is None for p in plugs])
        return replace(
            self._known[key],
            promised_lower=np.where(own, box.lower, [p.lower for p in plugs]),
            promised_upper=np.where(own, box.upper, [p.upper for p in plugs]),
        )

    def _over(self, box: Box) -> Embedded:
        start = time.perf_counter()
        net, options = self._ranked, self.options
        proven = _proven(net, box, options.bounds)
        bounded = time.perf_counter()
        encoding = encode(
            net,
            box,
            proven.intervals,
            formulation_name=options.formulation,
            max_big_m=options.max_big_m,
            output_columns=True,
            relaxed=options.relaxed,
            linear=False,
        )
        marks = np.zeros(0, dtype=np.int32)
        if options.top_k is not None:
            ends = proven.output.lower.reshape(-1), proven.output.upper.reshape(-1)
            marked = top_rows(encoding.program, encoding.output, *ends, count=options.top_k)
            marks = marked.coefficients.indices.astype(np.int32)
        arrays = encoding.arrays()
        report = report_of(
            net,
            encoding,
            arrays,
            formulation=label(options.formulation),
            bounds=proven.methods[net.output],
            seconds=(bounded - start, time.perf_counter() - bounded),
        )
        return Embedded(
            net,
            self.network,
            options,
            box,
            replace(encoding, program=encoding.program.without_rows(arrays)),
            arrays,
            marks,
            report,
            box.lower,
            box.upper,
        )


def _classes(network: Network) -> Network:
    """Two outputs ``(0, z)`` for the single logit ``z`` of a binary classifier."""
    if network.n_outputs > 1:
        return network
    shape = network.shapes[network.output]
    flat = network if len(shape) == 1 else network.then(Flatten(), "flat_logit")
    return flat.then(Affine(np.array([[0.0], [1.0]]), np.zeros(2)), "both_logits")


def _proven(network: Network, region: Region, bounds: str | Bounds) -> Bounds:
    """Bounds of the neurons over the region, computed or checked."""
    if isinstance(bounds, str):
        return compute_bounds(network, region, bounds)
    if bounds.network is not network and bounds.network.fingerprint != network.fingerprint:
        msg = f"the bounds were proven for another network ({bounds.network}), not for {network}"
        raise EmbeddingError(msg)
    known, box = bounds[INPUT], region.box().reshape(network.input_shape)
    outside = (box.lower < known.lower) | (box.upper > known.upper)
    if outside.any():
        i = int(np.flatnonzero(outside)[0])
        msg = f"the bounds were proven for a smaller region: input {i} is "
        msg += f"[{box.lower.flat[i]}, {box.upper.flat[i]}] here, "
        msg += f"[{known.lower.flat[i]}, {known.upper.flat[i]}] there"
        raise EmbeddingError(msg)
    return bounds
