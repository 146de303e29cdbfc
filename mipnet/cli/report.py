"""``mipnet report``: a page, tables and figures from results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from mipnet.bench.report import Report

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)
#: Forms of figures, by the end of the name.
FORMS = (".svg", ".pdf", ".png")
F = TypeVar("F", bound=Callable[..., Any])


def _selection(function: F) -> F:
    """Options that choose a part of the results."""
    for option in (
        click.option("--hide", metavar="SERIES", multiple=True, help="Leave a series out."),
        click.option(
            "--where",
            metavar="COLUMN=VALUE",
            multiple=True,
            help="Only these cells, such as problem=linf; several of one column add up.",
        ),
        click.option(
            "--against", type=_FOLDER, help="Another run, drawn beside.", show_default=False
        ),
        click.argument("results", metavar="RESULTS", type=_FOLDER),
    ):
        function = option(function)
    return function


def _measures(function: F) -> F:
    """Options that say what is compared."""
    for option in (
        click.option("--metric", default="total_s", help="Column of times or counts."),
        click.option(
            "--shift", type=click.FloatRange(min=0.0), default=1.0, help="Of geometric means."
        ),
    ):
        function = option(function)
    return function


@click.group("report")
def command() -> None:
    """Make a page of results, and tables and figures for papers."""


@command.command("build")
@_selection
@click.option(
    "-o", "--output", type=_FILE, default="report.html", help="The page; replaced if it exists."
)
@click.option("--title", help="Heading; the name of the plan when absent.", show_default=False)
def build_command(
    *,
    results: Path,
    against: Path | None,
    where: tuple[str, ...],
    hide: tuple[str, ...],
    output: Path,
    title: str | None,
) -> None:
    """Write one HTML file that needs nothing else: no network, no other file.

    RESULTS is a folder of mipnet bench, finished or not, of collected tables, or of mipnet demo.
    """
    target = _report(results, against, where, hide, title).write(output)
    click.echo(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


@command.command("table")
@click.argument(
    "name", type=click.Choice(["summary", "pareto", "sizes", "progress", "open", "cells"])
)
@_selection
@_measures
@click.option("--baseline", metavar="SERIES", help="Ratios are against this one.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["markdown", "latex", "csv", "html"]),
    default="markdown",
)
@click.option("-o", "--output", type=_FILE, help="File; standard output when absent.")
def table_command(
    *,
    name: str,
    results: Path,
    against: Path | None,
    where: tuple[str, ...],
    hide: tuple[str, ...],
    metric: str,
    shift: float,
    baseline: str | None,
    form: str,
    output: Path | None,
) -> None:
    """Write a table of the page as Markdown, LaTeX, CSV or HTML."""
    found = _report(results, against, where, hide)
    text = found.table(name, metric=metric, shift=shift, baseline=baseline).text(form)  # type: ignore[arg-type]
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


@command.command("figure")
@click.argument(
    "name", type=click.Choice(["pareto", "profile", "cactus", "clocks", "spread", "pairs"])
)
@_selection
@_measures
@click.option("--fidelity", help="accuracy, r2 or agreement (pareto).")
@click.option("--survival", is_flag=True, default=None, help="Share still open (cactus).")
@click.option("--clocks", type=click.Choice(["seconds", "shares", "before"]), help="(clocks)")
@click.option("--pair", metavar="A B", nargs=2, help="Two series (pairs).")
@click.option("--width", type=click.FloatRange(min=1.0), default=6.3, help="Inches.")
@click.option("-o", "--output", type=_FILE, required=True, help="FILE.svg, .pdf or .png.")
def figure_command(
    *,
    name: str,
    results: Path,
    against: Path | None,
    where: tuple[str, ...],
    hide: tuple[str, ...],
    output: Path,
    **options: Any,
) -> None:
    """Draw a figure of the page for a paper, through matplotlib."""
    if output.suffix not in FORMS:
        msg = f"{output.name!r} ends in none of {', '.join(FORMS)}"
        raise click.BadParameter(msg, param_hint="--output")
    given = {key: value for key, value in options.items() if value not in {None, ()}}
    drawn = _report(results, against, where, hide).figure(name, **given)
    drawn.savefig(output)
    click.echo(str(output))


def _report(
    results: Path,
    against: Path | None,
    where: tuple[str, ...],
    hide: tuple[str, ...],
    title: str | None = None,
) -> Report:
    from mipnet.bench.report import build_report

    chosen: dict[str, list[str]] = {}
    for entry in where:
        name, sign, value = entry.partition("=")
        if not sign:
            msg = f"{entry!r} is no COLUMN=VALUE"
            raise click.BadParameter(msg, param_hint="--where")
        chosen.setdefault(name, []).append(value)
    found = build_report(results, where=chosen, against=against, title=title)
    return found.without(hide) if hide else found
