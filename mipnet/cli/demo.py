"""``mipnet demo``: digit classifiers, dense against pruned."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mipnet.cli.output import Seconds, console, print_table

if TYPE_CHECKING:
    from rich.table import Table

    from mipnet.bench.demo_records import DemoSummary

Cell = Callable[["DemoSummary"], str]


def _mean(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


@click.command("demo")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Random seed.")
@click.option("--images", type=click.IntRange(1), default=20, help="Test images to ask about.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("results/demo"),
    help="Folder of the results.",
)
@click.option("--linf-radius", type=click.FloatRange(0.0), default=0.04, help="l-infinity radius.")
@click.option("--l1-radius", type=click.FloatRange(0.0), default=0.7, help="l1 radius.")
@click.option("--epochs", type=click.IntRange(1), default=60, help="Epochs of each training.")
@click.option(
    "--time-limit",
    type=Seconds(0.0, min_open=True),
    default=30.0,
    help="Seconds for one question.",
)
@click.option("--quiet", is_flag=True, help="No progress.")
def command(
    *,
    seed: int,
    images: int,
    output: Path,
    linf_radius: float,
    l1_radius: float,
    epochs: int,
    time_limit: float,
    quiet: bool,
) -> None:
    """Compare dense and pruned digit classifiers.

    Trains ReLU networks of 2x50 and 4x50 units on scikit-learn's handwritten digits, prunes 50 %
    and 75 % of the hidden units by magnitude, fine-tunes, and asks each network about the same
    test images whether any image within a ball is classified otherwise: "robust" (proven),
    "witness" (found; a misclassified image is its own witness) or "unresolved" (neither within
    the time limit). Needs torch. Verdicts repeat for a seed as long as none is unresolved.

    Networks, masks, every question with its witness, and the table are stored in the output
    folder, so that each answer can be checked without mipnet.
    """
    from mipnet.bench.demo import run_demo
    from mipnet.bench.demo_files import write_demo
    from mipnet.bench.demo_records import TEST_SIZE, DemoSettings

    settings = DemoSettings(
        seed=seed,
        images=images,
        linf_radius=linf_radius,
        l1_radius=l1_radius,
        epochs=epochs,
        time_limit=time_limit,
    )
    with _progress(quiet) as progress:
        result = run_demo(settings, output, progress)
    files = write_demo(result, output)
    _print(result.summary)
    click.echo()
    radii = ", ".join(f"{norm} {radius:g}" for norm, radius in settings.radii.items())
    click.echo(f"{images} images, radius {radii}; accuracy on {TEST_SIZE} test images.")
    click.echo("Unstable units, binaries: means where the attack decides nothing. Seconds: sums.")
    click.echo("Speed: total seconds of the dense network divided by those of this one.")
    names = ", ".join(file.name for file in files)
    click.echo(f"{result.seconds:.0f} s in all. Files in {output}: {names}, networks/")
    if not any(file.suffix == ".parquet" for file in files):
        click.echo("For results.parquet: pip install 'mipnet[report]'", err=True)


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """Bar on a terminal, one line per stage elsewhere; both on standard error."""
    if quiet:
        yield None
        return
    err = console(stderr=True)
    if not err.is_terminal:
        seen: set[str] = set()

        def lines(stage: str, done: int, total: int) -> None:
            if stage not in seen:
                seen.add(stage)
                click.echo(f"[{done}/{total}] {stage}", err=True)

        yield lines
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=err, transient=True) as bar:
        task = bar.add_task("reading the digits", total=None)
        yield lambda stage, done, total: bar.update(
            task, description=stage, completed=done, total=total
        )


#: Heading and cell of each column: first what was answered, then what it cost.
NAMES: tuple[tuple[str, Cell], ...] = (
    ("network", lambda s: s.network),
    ("norm", lambda s: s.norm),
)
ANSWERS: tuple[tuple[str, Cell], ...] = (
    ("hidden", lambda s: str(s.hidden)),
    ("accuracy", lambda s: f"{s.test_accuracy:.1%}"),
    ("certified", lambda s: f"{s.certified:.1%}"),
    ("robust", lambda s: str(s.robust)),
    ("witness", lambda s: str(s.witness)),
    ("unres.", lambda s: str(s.unresolved)),
)
COSTS: tuple[tuple[str, Cell], ...] = (
    ("unst.", lambda s: _mean(s.unstable)),
    ("binaries", lambda s: _mean(s.binaries)),
    ("attack", lambda s: f"{s.attack_s:.2f}"),
    ("bound", lambda s: f"{s.bound_s:.2f}"),
    ("build", lambda s: f"{s.build_s:.2f}"),
    ("solve", lambda s: f"{s.solve_s:.2f}"),
    ("check", lambda s: f"{s.check_s:.2f}"),
    ("total", lambda s: f"{s.total_s:.2f}"),
    ("speed", lambda s: f"{s.speed_ratio:.1f}x"),
)


def _print(summary: Sequence[DemoSummary]) -> None:
    """One table where it fits, else one of the answers and one of the costs."""
    from rich.console import Group

    narrow = [_table(summary, NAMES + part, gap=1) for part in (ANSWERS, COSTS)]
    print_table(_table(summary, NAMES + ANSWERS + COSTS, gap=2), Group(narrow[0], "", narrow[1]))


def _table(
    summary: Sequence[DemoSummary], columns: tuple[tuple[str, Cell], ...], *, gap: int
) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    for heading, _ in columns:
        left = heading in {"network", "norm"}
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for row in summary:
        table.add_row(*(cell(row) for _, cell in columns))
    return table
