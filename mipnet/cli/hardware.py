"""``mipnet hardware``: what a network costs on a systolic array, dense and under a mask."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mipnet.cli.output import echo_json, print_table

if TYPE_CHECKING:
    from rich.table import Table

    from mipnet.hardware import HardwareCost


class Sizes(click.ParamType[tuple[int, int, int]]):
    """Three whole numbers separated by commas; their range is checked by the library."""

    name = "m,k,n"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int, int]:
        """Return M, K and N."""
        if isinstance(value, tuple):
            return value
        try:
            m, k, n = (int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is no GEMM: write M,K,N such as 64,784,100", param, ctx)
        return m, k, n


FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("hardware")
@click.argument("net", metavar="[NET]", required=False, type=FILE)
@click.option("--gemm", "gemms", type=Sizes(), multiple=True, help="A bare GEMM M,K,N; repeatable.")
@click.option("--array", default="16x16", help="Rows x columns of processing elements.")
@click.option(
    "--dataflow",
    type=click.Choice(["ws", "os", "is"], case_sensitive=False),
    default="ws",
    help="Weight-, output- or input-stationary.",
)
@click.option("--mask", type=FILE, help="Mask file to apply.")
@click.option("--batch", type=int, default=1, help="Items or tokens per run.")
@click.option(
    "--energy-table", "table", default="horowitz45", help="Name of a table, or a TOML file."
)
@click.option(
    "--mode",
    type=click.Choice(["serial", "no_fill", "overlap", "paper"]),
    default="serial",
    help="Timing of successive folds.",
)
@click.option("--edge-aware", is_flag=True, help="Charge under-filled folds for what they use.")
@click.option(
    "--precision",
    type=click.Choice(["int8", "fp16", "fp32", "fp32_int8"]),
    default="int8",
    help="Word widths.",
)
@click.option("--bandwidth", type=float, help="DRAM bytes per cycle; without it nothing stalls.")
@click.option(
    "--buffers",
    default="512,512,256",
    metavar="KIB,KIB,KIB",
    help="Input, weight and output buffer in KiB.",
)
@click.option(
    "--partial-sums",
    type=click.Choice(["accumulator", "spill"]),
    default="accumulator",
    help="Where partial sums wait.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    *,
    net: Path | None,
    gemms: tuple[tuple[int, int, int], ...],
    mask: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Cost a network, or bare GEMMs, on a systolic array.

    NET is any file mipnet reads. Cycles, utilization, memory traffic, stalls and energy of every
    matrix product, before and after the mask. A mask file comes from mipnet.Mask.save or
    mipnet.hardware.save_masks; the GEMMs of --gemm are called gemm0, gemm1, ...

    The cycles of mode "serial" are those of SCALE-Sim's compute engine; its report prints one less
    for every GEMM. Counts of memory accesses are words; partial sums read back are listed apart.
    Energy is given under two tables, since their rankings may differ. With --json energy_pj is null
    under a relative table: energy and energy_unit hold the total.

    Exit status: 0 done, 2 bad input (a size below 1, bandwidth 0, a table without units, a mask
    that does not fit).
    """
    result = _cost(net, gemms, mask, **options)
    if as_json:
        echo_json(result.to_dict())
        return
    from mipnet.hardware.report import facts

    print_table(_table(result))
    lines = facts(result)
    width = max(map(len, lines))
    for name, value in lines.items():
        click.echo(f"{name:<{width}}  {value}")


def _cost(
    net: Path | None,
    gemms: tuple[tuple[int, int, int], ...],
    mask: Path | None,
    **options: Any,
) -> HardwareCost:
    from mipnet.hardware import Memory, cost, load_masks

    if (net is None) != bool(gemms):
        raise click.UsageError("give either NET or --gemm M,K,N")
    inputs, weights, outputs = _buffers(options.pop("buffers"))
    memory = Memory(
        inputs,
        weights,
        outputs,
        bandwidth=options.pop("bandwidth"),
        partial_sums=options.pop("partial_sums"),
    )
    source: object = list(gemms)
    if net is not None:
        from mipnet.network.readers import load

        source = load(net)
    masks = None if mask is None else load_masks(mask)
    table = options.pop("table")
    return cost(source, masks, memory=memory, energy_table=table, **options)


def _buffers(text: str) -> list[int]:
    try:
        inputs, weights, outputs = (int(part) * 1024 for part in text.split(","))
    except ValueError as error:
        message = f"{text!r} is no list of three sizes in KiB, such as 512,512,256"
        raise click.BadParameter(message, param_hint="--buffers") from error
    return [inputs, weights, outputs]


def _table(result: HardwareCost) -> Table:
    from rich.table import Table

    from mipnet.hardware.report import headings, row

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    names = headings(result)
    for name in names:
        left = name in {"GEMM", "M x K x N"}
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    for layer in result.layers:
        table.add_row(*row(layer, len(names)))
    return table
