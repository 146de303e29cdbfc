"""Waiting for the solver: races at its end, and Ctrl-C in the middle."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from formulations import ProgramArrays
from mipnet.solver import Status, solve
from mipnet.solver import highs as highs_module


def test_a_solve_that_ends_between_two_polls_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait times out, the solver finishes, and only then is ``done`` asked."""

    class Late(Future):  # type: ignore[type-arg]
        def result(self, timeout: float | None = None) -> Any:
            if timeout is not None and not self.done():
                super().result()  # the work ends right after the time-out ...
                raise FutureTimeoutError
            return super().result(timeout)

    class Pool(ThreadPoolExecutor):
        def submit(self, fn, /, *args, **kwargs):
            late: Future = Late()
            threading.Timer(0.05, lambda: late.set_result(fn(*args, **kwargs))).start()
            return late

    one = np.ones(1)
    arrays = ProgramArrays(
        0.0 * one, one, one, np.zeros(1, bool), sp.csr_array((0, 1)), np.zeros(0), np.zeros(0)
    )
    monkeypatch.setattr(highs_module, "ThreadPoolExecutor", Pool)
    assert solve(arrays).status is Status.OPTIMAL


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_returns_control() -> None:
    """A solve that would take minutes ends on SIGINT with KeyboardInterrupt, and soon."""
    code = """
        import signal, sys, time
        import numpy as np, scipy.sparse as sp
        # A process started in the background inherits an ignored SIGINT.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from formulations import ProgramArrays
        from mipnet.solver import solve
        rng = np.random.default_rng(0)
        n = 60
        w = rng.integers(100, 1000, size=(10, n)).astype(float)
        arrays = ProgramArrays(np.zeros(n), np.ones(n), -w.sum(0), np.ones(n, bool),
                               sp.csr_array(w), w.sum(1) / 2 - 0.5, w.sum(1) / 2)
        print("started", flush=True)
        try:
            solve(arrays)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            sys.exit(7)
        print("finished", flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1.0)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30.0)
    finally:
        process.kill()
    assert (out, process.returncode) == ("interrupted\n", 7)
