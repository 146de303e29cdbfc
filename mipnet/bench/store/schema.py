"""Columns of the tables: name, type and meaning, in one place for tables, manual and report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

#: Version of records and tables. Version 1 is what ``mipnet demo`` writes.
SCHEMA = 2

Type = Literal["str", "int", "float", "bool", "floats"]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    name : str
    type : {"str", "int", "float", "bool", "floats"}
    meaning : str
    group : str
        ``what``, ``answer``, ``clocks``, ``size``, ``network``, ``hardware``, ``provenance``.
    """

    name: str
    type: Type
    meaning: str
    group: str


def _columns(group: str, text: str) -> tuple[Column, ...]:
    """Columns from lines of ``name type meaning``."""
    found = []
    for line in text.strip().splitlines():
        name, kind, meaning = line.split(None, 2)
        found.append(Column(name, kind, meaning, group))  # type: ignore[arg-type]
    return tuple(found)


WHAT = _columns(
    "what",
    """
cell str Identity: hash of everything that changes the result.
pair str The same without software versions: what cells of two runs have in common.
question str Hash of problem and instance and of the dense network: the same for all its prunings.
subject str Hash of the question and the pruned network: cells of one subject must agree.
plan str Name of the plan.
kind str Problem kind.
problem str Problem as the plan calls it.
instance str Instance of the problem.
goal str decide, minimise or maximise.
network str Dense network.
method str Pruning method; "dense" for none.
keep float Share of the units asked for.
mask_seed int Seed of the pruning.
pruning str Method, share and options in one label.
formulation str Formulation of unstable neurons.
bounds str Bounding method.
solver str Solver and profile.
seed int Seed of attack, solver and permutation.
time_limit float Seconds given to the search.
""",
)
ANSWER = _columns(
    "answer",
    """
status str How the cell ended: optimal, infeasible, feasible-limit, no-solution-limit, unresolved, \
killed, memory, error, inconsistent.
status_cell str The same before cells were compared with each other.
verdict str In the words of the search.
decided_by str Costliest method that had a part: none, attack, interval, crown, alpha, lp, \
bisection, mip.
reason str Why there is no answer.
solved bool Whether the status is optimal or infeasible.
objective float Value of the point found: margin, distance or output.
bound float Proven bound of the value.
gap float Relative gap of value and bound: 0 closed, 1 nothing known.
original_value float Value of the point found in the dense network; for decisions 1 where it \
answers the question there too, else 0.
regret float How much better the best point known is in the dense network.
replay_error float Largest difference between answer and a float64 forward pass.
nodes int Branch-and-bound nodes and boxes.
solves int MIP solves.
primal_integral float Seconds times primal gap to the best known value.
primal_dual_integral float Seconds times gap of incumbent and bound.
first_s float Seconds to the first incumbent.
best_s float Seconds to the last incumbent.
point floats The point found.
""",
)
CLOCKS = _columns(
    "clocks",
    """
total_s float Seconds of the whole search; the one to compare.
attack_s float Gradient search.
bound_s float Bounds of neurons.
build_s float Building the program.
solve_s float In the solver.
check_s float Replaying answers.
cpu_s float Processor time of the search.
process_s float The process of the cell, from fork to end.
train_s float Training of the dense network.
prune_s float Choosing the units.
compact_s float Shrinking the network and checking it.
finetune_s float Training after pruning.
""",
)
SIZE = _columns(
    "size",
    """
n_unstable int Unstable neurons under the bounds the search ended with.
n_binaries int Binaries of the program the search built; 0 when it built none.
n_rows int Rows of that program.
n_nonzeros int Entries of its matrix.
size_unstable int Unstable neurons under CROWN bounds, whatever the search did.
size_binaries int Binaries of the program under CROWN bounds.
size_rows int Its rows.
size_columns int Its columns.
size_nonzeros int Entries of its matrix.
inactive int Neurons that are never active under CROWN bounds.
active int Neurons that are always active under CROWN bounds.
m_min float Smallest big-M constant, max(-lower, upper), of unstable neurons with a kink at zero.
m_median float Median of those constants.
m_max float Largest of those constants.
""",
)
NETWORK = _columns(
    "network",
    """
artefact str Identity of the network or mask.
units int Neurons in front of a nonlinear layer.
units_before int The same of the dense network.
parameters int Weights and biases.
parameters_before int The same of the dense network.
nonzeros int Those that are not zero.
layers int Layers with weights.
keep_reached float Share of the units that stayed.
accuracy float Share of test items given their class.
accuracy_dense float The same of the dense network.
agreement float Share of test items given the class the dense network gives.
r2 float Coefficient of determination on test items (regression).
r2_dense float The same of the dense network.
output_mse float Mean squared difference of the outputs from the dense network's.
fingerprint str Hash of weights and wiring.
mask_hash str Hash of the mask file.
""",
)
HARDWARE = _columns(
    "hardware",
    """
array str Systolic array (the first of the plan).
cycles float Cycles of one pass on it.
macs float Multiply-accumulates of that pass.
tiles float Tiles of weights the array loads.
utilization float Share of the multipliers in use.
energy_pj float Energy of that pass in picojoules.
""",
)
PROVENANCE = _columns(
    "provenance",
    """
run str Run that wrote the cell.
started str Time of day it began, UTC.
attempt int How often it was begun in that run.
jobs int Cells at once.
backend str joblib backend.
threads int Threads of the solver.
load float Load average when it began.
calibration_s float Seconds of a fixed piece of work on the same machine.
clock_jump_s float How far the system clock was moved meanwhile.
peak_memory_mb float Largest resident memory of the process.
memory_limit_mb int Memory it was allowed.
wall_limit_s float Seconds after which it would have been killed.
solver_version str Solver and version.
solver_options str Profile and options of the solver, JSON.
mask_options str Options of pruning and fine-tuning, JSON.
mipnet str Version of mipnet.
python str Version of Python.
numpy str Version of numpy.
scipy str Version of scipy.
pyomo str Version of Pyomo.
highspy str Version of highspy.
torch str Version of torch.
plugins str Versions of plug-ins the cell depends on, JSON.
commit str Commit of mipnet's checkout.
dirty bool Whether that checkout had changes.
code str Hash of mipnet's sources.
data_hash str Hash of the data set.
node str Pseudonym of the machine.
host str Name of the machine, where its user gave one.
cpu str Processor.
cores int Physical cores.
machine_memory_mb int Memory of the machine.
governor str Frequency governor.
system str Operating system.
log str Log of the solver, relative to the folder; empty when no MIP was solved.
""",
)

