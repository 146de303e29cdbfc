"""Formulations of activations, one class per file, registered by decorator."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from typing import ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from formulations.blocks import narrow
from formulations.expression import AffineForm
from formulations.program import Program

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

_CALL = re.compile(r"(?P<name>\w+)(?:\((?P<options>[^()]*)\))?")


class Formulation(ABC):
    """One way of writing ReLUs as rows of a program.

    Attributes
    ----------
    name : str
        Registered name.
    exact : bool
        Whether the rows describe the graph exactly (False: a relaxation).
    needs : str
        What a solver must know beside linear rows and integers, in words; empty when nothing.
    kinked : bool
        Whether maxima and forms cut off twice are put together from ReLUs, instead of rows and
        binaries of their own.
    closed : bool
        Whether smooth functions become expressions, instead of pieces within a band.
    """

    name: ClassVar[str]
    exact: bool = True
    needs: str = ""
    kinked: bool = False
    closed: bool = False

    @abstractmethod
    def unstable_relu(
        self, program: Program, form: AffineForm, lower: Array, upper: Array
    ) -> AffineForm:
        """Append ``y = max(0, form)`` for forms with ``lower < 0 < upper``.

        Every new column needs a definition (:meth:`Program.define`, :meth:`Program.tie`), which
        completes points for start vectors and replays.

        Parameters
        ----------
        program : Program
            The program to extend.
        form : AffineForm, n rows
            Pre-activations.
        lower, upper : array, shape (n,)
            Finite valid bounds of the pre-activations.

        Returns
        -------
        AffineForm, n rows
            The activations ``y``.
        """

    def unstable_parts(
        self, program: Program, form: AffineForm, lower: Array, upper: Array
    ) -> tuple[AffineForm, AffineForm]:
        """Append positive and negative parts, ``max(0, form)`` and ``max(0, -form)``.

        Parameters are those of :meth:`unstable_relu`.
        """
        a = self.column(program, form, lower, upper)
        y = self.unstable_relu(program, a, lower, upper)
        return y, y - a

    def column(self, program: Program, form: AffineForm, lower: Array, upper: Array) -> AffineForm:
        """Forms of one column each, so that what reads them keeps its sparsity.

        Parameters
        ----------
        program : Program
        form : AffineForm, n rows
        lower, upper : array, shape (n,)
            Finite valid bounds of the forms.
        """
        return narrow(program, form, lower, upper)

    def split(self, rows: Index) -> list[tuple[Index, Formulation]]:
        """Neurons of a layer, by the formulation that writes them.

        Parameters
        ----------
        rows : array of int
            Neurons, flattened and ascending.
        """
        return [(rows, self)] if rows.size else []

    @property
    def label(self) -> str:
        """Text that :func:`formulation` turns into this formulation again."""
        return self.name


class PartsFormulation(Formulation):
    """A formulation whose rows hold positive and negative part of every pre-activation."""

    @abstractmethod
    def unstable_parts(
        self, program: Program, form: AffineForm, lower: Array, upper: Array
    ) -> tuple[AffineForm, AffineForm]:
        """See :meth:`Formulation.unstable_parts`."""

    def unstable_relu(
        self, program: Program, form: AffineForm, lower: Array, upper: Array
    ) -> AffineForm:
        """See :meth:`Formulation.unstable_relu`."""
        return self.unstable_parts(program, form, lower, upper)[0]


def refuse_unbounded(lower: Array, upper: Array, what: str = "pre-activation") -> None:
    """Refuse bounds that no row may be built on.

    Raises
    ------
    ValueError
        When a bound is infinite or NaN, or a lower bound exceeds its upper one; names the first.
    """
    bad = np.flatnonzero(~(np.isfinite(lower) & np.isfinite(upper) & (lower <= upper)))
    if bad.size:
        i = int(bad[0])
        msg = f"{what} {i} has no usable bounds: [{lower[i]}, {upper[i]}]"
        raise ValueError(msg)


F = TypeVar("F", bound=type[Formulation])
_FORMULATIONS: dict[str, type[Formulation]] = {}


def register_formulation(name: str) -> Callable[[F], F]:
    """Class decorator that files a formulation under ``name``.

    Raises
    ------
    TypeError
        When the class leaves an abstract method open or the name is taken.
    """

    def file(cls: F) -> F:
        missing = sorted(getattr(cls, "__abstractmethods__", ()))
        if missing or name in _FORMULATIONS:
            what = f"does not define {', '.join(missing)}" if missing else "uses a taken name"
            msg = f"formulation {name!r} ({cls.__name__}) {what}"
            raise TypeError(msg)
        cls.name = name
        _FORMULATIONS[name] = cls
        return cls

    return file


def formulation(name: str) -> Formulation:
    """Return the registered formulation of that name.

    Parameters
    ----------
    name : str
        A registered name, with options in brackets where it takes any: ``"big_m"``,
        ``"partition(4)"``, ``"partition(4, range)"``.

    Raises
    ------
    ValueError
        When nothing is registered under ``name``, the message lists what is; or the options are
        not those of the formulation.
    """
    match = _CALL.fullmatch(name) if isinstance(name, str) else None
    base = match["name"] if match else name
    if base not in _FORMULATIONS and base not in formulations():
        known = ", ".join(formulations())
        msg = f"unknown formulation {name!r}; registered: {known}{''.join(_load_others())}"
        raise ValueError(msg)
    given = [] if match is None or match["options"] is None else match["options"].split(",")
    options = [int(o) if o.strip().isdigit() else o.strip() for o in given]
    try:
        return _FORMULATIONS[base](*options)
    except TypeError as error:
        msg = f"formulation {name!r}: {base} does not take these options"
        raise ValueError(msg) from error


def formulations(*, deciding: bool = False) -> tuple[str, ...]:
    """Names of all registered formulations, those of other packages included.

    Those are found by their entry points, group ``mipnet.formulations``.

    Parameters
    ----------
    deciding : bool
        Only those that are exact and need nothing but rows and integers.

    Examples
    --------
    >>> formulations(deciding=True)
    ('auto', 'big_m', 'ideal', 'partition')
    """
    _load_others()
    every = sorted(_FORMULATIONS.items())
    return tuple(name for name, cls in every if not deciding or (cls.exact and not cls.needs))


@cache
def _load_others() -> tuple[str, ...]:
    """Import what other packages register, once; return what cannot be imported."""
    from importlib.metadata import entry_points

    faults = []
    for entry in entry_points(group="mipnet.formulations"):
        try:
            # A foreign module may raise anything.
            entry.load()
        except Exception as error:
            faults.append(f"; entry point {entry.name!r} cannot be imported: {error!r}")
    return tuple(faults)
