"""The process cells are forked from: it has imported everything, and does nothing itself.

Started as ``python -m mipnet.bench.runner.nursery REQUESTS REPORTS`` with two inherited file
descriptors. Each line of requests is one task; a child is forked for it, in a session of its own.
When the supervisor is gone (end of requests), the child is killed and the nursery ends; when the
nursery is gone, the kernel kills the child (on Linux).
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import json
import os
import resource
import select
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, TextIO

from mipnet.bench.plugins import load_plugins
from mipnet.bench.runner.exits import failure_of
from mipnet.bench.solvers.listen import solve_places
from mipnet.bench.stages.channel import Channel
from mipnet.bench.stages.perform import calibrate, perform, rehearse
from mipnet.bench.tasks import Task
from mipnet.solver import highs_version

_DIE_WITH_PARENT = 1
_LIBC = ctypes.CDLL(None)


def main(arguments: list[str]) -> None:
    """Serve requests until there are none."""
    requests, reports = (int(a) for a in arguments)
    for descriptor in (requests, reports):
        os.set_inheritable(descriptor, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    load_plugins()
    highs_version()
    solve_places()
    rehearse()
    gc.collect()
    gc.freeze()
    Nursery(requests, reports).serve()


class Nursery:
    """Forks a child for each request and reports its end.

    Parameters
    ----------
    requests, reports : int
        File descriptors.
    """

    def __init__(self, requests: int, reports: int) -> None:
        self.requests = requests
        self.channel = Channel(reports)
        self.child: int | None = None
        self.parent = os.getpid()

    def serve(self) -> None:
        """Wait for requests and for the ends of children."""
        wake, knock = os.pipe()
        for end in (wake, knock):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(knock, warn_on_full_buffer=False)
        self.channel.send({"ready": self.parent})
        waiting = b""
        while True:
            readable, _, _ = select.select([self.requests, wake], [], [])
            if wake in readable:
                os.read(wake, 4096)
                self.reap()
            if self.requests in readable:
                found = os.read(self.requests, 1 << 16)
                if not found:
                    self.kill()
                    return
                waiting += found
                *lines, waiting = waiting.split(b"\n")
                for line in lines:
                    self.fork(json.loads(line))

    def fork(self, request: dict[str, Any]) -> None:
        """Start a child for a request; it begins when its number has been told.

        So the two never write at once, and a child that is killed at birth is known.
        """
        gate, key = os.pipe()
        self.child = os.fork()
        if self.child == 0:
            os.close(key)
            os.read(gate, 1)
            os.close(gate)
            run_child(request, self.channel, self.requests, self.parent)
        os.close(gate)
        self.channel.send({"pid": self.child})
        os.close(key)

    def reap(self) -> None:
        """Report children that have ended, after killing whatever they left behind."""
        while self.child is not None:
            pid, status, usage = os.wait4(self.child, os.WNOHANG)
            if pid == 0:
                return
            self.child = None
            with suppress(ProcessLookupError, PermissionError):
                # Whatever it started and left behind.
                os.killpg(pid, signal.SIGKILL)
            # A line of its own even where the child was killed in the middle of one.
            os.write(self.channel.descriptor, b"\n")
            self.channel.send(
                {
                    "ended": pid,
                    "exit": os.waitstatus_to_exitcode(status),
                    "peak_memory_mb": usage.ru_maxrss
                    / (1 << 20 if sys.platform == "darwin" else 1024),
                    "user_s": usage.ru_utime,
                    "system_s": usage.ru_stime,
                }
            )

    def kill(self) -> None:
        """Kill the session of the child, and the child where it has none yet."""
        if self.child is not None:
            for send in (os.killpg, os.kill):
                with suppress(ProcessLookupError, PermissionError):
                    send(self.child, signal.SIGKILL)


def run_child(request: dict[str, Any], channel: Channel, requests: int, parent: int) -> NoReturn:
    """Do one task in this process and end it."""
    os.setsid()
    _die_with(parent)
    os.close(requests)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGCHLD, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    # The last resort if all supervisors are gone or stuck: the kernel needs no help for this.
    signal.setitimer(signal.ITIMER_REAL, request["alarm"])
    _limit_memory(request["memory_mb"])
    code = 0
    with _log(request["log"]) as log:
        try:
            if request["task"] is None:
                channel.send({"result": {"calibration_s": calibrate()}})
            else:
                task = Task.from_dict(request["task"])
                channel.send({"result": perform(task, Path(request["folder"]), channel, log)})
        except BaseException as error:
            traceback.print_exc(file=log)
            channel.send({"failure": failure_of(error)})
            code = 1
        finally:
            with suppress(OSError, ValueError):
                log.flush()
    # Nothing of the parent's clean-up is for this process.
    os._exit(code)


@contextmanager
def _log(path: str | None) -> Iterator[TextIO]:
    """Everything the process prints, by Python or by the solver, goes to the log of the cell."""
    with ExitStack() as stack:
        try:
            name = path or os.devnull
            stream = stack.enter_context(
                # Line by line, so that it can be followed.
                open(name, "w", buffering=1, encoding="utf-8", errors="replace")
            )
        except OSError:
            stream = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
        with suppress(OSError, ValueError):
            for target in (1, 2):
                os.dup2(stream.fileno(), target)
        faulthandler.enable(file=stream)
        yield stream


def _limit_memory(megabytes: int) -> None:
    """Set a bound on allocations well above the resident memory the supervisor allows.

    It stops what allocates faster than anybody can look.
    """
    most = (2 * megabytes + 1024) << 20
    for what, limit in ((resource.RLIMIT_DATA, most), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):
            resource.setrlimit(what, (limit, limit))


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        _LIBC.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
