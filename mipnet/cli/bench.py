"""``mipnet bench``: run a plan, look at it, make its tables, compare two runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mipnet.cli.bench_views import (
    lines,
    progress,
    show_comparison,
    show_outlook,
    show_repeat,
    show_state,
    show_summary,
)
from mipnet.cli.output import echo_json

if TYPE_CHECKING:
    from mipnet.bench.plan import Plan

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


class _Shard(click.ParamType[tuple[int, int]]):
    """Part of a run: ``2/5``."""

    name = "i/n"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return ``i`` and ``n``."""
        if isinstance(value, tuple):
            return value
        try:
            part, parts = (int(p) for p in str(value).split("/"))
        except ValueError:
            self.fail(f"{value!r} is no shard such as 2/5", param, ctx)
        if not 1 <= part <= parts:
            self.fail(f"{value!r}: the part must lie in 1..{parts}", param, ctx)
        return part, parts


@click.group("bench")
def command() -> None:
    """Run a plan of networks, masks, problems and solvers, and compare what comes of it.

    Exit status: 0 done, 1 some cells failed or a comparison did not pass, 2 bad input,
    130 interrupted.
    """


@command.command("run")
@click.argument("plan", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the results; results/NAME of the plan when absent.",
    show_default=False,
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and stop.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    envvar="MIPNET_BENCH_JOBS",
    show_envvar=True,
    help="Cells at once; the plan's own when absent.",
)
@click.option(
    "--backend",
    type=click.Choice(["loky", "dask", "ray"]),
    envvar="MIPNET_BENCH_BACKEND",
    show_envvar=True,
    help="joblib backend; the plan's own when absent.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Of a dask scheduler or ray cluster.")
