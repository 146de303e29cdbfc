"""What the commands share: strict JSON, lists of numbers, consoles."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def echo_json(value: Any) -> None:
    """Print one JSON object; NaN and infinite numbers, which JSON lacks, become null."""
    click.echo(json.dumps(_strict(value), allow_nan=False))


def console(*, stderr: bool = False) -> Console:
    """Return a console of standard output or standard error."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def print_table(*choices: RenderableType) -> None:
    """Print the first form of a table that fits the terminal, else the last; columns are never cut.

    Where the output is no terminal, the first one fits.
    """
    from rich.measure import Measurement

    out = console()
    wide = out.options.update(width=1000)
    for table in choices:
        needed = Measurement.get(out, wide, table).maximum
        if needed <= out.width or not out.is_terminal:
            break
    out.width = max(out.width, needed)
    out.print(table)


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strict(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


class Seconds(click.FloatRange):
    """A time limit: a number from 0 on, or ``inf``."""

    name = "seconds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds; NaN passes every comparison and is refused here."""
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):
            self.fail("nan is no number of seconds", param, ctx)
        return seconds


class Numbers(click.ParamType[tuple[float, ...]]):
    """One number, or several separated by commas."""

    name = "numbers"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Return the numbers as a tuple."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a number or a list such as 0,1.5,-2", param, ctx)
