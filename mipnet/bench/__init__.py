"""Experiments: networks, questions and results side by side.

>>> from mipnet import bench
>>> results = bench.load("results/digits")  # doctest: +SKIP
>>> results.cells.groupby("pruning")["total_s"].mean()  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

#: Public name to the module that defines it; loaded on first use, so that the diagnosis of an
#: installation needs the standard library only.
_PUBLIC = {
    "Answer": "mipnet.bench.problems.base",
    "Comparison": "mipnet.bench.comparison",
    "Instance": "mipnet.bench.problems.base",
    "PlanError": "mipnet.bench.errors",
    "Problem": "mipnet.bench.problems.base",
    "Report": "mipnet.bench.report.report",
    "Results": "mipnet.bench.store.tables",
    "RunError": "mipnet.bench.errors",
    "Search": "mipnet.bench.problems.base",
    "StoreError": "mipnet.bench.errors",
    "axis": "mipnet.bench.problems.base",
    "build_report": "mipnet.bench.report.report",
    "collect": "mipnet.bench.store.tables",
    "compare": "mipnet.bench.comparison",
    "follow": "mipnet.bench.following",
    "load": "mipnet.bench.store.tables",
    "load_plan": "mipnet.bench.plan",
    "option": "mipnet.bench.problems.base",
    "outlook": "mipnet.bench.api",
    "register_data": "mipnet.bench.data",
    "register_problem": "mipnet.bench.problems.base",
    "register_solver": "mipnet.bench.solvers",
    "repeat_cell": "mipnet.bench.repeat",
    "results_folder": "mipnet.bench.api",
    "run": "mipnet.bench.runner.run",
    "selection": "mipnet.bench.problems.base",
    "status": "mipnet.bench.api",
}

if TYPE_CHECKING:
    from mipnet.bench.api import outlook as outlook
    from mipnet.bench.api import results_folder as results_folder
    from mipnet.bench.api import status as status
    from mipnet.bench.comparison import Comparison as Comparison
    from mipnet.bench.comparison import compare as compare
    from mipnet.bench.data import register_data as register_data
    from mipnet.bench.errors import PlanError as PlanError
    from mipnet.bench.errors import RunError as RunError
    from mipnet.bench.errors import StoreError as StoreError
    from mipnet.bench.following import follow as follow
    from mipnet.bench.plan import load_plan as load_plan
    from mipnet.bench.problems.base import Answer as Answer
    from mipnet.bench.problems.base import Instance as Instance
    from mipnet.bench.problems.base import Problem as Problem
    from mipnet.bench.problems.base import Search as Search
    from mipnet.bench.problems.base import axis as axis
    from mipnet.bench.problems.base import option as option
    from mipnet.bench.problems.base import register_problem as register_problem
    from mipnet.bench.problems.base import selection as selection
    from mipnet.bench.repeat import repeat_cell as repeat_cell
    from mipnet.bench.report.report import Report as Report
    from mipnet.bench.report.report import build_report as build_report
    from mipnet.bench.runner.run import run as run
    from mipnet.bench.solvers import register_solver as register_solver
    from mipnet.bench.store.tables import Results as Results
    from mipnet.bench.store.tables import collect as collect
    from mipnet.bench.store.tables import load as load

__all__ = [
    "Answer",
    "Comparison",
    "Instance",
    "PlanError",
    "Problem",
    "Report",
    "Results",
    "RunError",
    "Search",
    "StoreError",
    "axis",
    "build_report",
    "collect",
    "compare",
    "follow",
    "load",
    "load_plan",
    "option",
    "outlook",
    "register_data",
    "register_problem",
    "register_solver",
    "repeat_cell",
    "results_folder",
    "run",
    "selection",
    "status",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        msg = f"module 'mipnet.bench' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
