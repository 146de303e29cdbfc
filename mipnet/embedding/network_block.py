"""A trained network as a Pyomo block."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo
from pyomo.core.base.block import ScalarBlock

from formulations import ProgramArrays
from mipnet.bounds import Bounds, compute_bounds
from mipnet.embedding.inputs import Plug, input_box, plug
from mipnet.embedding.report import EmbeddingReport
from mipnet.embedding.rows import RowArrays, Rows
from mipnet.encode import MAX_BIG_M, Encoding, encode
from mipnet.errors import EmbeddingError, SolverError
from mipnet.network import INPUT, Network
from mipnet.region import Box, Region

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Embedded:
    """Everything about an embedding that no copy of the model may change.

    Attributes
    ----------
    network : Network
    region : Region
        The inputs the rows are valid for.
    encoding : Encoding
    arrays : ProgramArrays
    bounds : str
        Method that bounded the neurons.
    promised_lower, promised_upper : array, shape (n_inputs,)
        Bounds the input variables had when the block was built, before ``lower`` and ``upper``
        narrowed them.
    """

    network: Network
    region: Region
    encoding: Encoding
    arrays: ProgramArrays
    bounds: str
    promised_lower: Array
    promised_upper: Array

    def __deepcopy__(self, memo: dict[int, Any]) -> Embedded:
        return self


class NetworkBlock(ScalarBlock):  # type: ignore[misc]
    """A network embedded in a Pyomo model.

    Assign it to a ConcreteModel or a block of one (returned from the rule of an indexed Block,
    Pyomo keeps its components but not its methods). No solver is called. The constraints are valid
    for the bounds the inputs have now, so the block also holds the inputs within those bounds:
    widening the bounds of a variable later does not widen the model (build a new block for that),
    and can never give a wrong output.

    Parameters
    ----------
    network : Network, or anything :func:`mipnet.load` reads
    inputs : Var, expression, number, or nested containers of them, optional
        The network's inputs in row-major order. Expressions, numbers, and variables given a
        second time are tied to variables of the block. When absent the block creates its own.
    lower, upper : array_like, optional
        Bounds of the inputs, broadcastable to the input shape or flat; intersected with those of
        the variables. Without ``inputs`` the bounds that came with the network are the default.
        A fixed variable counts with its bounds, as it may be unfixed later; with its value only
        where it has none.
    bounds : str or Bounds
        Bounding method of the neurons (:func:`mipnet.bounds.compute_bounds`), or bounds proven
        before for this network over a region that holds the inputs.
    formulation : str
        Registered formulation of the unstable neurons.
    max_big_m : float
        Larger big-M constants are refused.

    Attributes
    ----------
    inputs : dict of int to VarData
        The variable of each network input, ``0..n_inputs-1``. (No Pyomo Reference: Pyomo's MPS
        writer fails on models that hold one.)
    outputs : Var, indexed 0..n_outputs-1
        Bounded by what was proven about them.
    hidden, binaries : Var
        The other columns.
    own_inputs : Var
        Inputs the block made itself, where there are any.
    rows : Constraint
        The network.
    input_range : Constraint
        The inputs within the region.
    input_links : Constraint
        Equalities that tie those to expressions and numbers, by input.

    Raises
    ------
    EmbeddingError
        When the number of inputs is wrong, or an input has no finite bounds.
    BoundsError
        When a neuron has no usable bounds or too large an M; names layer and neuron.

    Examples
    --------
    >>> import numpy as np
    >>> import pyomo.environ as pyo
    >>> from mipnet.network import Network
    >>> from mipnet.network.layers import Affine, ReLU
    >>> net = Network.sequential([Affine(np.array([[1.0, -1.0]]), np.zeros(1)), ReLU()])
    >>> m = pyo.ConcreteModel()
    >>> m.x = pyo.Var(range(2), bounds=(0, 1))
    >>> m.nn = NetworkBlock(net, m.x)
    >>> m.nn.report().binaries
    1
    """

    def __init__(
        self,
        network: Any,
        inputs: Any = None,
        *,
        lower: npt.ArrayLike | None = None,
        upper: npt.ArrayLike | None = None,
        bounds: str | Bounds = "crown",
        formulation: str = "big_m",
        max_big_m: float = MAX_BIG_M,
    ) -> None:
        super().__init__(concrete=True)
        start = time.perf_counter()
        net = _loaded(network)
        plugs = plug(inputs, net)
        box = Box(*input_box(plugs, net, lower, upper))
        proven = _proven(net, box, bounds)
        bounded = time.perf_counter()
        encoding = encode(
            net,
            box,
            proven.intervals,
            formulation_name=formulation,
            max_big_m=max_big_m,
            output_columns=True,
        )
        own = np.array([p.own for p in plugs])
        self.embedded = Embedded(
            net,
            box,
            encoding,
            encoding.arrays(),
            proven.methods[net.output],
            np.where(own, box.lower, [p.lower for p in plugs]),
            np.where(own, box.upper, [p.upper for p in plugs]),
        )
        self._add_components(plugs)
        done = time.perf_counter()
        self._report = _report(self.embedded, formulation, bounded - start, done - bounded)

    def _add_components(self, plugs: list[Plug]) -> None:
        arrays, encoding = self.embedded.arrays, self.embedded.encoding
        self._add_inputs(plugs)
        outputs = encoding.output.coefficients.indices
        inner = np.ones(arrays.n_columns, dtype=bool)
        inner[encoding.inputs] = inner[outputs] = False
        columns = np.empty(arrays.n_columns, dtype=object)
        columns[encoding.inputs] = list(self.inputs.values())
        for name, at, domain in (
            ("hidden", np.flatnonzero(inner & ~arrays.integer), pyo.Reals),
            ("binaries", np.flatnonzero(inner & arrays.integer), pyo.Binary),
            ("outputs", outputs, pyo.Reals),
        ):
            columns[at] = self._add_vars(name, arrays.lower[at], arrays.upper[at], domain)
        self.rows = Rows(RowArrays.of_program(arrays), columns.tolist())
        held = RowArrays.of_bounds(self.embedded.region.lower, self.embedded.region.upper)
        self.input_range = Rows(held, list(self.inputs.values()))

    def _add_inputs(self, plugs: list[Plug]) -> None:
        low, high = self.embedded.region.lower, self.embedded.region.upper
        self.inputs = {i: p.source for i, p in enumerate(plugs)}
        own = [i for i, p in enumerate(plugs) if p.own]
        if not own:
            return
        made = self._add_vars("own_inputs", low[own], high[own], pyo.Reals)
        tied = [i for i in own if plugs[i].source is not None]
        if tied:
            self.input_links = pyo.Constraint(tied)
        for i, var in zip(own, made, strict=True):
            if plugs[i].source is not None:
                self.input_links[i] = var == plugs[i].source
            self.inputs[i] = var

    def _add_vars(self, name: str, lower: Array, upper: Array, domain: Any) -> list[Any]:
        variables = pyo.Var(range(lower.size), domain=domain)
        self.add_component(name, variables)
        # No bounds rule: a closure kept by the component could not be pickled.
        for var, low, high in zip(variables.values(), lower.tolist(), upper.tolist(), strict=True):
            var.setlb(low)
            var.setub(high)
        return list(variables.values())

    @property
    def network(self) -> Network:
        """The embedded network."""
        return self.embedded.network

    def report(self) -> EmbeddingReport:
        """Binaries, phases and range of M by layer, sizes, and seconds spent."""
        return self._report

    def error(self, tolerance: float | None = None) -> float:
        """Replay the loaded solution through the network in float64.

        Parameters
        ----------
        tolerance : float, optional
            Largest absolute difference that passes.

        Returns
        -------
        float
            Largest absolute difference between the loaded outputs and the network's.

        Raises
        ------
        EmbeddingError
            When an input or output has no value.
        SolverError
            When the tolerance is exceeded; names the output.
        """
        loaded, expected = self._values("outputs"), self.network(self._values("inputs"))
        difference = np.abs(loaded - expected.reshape(-1))
        worst = int(difference.argmax())
        # A NaN difference is no agreement.
        if tolerance is not None and not difference[worst] <= tolerance:
            msg = f"{self.outputs[worst].name} is {loaded[worst]!r}, the network gives "
            msg += f"{expected.reshape(-1)[worst]!r}: off by {difference[worst]:.3g}, more than "
            msg += f"{tolerance:.3g}"
            raise SolverError(msg)
        return float(difference[worst])

    def widened_inputs(self) -> list[int]:
        """Find inputs that only the block still holds within the region it was built for.

        Returns
        -------
        list of int
            Inputs whose variable is fixed outside the region, or has wider bounds than it had
            when the block was built.
        """
        known = self.embedded
        low, high = known.promised_lower.tolist(), known.promised_upper.tolist()
        found = []
        for i, var in enumerate(self.inputs.values()):
            if var.fixed and var.value is not None:
                wide = not known.region.lower[i] <= var.value <= known.region.upper[i]
            else:
                lower, upper = var.bounds
                wide = (lower is None or lower < low[i]) and low[i] > -np.inf
                wide |= (upper is None or upper > high[i]) and high[i] < np.inf
            if wide:
                found.append(i)
        return found

    def _values(self, name: str) -> Array:
        variables = getattr(self, name)
        values = [v.value for v in variables.values()]
        if None in values:
            var = variables[values.index(None)]
            msg = f"{self.name}.{name}[{values.index(None)}] ({var.name}) has no value; solve the "
            msg += "model, or set the variables, first"
            raise EmbeddingError(msg)
        return np.array(values, dtype=np.float64)


def _loaded(network: Any) -> Network:
    if isinstance(network, Network):
        return network
    from mipnet.network.readers import load

    loaded: Network = load(network)
    return loaded


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


def _report(
    embedded: Embedded, formulation: str, bound_s: float, build_s: float
) -> EmbeddingReport:
    arrays = embedded.arrays
    return EmbeddingReport(
        formulation=formulation,
        bounds=embedded.bounds,
        inputs=embedded.network.n_inputs,
        outputs=embedded.network.n_outputs,
        binaries=arrays.n_binaries,
        columns=arrays.n_columns,
        rows=arrays.n_rows,
        nonzeros=arrays.n_nonzeros,
        layers=embedded.encoding.layers,
        bound_s=bound_s,
        build_s=build_s,
    )
