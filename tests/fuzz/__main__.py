"""``python -m tests.fuzz``: many random questions, for hours if need be."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import click
from joblib import Parallel, delayed

from tests.fuzz.runner import run

#: Questions a worker asks at once.
_BATCH = 40


@click.command()
@click.option("--seed", type=click.IntRange(0), help="First seed; random when absent.")
@click.option("--count", "limit", type=click.IntRange(1), help="Number of questions.")
@click.option("--seconds", type=click.FloatRange(0), default=1800.0, help="Time to go on for.")
@click.option("--jobs", type=click.IntRange(1), default=1, help="Processes.")
def main(seed: int | None, limit: int | None, seconds: float, jobs: int) -> None:
    """Ask random questions and hold every answer against an exact one; exit 1 on a failure."""
    first = random.randrange(2**31) if seed is None else seed
    end = time.monotonic() + seconds
    seeds = iter(range(first, first + limit)) if limit else count(first)

    def batches() -> Iterator[Any]:
        while time.monotonic() < end and (batch := list(islice(seeds, _BATCH))):
            yield delayed(run)(batch)

    click.echo(f"from seed {first}")
    tally: Counter[tuple[str, str]] = Counter()
    failed = 0
    results = Parallel(n_jobs=jobs, return_as="generator", pre_dispatch="n_jobs", batch_size=1)
    for outcomes, failures in results(batches()):
        tally.update((o.kind, o.status) for o in outcomes)
        for failure in failures:
            click.echo(str(failure))
        failed += len(failures)
    asked = sum(tally.values()) + failed
    for (kind, status), number in sorted(tally.items()):
        click.echo(f"{kind:<12}{status:<14}{number}")
    click.echo(f"{asked} questions from seed {first}, {failed} failed")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
