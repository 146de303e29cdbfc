"""From a plan file to a :class:`Plan`: everything wrong with it is reported at once."""

from __future__ import annotations

import logging
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from formulations import formulation, formulations
from mipnet.bench.errors import Fault, PlanError
from mipnet.bench.plan.check import Faults, Table
from mipnet.bench.plan.checks import named, positive, up_to
from mipnet.bench.plan.checks import seed as seed_check
from mipnet.bench.plan.lines import line_numbers
from mipnet.bench.plan.model import Limits, Plan, RunSpec, SolverSpec
from mipnet.bench.plan.read_arrays import read_arrays
from mipnet.bench.plan.read_problems import read_masks, read_problems
from mipnet.bench.plan.read_sources import read_data, read_networks
from mipnet.bench.plugins import load_plugins
from mipnet.bench.registry import unknown_name
from mipnet.bench.solvers import SOLVERS, solver_faults
from mipnet.bench.solvers.listen import PROFILES
from mipnet.bounds import METHODS

LOG = logging.getLogger(__name__)
#: joblib backends a plan may name.
BACKENDS = ("loky", "dask", "ray")
#: What a plan may ask for: seconds (three years), megabytes, cells at once.
LONGEST, MOST_MEMORY, MOST_JOBS = 1e8, 1e9, 1e5
#: Options of each that a plan may give: of joblib, of the cluster, of tasks sent there.
_BACKEND_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "any": {"verbose": int, "temp_folder": str, "max_nbytes": int | str, "mmap_mode": str},
    "loky": {"inner_max_num_threads": int, "idle_worker_timeout": float},
    "dask": {
        "scheduler": str,
        "scatter": tuple[Any, ...],
        "wait_for_workers_timeout": float,
        "retries": int,
        "priority": int,
        "resources": dict,
        "allow_other_workers": bool,
        "workers": str | tuple[str, ...],
    },
    "ray": {"address": str, "ray_remote_args": dict},
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SECTIONS = (
    *("plan", "data", "networks", "masks", "problems", "solve", "solvers", "limits", "hardware"),
    "run",
)


