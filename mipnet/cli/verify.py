"""``mipnet verify``: VNN-LIB properties, answered as in the verification competitions."""

from __future__ import annotations

from pathlib import Path

import click

from mipnet.cli.group import Failure
from mipnet.errors import MipnetError


@click.command("verify")
@click.argument("net", metavar="NET", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument(
    "prop", metavar="PROP", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--timeout", type=click.FloatRange(min=0.0), help="Seconds for the whole call.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@click.option(
    "--witness",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the counterexample to this file too.",
)
@click.option("--threads", type=click.IntRange(1), default=1, help="Threads of the solver.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Random seed.")
def command(
    *,
    net: Path,
    prop: Path,
    timeout: float | None,
    as_json: bool,
    witness: Path | None,
    threads: int,
    seed: int,
) -> None:
    """Find an input that satisfies a VNN-LIB file, or prove there is none.

    NET is an .onnx or .onnx.gz file (or any other file mipnet reads), PROP a VNN-LIB 1.0 file
    (.vnnlib or .vnnlib.gz), which describes a counterexample.

    The first line of the output is "sat", "unsat", "timeout" or "unknown". After "sat" follows the
    counterexample, ((X_0 0.5) ... (Y_0 1.0)): inputs within the box of the file exactly, outputs as
    computed by onnxruntime where it is installed. The reason of "timeout" and "unknown" goes to
    standard error. --witness writes the counterexample, and no file without one.

    Exit status: 0 decided (sat or unsat), 1 timeout or unknown, 2 bad input (a malformed file, an
    unsupported operation, a property that does not fit the network).
    """
    from mipnet.search.verify import verify

    if witness is not None and not witness.absolute().parent.is_dir():
        # Better now than after the search.
        msg = f"{witness}: there is no folder {witness.absolute().parent}"
        raise Failure(msg)
    try:
        result = verify(net, prop, timeout=timeout, threads=threads, seed=seed)
    except (MipnetError, OSError):
        raise
    # Files come from anywhere: one that breaks a reader ends like any other that is malformed.
    except Exception as error:
        msg = f"{net}, {prop}: cannot be processed: {type(error).__name__}: {error}"
        raise Failure(" ".join(msg.split())[:500]) from error
    if as_json:
        click.echo(result.to_json())
    else:
        click.echo(result.status)
    if result.status == "sat":
        found = result.counterexample()
        if not as_json:
            click.echo(found)
        if witness is not None:
            witness.write_text(found + "\n", encoding="utf-8")
    elif result.status != "unsat":
        click.echo(result.reason, err=True)
    if result.status in {"timeout", "unknown"}:
        click.get_current_context().exit(1)
