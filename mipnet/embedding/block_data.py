"""Components and verbs of a block that holds a network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo
from pyomo.core.base.block import BlockData

from mipnet.embedding.base_block import REPLAY_TOLERANCE, EmbeddedBlockData, Held, hold
from mipnet.embedding.constructs import COMPONENTS, add_conditions, add_expressions, evaluate
from mipnet.embedding.embedded import Embedded, Embedder, Options
from mipnet.embedding.inputs import Plug, replug
from mipnet.embedding.report import EmbeddingReport
from mipnet.embedding.rows import RowArrays, Rows
from mipnet.embedding.users import refuse_users
from mipnet.errors import EmbeddingError, SolverError
from mipnet.network import Network

Array = npt.NDArray[np.float64]

#: Components made anew when a block is built again; outputs and inputs of its own stay.
_INNER = ("hidden", "binaries", "rows", "input_range", "marks", "label", "largest", *COMPONENTS)


#: Kinds of plain blocks to the kind that replaces them where Pyomo moves the components of a
#: network into one: what a rule returns.
HOMES: dict[type, type] = {}


class NetworkRows(Rows):
    """Rows of a network, which make the block they are in one of networks.

    Pyomo moves what a rule returns, component by component, into a plain block of its own. The
    only thing it tells a component then is its new parent.
    """

    @property
    def _parent(self) -> Any:
        return self.__dict__.get("_parent")

    @_parent.setter
    def _parent(self, reference: Any) -> None:
        self.__dict__["_parent"] = reference
        home = None if reference is None else reference()
        if home is None or isinstance(home, NetworkBlockData):
            return
        if type(home) not in HOMES:
            msg = f"a {type(home).__name__} cannot become a NetworkBlock: assign the NetworkBlock "
            raise EmbeddingError(msg + "to an attribute of it instead of returning it")
        home.__class__ = HOMES[type(home)]


class NetworkBlockData(EmbeddedBlockData):
    """A network in a block; see :class:`NetworkBlock`."""

    embedded: Embedded

    def build(self, embedded: Embedded, plugs: list[Plug]) -> None:
        """Make the components of an empty block."""
        self.embedded = embedded
        self._add_inputs(plugs, embedded.region.lower, embedded.region.upper)
        if embedded.outputs_named:
            self.outputs = pyo.Expression(range(embedded.outputs.size), initialize=0.0)
        else:
            self._add_vars("outputs", *self._ends(embedded.outputs), pyo.Reals)
        self._add_inner()

    def _ends(self, columns: Any) -> tuple[Array, Array]:
        return self.embedded.arrays.lower[columns], self.embedded.arrays.upper[columns]

    def _add_inner(self) -> None:
        """Make everything that follows from inputs and outputs."""
        known = self.embedded
        names, columns = known.names, np.empty(known.arrays.n_columns, dtype=object)
        columns[known.encoding.inputs] = list(self.inputs.values())
        columns[known.outputs] = list(self.outputs.values())
        for name, domain in (("hidden", pyo.Reals), ("binaries", pyo.Binary)):
            at = np.flatnonzero(names == name)
            columns[at] = self._add_vars(name, *self._ends(at), domain)
        if known.marks.size:
            made = self._add_vars("marks", *self._ends(known.marks), pyo.Binary)
            columns[known.marks] = made
            if known.options.top_k == 1:
                self.label = pyo.Expression(expr=sum(k * var for k, var in enumerate(made)))
        given = {}
        if known.outputs_named:
            given = dict(zip(known.outputs.tolist(), self.outputs.values(), strict=True))
        add_expressions(self, known.arrays.constructs, columns, given)
        self.rows = NetworkRows(add_conditions(self, known.arrays, columns), columns.tolist())
        held = RowArrays.of_bounds(known.region.lower, known.region.upper)
        self.input_range = Rows(held, list(self.inputs.values()))

    @property
    def network(self) -> Network:
        """The network that the rows describe."""
        return self.embedded.network

    def report(self) -> EmbeddingReport:
        """Binaries, phases and range of M by layer, sizes, and seconds spent."""
        return self.embedded.report

    def error(self, tolerance: float | None = None) -> float:
        """Replay the loaded solution through the network in float64.

        Parameters
        ----------
        tolerance : float, optional
            Largest absolute difference that passes.

        Returns
        -------
        float
            Largest absolute difference between the loaded outputs and the network's; or, where
            larger, by how much an output without a mark exceeds one with (``top_k``).

        Raises
        ------
        EmbeddingError
            When an input or output has no value.
        SolverError
            When the tolerance is exceeded; names the output.
        """
        loaded = self._values("outputs")
        expected = self.network(self._values("inputs")).reshape(-1)
        difference = np.abs(loaded - expected)
        worst = int(difference.argmax())
        marked = self._values("marks") if self.embedded.marks.size else np.zeros(0)
        swapped = self.embedded.misranked(marked, expected)
        # A NaN difference is no agreement.
        if tolerance is not None and not difference[worst] <= tolerance:
            msg = f"{self.outputs[worst].name} is {loaded[worst]}, the network gives "
            msg += f"{expected[worst]}: off by {difference[worst]:.3g}, more than {tolerance:.3g}"
            raise SolverError(msg)
        if tolerance is not None and not swapped <= tolerance:
            msg = f"{self.name}.marks: an output without a mark exceeds one with by {swapped:.3g}, "
            msg += f"more than {tolerance:.3g}"
            raise SolverError(msg)
        return max(float(difference[worst]), swapped)

    def doubts(self, error: float) -> Iterator[str]:
        """See :meth:`EmbeddedBlockData.doubts`: outputs that are not what the network gives."""
        size = max(abs(v.value or 0.0) for v in self.outputs.values())
        if error <= REPLAY_TOLERANCE * (1.0 + size):
            return
        report = self.report()
        what = f"{self.name}: the loaded outputs are {error:.3g} away from what the network gives "
        if not report.exact:
            yield what + f"(formulation {report.formulation} is a relaxation); the bound holds"
        elif report.bands:
            widths = ", ".join(f"{name!r} {width:g}" for name, width in report.bands.items())
            what += f"(held within bands: {widths}); the bound holds, for a closer point give "
            yield what + "these layers a smaller error"
        else:
            what += f"(formulation {report.formulation}, largest big-M "
            yield what + f"{report.max_big_m:.3g}); do not trust this solution"

    def initialize(self, inputs: npt.ArrayLike | None = None) -> None:
        """Carry values of the inputs through the layers: a start for any solver.

        Sets hidden variables, binaries, outputs and variables of expressions to what the network
        computes; fixed ones stay. :func:`mipnet.solve` does this by itself.

        Parameters
        ----------
        inputs : array_like, optional
            Values of the inputs, set first; those that the variables have when absent.

        Raises
        ------
        EmbeddingError
            When an input has no value, or their number is wrong.
        """
        given = self._source_values() if inputs is None else np.asarray(inputs, float).reshape(-1)
        if given.size != len(self.inputs):
            msg = f"{self.name} takes {len(self.inputs)} inputs, not {given.size}"
            raise EmbeddingError(msg)
        for i in np.flatnonzero(~np.isfinite(given))[:1]:
            msg = f"{self.name}.inputs[{i}] ({self.inputs[int(i)].name}) has no value to start from"
            raise EmbeddingError(msg)
        values = self.embedded.encoding.complete(given)
        for var, value in zip(self.rows.columns, values.tolist(), strict=True):
            if var.is_variable_type() and not var.fixed:
                var.set_value(value, skip_validation=True)

    def _source_values(self) -> Array:
        """Values of what the inputs are tied to; NaN where there is none."""
        found = [self.inputs[i] if s is None else s for i, s in self.sources.items()]
        values = [pyo.value(source, exception=False) for source in found]
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)

    def make_largest(self, output: int, margin: float = 0.0) -> Any:
        """Constrain an output to be the largest: the class that the network predicts.

        Parameters
        ----------
        output : int
        margin : float
            By how much it exceeds every other one at least; 0 allows ties.

        Returns
        -------
        Constraint
            Component ``largest`` of the block, one row for every other output; a former one is
            replaced. Delete or deactivate it to lift the requirement.

        Raises
        ------
        EmbeddingError
            When there is no such output, or the margin is no finite number.
        """
        n = len(self.outputs)
        if not 0 <= output < n or n < 2 or not np.isfinite(margin):
            msg = f"{self.name} has outputs 0 to {n - 1}: none called {output} can be the largest "
            msg += f"of them by {margin}"
            raise EmbeddingError(msg)
        self.del_component("largest")
        self.largest = pyo.Constraint([k for k in range(n) if k != output])
        for k in self.largest.index_set():
            self.largest[k] = self.outputs[output] - self.outputs[k] >= margin
        return self.largest

    def rebuild(self, network: Any = None, **options: Any) -> None:
        """Build the block again in its place, for the bounds its inputs have now.

        Inputs and outputs stay the same variables, so what uses them stays valid.

        Parameters
        ----------
        network : Network, or anything :func:`mipnet.load` reads, optional
            Another network with as many inputs and outputs; the same one when absent.
        **options
            Options of :class:`NetworkBlock` to change.

        Raises
        ------
        EmbeddingError
            When the numbers of inputs or outputs differ, an input has no finite bounds, or an
            active constraint outside uses a variable that is made anew. The block stays as it was.
        BoundsError
            When a neuron has no usable bounds; likewise.
        """
        self.replace(*self.prepared(self.embedder(network, **options)))

    def embedder(self, network: Any = None, **options: Any) -> Embedder:
        """Embedder of this network, or another one, with some options changed."""
        known = self.embedded
        net = known.source if network is None else loaded_network(network)
        return Embedder(net, Options(**{**vars(known.options), **options}))

    def prepared(self, embedder: Embedder) -> tuple[Embedded, list[Plug]]:
        """Embedding for the bounds that the inputs have now, once it is sure that it fits."""
        net = embedder.network
        plugs = replug(list(self.sources.values()), list(self.inputs.values()), net)
        embedded = embedder.embed(plugs)
        if embedded.outputs.size != len(self.outputs):
            msg = f"{self.name} has {len(self.outputs)} outputs, the network "
            msg += f"{embedded.outputs.size}; remove() the block and add the network as a new one"
            raise EmbeddingError(msg)
        inner = [v for c in ("hidden", "binaries", "marks") for v in self._members(c)]
        refuse_users(self.name, [self], inner, "built again")
        if embedded.outputs_named != self.embedded.outputs_named:
            msg = f"{self.name}: outputs are expressions in reduced space and variables otherwise; "
            raise EmbeddingError(msg + "remove() the block and add the network as a new one")
        return embedded, plugs

    def replace(self, embedded: Embedded, plugs: list[Plug]) -> None:
        """Put an embedding into the place of this one."""
        for name in _INNER:
            self.del_component(name)
        self.embedded = embedded
        if not embedded.outputs_named:
            hold(self.outputs, *self._ends(embedded.outputs))
        for i, p in enumerate(plugs):
            if p.own:
                self.inputs[i].setlb(embedded.region.lower[i])
                self.inputs[i].setub(embedded.region.upper[i])
        self._add_inner()

    def held(self) -> Held:
        """Range that the rows of the network are valid for."""
        known = self.embedded
        box = known.region
        return Held(box.lower, box.upper, known.promised_lower, known.promised_upper)

    def _expressed(self) -> Array:
        """Compute outputs that are expressions, at the values of the variables."""
        known = self.embedded
        values = np.array(
            [np.nan if not v.is_variable_type() or v.value is None else v.value
             for v in self.rows.columns]
        )  # fmt: skip
        evaluate(known.arrays.constructs, values)
        return values[known.outputs]

    def _values(self, name: str) -> Array:
        if name == "outputs" and self.embedded.outputs_named:
            return self._expressed()
        return super()._values(name)


HOMES[BlockData] = NetworkBlockData


def loaded_network(network: Any) -> Network:
    """Return the network, read from a file or object where it is none yet."""
    if isinstance(network, Network):
        return network
    from mipnet.network.readers import load

    loaded: Network = load(network)
    return loaded
