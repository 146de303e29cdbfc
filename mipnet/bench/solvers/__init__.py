"""MIP solvers a plan may name; importing this package registers them."""

from mipnet.bench.solvers import highs
from mipnet.bench.solvers.base import SOLVERS, Progress, Solver, register_solver, solver_faults

__all__ = ["SOLVERS", "Progress", "Solver", "highs", "register_solver", "solver_faults"]
