"""Checks of arguments: whatever is of the wrong kind is named, in the error of the caller."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import MipnetError

Array = npt.NDArray[np.float64]


def require(value: object, kind: type | tuple[type, ...], what: str, error: type[Exception]) -> Any:
    """Value, if it is of a kind.

    Parameters
    ----------
    value : object
    kind : type or tuple of type
    what : str
        Name of the argument, for the message.
    error : type
        Raised where it is not.

    Examples
    --------
    >>> from mipnet.errors import MaskError
    >>> require(3, str, "a name", MaskError)
    Traceback (most recent call last):
    mipnet.errors.MaskError: a name must be a str, not 3 (int)
    """
    if isinstance(value, kind):
        return value
    kinds = kind if isinstance(kind, tuple) else (kind,)
    names = " or a ".join(k.__name__ for k in kinds)
    text = repr(value)
    text = text if len(text) <= 40 else text[:37] + "..."
    msg = f"{what} must be a {names}, not {text} ({type(value).__name__})"
    raise error(msg)


def numbers(values: npt.ArrayLike, what: str, error: type[MipnetError]) -> Array:
    """Real numbers as one new array of float64; whether they are finite is not asked.

    Raises
    ------
    error
        When they are ragged, or text, objects or complex numbers.
    """
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as fault:
        msg = f"{what} must be one array of numbers: {fault}"
        raise error(msg) from fault
    if array.dtype.kind not in "biuf":
        msg = f"{what} must be one array of numbers, not of {array.dtype}"
        raise error(msg)
    return np.array(array, dtype=np.float64)


def number(
    value: object,
    what: str,
    error: type[MipnetError],
    ends: tuple[float, float] = (-np.inf, np.inf),
) -> float:
    """Real number within a closed interval, which may reach to infinity.

    Raises
    ------
    error
        When it is none, or NaN, or lies outside.
    """
    real = isinstance(value, int | float | np.number) and not isinstance(value, bool | complex)
    if not real or not ends[0] <= float(value) <= ends[1]:  # type: ignore[arg-type]
        low, high = ends
        msg = f"{what} must be a number"
        if np.isfinite(high):
            msg += f" from {low:g} to {high:g}"
        elif np.isfinite(low):
            msg += f" from {low:g} on"
        msg += f", not {value!r}"
        raise error(msg)
    return float(value)  # type: ignore[arg-type]
