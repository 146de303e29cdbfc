"""Threads of the linear algebra underneath numpy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS on one thread inside the ``with`` statement.

    The matrices of a search are small: a second BLAS thread costs more in hand-over than it
    brings, and it takes the core that the solver or another batch could use.
    """
    # Imported here: loading it looks through every shared library of the process.
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield
