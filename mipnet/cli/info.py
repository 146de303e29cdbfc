"""``mipnet info``: layers, parameters and coefficients of a network."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mipnet.cli.output import echo_json, print_table

if TYPE_CHECKING:
    from rich.table import Table

    from mipnet.bench.describe import Coefficients, NetworkDescription


@click.command("info")
@click.argument("path", metavar="NET", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(path: Path, as_json: bool) -> None:
    """Show layers, parameters and coefficients.

    Counts zeros and near-zeros of weights and biases by layer. Near-zeros are at most 1e-9 in
    size and not zero: a solver would drop them. The range is over absolute values
    that are not zero.
    """
    from mipnet.bench.describe import describe
    from mipnet.network.readers import load

    found = describe(load(path))
    if as_json:
        echo_json(asdict(found))
        return
    print_table(_table(found))
    for name, value in _facts(found).items():
        click.echo(f"{name:<13}{value}")


def _table(found: NetworkDescription) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("layer", "kind", "reads", "shape"):
        table.add_column(name, no_wrap=True)
    for name in ("parameters", "zeros", "near-zeros", "least", "most"):
        table.add_column(name, justify="right", no_wrap=True)
    for layer in found.layers:
        shape = "x".join(map(str, layer.shape))
        cells = _cells(layer.coefficients)
        table.add_row(layer.name, layer.kind, ", ".join(layer.inputs), shape, *cells)
    table.add_section()
    table.add_row("all", "", "", "", *_cells(found.coefficients))
    return table


def _cells(c: Coefficients) -> tuple[str, ...]:
    ends = ("-" if end is None else f"{end:.3g}" for end in (c.least, c.most))
    return str(c.parameters), str(c.zeros), str(c.near_zeros), *ends


def _facts(found: NetworkDescription) -> dict[str, str]:
    bounds = "none"
    if found.bounds is not None:
        lower, upper = found.bounds
        bounds = f"lower {min(lower):g} to {max(lower):g}, upper {min(upper):g} to {max(upper):g}"
    return {
        "source": found.source,
        "input": f"shape {'x'.join(map(str, found.input_shape))}, bounds: {bounds}",
        "outputs": str(found.n_outputs),
        "dtype": found.dtype,
        "fingerprint": found.fingerprint,
    }
