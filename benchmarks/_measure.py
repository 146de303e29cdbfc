"""What the timed scripts share: supervised workers, their records, means, and the machine."""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mipnet.bench.environment import THREAD_VARIABLES, versions

Record = dict[str, Any]

#: A worker is killed so many seconds after its limit: what solvers overrun, and its imports.
GRACE_SHARE, GRACE_SECONDS = 0.2, 30.0


def supervise(command: Sequence[str], request: Record, limit: float) -> Record:
    """Run a worker in a process of its own, with one thread, and end it when it does not.

    Parameters
    ----------
    command : sequence of str
        The worker reads the request as JSON from its input, and prints its answer as one JSON
        object on the last line of its output.
    request : dict
    limit : float
        Seconds the worker was told to take. It is killed, with the processes it started, when it
        still runs 20 % and 30 seconds later.

    Returns
    -------
    dict
        The answer; ``{"status": "killed" or "error", "detail": ...}`` when there is none.
    """
    surroundings = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1")}
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=surroundings,
        start_new_session=True,
    )
    allowed = (1.0 + GRACE_SHARE) * limit + GRACE_SECONDS
    try:
        out, err = process.communicate(json.dumps(request), timeout=allowed)
    except subprocess.TimeoutExpired:
        return {"status": "killed", "detail": f"did not end within {allowed:.0f} s"}
    finally:
        _end(process)
    lines = out.strip().splitlines()
    if process.returncode == 0 and lines and lines[-1].startswith("{"):
        answer: Record = json.loads(lines[-1])
        return answer
    message = (err.strip().splitlines() or ["no message"])[-1]
    return {"status": "error", "detail": f"exit status {process.returncode}: {message}"}


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a worker and what it started; nothing to do when it is gone."""
    if process.poll() is None:
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


class Records:
    """Results as JSON lines: the machine first, then a line for every cell as it is finished.

    Parameters
    ----------
    path : Path
    keys : sequence of str
        Fields that name a cell.
    resume : bool
        Keep the cells the file has, but try those again that ended in an error; else the file is
        begun anew.
    about : dict
        Options of the run, written into the first line.
    """

    def __init__(self, path: Path, keys: Sequence[str], resume: bool, about: Record) -> None:
        self.path, self.keys = path, tuple(keys)
        self.found: list[Record] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        if resume and path.exists():
            lines = path.read_text(encoding="utf-8").splitlines()
            kept = (r for r in map(json.loads, lines) if "environment" not in r)
            self.found = [r for r in kept if r["status"] != "error"]
        else:
            path.write_text("", encoding="utf-8")
        self._write({"environment": environment(), **about})

    def has(self, cell: Record) -> bool:
        """Whether a cell is done."""
        return bool(self.of([cell]))

    def of(self, cells: Iterable[Record]) -> list[Record]:
        """Results of these cells, in their order, as far as there are any."""
        known = {self._name(record): record for record in self.found}
        return [known[name] for name in map(self._name, cells) if name in known]

    def add(self, record: Record) -> None:
        """Keep and write a finished cell."""
        self.found.append(record)
        self._write(record)

    def _name(self, record: Record) -> str:
        return json.dumps([record[key] for key in self.keys])

    def _write(self, record: Record) -> None:
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")


def environment() -> Record:
    """Machine, versions and state of the code, for the first line of every result."""
    return {
        "versions": versions(),
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "modified": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }


def processor() -> str:
    """Name of the processor, as far as it can be read."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _git(*arguments: str) -> str:
    program = shutil.which("git")
    if program is None:
        return ""
    folder = Path(__file__).parent
    done = subprocess.run(
        [program, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def environment_line() -> str:
    """One line for the head of a report."""
    now = environment()
    names = ", ".join(f"{n} {now['versions'][n]}" for n in ("python", "mipnet", "highspy", "numpy"))
    load = "" if now["load"] is None else f", load {now['load']:.2f}"
    state = f"commit {now['commit'] or 'unknown'}{' (modified)' if now['modified'] else ''}"
    return f"{now['processor']}, {now['cores']} cores{load}; {names}; {state}"


def measure_all(
    cells: Sequence[Record], records: Records, work: Callable[[Record], Record], *, seed: int = 0
) -> None:
    """Run every cell that is not done, in random order, so that drift meets all alike.

    Parameters
    ----------
    cells : sequence of dict
    records : Records
    work : callable
        From a cell to its answer.
    seed : int
        Of the order.
    """
    order = np.random.default_rng(seed).permutation(len(cells))
    due = [cells[k] for k in order if not records.has(cells[k])]
    for number, cell in enumerate(due, 1):
        answer = work(cell)
        records.add({**cell, **answer})
        seconds = answer.get("seconds")
        spent = "" if seconds is None else f" {seconds:.2f} s"
        name = " ".join(str(cell[key]) for key in records.keys)
        detail = f" ({answer['detail']})" if "detail" in answer else ""
        print(f"[{number}/{len(due)}] {name}: {answer['status']}{spent}{detail}", file=sys.stderr)


def shifted_geometric_mean(values: Iterable[float], shift: float = 1.0) -> float:
    """``exp(mean(log(v + shift))) - shift``; NaN of nothing."""
    logs = [math.log(value + shift) for value in values]
    return math.exp(math.fsum(logs) / len(logs)) - shift if logs else math.nan


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown table, columns padded so that it reads well in a terminal too."""
    lines = [list(heading), *map(list, rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(heading))]
    lines.insert(1, ["-" * width for width in widths])
    padded = ([cell.ljust(w) for cell, w in zip(line, widths, strict=True)] for line in lines)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in padded)
