"""Formulations of activations, one class per file, registered by decorator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from formulations.expression import AffineForm
from formulations.program import Program

Array = npt.NDArray[np.float64]


class Formulation(ABC):
    """One way of writing ReLUs as rows of a program.

    Attributes
    ----------
    name : str
        Registered name.
    exact : bool
        Whether the rows describe the graph exactly (False: a relaxation).
    """

    name: ClassVar[str]
    exact: ClassVar[bool] = True

    @abstractmethod
    def unstable_relu(
        self, program: Program, form: AffineForm, lower: Array, upper: Array
    ) -> AffineForm:
        """Append ``y = max(0, form)`` for forms with ``lower < 0 < upper``.

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

    Raises
    ------
    ValueError
        When nothing is registered under ``name``; the message lists what is.
    """
    if name not in _FORMULATIONS:
        msg = f"unknown formulation {name!r}; registered: {', '.join(sorted(_FORMULATIONS))}"
        raise ValueError(msg)
    return _FORMULATIONS[name]()


def formulations() -> tuple[str, ...]:
    """Names of all registered formulations."""
    return tuple(sorted(_FORMULATIONS))
