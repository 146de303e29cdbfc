"""``mipnet doctor``: versions, threads, and a question with a known answer."""

from __future__ import annotations

from dataclasses import asdict

import click

from mipnet.cli.output import echo_json


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(as_json: bool) -> None:
    """Check versions, threads and the solver.

    The solver answers a question with a known answer on 1, 2 and again 1 thread. Releases of
    HiGHS known to return wrong answers fail.

    Exit status: 0 when everything is in order, 1 when something failed.
    """
    from mipnet.bench.environment import examine, threads

    checks = []
    for check in examine():
        checks.append(check)
        if not as_json:
            click.echo(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<24}  {check.detail}")
    failed = sum(not check.ok for check in checks)
    found = threads()
    if as_json:
        echo_json(
            {"ok": not failed, "checks": [asdict(check) for check in checks], "threads": found}
        )
    else:
        listing = ", ".join(f"{k} {'not set' if v is None else v}" for k, v in found.items())
        click.echo(f"      {'threads':<24}  {listing}")
        click.echo(f"{failed} check(s) failed" if failed else "all checks passed")
    if failed:
        click.get_current_context().exit(1)
