"""The table of faults: what kills what, and that nothing finished is lost."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from bench_cases import NAPS, command, environment, plan_file, records, tiny

from mipnet.bench import load_plan, run
from mipnet.bench.runner import supervisor, worker
from mipnet.bench.runner.exits import failure_of
from mipnet.bench.runner.supervisor import Outcome
from mipnet.bench.runner.worker import judge
from mipnet.bench.store import files
from mipnet.bench.tasks import Task

TROUBLE = """
[networks.tiny]
file = "tiny.npz"
[[problems]]
kind = "trouble"
how = {how}
[limits]
time = 1
wall = {wall}
memory_mb = 500
"""


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def finished(folder: Path) -> int:
    return len(list((folder / "cells").glob("[!.]*.json")))


@contextmanager
def started(plan: Path, folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A run in a process group of its own, which is gone afterwards."""
    process = subprocess.Popen(
        command("run", plan, "--results", folder, "--quiet", *arguments),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # Whoever runs the tests may ignore interrupts, which a child would inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def below(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def nurseries(family: list[psutil.Process]) -> list[psutil.Process]:
    """Processes cells are forked from: the command line of their children is the same."""
    named = []
    for member in family:
        with suppress(psutil.Error):
            if "mipnet.bench.runner.nursery" in member.cmdline():
                named.append(member)
    return [p for p in named if p.ppid() not in {q.pid for q in named}]


def gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


@pytest.mark.usefixtures("faulty", "nursery")
class TestCellsThatMisbehave:
    def test_each_is_stopped_and_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(supervisor, "LOOK_WIDE", 0.3)
        hows = ["hog", "burst", "hog_in_child", "hang", "crash", "exit", "error", "nonsense"]
        plan = load_plan(plan_file(tmp_path, TROUBLE.format(how=hows, wall=8)))
        found = run(plan, tmp_path / "r")
        assert not found.ok
        cells = {r["key"]["problem"]["how"]: r for r in records(tmp_path / "r").values()}
        assert {how: r["status"] for how, r in cells.items()} == {
            "hog": "memory",
            "burst": "memory",
            "hog_in_child": "memory",
            "hang": "killed",
            "crash": "error",
            "exit": "error",
            "error": "error",
            "nonsense": "optimal",
        }
        assert "MB resident, 500 MB allowed" in cells["hog"]["reason"]
        assert "wall-clock limit passed" in cells["hang"]["reason"]
        assert "SIGSEGV" in cells["crash"]["reason"]
        assert "exit code 3" in cells["exit"]["reason"]
        # Held to the limit, not much later.
        assert 8.0 <= cells["hang"]["process"]["seconds"] < 14.0
        assert cells["hog"]["process"]["peak_memory_mb"] < 900.0
        log = (tmp_path / "r" / "logs" / f"{cells['error']['id']}.log").read_text()
        assert "this is\nno good" in log
        assert {r["run"]["attempt"] for r in cells.values()} == {1}

    def test_killed_from_outside_is_no_result(self, tmp_path: Path) -> None:
        """Once: begun again. Every time: recorded as killed, with every attempt."""
        flag = tmp_path / "flag"
        text = TROUBLE.format(how='"vanish"', wall=20)
        once = text.replace('how = "vanish"', f'how = "vanish"\nonce = "{flag}"')
        found = run(load_plan(plan_file(tmp_path, once, "once.toml")), tmp_path / "once")
        assert found.counts == Counter(optimal=1)
        (record,) = records(tmp_path / "once").values()
        assert record["run"]["attempt"] == 2
        assert record["run"]["previous"][0]["reason"] == "killed from outside (SIGKILL)"
        found = run(load_plan(plan_file(tmp_path, text, "always.toml")), tmp_path / "always")
        assert found.counts == Counter(killed=1)
        (record,) = records(tmp_path / "always").values()
        assert (record["run"]["attempt"], len(record["run"]["previous"])) == (3, 2)

    def test_stuck_solver_is_stopped(self, tmp_path: Path) -> None:
        text = """
[networks.tiny]
file = "tiny.npz"
data = "diabetes"
[[problems]]
kind = "maximize"
[[solvers]]
name = "stuck"
[solve]
bounds = "interval"
[limits]
time = 0.5
wall = 2
"""
        tiny(tmp_path / "tiny.npz", widths=(10, 30, 1))
        found = run(load_plan(plan_file(tmp_path, text)), tmp_path / "r")
        assert found.counts == Counter(killed=1)
        (record,) = records(tmp_path / "r").values()
        assert record["process"]["seconds"] < 6.0


@pytest.mark.usefixtures("faulty", "nursery")
class TestKilledProcesses:
    @pytest.fixture
    def plan(self, tmp_path: Path) -> Path:
        return plan_file(tmp_path, NAPS.format(count=16, seconds=0.5, wall=20))

    def test_killed_cell_nursery_and_worker(self, tmp_path: Path) -> None:
        folder = tmp_path / "r"

        def again() -> int:
            return sum(r["run"]["attempt"] > 1 for r in records(folder).values())

        def young() -> psutil.Process:
            """A cell that has most of its time before it."""
            found: list[psutil.Process] = []

            def look() -> bool:
                family = [c for n in nurseries(below(process)) for c in n.children()]
                found[:] = [c for c in family if time.time() - c.create_time() < 0.2]
                return bool(found)

            wait_for(look)
            return found[0]

        plan = plan_file(tmp_path, NAPS.format(count=12, seconds=0.6, wall=20))
        with started(plan, folder, "--jobs", "2") as process:
            # Both workers have measured the machine, which is a process of its own.
            wait_for(lambda: finished(folder) >= 3)
            young().kill()
            wait_for(lambda: again() >= 1)
            os.kill(young().ppid(), signal.SIGKILL)
            wait_for(lambda: again() >= 2)
            worker = psutil.Process(young().ppid()).parent()
            assert worker is not None
            worker.kill()
            output = process.communicate(timeout=120)[0]
        assert process.returncode == 0, output
        found = records(folder).values()
        assert len(found) == 12
        assert {r["status"] for r in found} == {"optimal"}

    def test_killed_runner(self, plan: Path, tmp_path: Path) -> None:
        """First with one job, whose worker is the runner itself, then with two."""
        folder = tmp_path / "r"
        kept: dict[str, str] = {}
        for jobs in ("1", "2"):
            with started(plan, folder, "--jobs", jobs) as process:
                goal = len(kept) + 2
                wait_for(lambda goal=goal: finished(folder) >= goal)
                family = below(process)
                process.kill()
                process.wait()
                # Nobody works on: workers, nurseries and cells end by themselves.
                wait_for(lambda f=family: all(gone(p) for p in f), seconds=15)
            now = {i: r["run"]["id"] for i, r in records(folder).items()}
            assert kept.items() <= now.items()
            kept = now
        assert len(kept) < 16
        done = run(load_plan(plan), folder)
        assert (done.counts, done.kept) == (Counter(optimal=16), 1 + len(kept))
        assert any("was cut off and is done again" in note for note in done.notes)
        assert kept.items() <= {i: r["run"]["id"] for i, r in records(folder).items()}.items()
        assert not list(folder.rglob("*.part"))
        assert not list((folder / "running").glob("*.json"))

    def test_interrupt(self, plan: Path, tmp_path: Path) -> None:
        """From a terminal the signal reaches the whole group, from elsewhere the runner alone."""
        folder = tmp_path / "r"
        kept = 0
        for send in (os.killpg, os.kill):
            with started(plan, folder, "--jobs", "2") as process:
                wait_for(lambda goal=kept + 2: finished(folder) >= goal)
                family = below(process)
                send(process.pid, signal.SIGINT)
                output = process.communicate(timeout=30)[0]
                wait_for(lambda f=family: all(gone(p) for p in f), seconds=15)
            assert process.returncode == 130, output
            assert "the same command goes on from here" in output
            assert "Traceback" not in output
            assert kept + 2 <= len(records(folder)) < 16
            kept = len(records(folder))
            assert not list((folder / "running").glob("*.json"))
        done = run(load_plan(plan), folder)
        assert (done.counts, done.kept) == (Counter(optimal=16), 1 + kept)


@pytest.mark.usefixtures("faulty", "nursery")
class TestFullDisk:
    @pytest.mark.parametrize("when", ["before", "writing"])
    def test_run_stops_and_goes_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
    ) -> None:
        plan = load_plan(plan_file(tmp_path, NAPS.format(count=6, seconds=0.0, wall=20)))
        folder = tmp_path / "r"
        with monkeypatch.context() as patch:
            if when == "before":
                usage = shutil.disk_usage(tmp_path)
                patch.setattr(
                    worker.shutil,
                    "disk_usage",
                    lambda path: usage._replace(free=2**40 if finished(folder) < 3 else 2**10),
                )
            else:
                real = os.fsync

                def full(descriptor: int) -> None:
                    if finished(folder) >= 3:
                        raise OSError(errno.ENOSPC, "No space left on device")
                    real(descriptor)

                patch.setattr(files.os, "fsync", full)
            found = run(plan, folder)
        assert (found.end, found.ok) == ("disk", False)
        assert found.counts == Counter(optimal=3)
        assert found.missing == 3
        assert "space" in found.reason or "free" in found.reason
        assert not list(folder.rglob("*.part"))
        assert not list((folder / "running").glob("*.json"))
        again = run(plan, folder)
        assert again.counts == Counter(optimal=6)
        assert again.kept == 1 + 3

    def test_a_cell_that_finds_no_room(self) -> None:
        found = failure_of(OSError(errno.ENOSPC, "No space left on device"))
        assert found["status"] == "disk"


