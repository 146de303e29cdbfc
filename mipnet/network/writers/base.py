"""The protocol every writer fulfils, the registry that enforces it, and :func:`save`."""

from __future__ import annotations

import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from mipnet.errors import QueryError
from mipnet.network.network import Network


class Writer(ABC):
    """One format.

    Attributes
    ----------
    name : str
        Registered name, for ``save(..., writer=name)``.
    suffixes : tuple of str
        Endings of its files.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def content(self, network: Network, *args: Any, **options: Any) -> bytes:
        """Bytes of the file; the options are the writer's own keyword arguments.

        Raises
        ------
        UnsupportedError
            When the format cannot hold a layer; all of them are listed.
        """


W = TypeVar("W", bound=type[Writer])
WRITERS: dict[str, Writer] = {}


def register_writer(name: str) -> Callable[[W], W]:
    """File a writer under ``name``, as a class decorator.

    Raises
    ------
    TypeError
        When a method or ``suffixes`` is missing or the name is taken: at import, not at use.
    """

    def file(cls: W) -> W:
        missing = sorted(getattr(cls, "__abstractmethods__", ()))
        if not isinstance(getattr(cls, "suffixes", None), tuple):
            missing.append("suffixes")
        if missing or name in WRITERS:
            what = f"does not define {', '.join(missing)}" if missing else "uses a taken name"
            msg = f"writer {name!r} ({cls.__name__}) {what}"
            raise TypeError(msg)
        cls.name = name
        WRITERS[name] = cls()
        return cls

    return file


def save(
    network: Network, path: str | os.PathLike[str], *, writer: str | None = None, **options: Any
) -> Path:
    """Write a network into a file, which :func:`~mipnet.network.readers.load` reads back.

    Parameters
    ----------
    network : Network
    path : path
        ``.onnx``, ``.safetensors`` or ``.npz``. What lies there is replaced once the new file is
        complete, and stays when it cannot be written.
    writer : str, optional
        Name of the writer to use; found from the ending when absent.
    **options
        Options of that writer, such as ``dtype`` of ONNX.

    Returns
    -------
    Path
        Where the file lies.

    Raises
    ------
    QueryError
        When no writer takes the ending, or an option is unknown.
    UnsupportedError
        When the format cannot hold a layer; all of them are listed.

    Examples
    --------
    >>> import tempfile
    >>> from mipnet.network.readers import load
    >>> net = load([([[1.0, -1.0]], [0.5])])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load(save(net, f"{folder}/net.safetensors"))([2.0, 1.0])
    array([1.5])
    """
    target = Path(path)
    if writer is None:
        ending = target.suffix.lower()
        writer = next((name for name, w in WRITERS.items() if ending in w.suffixes), None)
    if writer not in WRITERS:
        endings = ", ".join(s for w in WRITERS.values() for s in w.suffixes)
        msg = f"{target}: no writer for it; name the file {endings}, or give writer= as one of "
        msg += ", ".join(WRITERS)
        raise QueryError(msg)
    try:
        content = WRITERS[writer].content(network, **options)
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        msg = f"{target}: the {writer} writer does not take these options: {error}"
        raise QueryError(msg) from error
    replace_file(target, content)
    return target


def check_folder(path: Path) -> None:
    """Raise OSError where a file of that name cannot come to lie.

    Raises
    ------
    FileNotFoundError
        When its folder does not exist.
    NotADirectoryError, IsADirectoryError
        When its folder is a file, or it is a folder itself.
    """
    folder = path.parent
    if not folder.exists():
        msg = f"cannot write {path}: there is no folder {folder}"
        raise FileNotFoundError(msg)
    if not folder.is_dir():
        msg = f"cannot write {path}: {folder} is no folder"
        raise NotADirectoryError(msg)
    if path.is_dir():
        msg = f"cannot write {path}: it is a folder"
        raise IsADirectoryError(msg)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file under another name and move it into its place."""
    check_folder(path)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        # What the user knows is the name of the file, not that of the part.
        msg = f"cannot write {path}: {error.strerror}"
        raise type(error)(msg) from error
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
