"""A group of commands that are imported on use, and one line for every error."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from mipnet.errors import MipnetError


class Failure(click.ClickException):
    """An error shown as one line."""

    exit_code = 2


class LazyGroup(click.Group):
    """Command ``name`` is the object ``command`` of the module ``mipnet.cli.name``.

    Parameters
    ----------
    commands : sequence of str
        Names of the commands.
    """

    def __init__(self, *args: Any, commands: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self.lazy = tuple(sorted(commands))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands."""
        del ctx
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        if cmd_name not in self.lazy:
            return None
        command: click.Command = import_module(f"mipnet.cli.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; errors of mipnet and of files become one line on standard error."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (MipnetError, OSError) as error:
            raise Failure(" ".join(str(error).split())) from error