class TestClock:
    """Solvers hold their limits by the time of day; the runner does not."""

    @staticmethod
    def task() -> Task:
        return Task.make("solve", {"x": 1}, wall=60.0)

    @pytest.mark.parametrize(
        ("status", "jump", "again"),
        [
            ("feasible-limit", 0.2, False),
            ("feasible-limit", 3600.0, True),
            ("no-solution-limit", -3600.0, True),
            ("optimal", 3600.0, False),
        ],
    )
    def test_limits_under_a_moved_clock_are_no_result(
        self, status: str, jump: float, again: bool
    ) -> None:
        outcome = Outcome({"status": status, "reason": ""}, seconds=3.0, clock_jump_s=jump)
        found = judge(outcome, self.task())
        assert found[2] == again
        assert (found[0] == "error") == again
        assert ("clock was moved by" in found[1]) == again

    def test_overrun_under_a_clock_set_back(self) -> None:
        outcome = Outcome(None, "killed", "the limit", seconds=60.0, clock_jump_s=-3600.0)
        assert judge(outcome, self.task())[0::2] == ("error", True)
        assert judge(Outcome(None, "killed", "the limit"), self.task())[0::2] == ("killed", False)

    def test_the_runner_watches_the_clock(
        self, tmp_path: Path, nursery: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A clock that is set while a cell runs is seen, and changes no measured time."""
        del nursery
        plan = load_plan(plan_file(tmp_path, NAPS.format(count=1, seconds=0.3, wall=20)))
        real = time.time
        begin = time.monotonic()
        monkeypatch.setattr(
            time, "time", lambda: real() - (3600.0 if time.monotonic() - begin > 0.5 else 0.0)
        )
        wait_for(lambda: time.monotonic() - begin > 0.2)
        found = run(plan, tmp_path / "r")
        assert found.counts == Counter(optimal=1)
        (record,) = records(tmp_path / "r").values()
        assert 0.3 <= record["result"]["total_s"] < 5.0
        assert found.seconds < 60.0
