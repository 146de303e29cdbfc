"""What blocks that ``mipnet`` puts into a model have in common: inputs, verbs, a replay."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo
from pyomo.core.base.block import BlockData, IndexedBlock

from mipnet.embedding.inputs import Plug, reach
from mipnet.embedding.users import refuse_users
from mipnet.errors import EmbeddingError

Array = npt.NDArray[np.float64]

#: Largest difference between a loaded value and the replay, relative to 1 + its size.
REPLAY_TOLERANCE = 1e-5


@dataclass(frozen=True, eq=False)
class Held:
    """Range that a block holds its inputs in.

    Attributes
    ----------
    lower, upper : array, shape (n_inputs,)
        What the rows are valid for.
    promised_lower, promised_upper : array, shape (n_inputs,)
        Bounds the variables had when the block was built; infinite where they may be wider.
    """

    lower: Array
    upper: Array
    promised_lower: Array
    promised_upper: Array


class EmbeddedBlockData(BlockData):  # type: ignore[misc]
    """A block over variables of the user's, whose loaded solution can be replayed."""

    #: Variable of each input.
    inputs: dict[int, Any]
    #: What the user gave for each input; None where the block made a variable.
    sources: dict[int, Any]

    @abstractmethod
    def report(self) -> Any:
        """Size and cost."""

    @abstractmethod
    def error(self, tolerance: float | None = None) -> float:
        """By how much the loaded solution is off."""

    @abstractmethod
    def held(self) -> Held:
        """Range that the block holds its inputs in."""

    @abstractmethod
    def doubts(self, error: float) -> Iterator[str]:
        """Say what an :meth:`error` of a loaded solution means, where it means something."""

    def print_stats(self, file: Any = None) -> None:
        """Print the :meth:`report`.

        Parameters
        ----------
        file : text stream, optional
            Standard output when absent.
        """
        print(f"{self.name}: {self.report()}", file=file)

    def _repr_html_(self) -> str:
        return f"<b>{self.name}</b>{self.report()._repr_html_()}"

    def remove(self) -> None:
        """Take the block out of its model; the rest is as it was before it came.

        Raises
        ------
        EmbeddingError
            When the block is in no model, or an active constraint or objective outside still uses
            its variables; names them. They would be free to take any value.
        """
        parent = self.parent_block()
        if parent is None:
            msg = f"{self.name} is in no model"
            raise EmbeddingError(msg)
        refuse_users(self.name, [self], self.variables(), "removed")
        component = self.parent_component()
        if component is self:
            parent.del_component(self)
        else:
            del component[self.index()]

    def variables(self) -> list[Any]:
        """Variables that are the block's own."""
        return list(self.component_data_objects(pyo.Var, descend_into=True))

    def widened_inputs(self) -> list[int]:
        """Find inputs that only the block still holds within the range it was built for.

        Returns
        -------
        list of int
            Inputs whose variable or expression is fixed outside the range, or may now go beyond
            where it could go when the block was built.
        """
        known = self.held()
        low, high = known.promised_lower.tolist(), known.promised_upper.tolist()
        found = []
        for i in range(len(self.inputs)):
            given = self.given(i)
            if isinstance(given, Real):
                continue
            least, most = reach(given)
            if least == most:
                wide = not known.lower[i] <= least <= known.upper[i]
            else:
                wide = -np.inf < low[i] and least < low[i]
                wide |= high[i] < np.inf and most > high[i]
            if wide:
                found.append(i)
        return found

    def given(self, i: int) -> Any:
        """Variable, expression or number of an input: what the user gave, or the block's own."""
        return self.inputs[i] if self.sources[i] is None else self.sources[i]

    def _add_inputs(self, plugs: list[Plug], low: Array, high: Array) -> None:
        """Take the inputs, and make variables within a range where the block needs its own."""
        self.inputs = {i: p.source for i, p in enumerate(plugs)}
        self.sources = dict(self.inputs)
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
        return hold(variables, lower, upper)

    def _members(self, name: str) -> list[Any]:
        component = self.component(name)
        return [] if component is None else list(component.values())

    def _values(self, name: str) -> Array:
        """Return loaded values of a component, or of the inputs."""
        variables = getattr(self, name)
        values = [v.value for v in variables.values()]
        if None in values:
            var = variables[values.index(None)]
            msg = f"{self.name}.{name}[{values.index(None)}] ({var.name}) has no value; solve the "
            msg += "model, or set the variables, first"
            raise EmbeddingError(msg)
        return np.array(values, dtype=np.float64)


class EmbeddedBatch(IndexedBlock):  # type: ignore[misc]
    """Blocks of one kind by row label, with their verbs."""

    @abstractmethod
    def report(self) -> Any:
        """Sum of the reports of all rows."""

    def print_stats(self, file: Any = None) -> None:
        """Print the :meth:`report`; to standard output when ``file`` is absent."""
        print(f"{self.name}: {self.report()}", file=file)

    def _repr_html_(self) -> str:
        return f"<b>{self.name}</b>{self.report()._repr_html_()}"

    def error(self, tolerance: float | None = None) -> float:
        """Largest error of a row; see the method of a block."""
        return float(max(block.error(tolerance) for block in self.values()))

    def remove(self) -> None:
        """Take all rows out of the model; see the method of a block."""
        parent = self.parent_block()
        if parent is None:
            msg = f"{self.name} is in no model"
            raise EmbeddingError(msg)
        blocks = list(self.values())
        refuse_users(self.name, blocks, [v for b in blocks for v in b.variables()], "removed")
        parent.del_component(self)


def hold(variables: Any, lower: Array, upper: Array) -> list[Any]:
    """Bound the members of a Var; return them."""
    # No bounds rule: a closure kept by the component could not be pickled.
    for var, low, high in zip(variables.values(), lower.tolist(), upper.tolist(), strict=True):
        var.setlb(low)
        var.setub(high)
    return list(variables.values())
