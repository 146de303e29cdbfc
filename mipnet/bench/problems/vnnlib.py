"""VNN-LIB properties, single files or the instance lists of the verification competitions."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from mipnet.bench.data import Data
from mipnet.bench.problems.base import (
    Answer,
    Goal,
    Instance,
    Problem,
    Search,
    axis,
    costliest,
    interrupt_if,
    limit_status,
    register_problem,
    selection,
)
from mipnet.errors import QueryError
from mipnet.network import Network
from mipnet.search import VerifyResult, verify

#: Missing files that are named.
MOST_NAMED = 10


def _sample(value: int | None) -> str:
    return "" if value is None or value >= 1 else f"must be a number from 1 on, not {value!r}"


@register_problem("vnnlib")
@dataclass(frozen=True, kw_only=True)
class VnnLib(Problem):
    """Whether any input satisfies a property.

    Parameters
    ----------
    instances_file : path
        CSV with a header and the columns ``onnx``, ``vnnlib`` and, where there are,
        ``benchmark`` (the folder of both files), ``timeout_s`` and ``verdict`` (``sat`` or
        ``unsat``, as recorded elsewhere: an answer against it is *inconsistent*).
    family : str, optional
        Only the instances of this ``benchmark``.
    sample : int, optional
        At most so many of each benchmark, evenly over its list.
    """

    goal: ClassVar[Goal] = "decide"
    source: ClassVar[str] = "mipnet.verify; VNN-LIB 1.0, vnnlib.org"
    needs_data: ClassVar[bool] = False
    brings_networks: ClassVar[bool] = True

    instances_file: Path = field(metadata={"path": True})
    family: str | None = axis(None, selection=True)
    sample: int | None = selection(None, check=_sample)

    def instances(self, data: Data | None) -> Iterator[Instance]:
        """See :meth:`Problem.instances`."""
        del data
        root = self.instances_file.parent
        families: dict[str, list[dict[str, str]]] = {}
        for row in _rows(self.instances_file):
            if self.family in {None, row.get("benchmark")}:
                families.setdefault(row.get("benchmark") or "", []).append(row)
        if not families:
            msg = f"{self.instances_file}: no instance of the benchmark {self.family!r}"
            raise QueryError(msg)
        chosen = [(root / n, r) for n, rows in families.items() for r in _spread(rows, self.sample)]
        files = {folder / row[name] for folder, row in chosen for name in ("onnx", "vnnlib")}
        missing = sorted(str(path) for path in files if not path.is_file())
        if missing:
            more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
            msg = f"{self.instances_file} names files that do not exist: "
            raise QueryError(msg + ", ".join(missing[:MOST_NAMED]) + more)
        for folder, row in chosen:
            yield _instance(folder, row)

    def solve(self, network: Network, instance: Instance, data: Data | None, how: Search) -> Answer:
        """See :meth:`Problem.solve`."""
        del data
        options = how.options()
        # By its file where it has one, so that onnxruntime can have a say.
        stored = Path(network.source)
        model = stored if stored.is_file() else network
        found = verify(
            model, instance.files["property"], timeout=options.pop("time_limit"), **options
        )
        return _answer(found, instance.options.get("expected", ""))


def _spread(rows: list[dict[str, str]], sample: int | None) -> list[dict[str, str]]:
    count = len(rows) if sample is None else min(sample, len(rows))
    return [rows[(2 * k + 1) * len(rows) // (2 * count)] for k in range(count)]


def _rows(path: Path) -> list[dict[str, str]]:
    """Rows of a list of instances, checked."""
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"{path} is no readable CSV file: {error}"
        raise QueryError(msg) from error
    for number, row in enumerate(rows, start=2):
        if not (row.get("onnx") and row.get("vnnlib")):
            msg = f"{path}: needs the columns onnx and vnnlib, and row {number} lacks a value"
            raise QueryError(msg)
        limit = row.get("timeout_s")
        if limit and not _number(limit) > 0.0:
            msg = f"{path}, row {number}: timeout_s must be a number above 0, not {limit!r}"
            raise QueryError(msg)
    return rows


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _instance(folder: Path, row: dict[str, str]) -> Instance:
    prop = folder / row["vnnlib"]
    limit = row.get("timeout_s")
    return Instance(
        f"{Path(row['onnx']).stem} {prop.stem}",
        {"expected": row.get("verdict") or ""},
        network=folder / row["onnx"],
        files={"property": prop},
        time_limit=float(limit) if limit else None,
    )


def _answer(found: VerifyResult, expected: str) -> Answer:
    interrupt_if(found.reason)
    statuses = {"sat": "optimal", "unsat": "infeasible", "timeout": "no-solution-limit"}
    status = statuses.get(found.status) or limit_status(found.reason, value=False)
    reason = found.reason
    if {found.status, expected} == {"sat", "unsat"}:
        status, reason = "inconsistent", f"the recorded verdict is {expected}"
    clauses = [clause for case in found.cases for clause in case.clauses]
    used = {c.method for c in clauses if c.outcome != "open"}
    return Answer(
        status=status,
        verdict=found.status,
        objective=found.margin,
        point=found.point,
        reason=reason,
        method=costliest(used),
        nodes=sum(c.nodes for c in clauses),
        n_unstable=max((case.n_unstable for case in found.cases), default=None),
        n_binaries=max((case.n_binaries for case in found.cases), default=None),
        clocks=found.clocks,
        solver=found.solver,
    )
