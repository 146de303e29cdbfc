"""Metrics of the report: heading, how a value is written, and the formula that defines it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "count", "seconds", "number", "share", "ratio", "p"]


@dataclass(frozen=True)
class Metric:
    """One column of a table.

    Attributes
    ----------
    name : str
        Column of the frames of :mod:`~mipnet.bench.report.summary`.
    heading : str
    kind : {"text", "count", "seconds", "number", "share", "ratio", "p"}
    formula : str
        Section of the list of formulas that defines it; empty for labels.
    """

    name: str
    heading: str
    kind: Kind
    formula: str = ""


def _metrics(text: str) -> dict[str, Metric]:
    found = {}
    for line in text.strip().splitlines():
        name, kind, formula, heading = line.split(None, 3)
        found[name] = Metric(name, heading, kind, "" if formula == "-" else formula)  # type: ignore[arg-type]
    return found


#: Metrics by name. Formulas are the sections of ``assets/formulas.html``.
METRICS = _metrics("""
series text - Series
network text - Network
problem text - Problem
instance text - Instance
seed count - Seed
status text status Status
reason text - Reason
cells count - Cells
items count item Items
solved count status Solved
limits count status At a limit
failed count status Failed
sgm seconds sgm Time
censored count status Bounds
par2 seconds par PAR-2
par10 seconds par PAR-10
contribution seconds contribution Contribution
pairs count ratio Pairs
unpaired count ratio Neither solved
ratio ratio ratio Ratio
ratio_low ratio ratio from
ratio_high ratio ratio to
p p wilcoxon p
wins count wins Wins
ties count wins Ties
losses count wins Losses
nodes number nodes Nodes
regret number regret Regret
replay_error number replay Replay error
spread ratio spread Seed spread
fidelity number fidelity Fidelity
seconds seconds sgm Time
accuracy share fidelity Accuracy
agreement share fidelity Agreement
r2 number fidelity R²
output_mse number fidelity Output MSE
units count size Units
parameters count size Parameters
nonzeros count size Nonzeros
cycles count cycles Cycles
tiles count cycles Tiles
energy_pj number cycles Energy pJ
utilization share cycles Utilisation
size_unstable count size Unstable
size_binaries count size Binaries
size_rows count size Rows
size_nonzeros count size Entries
m_min number bigm M least
m_median number bigm M median
m_max number bigm M most
primal_integral seconds integrals Primal integral
primal_dual_integral seconds integrals Primal-dual integral
gap share gap Final gap
first_s seconds integrals First incumbent
best_s seconds integrals Best incumbent
attack_s seconds clocks Attack
bound_s seconds clocks Bounds
build_s seconds clocks Build
solve_s seconds clocks Solve
check_s seconds clocks Check
total_s seconds clocks Total
time_limit seconds status Limit
train_s seconds clocks Train
prune_s seconds clocks Prune
compact_s seconds clocks Compact
finetune_s seconds clocks Fine-tune
""")

#: Written where there is nothing to write.
MISSING = "–"


def written(value: Any, kind: Kind) -> str:
    """Write a value: three significant digits, thousands apart by a thin space.

    Examples
    --------
    >>> written(1234567, "count").split(), written(0.012345, "seconds"), written(0.5, "share")
    (['1', '234', '567'], '0.0123', '50.0 %')
    >>> written(float("nan"), "seconds"), written(1e-9, "p")
    ('–', '< 0.0001')
    """
    if kind == "text":
        return MISSING if value is None or value != value else str(value)  # noqa: PLR0124
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    return MISSING if math.isnan(number) else _number(number, kind)


def _number(number: float, kind: Kind) -> str:
    if math.isinf(number):
        return "∞" if number > 0 else "−∞"
    if kind == "share":
        return f"{100.0 * number:.1f} %"
    if kind == "p":
        return "< 0.0001" if number < 1e-4 else f"{number:.4f}"
    return _significant(number, whole=kind == "count")


def _significant(number: float, *, whole: bool) -> str:
    size = abs(number)
    if number == 0.0:
        return "0"
    if size >= 1e7 or size < 1e-4:
        return f"{number:.2e}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    if size >= 1e3 or (whole and number == round(number)):
        return f"{round(number):,}".replace(",", "\u2009")
    return f"{number:.{max(0, 2 - math.floor(math.log10(size)))}f}"
