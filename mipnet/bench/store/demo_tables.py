"""Schema version 1: what ``mipnet demo`` writes, as rows of the present tables."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from mipnet.bench.errors import StoreError
from mipnet.bench.problems.base import SOLVED
from mipnet.bench.tasks import identity

_STATUS = {"witness": "optimal", "robust": "infeasible"}
_CLOCKS = ("attack_s", "bound_s", "build_s", "solve_s", "check_s", "total_s")


def is_demo(folder: Path) -> bool:
    """Whether a folder holds the results of a demo."""
    return (folder / "settings.json").is_file() and (folder / "results.csv").is_file()


def read_demo(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Rows of the present tables from those of a demo.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    dict of str to list of rows
        ``cells`` and ``artefacts``.

    Raises
    ------
    StoreError
        When a file is damaged or has another format.
    """
    try:
        about = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        if about["format"] != 1:
            msg = f"{folder}: settings.json has format {about['format']!r}, this release reads 1"
            raise StoreError(msg)
        with (folder / "results.csv").open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        networks = {entry["name"]: entry for entry in about["networks"]}
        limit = float(about["settings"]["time_limit"])
        versions = about.get("versions", {})
        cells = [
            _cell(row, networks[row["network"]], limit) | versions_of(versions) for row in rows
        ]
        return {"cells": cells, "artefacts": [_artefact(e, networks) for e in networks.values()]}
    except (OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, StoreError):
            raise
        msg = f"{folder}: the results of the demo cannot be read ({error!r})"
        raise StoreError(msg) from error


def versions_of(versions: dict[str, str]) -> dict[str, str | None]:
    """Columns of the versions of packages."""
    names = ("mipnet", "python", "numpy", "scipy", "pyomo", "highspy", "torch")
    return {name: versions.get(name) for name in names}


def _cell(row: dict[str, str], network: dict[str, Any], limit: float) -> dict[str, Any]:
    pruned = network["name"] != network["dense"]
    keep = None if not pruned else 1.0 - int(network["name"].rpartition("pruned")[2]) / 100.0
    names = ("image", "label", "norm", "radius", "domain_lower", "domain_upper")
    asked = {name: row[name] for name in names}
    status = _STATUS.get(row["verdict"], "no-solution-limit" if "limit" in row["reason"] else "")
    question = identity("question", {**asked, "network": network["dense"]})
    witness = json.loads(row["witness"]) if row["witness"] else None
    return {
        "cell": identity("demo", dict(row)),
        "pair": identity("demo", {**asked, "network": row["network"], "seed": row["seed"]}),
        "question": question,
        "subject": identity("subject", {"question": question, "network": row["fingerprint"]}),
        "plan": "demo",
        "kind": "adversarial",
        "problem": f"{row['norm']} {float(row['radius']):g}",
        "instance": f"image {row['image']}",
        "goal": "decide",
        "network": network["dense"],
        "method": "magnitude" if pruned else "dense",
        "keep": keep,
        "mask_seed": 0 if pruned else None,
        "pruning": f"magnitude {keep:g} tuned" if pruned else "dense",
        "formulation": "big_m",
        "bounds": "crown",
        "solver": "highs",
        "seed": int(row["seed"]),
        "time_limit": limit,
        "status": status or "unresolved",
        "status_cell": status or "unresolved",
        "verdict": row["verdict"],
        "decided_by": row["method"],
        "reason": row["reason"],
        "solved": status in SOLVED,
        "objective": float(row["margin"]) if row["margin"] else None,
        "bound": float(row["bound"]),
        "nodes": int(row["nodes"]),
        "point": witness,
        **{name: float(row[name]) for name in _CLOCKS},
        "n_unstable": int(row["n_unstable"]),
        "n_binaries": int(row["n_binaries"]),
        "units": network["hidden"],
        "accuracy": network["test_accuracy"],
        "fingerprint": row["fingerprint"],
        "solver_version": row["solver"],
    }


def _artefact(network: dict[str, Any], networks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    dense = networks[network["dense"]]
    pruned = network is not dense
    return {
        "plan": "demo",
        "network": network["dense"],
        "method": "magnitude" if pruned else "dense",
        "pruning": "magnitude" if pruned else "dense",
        "status": "optimal",
        "artefact": network["name"],
        "units": network["hidden"],
        "units_before": dense["hidden"],
        "accuracy": network["test_accuracy"],
        "accuracy_dense": dense["test_accuracy"],
        "train_s": dense["train_s"],
        "prune_s": network["prune_s"] if pruned else None,
        "finetune_s": network["train_s"] if pruned else None,
    }