#: The table of cells.
CELLS: tuple[Column, ...] = WHAT + ANSWER + CLOCKS + SIZE + NETWORK + HARDWARE + PROVENANCE
#: The table of trajectories.
TRAJECTORIES: tuple[Column, ...] = _columns(
    "trajectory",
    """
cell str Identity of the cell.
solve int Number of the MIP solve within the cell.
seconds float Since the search began.
incumbent float Best value known to that solve.
bound float Proven bound of that solve.
nodes int Nodes so far.
""",
)
#: The table of networks and masks.
ARTEFACTS: tuple[Column, ...] = (
    *(c for c in WHAT if c.name in {"plan", "network", "method", "keep", "mask_seed", "pruning"}),
    *(c for c in ANSWER if c.name in {"status", "reason"}),
    *(c for c in CLOCKS if c.name in {"train_s", "prune_s", "compact_s", "finetune_s"}),
    *NETWORK,
    *(c for c in PROVENANCE if c.name in {"run", "started", "mask_options", "data_hash"}),
)
#: The table of costs on arrays; further numbers of the hardware model follow these columns.
COSTS: tuple[Column, ...] = (
    *(c for c in WHAT if c.name in {"plan", "network", "method", "keep", "mask_seed", "pruning"}),
    *(c for c in ANSWER if c.name in {"status", "reason"}),
    NETWORK[0],
    *HARDWARE,
    *_columns(
        "hardware",
        """
cycles_before float Cycles of the dense network.
energy float Energy under the first table, in its unit.
energy_table str Name of that table.
energy_unit str Its unit.
energy_second float Energy under a second table, in its unit.
energy_table_second str Name of that table.
energy_unit_second str Its unit.
array_options str Options of the array, JSON.
""",
    ),
)
#: Tables by the name of their file.
TABLES: Mapping[str, tuple[Column, ...]] = {
    "cells": CELLS,
    "trajectories": TRAJECTORIES,
    "artefacts": ARTEFACTS,
    "hardware": COSTS,
}
