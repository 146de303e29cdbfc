"""Questions whose answers are trouble; none of them looks at the network."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from mipnet.bench import Answer, Instance, Problem, Search, axis, register_problem, selection
from mipnet.bench.data import Data
from mipnet.network import Network

DONE = Answer(status="optimal", verdict="done", objective=1.0, bound=1.0)


@dataclass(frozen=True, kw_only=True)
class Counted(Problem):
    """So many instances, which differ by number only."""

    goal: ClassVar[str] = "maximise"
    source: ClassVar[str] = "none"
    needs_data: ClassVar[bool] = False

    count: int = selection(1)

    def instances(self, data: Data | None) -> Iterator[Instance]:
        yield from (Instance(f"number {k}", {"number": k}) for k in range(self.count))


@register_problem("nap")
@dataclass(frozen=True, kw_only=True)
class Nap(Counted):
    """Sleeps, or works, for a while."""

    seconds: float = axis(0.0)
    work: bool = False

    def solve(self, network: Network, instance: Instance, data: Data | None, how: Search) -> Answer:
        end = time.perf_counter() + self.seconds
        if not self.work:
            time.sleep(self.seconds)
        while time.perf_counter() < end:
            pass
        return DONE


@register_problem("trouble")
@dataclass(frozen=True, kw_only=True)
class Trouble(Counted):
    """Goes wrong in one of many ways."""

    how: str = axis()
    #: A file that says, by being there, that the trouble has been had.
    once: str = ""

    def solve(self, network: Network, instance: Instance, data: Data | None, how: Search) -> Answer:
        if self.once:
            if Path(self.once).exists():
                return DONE
            Path(self.once).touch()
        getattr(self, self.how)()
        return DONE

    def hog(self) -> None:
        kept = []
        while True:
            kept.append(np.ones(2**23))
            time.sleep(0.06)

    def burst(self) -> None:
        np.ones(2**32)

    def hog_in_child(self) -> None:
        code = "import time\nkept = b'x' * (3 * 2**28)\ntime.sleep(60)"
        subprocess.run([sys.executable, "-c", code], check=False)

    def hang(self) -> None:
        # Keeps the interpreter to itself: neither signals nor threads of Python get a turn.
        ctypes.PyDLL(None).sleep(3600)

    def crash(self) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    def vanish(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def exit(self) -> None:
        os._exit(3)

    def error(self) -> None:
        msg = "this is\nno good"
        raise ValueError(msg)

    def nonsense(self) -> None:
        os.write(1, b"\xff\xfe not text")
