"""How the process of a task ended, in the words of the results."""

from __future__ import annotations

import errno
import signal
from collections.abc import Mapping
from typing import Any

from mipnet.errors import MipnetError

#: Errors of a full disk or an exhausted quota.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
#: Exit code of a child that was interrupted.
INTERRUPTED = "interrupted"


def failure_of(error: BaseException) -> dict[str, str]:
    """Status and reason of an error raised by a task.

    Returns
    -------
    dict
        ``status``: ``memory``, ``error``, ``disk`` or ``interrupted``; ``reason``.
    """
    if isinstance(error, MemoryError):
        return {"status": "memory", "reason": f"out of memory: {error}".rstrip(": ")}
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return {"status": INTERRUPTED, "reason": "interrupted"}
    if isinstance(error, OSError) and error.errno in FULL:
        return {"status": "disk", "reason": str(error)}
    text = " ".join(str(error).split())
    named = "" if isinstance(error, MipnetError) else f"{type(error).__name__}: "
    return {"status": "error", "reason": f"{named}{text}"}


def ending(code: int, peak_mb: float, memory_mb: int) -> tuple[str, str, bool]:
    """Status, reason and whether somebody outside ended it, of a process without a result.

    Parameters
    ----------
    code : int
        Exit code; negative for a signal.
    peak_mb, memory_mb : float
        Memory used and allowed.
    """
    if code >= 0:
        return "error", f"the process ended with exit code {code} and no result", False
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    if -code == signal.SIGALRM:
        return "killed", "the wall-clock limit passed", False
    if peak_mb > 0.9 * memory_mb:
        return "memory", f"ended by {name} with {peak_mb:.0f} MB in use of {memory_mb}", False
    if -code in {signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT}:
        return "killed", f"killed from outside ({name})", True
    return "error", f"the process crashed ({name}); see its log", False


def message_lines(waiting: bytes, found: bytes) -> tuple[list[bytes], bytes]:
    """Split what came through a pipe into whole lines and the beginning of the next."""
    *lines, rest = (waiting + found).split(b"\n")
    return [line for line in lines if line], rest


def seconds_text(seconds: float) -> str:
    """Write a duration for people: ``"4.2 s"``, ``"12 min"``, ``"3 h 05 min"``."""
    if seconds < 100.0:
        return f"{seconds:.1f} s" if seconds < 10.0 else f"{seconds:.0f} s"
    minutes = round(seconds / 60.0)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def counts_text(counts: Mapping[str, Any]) -> str:
    """Write counts by name: ``"12 optimal, 3 killed"``."""
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
