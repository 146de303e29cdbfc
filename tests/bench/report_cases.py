"""Results without a run: tables of many cells, and names that try to break out of a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from mipnet.bench.store.schema import CELLS, SCHEMA, TABLES
from mipnet.bench.store.tables import METADATA, Results, _arrow, _frame
from mipnet.bench.tasks import identity

#: A name as an untrusted plan may choose it.
HOSTILE = "</script><img src=x onerror=alert(1)>&\u2028'\""
METHODS = (
    ("dense", None),
    ("magnitude", 0.5),
    ("magnitude", 0.25),
    ("random", 0.5),
    ("flap", 0.5),
    ("flap", 0.25),
)


def made_up(
    *,
    questions: int = 6,
    seeds: int = 2,
    methods: Sequence[tuple[str, float | None]] = METHODS,
    networks: Sequence[str] = ("2x50", "4x25"),
    problems: Sequence[str] = ("linf", "most"),
    rng_seed: int = 0,
    missing: float = 0.0,
    notes: Sequence[str] = (),
) -> Results:
    """Cells with times, limits, failures and sizes drawn at random; two mask seeds of random."""
    rng = np.random.default_rng(rng_seed)
    rows: list[dict[str, Any]] = []
    for n, network in enumerate(networks):
        for p, problem in enumerate(problems):
            for q in range(questions):
                hardness = float(rng.lognormal(sigma=1.5))
                for method, keep in methods:
                    for mask_seed in (
                        (0, 1) if method == "random" else (None if keep is None else 0,)
                    ):
                        for seed in range(seeds):
                            if rng.random() >= missing:
                                where = (network, problem, q, method, keep, mask_seed, seed)
                                rows.append(_cell(rng, where, hardness, 4.0 * n + p))
    frames = {
        name: _frame(_arrow(rows if name == "cells" else [], c, {})) for name, c in TABLES.items()
    }
    return Results(**frames, plan={"name": "made up"}, notes=tuple(notes))


def _cell(
    rng: np.random.Generator, where: tuple[Any, ...], hardness: float, extra: float
) -> dict[str, Any]:
    network, problem, question, method, keep, mask_seed, seed = where
    share = 1.0 if keep is None else keep
    label = method if keep is None else f"{method} {keep:g}"
    seconds = hardness * share**2 * float(rng.lognormal(sigma=0.4))
    status = "optimal" if rng.random() < 0.5 else "infeasible"
    if seconds > 4.0:
        status, seconds = "feasible-limit", 4.0 + 0.01 * float(rng.random())
    elif rng.random() < 0.02:
        status = str(rng.choice(["error", "killed", "inconsistent"]))
    clocks = rng.dirichlet(np.ones(5)) * seconds
    names = ("attack_s", "bound_s", "build_s", "solve_s", "check_s")
    number = rng.integers(1 << 60)
    return {
        **{c.name: None for c in CELLS},
        **dict(zip(names, map(float, clocks), strict=True)),
        "cell": f"{number:032x}",
        "pair": identity("made up", [network, problem, question, label, mask_seed, seed]),
        "subject": f"{network} {label} {question}",
        "question": f"{network} {question}",
        "plan": "made up",
        "kind": "maximize",
        "goal": "maximise",
        "network": network,
        "problem": problem,
        "instance": f"test {question}",
        "method": method,
        "keep": keep,
        "mask_seed": mask_seed,
        "pruning": label,
        "formulation": "big_m",
        "bounds": "lp",
        "solver": "highs",
        "seed": seed,
        "time_limit": 4.0,
        "status": status,
        "status_cell": status,
        "solved": status in {"optimal", "infeasible"},
        "reason": "" if status == "optimal" else f"because {HOSTILE}",
        "objective": float(rng.normal()),
        "gap": float(rng.random()),
        "regret": float(rng.random()) * (1.0 - share),
        "replay_error": 1e-12,
        "nodes": int(rng.integers(1000)),
        "total_s": seconds,
        "cpu_s": seconds,
        "primal_integral": float(rng.random()),
        "artefact": f"{network} {label} {mask_seed}",
        "units": int(100 * share),
        "units_before": 100,
        "parameters": int(5000 * share),
        "nonzeros": int(5000 * share),
        "accuracy": 0.97 - 0.1 * (1.0 - share) - 0.01 * extra,
        "agreement": 1.0 - 0.2 * (1.0 - share),
        "size_unstable": int(40 * share),
        "size_binaries": int(40 * share),
        "m_min": 0.1,
        "m_median": 1.0,
        "m_max": 10.0 * share,
        "array": "16x16 ws",
        "cycles": 1000.0 * share,
        "tiles": 20.0 * share,
        "mipnet": "0.1.0",
        "cpu": f"processor {HOSTILE}",
        "started": "2026-01-02T03:04:05Z",
        "log": f"logs/{number:032x}.log" if status == "optimal" else "",
    }


def written(results: Results, folder: Path) -> Path:
    """Put tables where ``load`` finds them."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {"schema": SCHEMA, "plan": dict(results.plan), "notes": list(results.notes)}
    for name in TABLES:
        table = pa.Table.from_pandas(getattr(results, name), preserve_index=False)
        table = table.replace_schema_metadata({METADATA: json.dumps(about).encode()})
        parquet.write_table(table, folder / f"{name}.parquet")
    return folder
