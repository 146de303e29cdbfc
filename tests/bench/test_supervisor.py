"""The process cells are forked from: what happens when it cannot start."""

from __future__ import annotations

from pathlib import Path

import pytest

from mipnet.bench.errors import RunError
from mipnet.bench.runner import supervisor as module
from mipnet.bench.runner.exits import ending, message_lines, seconds_text
from mipnet.bench.runner.supervisor import Supervisor


def test_a_nursery_that_cannot_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise RuntimeError('no numpy today')\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    watcher = Supervisor()
    with pytest.raises(RunError, match=r"cannot start: .*no numpy today"):
        watcher.run(None, tmp_path, None)
    watcher.close()


def test_no_fork_no_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(module.os, "fork")
    with pytest.raises(RunError, match="use WSL"):
        Supervisor()


@pytest.mark.parametrize(
    ("code", "peak", "status", "outside"),
    [
        (0, 10.0, "error", False),
        (3, 10.0, "error", False),
        (-9, 10.0, "killed", True),
        (-15, 10.0, "killed", True),
        (-9, 950.0, "memory", False),
        (-14, 10.0, "killed", False),
        (-11, 10.0, "error", False),
        (-6, 10.0, "error", False),
    ],
)
def test_ends_without_a_result(code: int, peak: float, status: str, outside: bool) -> None:
    assert ending(code, peak, 1000)[0::2] == (status, outside)


def test_half_lines_wait_for_the_rest() -> None:
    lines, rest = message_lines(b'{"a"', b':1}\n\n{"b":2}\n{"c"')
    assert (lines, rest) == ([b'{"a":1}', b'{"b":2}'], b'{"c"')


def test_durations_for_people() -> None:
    found = [seconds_text(s) for s in (0.04, 9.94, 59.6, 600.0, 11_000.0)]
    assert found == ["0.0 s", "9.9 s", "60 s", "10 min", "3 h 03 min"]
