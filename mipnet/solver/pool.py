"""The process-wide thread pool of HiGHS."""

from __future__ import annotations

import threading


class ThreadPool:
    """The number of threads of HiGHS's process-wide scheduler.

    A run with another number than the last one fails with status "Not Set" unless the scheduler
    is reset first, and resetting it under a running solve is not allowed.
    """

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._running = 0
        self._threads: int | None = None

    def enter(self, threads: int) -> None:
        """Wait until a solve with that many threads may start, and count it."""
        import highspy

        with self._lock:
            while self._running and self._threads != threads:
                self._lock.wait()
            if self._threads not in {None, threads}:
                highspy.Highs.resetGlobalScheduler(True)
            self._threads = threads
            self._running += 1

    def leave(self) -> None:
        """Count a solve as ended."""
        with self._lock:
            self._running -= 1
            self._lock.notify_all()


#: The one pool of the process.
POOL = ThreadPool()
