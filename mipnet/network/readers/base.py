"""The protocol every reader fulfils, the registry that enforces it, and :func:`load`.

A reader is one file with one class: which sources it takes, decided without importing the
framework, and how a source becomes a :class:`~mipnet.network.network.Network`.
"""

from __future__ import annotations

import inspect
import operator
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, TypeGuard, TypeVar

from mipnet.errors import ReadError
from mipnet.network.layers.base import Shape
from mipnet.network.network import Network

#: Files that can only be opened by running code stored in them.
PICKLES = frozenset({".pt", ".pth", ".pkl", ".pickle", ".joblib", ".bin", ".ckpt"})


class Reader(ABC):
    """One format.

    Attributes
    ----------
    name : str
        Registered name, for ``load(source, reader=name)``.
    takes : str
        What the reader accepts, in words, for error messages.
    """

    name: ClassVar[str]
    takes: ClassVar[str]

    @abstractmethod
    def accepts(self, source: object) -> bool:
        """Whether the source is of this format; must be cheap and import no framework."""

    @abstractmethod
    def read(self, source: Any, *args: Any, **options: Any) -> Network:
        """Read the source; the options are the reader's own keyword arguments.

        Raises
        ------
        ReadError
            When the source is missing, damaged or not of this format.
        UnsupportedError
            When it holds operations mipnet does not read; all of them are listed.
        NetworkError
            When shapes do not fit or a parameter is NaN or infinite.
        """


R = TypeVar("R", bound=type[Reader])
READERS: dict[str, Reader] = {}


def register_reader(name: str) -> Callable[[R], R]:
    """Class decorator that files a reader under ``name``; readers are asked in this order.

    Raises
    ------
    TypeError
        When a method or ``takes`` is missing or the name is taken: at import, not at use.
    """

    def file(cls: R) -> R:
        missing = sorted(getattr(cls, "__abstractmethods__", ()))
        if not isinstance(getattr(cls, "takes", None), str):
            missing.append("takes")
        if missing or name in READERS:
            what = f"does not define {', '.join(missing)}" if missing else "uses a taken name"
            msg = f"reader {name!r} ({cls.__name__}) {what}"
            raise TypeError(msg)
        cls.name = name
        READERS[name] = cls()
        return cls

    return file


def load(source: object, *, reader: str | None = None, **options: Any) -> Network:
    """Read a trained network from a file or an object of any registered format.

    Parameters
    ----------
    source : path, bytes or object
        A ``.onnx``, ``.npz`` or ``.safetensors`` file, a torch module, a scikit-learn estimator,
        an ``onnx.ModelProto``, a state dict or plain arrays. A Network is returned as it is.
    reader : str, optional
        Name of the reader to use; found from the source when absent.
    **options
        Options of that reader, such as ``input_shape``.

    Raises
    ------
    ReadError
        When no reader takes the source, or it is missing or damaged.
    UnsupportedError
        When it holds operations mipnet does not read; all of them are listed.
    NetworkError
        When shapes do not fit or a parameter is NaN or infinite.

    Examples
    --------
    >>> net = load([([[1.0, -1.0]], [0.5])])
    >>> net([2.0, 1.0])
    array([1.5])
    """
    if isinstance(source, Network):
        return source
    if reader is not None:
        if reader not in READERS:
            msg = f"unknown reader {reader!r}; registered: {', '.join(READERS)}"
            raise ReadError(msg)
        return _read(READERS[reader], source, options)
    for candidate in READERS.values():
        if candidate.accepts(source):
            return _read(candidate, source, options)
    raise ReadError(_refusal(source))


def _read(reader: Reader, source: object, options: dict[str, Any]) -> Network:
    """Read by a reader, after a look at the options it has."""
    known = list(inspect.signature(reader.read).parameters.values())[1:]
    names = [p.name for p in known if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    unknown = sorted(set(options) - set(names))
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in known):
        msg = f"reader {reader.name!r} has no option {', '.join(unknown)}; it has "
        raise ReadError(msg + (", ".join(names) or "none"))
    return reader.read(source, **options)


def _refusal(source: object) -> str:
    kinds = "; ".join(entry.takes for entry in READERS.values())
    if not is_path(source):
        return f"cannot read {describe(source)} as a network; accepted: {kinds}"
    path = existing_file(source)
    if path.suffix in PICKLES:
        return (
            f"{path}: {path.suffix} files are pickles, which run code when opened; load the model "
            f"yourself and pass the object, or save its state dict as safetensors"
        )
    suffix = path.suffix or "no suffix"
    return f"{path}: unknown format ({suffix}); accepted: {kinds}"


def describe(source: object) -> str:
    """Type of a source, for messages."""
    return f"an object of type {type(source).__module__}.{type(source).__qualname__}"


def is_path(source: object) -> TypeGuard[str | os.PathLike[str]]:
    """Whether the source names a file."""
    return isinstance(source, (str, os.PathLike))


def existing_file(source: str | os.PathLike[str]) -> Path:
    """Path of a file that is there.

    Raises
    ------
    ReadError
        When it is missing or a folder.
    """
    path = Path(source)
    try:
        found = path.is_file()
    except (OSError, ValueError):
        found = False
    if not found:
        folder = os.path.isdir(os.fspath(source)) if "\0" not in os.fspath(source) else False
        msg = f"{path}: is a folder; give a file in it" if folder else f"{path}: no such file"
        raise ReadError(msg)
    return path


def has_suffix(source: object, *suffixes: str) -> bool:
    """Whether the source names a file with one of these endings, in any case."""
    return is_path(source) and os.fspath(source).lower().endswith(suffixes)


def head(source: object, count: int) -> bytes:
    """First bytes of a file or of bytes; empty when there are none to read."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source[:count])
    if is_path(source):
        try:
            with open(source, "rb") as stream:
                return stream.read(count)
        except (OSError, ValueError):
            return b""
    return b""


def is_instance(source: object, module: str, name: str) -> bool:
    """``isinstance`` without an import: an object of a class whose module is not loaded is none."""
    cls = getattr(sys.modules.get(module), name, None)
    return isinstance(cls, type) and isinstance(source, cls)


def item_shape(shape: Shape | int) -> Shape:
    """Shape of one input item, as given by a user.

    Raises
    ------
    ReadError
        When it is no tuple of positive integers.
    """
    try:
        given = shape if isinstance(shape, Iterable) else (shape,)
        sizes = tuple(operator.index(n) for n in given)
    except TypeError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        msg = f"input_shape must be a positive integer or a tuple of them, got {shape!r}"
        raise ReadError(msg)
    return sizes
