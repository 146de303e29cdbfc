"""Everything that is wrong with a model, collected while it is read and told in one error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from mipnet.errors import NetworkError, ReadError, UnsupportedError
from mipnet.network.readers.values import LOST, MisfitError, RefusalError

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


class Complaints:
    """Entries in the order of the model: ``<where>: <what is wrong>; <what to do about it>``."""

    def __init__(self) -> None:
        self.entries: list[tuple[type[Exception], str, Exception | None]] = []

    def __bool__(self) -> bool:
        return bool(self.entries)

    @property
    def faulty(self) -> NetworkError | None:
        """The first layer that does not fit."""
        errors = (error for _, _, error in self.entries)
        return next((error for error in errors if isinstance(error, NetworkError)), None)

    def refuse(self, where: str, reason: object, remedy: str = REMEDY) -> None:
        """List an operation that is not read; one without a remedy of its own gets ``remedy``."""
        self.entries.append((UnsupportedError, remedied(f"{where}: {reason}", remedy), None))

    def fault(self, error: NetworkError) -> None:
        """List a layer that does not fit, or has bad parameters; what is shared, once."""
        entry = (NetworkError, remedied(str(error), CORRECT), error)
        if entry[:2] not in [known[:2] for known in self.entries]:
            self.entries.append(entry)

    def damage(self, error: ReadError) -> None:
        """List a part that is damaged, or a shape that is not known."""
        self.entries.append((ReadError, remedied(str(error), REPAIR), error))

    def attempt(self, where: str, act: Callable[[], T], otherwise: Callable[[], Any]) -> T | Any:
        """Return what a step gives; what is known of that, or ``otherwise``, if it is listed."""
        try:
            return act()
        except LostError:
            return LOST
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

    def join(self, others: Iterable[Complaints]) -> None:
        """Take over what others list: all they refuse, and the faults they have in common."""
        several = [other.entries for other in others]
        shared = [{text for _, text, _ in entries} for entries in several]
        known = {text for _, text, _ in self.entries}
        for entry in (e for entries in several for e in entries):
            kind, text, _ = entry
            if text not in known and (kind is UnsupportedError or all(text in s for s in shared)):
                known.add(text)
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
        kinds = [kind for kind, _, _ in self.entries]
        texts = [text for _, text, _ in self.entries]
        if UnsupportedError in kinds:
            faults = sum(kind is not UnsupportedError for kind in kinds)
            raise UnsupportedError(origin, texts, faults=faults)
        kind = ReadError if ReadError in kinds else NetworkError
        cause = self.entries[0][2]
        if len(texts) == 1:
            raise kind(texts[0]) from cause
        what = "several layers do not fit" if kind is NetworkError else "several parts are wrong"
        raise kind("\n".join([f"{what}:", *(f"  - {text}" for text in texts)])) from cause


def remedied(text: str, remedy: str) -> str:
    """Text with a remedy, which stands behind a semicolon; it may have one already."""
    return text if "; " in text else f"{text}; {remedy}"
