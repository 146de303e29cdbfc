"""Everything that is wrong with a model, collected while it is read and told in one error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from mipnet.errors import NetworkError, ReadError, UnsupportedError
from mipnet.network.readers.graph import Graph
from mipnet.network.readers.values import (
    LOST,
    MisfitError,
    PartError,
    RefusalError,
    Value,
)

T = TypeVar("T")

#: What to do about an operation nothing more is known of.
REMEDY = (
    "write it with the layers that docs/layers.md lists, or register a layer of your own (entry "
    "point group 'mipnet.layers') and load the weights with architecture="
)
#: What to do about parameters and sizes that no message of their own explains.
CORRECT = "correct the sizes and parameters of this layer"
#: What to do about a damaged part.
REPAIR = "repair the model, or export it again"
#: Faults of calls with arguments that nobody would give on purpose; what they raise is told.
ODD = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class LostError(Exception):
    """What a step needs comes out of a step that is listed already."""


@dataclass(frozen=True)
class Entry:
    """One thing that is wrong.

    Attributes
    ----------
    kind : type
        Class of the error it is by itself.
    text : str
        ``<where>: <what is wrong>; <what to do about it>``.
    cause : Exception or None
    sure : bool
        Whether it is wrong whatever a forward decides.
    """

    kind: type[UnsupportedError | NetworkError | ReadError]
    text: str
    cause: Exception | None = None
    sure: bool = True

    @property
    def place(self) -> tuple[object, str]:
        """What is the same in the entries of several runs."""
        return self.kind, self.text.split(": ", maxsplit=1)[0]


class Complaints:
    """Entries in the order of the model."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def __bool__(self) -> bool:
        return bool(self.entries)

    @property
    def faulty(self) -> NetworkError | None:
        """The first layer that does not fit."""
        errors = (entry.cause for entry in self.entries)
        return next((error for error in errors if isinstance(error, NetworkError)), None)

    def refuse(
        self, where: str, reason: object, remedy: str = REMEDY, *, sure: bool = True
    ) -> None:
        """List an operation that is not read; one without a remedy of its own gets ``remedy``."""
        text = f"{where}: {remedied(str(reason), remedy)}"
        self.entries.append(Entry(UnsupportedError, text, sure=sure))

    def part(self, error: PartError) -> None:
        """List a part of an activation without its rest, once."""
        if str(error) not in [entry.text for entry in self.entries]:
            self.entries.append(Entry(UnsupportedError, str(error)))

    def fault(self, error: NetworkError) -> None:
        """List a layer that does not fit, or has bad parameters; what is shared, once."""
        entry = Entry(NetworkError, remedied(str(error), CORRECT), error, sure=False)
        if entry.text not in [known.text for known in self.entries]:
            self.entries.append(entry)

    def damage(self, error: ReadError) -> None:
        """List a part that is damaged, or a shape that is not known."""
        self.entries.append(Entry(ReadError, remedied(str(error), REPAIR), error, sure=False))

    def attempt(self, where: str, act: Callable[[], T], otherwise: Callable[[], Any]) -> T | Any:
        """Return what a step gives; what is known of that, or ``otherwise``, if it is listed."""
        try:
            return act()
        except LostError:
            return LOST
        except PartError as error:
            self.part(error)
        except RefusalError as error:
            self.refuse(where, error)
        except MisfitError as error:
            self.fault(error)
            return error.result
        except NetworkError as error:
            self.fault(error)
        except ReadError as error:
            self.damage(error)
        except ODD as error:
            reason = f"cannot be read with its arguments ({type(error).__name__}: {error})"
            self.refuse(where, reason, CORRECT)
        return otherwise()

    def unfinished(self, graph: Graph, values: Iterable[object]) -> None:
        """List steps that are parts of an activation, where its rest does not follow."""
        for value in values:
            if isinstance(value, Value):
                self.attempt("", partial(graph.complete, value), lambda: None)

    def join(self, others: Iterable[Complaints]) -> None:
        """Take over what is sure, and what all others have in common."""
        several = [other.entries for other in others]
        shared = [{entry.place for entry in entries} for entries in several]
        known: set[object] = {entry.text for entry in self.entries}
        for entry in (e for entries in several for e in entries):
            # Other runs may tell the same with other shapes.
            key = entry.text if entry.sure or len(several) == 1 else entry.place
            if key not in known and (entry.sure or all(entry.place in s for s in shared)):
                known.add(key)
                self.entries.append(entry)

    def tell(self, origin: str) -> None:
        """Raise everything at once; a single fault keeps its own error.

        Raises
        ------
        UnsupportedError
            When an operation is not read.
        ReadError
            When a part is damaged, and no operation is refused.
        NetworkError
            When layers do not fit, and nothing else is wrong.
        """
        if not self.entries:
            return
        kinds = [entry.kind for entry in self.entries]
        texts = [entry.text for entry in self.entries]
        if UnsupportedError in kinds:
            faults = sum(kind is not UnsupportedError for kind in kinds)
            raise UnsupportedError(origin, texts, faults=faults)
        kind = ReadError if ReadError in kinds else NetworkError
        cause = self.entries[0].cause
        if len(texts) == 1:
            raise kind(texts[0]) from cause
        what = "several layers do not fit" if kind is NetworkError else "several parts are wrong"
        raise kind("\n".join([f"{what}:", *(f"  - {text}" for text in texts)])) from cause


def remedied(text: str, remedy: str) -> str:
    """Text with a remedy, which stands behind a semicolon; it may have one already."""
    return text if "; " in text else f"{text}; {remedy}"
