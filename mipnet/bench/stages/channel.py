"""Messages from the process of a cell to its supervisor: one JSON object a line."""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from typing import Any


class Channel:
    """The writing end of a pipe.

    Parameters
    ----------
    descriptor : int
        File descriptor of the pipe.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._lock = threading.Lock()

    def send(self, message: dict[str, Any]) -> None:
        """Write a message; where nobody listens any more it is lost."""
        line = encode_line(message)
        with self._lock, suppress(BrokenPipeError):
            view = memoryview(line)
            while view:
                view = view[os.write(self.descriptor, view) :]


def encode_line(message: dict[str, Any]) -> bytes:
    """One line of strict JSON; NaN and infinite numbers become null."""
    try:
        text = json.dumps(message, allow_nan=False, separators=(",", ":"), default=_scalar)
    except ValueError:
        text = json.dumps(finite(message), allow_nan=False, separators=(",", ":"), default=_scalar)
    return text.encode() + b"\n"


def _scalar(value: Any) -> Any:
    """Turn a number of numpy into one of Python."""
    if not hasattr(value, "item"):
        msg = f"{value!r} of type {type(value).__name__} is no plain JSON value"
        raise TypeError(msg)
    plain = value.item()
    return plain if not isinstance(plain, float) else finite(plain)


def finite(value: Any) -> Any:
    """Plain data without NaN and infinite numbers."""
    if isinstance(value, dict):
        return {key: finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    if isinstance(value, float) and value - value != 0.0:
        return None
    return value
