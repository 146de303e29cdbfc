"""What the questions about single items of a data set share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mipnet.bench.data import Data
from mipnet.bench.problems.base import Check, Instance, Misfit, Problem, selection
from mipnet.errors import QueryError
from mipnet.network import Network

Array = npt.NDArray[np.float64]
NORMS = ("linf", "l1", "l2", "l0")
PARTS = ("test", "train")


def one_of(known: tuple[str, ...]) -> Check:
    """Check that a value is one of some words."""
    return lambda value: (
        "" if value in known else f"must be one of {', '.join(known)}, not {value!r}"
    )


def radius(value: float | None) -> str:
    """Check the radius of a ball."""
    good = value is None or 0.0 <= value < math.inf
    return "" if good else f"must be a finite number from 0 on, not {value!r}"


def target(value: str | int) -> str:
    """Check the class asked for."""
    good = value >= 0 if isinstance(value, int) else value in {"any", "second"}
    return "" if good else f"must be 'any', 'second' or a class from 0 on, not {value!r}"


def _items(value: int | tuple[int, ...]) -> str:
    good = value >= 1 if isinstance(value, int) else bool(value)
    return "" if good else f"must be a number from 1 on, or a list of positions, not {value!r}"


def _position(value: int) -> str:
    return "" if value >= 0 else f"must be positions from 0 on, not {value!r}"


@dataclass(frozen=True, kw_only=True)
class ItemProblem(Problem):
    """A question about each of some items.

    Parameters
    ----------
    items : int or tuple of int
        The first so many items of the part, or their positions in it.
    part : {"test", "train"}
    """

    items: int | tuple[int, ...] = selection(10, check=_items, each=_position, unique=True)
    part: str = selection("test", check=one_of(PARTS))

    def misfits(self, data: Data | None, n_outputs: int | None) -> Iterator[Misfit]:
        """See :meth:`Problem.misfits`: every item that is not there, or outside the domain."""
        del n_outputs
        if data is None:
            return
        count = len(data.part(self.part))
        what = f"{data.source} has {count} {self.part} items"
        if isinstance(self.items, int):
            if self.items > count:
                yield ("items",), f"items asks for {self.items}: {what}"
            else:
                yield from self._outside(data, range(self.items), listed=False)
            return
        missing = [(i, k) for i, k in enumerate(self.items) if k >= count]
        for i, k in missing:
            yield ("items", i), f"item {k} does not exist: {what}"
        if not missing:
            yield from self._outside(data, self.items, listed=True)

    def _outside(self, data: Data, items: Sequence[int], *, listed: bool) -> Iterator[Misfit]:
        """Say which items lie outside the domain of their data."""
        points = data.points(data.part(self.part)[list(items)])
        outside = (points < data.lower) | (points > data.upper)
        rows = np.flatnonzero(outside.any(axis=1))
        for row in rows if listed else rows[:1]:
            k = int(np.flatnonzero(outside[row])[0])
            more = "" if listed or rows.size == 1 else f", and {rows.size - 1} more of the items"
            message = (
                f"item {self.part} {items[row]} of {data.source} lies outside the domain: feature "
                f"{k} is {points[row, k]:g}, not in [{data.lower[k]:g}, {data.upper[k]:g}]{more}"
            )
            yield ("items", int(row)) if listed else ("items",), message

    def instances(self, data: Data | None) -> Iterator[Instance]:
        """See :meth:`Problem.instances`."""
        if data is None:
            msg = f"the problem kind {self.kind!r} needs data"
            raise QueryError(msg)
        for _, message in ItemProblem.misfits(self, data, None):
            raise QueryError(message)
        rows = data.part(self.part)
        positions = range(self.items) if isinstance(self.items, int) else self.items
        for k in positions:
            # The label of a regression item means nothing.
            label = int(data.targets[rows[k]]) if data.task == "classification" else -1
            yield Instance(f"{self.part} {k}", {"row": int(rows[k]), "label": label})


@dataclass(frozen=True, kw_only=True)
class ClassProblem(ItemProblem):
    """A question about the class an item is given; it has a ``target``."""

    def misfits(self, data: Data | None, n_outputs: int | None) -> Iterator[Misfit]:
        """See :meth:`Problem.misfits`: data without classes, classes without an output."""
        items = list(super().misfits(data, n_outputs))
        yield from items
        if n_outputs is not None and n_outputs < 2:
            yield ("kind",), f"kind {self.kind!r} needs networks with two outputs or more"
            return
        asked: str | int = self.target  # type: ignore[attr-defined]
        if isinstance(asked, int) and n_outputs is not None and asked >= n_outputs:
            yield ("target",), f"target {asked} does not exist: there are {n_outputs} outputs"
        if data is None:
            return
        if data.task != "classification":
            yield ("kind",), f"kind {self.kind!r} needs classes, which {data.source} has not"
            return
        for instance in () if items else self.instances(data):
            label = instance.options["label"]
            if label == asked:
                message = f"target {asked} is the class of {instance.name} itself: leave it out"
                yield ("target",), f"{message} of items"
            if n_outputs is not None and label >= n_outputs:
                message = f"{instance.name} has class {label}, and there are {n_outputs} outputs"
                yield ("items",), message


def centre_of(instance: Instance, data: Data | None) -> Array:
    """Scaled input of an instance, shape (features,)."""
    if data is None:
        msg = "the data of an item are missing"
        raise QueryError(msg)
    return np.asarray(data.points([instance.options["row"]])[0])


def target_of(
    asked: str | int, network: Network, instance: Instance, data: Data | None
) -> int | None:
    """Class asked for: None for any, or the runner-up of the network itself for ``"second"``."""
    if isinstance(asked, int):
        return asked
    if asked == "any":
        return None
    outputs = network(centre_of(instance, data)).reshape(-1)
    order = np.argsort(-outputs, kind="stable")
    return int(next(k for k in order if k != instance.options["label"]))
