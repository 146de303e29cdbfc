"""The command line: thin calls of the library, one file per command."""

from __future__ import annotations

import click

from mipnet import __version__
from mipnet.cli.group import LazyGroup


@click.command(
    cls=LazyGroup,
    commands=(
        *("bench", "demo", "doctor", "hardware", "info", "methods", "optimize", "prune"),
        *("report", "verify"),
    ),
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(__version__, prog_name="mipnet")
def main() -> None:
    """Prune trained networks, compile them into small exact MIPs, get answers to trust.

    Results go to standard output, progress and errors to standard error. Exit status: 0 done,
    1 no proof within the limits or a failed check, 2 bad input.
    """


__all__ = ["main"]