def load_plan(path: Path | str) -> Plan:
    """Read and check a plan.

    Parameters
    ----------
    path : path
        A TOML file; names of files in it are relative to its folder.

    Returns
    -------
    Plan
        With its data sets loaded.

    Raises
    ------
    PlanError
        Listing every unknown key, method, problem kind, solver or file, and every value that does
        not fit, with its line.
    FileNotFoundError
        When there is no such file.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        message = (
            f"the file is no UTF-8 text ({error.reason} at byte {error.start}): save it as UTF-8"
        )
        raise PlanError(file.name, [Fault(0, message)]) from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        raise PlanError(file.name, [Fault(int(found[1]) if found else 0, str(error))]) from error
    faults = Faults(line_numbers(text), file.resolve().parent)
    broken = [str(plugin) for plugin in load_plugins() if plugin.fault]
    for key in document:
        if key not in _SECTIONS:
            faults.add((key,), unknown_name("section", key, _SECTIONS))
            faults.broken.update(get_close_matches(key, _SECTIONS, n=1))
    plan = _assemble(file, text, document, faults)
    if any("unknown " in fault.message for fault in faults.found):
        # What is missing may be in what did not load.
        for message in broken:
            faults.add((), message)
    if faults.found:
        raise PlanError(file.name, faults.found)
    for message in broken:
        LOG.warning("%s; this plan does not need it by name", message)
    return plan


def _assemble(file: Path, text: str, document: dict[str, Any], faults: Faults) -> Plan:
    head = faults.table(document, "plan")
    name = head.take("name", str, file.stem, check=_plain_name) or file.stem
    seed = head.take("seed", int, 0, check=seed_check)
    head.take("description", str, "")
    pinned = head.take("pin_code", bool, False)
    head.close()
    data = read_data(faults, document)
    networks = read_networks(faults, document, data)
    masks, dense = read_masks(faults, document, networks, data)
    problems = read_problems(faults, document, networks, data)
    brought = any(spec.problem.brings_networks for spec in problems)
    if not networks and not brought and not faults.found:
        faults.add(
            ("networks",), "the plan has no networks: add [networks.NAME] with file or hidden"
        )
    if not problems and not masks and not faults.found:
        faults.add((), "the plan has neither problems nor masks: there is nothing to run")
    if not dense and not masks and not brought and not faults.found:
        message = "dense = false leaves nothing to do: add [[masks]] with a method, or leave it out"
        faults.add(("masks",), message)
    solve = faults.table(document, "solve")
    plan = Plan(
        name=name,
        path=file,
        text=text,
        seed=seed,
        data=data,
        networks=networks,
        dense=dense,
        masks=masks,
        problems=problems,
        formulations=_formulations(solve),
        bounds=solve.several("bounds", str, ("lp",), check=named("bounding method", METHODS)),
        restarts=solve.take("restarts", int, None, check=positive),
        permute=solve.take("permute", bool, False),
        seeds=solve.several("seeds", int, (0,), check=seed_check),
        solvers=_solvers(faults, document),
        arrays=read_arrays(faults, document),
        limits=_limits(faults, document),
        run=_run(faults, document),
        pin_code=pinned,
    )
    solve.close()
    return plan


def _formulations(solve: Table) -> tuple[str, ...]:
    def wrong(name: str) -> str:
        try:
            found = formulation(name)
        except ValueError as error:
            known = name.split("(", maxsplit=1)[0] in formulations()
            return (
                f"says: {error}"
                if known
                else (f"names an {unknown_name('formulation', name, formulations())}")
            )
        if found.needs:
            return f"{name!r} needs {found.needs}, which no solver here knows"
        return "" if found.exact else f"{name!r} is a relaxation and decides nothing"

    if solve.values.get("formulations") == "all":
        solve.take("formulations", str)
        return formulations(deciding=True)
    return solve.several("formulations", str, ("big_m",), check=wrong)


def _solvers(faults: Faults, document: dict[str, Any]) -> tuple[SolverSpec, ...]:
    specs: list[SolverSpec] = []
    contents: dict[str, tuple[str, int]] = {}
    profiles = ("auto", *PROFILES)
    for row in faults.rows(document, "solvers"):
        name = row.take("name", str, "highs", check=named("solver", tuple(SOLVERS)))
        label = row.take("label", str, "")
        chosen = row.several("profile", str, ("auto",), check=named("profile", profiles))
        options = row.take("options", dict, {})
        for key, message in solver_faults(name, options):
            row.fault(f"options: {message}", "options", key)
        row.close()
        for profile in chosen:
            base = label or name
            tag = base if profile == "auto" and len(chosen) == 1 else f"{base}/{profile}"
            spec = SolverSpec(tag, name, profile, options)
            content = repr((name, profile, sorted(options.items())))
            known_as, line = contents.setdefault(content, (tag, row.line))
            if known_as != tag:
                row.fault(f"solver {tag!r} is the same as {known_as!r} (line {line})")
            specs.append(spec)
        if len({s.label for s in specs}) < len(specs):
            row.fault("two solvers have the same label; give them label = ...")
    return tuple(specs) or (SolverSpec(),)


def _limits(faults: Faults, document: dict[str, Any]) -> Limits:
    given = faults.table(document, "limits")
    usual = Limits()
    time = given.take("time", float, usual.time, check=up_to(LONGEST))
    limits = Limits(
        time=time,
        # Solvers overrun their limit in presolve or at the root; more than this is no overrun.
        wall=given.take("wall", float, 1.2 * (time or usual.time) + 30.0, check=up_to(LONGEST)),
        prune_wall=given.take("prune_wall", float, usual.prune_wall, check=up_to(LONGEST)),
        memory_mb=given.take("memory_mb", int, usual.memory_mb, check=up_to(MOST_MEMORY)),
    )
    given.close()
    if limits.wall < limits.time and given.values.get("time", usual.time) == limits.time:
        given.fault(f"wall ({limits.wall:g} s) is below time ({limits.time:g} s)", "wall")
    return limits


def _run(faults: Faults, document: dict[str, Any]) -> RunSpec:
    given = faults.table(document, "run")
    jobs = given.take("jobs", int, 1, check=up_to(MOST_JOBS))
    backend = given.take("backend", str, "loky", check=named("backend", BACKENDS))
    shuffle = given.take("shuffle", bool, True)
    options: dict[str, Any] = {}
    table = given.table("options")
    if table is not None:
        hints = {**_BACKEND_OPTIONS["any"], **_BACKEND_OPTIONS[backend]}
        options = {key: table.take(key, hint, None) for key, hint in hints.items()}
        table.close()
    given.close()
    options = {key: value for key, value in options.items() if value is not None}
    return RunSpec(jobs=jobs, backend=backend, options=options, shuffle=shuffle)


def _plain_name(name: str) -> str:
    return "" if _NAME.fullmatch(name) else f"{name!r} may hold letters, digits, '.', '_', '-' only"
