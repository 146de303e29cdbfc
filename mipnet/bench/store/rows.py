"""From records to rows of the tables."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from mipnet.bench.problems.base import SOLVED
from mipnet.bench.statistics import final_gap
from mipnet.bench.tasks import identity

Row = dict[str, Any]
Record = Mapping[str, Any]

#: Columns that carry the versions of packages.
_VERSIONS = ("mipnet", "python", "numpy", "scipy", "pyomo", "highspy", "torch")
#: Columns of a network or mask that go to its cells.
_CARRIED = (
    *("train_s", "prune_s", "compact_s", "finetune_s", "units", "units_before", "parameters"),
    *("parameters_before", "nonzeros", "layers", "keep_reached", "accuracy", "agreement", "r2"),
    *("output_mse", "fingerprint", "mask_hash"),
)


class Context:
    """What rows need to know beside their own record.

    Parameters
    ----------
    plan : str
        Name of the plan.
    records : mapping of str to record
        All of the folder.
    runs : mapping of str to dict
        Runs by id.
    first_array : str or None
        Name of the array whose costs go to the cells.
    logs : set of str
        Tasks that have a log.
    """

    def __init__(
        self,
        plan: str,
        records: Mapping[str, Record],
        runs: Mapping[str, Record],
        first_array: str | None,
        logs: set[str],
    ) -> None:
        self.plan = plan
        self.records = records
        self.runs = runs
        self.logs = logs
        self._artefacts: dict[str, Row] = {}
        self.costs = {
            r["key"]["needs"]["network"]: r
            for r in records.values()
            if r["kind"] == "cost" and r["labels"].get("array") == first_array
        }

    def artefact(self, task_id: str) -> Row:
        """Columns of a network or mask, with those of the dense network beside them."""
        if task_id not in self._artefacts:
            record = self.records.get(task_id)
            self._artefacts[task_id] = {} if record is None else artefact_row(record, self)
        return self._artefacts[task_id]


def cell_row(record: Record, context: Context) -> Row:
    """Row of a cell.

    Parameters
    ----------
    record : mapping
        Of kind ``solve``.
    context : Context
    """
    key, result, labels = record["key"], record["result"], record["labels"]
    artefact = key["needs"]["network"]
    original = key["needs"].get("original", artefact)
    asked = {name: key[name] for name in ("problem", "instance", "files", "data")}
    question = identity("question", {**asked, "network": original})
    status = record["status"]
    return {
        **{name: value for name, value in result.items() if name != "method"},
        "cell": record["id"],
        "pair": record["pair"],
        "question": question,
        "subject": identity("subject", {"question": question, "network": artefact}),
        "plan": context.plan,
        **{name: labels.get(name) for name in ("kind", "problem", "instance", "network")},
        **pruning_columns(context.records.get(artefact), labels),
        **{name: labels.get(name) for name in ("formulation", "bounds", "solver", "seed")},
        "time_limit": key["time_limit"],
        "status": status,
        "status_cell": status,
        "reason": record["reason"],
        "decided_by": result.get("method"),
        "solved": status in SOLVED,
        "gap": _gap(status, result),
        "artefact": artefact,
        **{name: context.artefact(artefact).get(name) for name in _CARRIED},
        "accuracy_dense": context.artefact(original).get("accuracy"),
        "r2_dense": context.artefact(original).get("r2"),
        **_cost_columns(context.costs.get(artefact)),
        "solver_version": " ".join(_own_version(key)),
        "solver_options": _json(key["solver"]),
        "threads": key["threads"],
        "memory_limit_mb": key["memory_mb"],
        "wall_limit_s": key["wall"],
        "data_hash": key["data"],
        "process_s": record["process"]["seconds"],
        "peak_memory_mb": record["process"]["peak_memory_mb"],
        "clock_jump_s": record["process"].get("clock_jump_s"),
        "log": f"logs/{record['id']}.log" if record["id"] in context.logs else "",
        **provenance_columns(record, context),
    }


def artefact_row(record: Record, context: Context) -> Row:
    """Row of a network or mask; a dense network is its own original."""
    result = record["result"]
    original = record["key"]["needs"].get("network")
    dense = context.records[original]["result"] if original in context.records else result
    return {
        **result,
        "plan": context.plan,
        "network": record["labels"].get("network"),
        **pruning_columns(record, record["labels"]),
        "status": record["status"],
        "reason": record["reason"],
        "artefact": record["id"],
        "units_before": dense.get("units"),
        "parameters_before": dense.get("parameters"),
        "keep_reached": result.get("keep_reached", 1.0 if original is None else None),
        "train_s": dense.get("train_s"),
        "accuracy_dense": dense.get("accuracy"),
        "r2_dense": dense.get("r2"),
        "mask_options": _mask_options(record),
        "data_hash": record["key"].get("data"),
        "run": record["run"].get("id"),
        "started": record["run"].get("started"),
    }


def cost_row(record: Record, context: Context) -> Row:
    """Row of a mask on an array."""
    artefact = record["key"]["needs"]["network"]
    return {
        **record["result"],
        "plan": context.plan,
        "network": record["labels"].get("network"),
        **pruning_columns(context.records.get(artefact), record["labels"]),
        "status": record["status"],
        "reason": record["reason"],
        "artefact": artefact,
        "array": record["labels"].get("array"),
        "array_options": _json(record["key"]["array"]),
    }


def trajectory_rows(record: Record) -> Iterator[Row]:
    """Rows of incumbent and bound over time."""
    found = record["trajectory"]
    names = ("solve", "seconds", "incumbent", "bound", "nodes")
    for values in zip(*(found.get(name, ()) for name in names), strict=False):
        yield {"cell": record["id"], **dict(zip(names, values, strict=True))}


def pruning_columns(artefact: Record | None, labels: Mapping[str, Any]) -> Row:
    """Return method, budget and seed of a pruning, and all of it in one label."""
    method, keep = labels.get("method", "dense"), labels.get("keep")
    label = str(method) if keep is None else f"{method} {keep:g}"
    if artefact is not None and artefact["kind"] == "mask":
        options = artefact["key"]["options"]
        label += "".join(f" {name}={value}" for name, value in sorted(options.items()))
        label += " tuned" if artefact["key"]["finetune"] is not None else ""
    found = {"method": method, "keep": keep, "mask_seed": labels.get("mask_seed")}
    return {**found, "pruning": label, "mask_options": _mask_options(artefact)}


def provenance_columns(record: Record, context: Context) -> Row:
    """Where, when and with what a record was made."""
    about = record["run"]
    machine = about.get("machine") or {}
    run = context.runs.get(about.get("id", ""), {})
    versions = run.get("versions", {})
    own = record["key"].get("versions", {})
    known = {*_VERSIONS, "code"}
    extra = {name: v for name, v in own.items() if name not in known}
    repository = run.get("repository") or {}
    return {
        "run": about.get("id"),
        **{k: about.get(k) for k in ("started", "attempt", "jobs", "backend", "load", "host")},
        "calibration_s": about.get("calibration_s"),
        **{name: own.get(name, versions.get(name)) for name in _VERSIONS},
        "plugins": _json(extra) if extra else None,
        "commit": repository.get("commit"),
        "dirty": repository.get("dirty"),
        "code": run.get("code"),
        "node": machine.get("node"),
        "cpu": machine.get("cpu"),
        "cores": machine.get("cores"),
        "machine_memory_mb": machine.get("memory_mb"),
        "governor": machine.get("governor"),
        "system": machine.get("system"),
    }


def _cost_columns(record: Record | None) -> Row:
    if record is None:
        return {}
    names = ("cycles", "macs", "tiles", "utilization", "energy_pj")
    found = {name: record["result"].get(name) for name in names}
    return {"array": record["labels"].get("array"), **found}


def _gap(status: str, result: Mapping[str, Any]) -> float | None:
    """Relative gap; a decision has none to speak of."""
    if result.get("goal") in {None, "decide"}:
        return None
    if status == "infeasible":
        return 0.0
    gap = final_gap(result.get("objective"), result.get("bound"))
    return None if math.isnan(gap) else gap


def _own_version(key: Mapping[str, Any]) -> tuple[str, ...]:
    name = key["solver"]["name"]
    version = key.get("versions", {}).get(name)
    return (name,) if version is None else (name, version)


def _mask_options(artefact: Record | None) -> str | None:
    if artefact is None or artefact["kind"] != "mask":
        return None
    return _json({k: artefact["key"][k] for k in ("options", "finetune")})


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
