"""``mipnet methods``: the registered pruning methods."""

from __future__ import annotations

import click

from mipnet.cli.output import echo_json, print_table


@click.command("methods")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(as_json: bool) -> None:
    """List pruning methods with what they need, what they cost, and where they come from.

    Needs: "data" are calibration inputs (X), "gradients" and "training" targets too (y). A method
    with a rule of its own for how much to keep follows it when neither --keep nor --budget is
    given to "mipnet prune".
    """
    from mipnet.pruning import describe_methods

    found = describe_methods()
    if as_json:
        echo_json({"methods": found})
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("method", "needs", "cost", "own rule"):
        table.add_column(name, no_wrap=True)
    table.add_column("source", overflow="fold")
    for method in found:
        needs = ", ".join(method["needs"]) or "-"
        rule = "yes" if method["decides"] else "no"
        table.add_row(method["name"], needs, method["cost"], rule, method["source"])
    print_table(table)