@click.option("--shard", type=_Shard(), help="Only this part of the cells.")
@click.option("--retry-errors", is_flag=True, help="Ask failed cells again.")
@click.option("--host-label", metavar="NAME", help="Name of this machine, for the tables.")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def run_command(
    *,
    plan: Path,
    results: Path | None,
    dry_run: bool,
    jobs: int | None,
    backend: str | None,
    scheduler: str | None,
    shard: tuple[int, int] | None,
    retry_errors: bool,
    host_label: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Do everything of a plan that is not done.

    Every cell runs in a process of its own, with hard limits of time and memory, and leaves one
    file. Stop it by Ctrl-C or anything else: what is finished stays, and the same command goes on
    from there.
    """
    from mipnet.bench.api import outlook, results_folder
    from mipnet.bench.runner.run import run

    found = _plan(plan)
    folder = results or results_folder(found)
    if dry_run:
        ahead = outlook(found, folder, jobs=jobs, shard=shard, retry_errors=retry_errors)
        show_outlook(ahead, folder, as_json)
        return
    options = None
    if scheduler:
        key = "address" if (backend or found.run.backend) == "ray" else "scheduler"
        options = {**found.run.options, key: scheduler}
    with progress(quiet) as show:
        summary = run(
            found,
            folder,
            jobs=jobs,
            backend=backend,
            options=options,
            shard=shard,
            retry_errors=retry_errors,
            host=host_label,
            progress=show,
        )
    show_summary(summary, as_json)
    context = click.get_current_context()
    if summary.end == "interrupted":
        context.exit(130)
    if not summary.ok:
        context.exit(1)


@command.command("status")
@click.argument("place", metavar="RESULTS|PLAN", type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status_command(place: Path, as_json: bool) -> None:
    """Say what of a results folder is done, running, missing or set aside."""
    from mipnet.bench.api import status

    try:
        found = status(place)
    except ValueError as error:
        _refuse(error)
    if as_json:
        echo_json({**vars(found), "folder": str(found.folder)})
        return
    show_state(found)


@command.command("tail")
@click.argument("folder", metavar="RESULTS", type=_FOLDER)
@click.option(
    "--patience",
    type=click.FloatRange(min=0.0),
    help="Stop after so many seconds without a cell at work.",
)
def tail_command(folder: Path, patience: float | None) -> None:
    """Follow the logs of the cells at work, until interrupted."""
    from mipnet.bench.following import follow

    last = ""
    try:
        for name, line in follow(folder, patience=patience):
            if name != last:
                click.echo(f"==> {name}")
                last = name
            click.echo(line)
    except KeyboardInterrupt:
        return


@command.command("collect")
@click.argument("folders", metavar="RESULTS...", nargs=-1, required=True, type=_FOLDER)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the tables; needed for several folders of results.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Write CSV files beside the Parquet files.")
def collect_command(folders: tuple[Path, ...], output: Path | None, as_csv: bool) -> None:
    """Make the tables of one results folder, or of shards that were run apart.

    Writes cells.parquet, trajectories.parquet, artefacts.parquet and hardware.parquet. Files that
    cannot be used are named and set aside.
    """
    from mipnet.bench.store.tables import collect

    found = collect(folders, output)
    target = output or folders[0]
    for name in ("cells", "trajectories", "artefacts", "hardware"):
        frame = getattr(found, name)
        click.echo(f"{target / name}.parquet: {len(frame)} rows")
        if as_csv:
            frame.to_csv(target / f"{name}.csv", index=False)
    lines(found.notes)
    if found.missing:
        click.echo(f"{found.missing} cell(s) are not done yet", err=True)


@command.command("repeat")
@click.argument("folder", metavar="RESULTS", type=_FOLDER)
@click.argument("cell")
@click.option(
    "--plan",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Plan file, for cells that read files of their own.",
    show_default=False,
)
@click.option("--quiet", is_flag=True, help="Without the log of the solver.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def repeat_command(
    *, folder: Path, cell: str, plan: Path | None, quiet: bool, as_json: bool
) -> None:
    """Ask one cell again, in this process, with the log of the solver on standard error.

    CELL is its identity, or the beginning of it. Exit status 1 when the answers contradict each
    other.
    """
    from mipnet.bench.repeat import repeat_cell

    log = None if quiet else sys.stderr
    found = repeat_cell(folder, cell, plan=plan, log=log)
    if as_json:
        echo_json(vars(found))
    else:
        show_repeat(found)
    if found.contradiction:
        click.get_current_context().exit(1)


@command.command("compare")
@click.argument("first", metavar="A", type=_FOLDER)
@click.argument("second", metavar="B", type=_FOLDER)
@click.option(
    "--threshold",
    type=click.FloatRange(min=0.0, min_open=True),
    default=1.1,
    help="Ratio B / A from which B counts as slower.",
)
@click.option("--metric", default="total_s", help="Column to compare.")
@click.option("--shift", type=click.FloatRange(min=0.0), help="Shift of the geometric mean.")
@click.option("--allow-failed", is_flag=True, help="Only tell cells that B failed or lacks.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def compare_command(
    *,
    first: Path,
    second: Path,
    threshold: float,
    metric: str,
    shift: float | None,
    allow_failed: bool,
    as_json: bool,
) -> None:
    """Compare two runs over the cells they have in common.

    Ratios are shifted geometric means of B over A, with 95 % bootstrap intervals over questions.
    Exit status 1 when B is slower than the threshold with an interval above 1, when an answer
    contradicts one of A, when a cell failed or is missing in B only, or when no cell is comparable.
    """
    from mipnet.bench.comparison import compare
    from mipnet.bench.store.tables import load

    found = compare(
        load(first),
        load(second),
        threshold=threshold,
        metric=metric,
        shift=shift,
        allow_failed=allow_failed,
    )
    if as_json:
        echo_json(found.to_dict())
    else:
        show_comparison(found)
    if not found.ok:
        click.get_current_context().exit(1)


def _plan(path: Path) -> Plan:
    """Read a plan; its faults keep their lines."""
    from mipnet.bench.errors import PlanError
    from mipnet.bench.plan import load_plan

    try:
        return load_plan(path)
    except PlanError as error:
        _refuse(error)


def _refuse(error: Exception) -> NoReturn:
    click.echo(f"Error: {error}", err=True)
    raise click.exceptions.Exit(2)
