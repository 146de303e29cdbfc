"""One runner at a time in a results folder; the kernel lets go when it dies, however it dies."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mipnet.bench.errors import RunError
from mipnet.bench.store.files import timestamp

#: Errors of file systems without locks.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS})


@contextmanager
def locked(folder: Path, shard: tuple[int, int] | None) -> Iterator[None]:
    """Hold the folder for a whole run, or for one shard beside other shards.

    Parameters
    ----------
    folder : Path
    shard : tuple of int, optional

    Raises
    ------
    RunError
        When another runner holds it; names the process.
    """
    with (folder / ".lock").open("a+", encoding="utf-8") as whole:
        _take(whole, folder, shared=shard is not None)
        if shard is None:
            yield
            return
        name = f".lock-{shard[0]}-of-{shard[1]}"
        with (folder / name).open("a+", encoding="utf-8") as part:
            _take(part, folder, shared=False)
            yield


def _take(stream: IO[str], folder: Path, *, shared: bool) -> None:
    try:
        import fcntl
    except ImportError as error:
        msg = "runs need a system with fork and file locks; on Windows use WSL"
        raise RunError(msg) from error
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(stream, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return
        stream.seek(0)
        holder = stream.read().strip() or "another process"
        msg = f"{folder} is in use by {holder}; wait for it, or stop it, and run again"
        raise RunError(msg) from error
    if not shared:
        stream.truncate(0)
        stream.write(f"process {os.getpid()} since {timestamp()}")
        stream.flush()
