"""``mipnet prune``: a mask, and the small network it leaves, by any registered method."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mipnet.cli.output import Numbers, echo_json

if TYPE_CHECKING:
    from mipnet.pruning import PruneReport

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
OUT = click.Path(dir_okay=False, path_type=Path)


class Pair(click.ParamType[tuple[str, Any]]):
    """``name=value``; the value is JSON where it can be, else text."""

    name = "name=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        """Return name and value."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not equals or not name:
            self.fail(f"{value!r} is not of the form name=value", param, ctx)
        try:
            return name, json.loads(text)
        except ValueError:
            return name, text


@click.command("prune")
@click.argument("path", metavar="NET", type=FILE)
@click.option("--method", required=True, help="A method of `mipnet methods`.")
@click.option("--keep", type=float, help="Fraction of units to keep, 0 to 1.")
@click.option("--budget", type=Pair(), help="Instead, at most: parameters=N, macs=N, tiles=N, "
              "cycles=N, unstable=N, binaries=N, rows=N, columns=N or nonzeros=N.")  # fmt: skip
@click.option("--array", default="16x16", help="Tiles, and the array whose cycles are counted.")
@click.option("--lower", type=Numbers(), help="Lower bound of the inputs, for budgets of programs.")
@click.option("--upper", type=Numbers(), help="Upper bound of the inputs.")
@click.option("--data", type=FILE, help="An .npz file with X and, for methods that train, y.")
@click.option("--scope", type=click.Choice(["layer", "global"]),
              help="Whether every layer keeps the fraction, or all together; as the method has "
              "it when absent.")  # fmt: skip
@click.option("--compensate", type=click.Choice(["none", "mean"]), default="none",
              help="Whether the mean of removed units joins the biases.")  # fmt: skip
@click.option("--option", "options", type=Pair(), multiple=True, help="Option of the method.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Random seed.")
@click.option("-o", "--mask", "mask_path", type=OUT, required=True, help="Mask file to write.")
@click.option("--network", "network_path", type=OUT, help="Small network to write.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    *,
    path: Path,
    method: str,
    keep: float | None,
    budget: tuple[str, Any] | None,
    array: str,
    lower: tuple[float, ...] | None,
    upper: tuple[float, ...] | None,
    data: Path | None,
    scope: str | None,
    compensate: str,
    options: tuple[tuple[str, Any], ...],
    seed: int,
    mask_path: Path,
    network_path: Path | None,
    as_json: bool,
) -> None:
    """Prune a network file: write the mask and, if asked, the compacted network.

    Half of the units stay unless --keep or --budget says otherwise, or the method has a rule of
    its own. NET is not changed. Nothing is written unless everything worked. Budgets of unstable
    neurons and of programs hold over the inputs of the file, or between --lower and --upper.
    """
    from mipnet.certify import budget_of
    from mipnet.network.readers import load
    from mipnet.network.writers.base import check_folder
    from mipnet.pruning import prune, save_result

    if keep is not None and budget is not None:
        msg = "give --keep or --budget, not both"
        raise click.UsageError(msg)
    _apart({"-o": mask_path, "--network": network_path}, {"NET": path, "--data": data})
    # Training may take hours: what cannot be written is said before.
    for target in (mask_path, network_path):
        check_folder(target or mask_path)
    network = load(path)
    result = prune(
        network,
        method,
        "auto" if keep is None else keep,
        data,
        budget=None if budget is None else budget_of(network, *budget, array, (lower, upper)),
        random_state=seed,
        compensate=compensate,
        **dict(options if scope is None else (("scope", scope), *options)),
    )
    save_result(result, mask_path, network_path)
    if as_json:
        echo_json(_report(result.report) | {"mask": str(mask_path)})
    else:
        click.echo(str(result.report))


def _apart(written: dict[str, Path | None], read: dict[str, Path | None]) -> None:
    """Refuse to write over a file that is read, or that is written as well."""
    seen = {file.resolve(): name for name, file in read.items() if file is not None}
    for name, file in written.items():
        if file is None:
            continue
        other = seen.setdefault(file.resolve(), name)
        if other != name:
            msg = f"{name} and {other} are the same file, {file}; nothing was written"
            raise click.UsageError(msg)


def _report(report: PruneReport) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(report)
