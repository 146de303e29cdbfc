"""``mipnet optimize``: the least value of a linear function of the outputs, with proof."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mipnet.cli.output import Numbers, Seconds, echo_json

if TYPE_CHECKING:
    from mipnet.bench.problem import Problem
    from mipnet.search import Optimum

Given = tuple[float, ...] | None


@click.command("optimize")
@click.argument("path", metavar="NET", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--time-limit", type=Seconds(min=0.0), help="Seconds for the whole call.")
@click.option("--lower", type=Numbers(), help="Lower bound of the inputs: one number, or a list.")
@click.option("--upper", type=Numbers(), help="Upper bound of the inputs: one number, or a list.")
@click.option("--c", "objective", type=Numbers(), help="Coefficients of the outputs.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Random seed.")
@click.option("--threads", type=click.IntRange(1), default=1, help="Threads of the solver.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    *,
    path: Path,
    time_limit: float | None,
    lower: Given,
    upper: Given,
    objective: Given,
    seed: int,
    threads: int,
    as_json: bool,
) -> None:
    """Minimise c.y over an input box, with proof.

    NET is an .npz file with W0, b0, W1, b1, ... (y = W x + b, ReLU in between) and, where it has
    them, lb, ub and c; or any other file mipnet reads. --lower, --upper and --c override the file;
    one number stands for every element. Without bounds in the file both options are needed.
    Without c, the first output is minimised.

    "objective" is the best value found, "objective_by_forward_pass" the same point put through the
    network again; "bound" is the proven lower bound. In JSON, a value that does not exist is null.

    Exit status: 0 optimal, 1 no proof within the limits or a contradiction, 2 bad input.
    """
    from mipnet.bench.problem import open_problem

    problem = open_problem(path, lower, upper, objective)
    best = problem.minimize(time_limit=time_limit, threads=threads, seed=seed)
    report = _report(best, problem) | {"threads": threads, "seed": seed}
    if as_json:
        echo_json(report)
    else:
        width = max(map(len, report))
        for name, value in report.items():
            click.echo(f"{name:<{width}}  {value}")
    if best.status != "optimal":
        click.get_current_context().exit(1)


def _report(best: Optimum, problem: Problem) -> dict[str, object]:
    clocks = best.clocks
    return {
        "status": best.status,
        "objective": best.value,
        "bound": best.bound,
        "objective_by_forward_pass": problem.value(best.point),
        "bound_s": clocks.bound,
        "build_s": clocks.build,
        "solve_s": clocks.solve,
        "n_binaries": best.n_binaries,
        "n_rows": best.n_rows,
        "n_nonzeros": best.n_nonzeros,
        "nodes": best.nodes,
        "n_unstable": best.n_unstable,
        "gap": best.gap,
        "solver_objective": best.solver_value,
        "attack_s": clocks.attack,
        "check_s": clocks.check,
        "total_s": clocks.total,
        "solver": best.solver,
        "message": best.message,
        "fingerprint": problem.network.fingerprint,
        "point": best.point.tolist(),
    }
