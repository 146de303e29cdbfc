"""joblib, and nothing else, spreads tasks: over processes here, or over the machines of a cluster.

Backends know nothing of limits or of broken tasks; that is the worker's business. What is left to
do here is to survive the death of a worker, which joblib answers by giving up the whole call.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Self

from mipnet.bench.errors import RunError
from mipnet.bench.runner.worker import Order, Report, work
from mipnet.errors import MipnetError, MissingPackageError

LOG = logging.getLogger(__name__)

#: How often in a row the workers may die without one task ending in between.
PATIENCE = 4
#: Seconds a dask scheduler has to answer.
CONNECT = 10.0
#: Tasks for each job between two reports, where a backend cannot report one by one.
CHUNK = 4


class Engine:
    """A joblib backend, set up on first use and kept for all stages of a run.

    Parameters
    ----------
    jobs : int
        Tasks at once; a cluster that exists already has its own number.
    backend : {"loky", "dask", "ray"}
    options : mapping
        ``scheduler`` for dask, ``address`` for ray; the others go to the backend.
    """

    def __init__(self, jobs: int, backend: str, options: Mapping[str, Any]) -> None:
        self.jobs, self.backend, self.options = jobs, backend, options
        self._stack: ExitStack | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End workers and cluster; they come back on the next use."""
        stack, self._stack = self._stack, None
        if stack is not None:
            stack.close()

    def execute(self, orders: Sequence[Order]) -> Iterator[Report]:
        """Do tasks; yield reports in the order they end.

        Raises
        ------
        RunError
            When workers keep dying before any task ends.
        MissingPackageError
            When the backend is not installed.
        """
        left = {order.task["id"]: order for order in orders}
        deaths = 0
        while left:
            try:
                for report in self._once(list(left.values())):
                    deaths = 0
                    left.pop(report.id, None)
                    yield report
            except MipnetError:
                raise
            except Exception as error:
                # Backends have many ways to say that a worker is gone; none of them is a result.
                deaths += 1
                if deaths >= PATIENCE:
                    msg = f"{self.backend} workers died {deaths} times in a row: {error!r}"
                    raise RunError(msg) from error
                what = type(error).__name__
                LOG.warning("a worker died (%s); %d tasks go to new ones", what, len(left))
                self.close()

    def _once(self, orders: list[Order]) -> Iterator[Report]:
        import joblib

        if self._stack is None:
            self._stack = ExitStack()
            self._stack.enter_context(_configured(self.jobs, self.backend, self.options))
        if self.backend == "loky":
            orders = [replace(order, parent=_parent(self.jobs)) for order in orders]
        one_by_one = self.backend != "ray"
        many = joblib.Parallel(
            n_jobs=self.jobs,
            batch_size=1,
            pre_dispatch="2*n_jobs",
            return_as="generator_unordered" if one_by_one else "list",
        )
        if not one_by_one:
            # Its joblib backend hands results over all at once.
            size = CHUNK * self.jobs
            for k in range(0, len(orders), size):
                yield from many(joblib.delayed(work)(order) for order in orders[k : k + size])
            return
        reports = many(joblib.delayed(work)(order) for order in orders)
        try:
            yield from reports
        finally:
            reports.close()


def _parent(jobs: int) -> int | None:
    """Process loky's workers belong to; with one job the runner is the worker."""
    return os.getpid() if jobs > 1 else None


@contextmanager
def _configured(jobs: int, backend: str, options: Mapping[str, Any]) -> Iterator[None]:
    """Backend of joblib, with the cluster it needs, which ends with the block."""
    import joblib

    others = {k: v for k, v in options.items() if k not in {"scheduler", "address"}}
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        # Stopping early is meant; what was done is on the disk.
        warnings.filterwarnings("ignore", message=r"\d+ tasks (have|which)", category=UserWarning)
        if backend == "dask":
            others["client"] = stack.enter_context(_dask_client(jobs, options.get("scheduler")))
        elif backend == "ray":
            stack.enter_context(_ray(jobs, options.get("address")))
        else:
            if jobs > 1:
                stack.callback(_end_loky_workers, jobs)
            others.setdefault("inner_max_num_threads", 1)
        with joblib.parallel_config(backend=backend, n_jobs=jobs, **others):
            yield


@contextmanager
def _dask_client(jobs: int, scheduler: str | None) -> Iterator[Any]:
    """Client of a scheduler that exists, or of a cluster of processes here."""
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise MissingPackageError("distributed", "the dask backend", "dask") from error
    if scheduler:
        try:
            client = Client(scheduler, set_as_default=False, timeout=CONNECT)
        except (OSError, ValueError) as error:
            msg = f"no dask scheduler answers at {scheduler} ({error}); start it, or correct it"
            raise RunError(msg) from error
        with client:
            yield client
        return
    cluster = LocalCluster(
        n_workers=jobs, threads_per_worker=1, processes=True, dashboard_address=None
    )
    with cluster, Client(cluster, set_as_default=False) as client:
        yield client


@contextmanager
def _ray(jobs: int, address: str | None) -> Iterator[None]:
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError as error:
        raise MissingPackageError("ray", "the ray backend", "ray") from error
    ray.init(address=address, **({} if address else {"num_cpus": jobs}))
    try:
        register_ray()
        yield
    finally:
        ray.shutdown()


def _end_loky_workers(jobs: int) -> None:
    """Send loky's workers home; they would wait for more work for minutes."""
    from joblib.externals.loky import get_reusable_executor

    executor = get_reusable_executor(max_workers=jobs, reuse=True)
    executor.shutdown(wait=True, kill_workers=True)
