"""What ``mipnet bench`` prints: tables, summaries, progress."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mipnet.cli.output import console, echo_json, print_table

if TYPE_CHECKING:
    from rich.table import Table

    from mipnet.bench.api import Outlook
    from mipnet.bench.comparison import Comparison, Part
    from mipnet.bench.repeat import Repeat
    from mipnet.bench.runner.run import Summary
    from mipnet.bench.runner.worker import Report
    from mipnet.bench.store.folder import State

    Progress = Callable[[str, int, int, Report | None], None]

#: Seconds between two lines of progress where there is no terminal.
QUIET_EVERY = 30.0
#: Lines of details that are printed; files have all of them.
MOST_LINES = 12


def show_outlook(ahead: Outlook, folder: Path, as_json: bool) -> None:
    """Print what a run would do."""
    from mipnet.bench.runner.exits import seconds_text

    if as_json:
        echo_json({**{k: v for k, v in vars(ahead).items() if k != "plan"}, "folder": str(folder)})
        return
    click.echo(f"plan {ahead.plan.name}, results in {folder}")
    combined = math.prod(ahead.factors.values())
    words = (
        f"{ahead.factors['networks']} networks (dense and pruned) x {ahead.factors['questions']} "
        f"questions x {ahead.factors['ways']} ways to answer"
    )
    left_out = combined - ahead.cells
    some = f", less {left_out} that problems for some networks leave out" if left_out else ""
    click.echo(f"cells: {ahead.cells} = {words}{some}")
    shape = ", ".join(f"{n} {name}" for name, n in ahead.shape.items() if n > 1)
    click.echo(f"different: {shape or 'nothing, one of everything'}")
    for kind, count in ahead.tasks.items():
        if count:
            click.echo(f"  {kind:<8}{count:>7}, of which {ahead.left[kind]} to do")
    click.echo(f"at most {seconds_text(ahead.most_seconds)} when every cell takes all its time")
    if ahead.likely_seconds is not None:
        click.echo(f"about {seconds_text(ahead.likely_seconds)} at the pace so far")
    lines(ahead.notes)


def show_summary(summary: Summary, as_json: bool) -> None:
    """Print what a run did."""
    from mipnet.bench.runner.exits import counts_text, seconds_text

    if as_json:
        plain = {**vars(summary), "folder": str(summary.folder), "ok": summary.ok}
        plain |= {k: [vars(r) for r in plain[k]] for k in ("failed", "troubles")}
        echo_json(plain)
        return
    lines(summary.notes)
    lines(
        [
            f"{r.name}: {r.status or 'no record'}: {r.reason}"
            for r in (*summary.troubles, *summary.failed)
        ]
    )
    click.echo(f"cells: {counts_text(dict(summary.counts))}; {summary.missing} missing")
    click.echo(f"{summary.kept} task(s) were done before; {seconds_text(summary.seconds)}")
    click.echo(f"results in {summary.folder}")
    if summary.end == "disk":
        click.echo(
            f"Error: no room for results ({summary.reason}); free some and run the same "
            "command again, nothing finished is lost",
            err=True,
        )
    elif summary.end == "interrupted":
        click.echo("interrupted; the same command goes on from here", err=True)


def show_state(found: State) -> None:
    """Print what of a results folder is done."""
    from mipnet.bench.runner.exits import counts_text

    click.echo(f"plan {found.plan} in {found.folder}")
    for kind, total in found.total.items():
        if total:
            done = counts_text(dict(found.done[kind]))
            click.echo(f"  {kind:<8}{total:>7}: {done}; {found.missing[kind]} missing")
    for entry in found.running:
        click.echo(f"  running since {entry['started']}: {entry['name']}")
    for entry in found.interrupted:
        since = f"begun {entry['started']} by a process that is gone"
        click.echo(f"  interrupted, waiting to be done again: {entry['name']} ({since})")
    if found.strangers:
        click.echo(f"  {len(found.strangers)} record(s) belong to no task of the plan as it is now")
    lines([*found.damaged, *(f"{n['file']} set aside: {n['reason']}" for n in found.set_aside)])


def show_repeat(found: Repeat) -> None:
    """Print a cell as it was and as it is."""
    click.echo(found.name)
    for name, before in found.before.items():
        click.echo(f"  {name:<10} {before!s:<24} now {found.now[name]}")
    if found.contradiction:
        click.echo(f"contradiction: {found.contradiction}")


def show_comparison(found: Comparison) -> None:
    """Print two runs side by side."""
    print_table(_comparison_table(found))
    for reason, count in found.dropped.items():
        click.echo(f"left out: {count} {reason}")
    if any(found.solved):
        click.echo(f"solved only by A: {found.solved[0]}, only by B: {found.solved[1]}")
    lines(found.notes)
    for what in ("changed", "broken", "lost"):
        lines([f"{what}: {line}" for line in getattr(found, what)])
    click.echo(found.verdict("A", "B"))


def _comparison_table(found: Comparison) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for k, name in enumerate(
        ("", "pairs", "B / A", "95 %", "p", "B wins", "ties", "A wins", "cut")
    ):
        table.add_column(name, justify="right" if k else "left", no_wrap=True)

    def add(part: Part) -> None:
        r = part.ratio
        counts = (part.wins, part.ties, part.losses, part.censored)
        table.add_row(
            part.name,
            str(r.pairs),
            f"{r.ratio:.3f}",
            f"{r.low:.3f} to {r.high:.3f}",
            f"{part.test.p:.3g}",
            *map(str, counts),
        )

    for part in (found.whole, *found.parts):
        add(part)
    return table


def lines(lines: Sequence[str]) -> None:
    """Details on standard error, the first of them."""
    for line in lines[:MOST_LINES]:
        click.echo(line, err=True)
    if len(lines) > MOST_LINES:
        click.echo(f"... and {len(lines) - MOST_LINES} more", err=True)


@contextmanager
def progress(quiet: bool) -> Iterator[Progress | None]:
    """Bar with the time left on a terminal, a line now and then elsewhere; on standard error."""
    if quiet:
        yield None
        return
    err = console(stderr=True)
    if not err.is_terminal:
        yield _plain_progress()
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        "left",
        TimeRemainingColumn(),
    )
    failed = 0
    with Progress(*columns, TextColumn("{task.description}"), console=err, transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(stage: str, done: int, total: int, report: Report | None) -> None:
            nonlocal failed
            failed += report is not None and report.status in {"error", "killed", "memory"}
            text = f"{stage}, {failed} failed" if failed else stage
            bar.update(task, description=text, completed=done, total=total)

        yield show


def _plain_progress() -> Progress:
    from mipnet.bench.runner.exits import seconds_text

    begin = last = time.monotonic()
    first: int | None = None
    stage_shown = ""

    def show(stage: str, done: int, total: int, report: Report | None) -> None:
        nonlocal last, first, stage_shown
        del report
        now = time.monotonic()
        first = done if first is None else first
        if stage == stage_shown and now - last < QUIET_EVERY and done < total:
            return
        last, stage_shown = now, stage
        pace = (now - begin) / (done - first) if done > first else None
        left = "" if pace is None else f", {seconds_text(pace * (total - done))} left"
        click.echo(f"[{done}/{total}] {stage}{left}", err=True)

    return show
