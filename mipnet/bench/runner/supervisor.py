"""One process at a time, watched: wall-clock and memory limits that stop whatever it does."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from mipnet.bench.environment import THREAD_VARIABLES
from mipnet.bench.errors import RunError
from mipnet.bench.runner.exits import ending, message_lines
from mipnet.bench.stages.channel import encode_line
from mipnet.bench.tasks import Task
from mipnet.errors import MissingPackageError

#: Seconds between two looks at the memory of a process, and at that of its children too.
LOOK, LOOK_WIDE = 0.05, 2.0
#: Seconds a nursery may take to import everything, and a killed process to vanish.
START, VANISH = 300.0, 20.0


@dataclass
class Outcome:
    """How a task ended.

    Attributes
    ----------
    result : dict or None
        Columns, where the process returned any.
    status, reason : str
        Of the process; empty where it returned a result.
    outside : bool
        Whether somebody else ended it, so that it says nothing about the task.
    events : list
        Incumbent and bound over time, as sent.
    factors : dict of int to float
        Scale of the objective of every solve.
    seconds, peak_memory_mb, user_s, system_s : float
        Of the process as a whole.
    clock_jump_s : float
        How far the system clock was moved meanwhile.
    """

    result: dict[str, Any] | None = None
    status: str = ""
    reason: str = ""
    outside: bool = False
    events: list[list[Any]] = field(default_factory=list)
    factors: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    user_s: float = 0.0
    system_s: float = 0.0
    clock_jump_s: float = 0.0


class Supervisor:
    """A nursery and the child it has at the moment; one for each thread.

    Parameters
    ----------
    orphaned : callable, optional
        Whether whoever asked for the work is gone; the process is then killed and this one ends.
    """

    def __init__(self, orphaned: Callable[[], bool] = lambda: False) -> None:
        try:
            import psutil
        except ImportError as error:
            raise MissingPackageError("psutil", "watching the memory of cells", "bench") from error
        if not hasattr(os, "fork"):
            msg = "cells are forked from a prepared process, which this system cannot do; use WSL"
            raise RunError(msg)
        self._psutil = psutil
        self.orphaned = orphaned
        self._nursery: subprocess.Popen[bytes] | None = None
        self._requests = self._reports = -1
        self._waiting = b""
        self._watched: Any = None
        self._words: IO[bytes] = BytesIO()

    def run(self, task: Task | None, folder: Path, log: Path | None) -> Outcome:
        """Do a task in a process of its own.

        Parameters
        ----------
        task : Task or None
            None for the calibration.
        folder : Path
        log : Path, optional
            Receives everything the process prints.

        Returns
        -------
        Outcome
        """
        wall = 120.0 if task is None else task.wall
        memory = 4096 if task is None else task.memory_mb
        if not self._start():
            return Outcome(status="killed", reason="the nursery was killed", outside=True)
        request = {
            "task": None if task is None else task.to_dict(),
            "folder": str(folder),
            "log": None if log is None else str(log),
            "memory_mb": memory,
            "alarm": wall + VANISH,
        }
        watch = _Watch(self, wall, memory)
        try:
            os.write(self._requests, encode_line(request))
            return watch.wait()
        except BrokenPipeError:
            self.close()
            return Outcome(status="killed", reason="the nursery was killed", outside=True)
        except BaseException:
            # An interrupt, or a nursery that is gone: leave nothing running.
            watch.kill()
            self.close()
            raise

    def close(self) -> None:
        """End the nursery; its child goes with it."""
        for descriptor in (self._requests, self._reports):
            with suppress(OSError):
                os.close(descriptor)
        self._requests = self._reports = -1
        if self._nursery is not None:
            try:
                self._nursery.wait(timeout=VANISH)
            except subprocess.TimeoutExpired:
                self._nursery.kill()
                self._nursery.wait()
            self._nursery = None
            self._words.close()

    def read(self, timeout: float) -> list[dict[str, Any]]:
        """Messages that came within a time; an ``{"gone": ...}`` when the nursery is no more."""
        readable, _, _ = select.select([self._reports], [], [], timeout)
        if not readable:
            return []
        found = os.read(self._reports, 1 << 16)
        if not found:
            return [{"gone": True}]
        lines, self._waiting = message_lines(self._waiting, found)
        messages = []
        for line in lines:
            # Half a line is what a killed process leaves.
            with suppress(ValueError):
                messages.append(json.loads(line))
        return messages

    def memory_mb(self, pid: int, *, wide: bool) -> float:
        """Resident memory of a process, with its children when ``wide``."""
        total = 0.0
        with suppress(self._psutil.Error):
            if self._watched is None or self._watched.pid != pid:
                self._watched = self._psutil.Process(pid)
            process = self._watched
            family = [process, *(process.children(recursive=True) if wide else ())]
            for member in family:
                with suppress(self._psutil.Error):
                    total += member.memory_info().rss / 2**20
        return total

    def _start(self) -> bool:
        """See that there is a nursery; False when somebody killed it while it started."""
        if self._nursery is not None and self._nursery.poll() is None:
            return True
        self.close()
        child_in, self._requests = os.pipe()
        self._reports, child_out = os.pipe()
        environment = dict(os.environ) | dict.fromkeys(THREAD_VARIABLES, "1")
        # Sets and dictionaries in the same order, run after run.
        environment["PYTHONHASHSEED"] = "0"
        # Lives as long as the nursery.
        self._words = TemporaryFile()  # noqa: SIM115
        self._nursery = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "mipnet.bench.runner.nursery", str(child_in), str(child_out)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._words,
            pass_fds=(child_in, child_out),
            env=environment,
            start_new_session=True,
        )
        os.close(child_in)
        os.close(child_out)
        self._waiting = b""
        deadline = time.monotonic() + START
        while time.monotonic() < deadline:
            for message in self.read(1.0):
                if "ready" in message:
                    return True
                if "gone" in message:
                    return self._fell()
            self.leave_if_orphaned()
        self.close()
        msg = f"the process cells are forked from did not start within {START:.0f} s"
        raise RunError(msg)

    def _fell(self) -> bool:
        """Tell a nursery that was killed from one that cannot start, which is an error."""
        code = 0 if self._nursery is None else self._nursery.wait()
        self._words.seek(0)
        words = self._words.read().decode(errors="replace")
        self.close()
        if code < 0:
            return False
        tail = " ".join(words.split()[-60:])
        msg = f"the process cells are forked from cannot start: {tail or f'exit code {code}'}"
        raise RunError(msg)

    def leave_if_orphaned(self) -> None:
        """End this process with everything below it when nobody waits for its work any more."""
        if self.orphaned():
            self.close()
            os._exit(1)


class _Watch:
    """The wait for one child."""

    def __init__(self, supervisor: Supervisor, wall: float, memory_mb: int) -> None:
        self.supervisor = supervisor
        self.memory_mb = memory_mb
        self.wall = wall
        self.begin, self.time_of_day = time.monotonic(), time.time()
        self.outcome = Outcome()
        self.pid: int | None = None
        self.killed_at: float | None = None
        self.looked_wide = self.begin

    def wait(self) -> Outcome:
        """Until the child has ended, one way or the other."""
        while True:
            for message in self.supervisor.read(LOOK):
                if self.take(message):
                    self.outcome.seconds = time.monotonic() - self.begin
                    day = time.time() - self.time_of_day
                    self.outcome.clock_jump_s = day - self.outcome.seconds
                    return self.outcome
            self.supervisor.leave_if_orphaned()
            self.look(time.monotonic())

    def look(self, now: float) -> None:
        """Hold the child to its limits."""
        if self.killed_at is not None:
            if now - self.killed_at > VANISH:
                # Stuck in the kernel: leave it behind with its nursery.
                msg = f"process {self.pid} does not end after SIGKILL"
                raise RunError(msg)
            return
        if now - self.begin > self.wall:
            reason = f"stopped after {now - self.begin:.1f} s: the wall-clock limit passed"
            self.stop("killed", reason, now)
            return
        if self.pid is None:
            return
        wide = now - self.looked_wide > LOOK_WIDE
        if wide:
            self.looked_wide = now
        used = self.supervisor.memory_mb(self.pid, wide=wide)
        self.outcome.peak_memory_mb = max(self.outcome.peak_memory_mb, used)
        if used > self.memory_mb:
            self.stop("memory", f"{used:.0f} MB resident, {self.memory_mb} MB allowed", now)

    def stop(self, status: str, reason: str, now: float) -> None:
        """Kill the child for a reason."""
        self.outcome.status, self.outcome.reason = status, reason
        self.killed_at = now
        self.kill()

    def kill(self) -> None:
        """Kill the child and everything it started."""
        if self.pid is not None:
            for send in (os.killpg, os.kill):
                with suppress(ProcessLookupError, PermissionError):
                    send(self.pid, signal.SIGKILL)

    def take(self, message: dict[str, Any]) -> bool:
        """Take a message; True when it is the last one."""
        found = self.outcome
        if "event" in message:
            found.events.append(message["event"])
        elif "factor" in message:
            number, factor = message["factor"]
            found.factors[int(number)] = float(factor)
        elif "pid" in message:
            self.pid = message["pid"]
            if self.killed_at is not None:
                self.kill()
        elif "result" in message:
            found.result = message["result"]
        elif "failure" in message and not found.status:
            found.status, found.reason = message["failure"]["status"], message["failure"]["reason"]
        elif "gone" in message:
            self.kill()
            self.supervisor.close()
            if not found.status:
                found.status, found.outside = "killed", True
                found.reason = "the process cells are forked from was killed"
            return True
        elif "ended" in message and message["ended"] == self.pid:
            found.peak_memory_mb = max(found.peak_memory_mb, message["peak_memory_mb"])
            found.user_s, found.system_s = message["user_s"], message["system_s"]
            if found.result is None and not found.status:
                found.status, found.reason, found.outside = ending(
                    message["exit"], found.peak_memory_mb, self.memory_mb
                )
            return True
        return False


_LOCAL = threading.local()


def supervisor(orphaned: Callable[[], bool] = lambda: False) -> Supervisor:
    """Return the supervisor of this thread, started on first use and kept for the next task."""
    found: Supervisor | None = getattr(_LOCAL, "supervisor", None)
    if found is None:
        found = _LOCAL.supervisor = Supervisor(orphaned)
    found.orphaned = orphaned
    return found
