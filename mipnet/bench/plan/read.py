"""From a plan file to a :class:`Plan`: everything wrong with it is reported at once."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from formulations import formulation, formulations
from mipnet.bench.errors import Fault, PlanError
from mipnet.bench.plan.check import Faults, Table
from mipnet.bench.plan.lines import line_numbers
from mipnet.bench.plan.model import ArraySpec, Limits, Plan, RunSpec, SolverSpec
from mipnet.bench.plan.read_problems import read_masks, read_problems
from mipnet.bench.plan.read_sources import read_data, read_networks
from mipnet.bench.plugins import load_plugins
from mipnet.bench.registry import unknown_name
from mipnet.bench.solvers import SOLVERS
from mipnet.bench.solvers.listen import PROFILES
from mipnet.bounds import METHODS
from mipnet.solver import option_faults

#: joblib backends a plan may name.
BACKENDS = ("loky", "dask", "ray")
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
    for plugin in load_plugins():
        if plugin.fault:
            faults.add((), str(plugin))
    for key in document:
        if key not in _SECTIONS:
            faults.add((key,), unknown_name("section", key, _SECTIONS))
    plan = _assemble(file, text, document, faults)
    if faults.found:
        raise PlanError(file.name, faults.found)
    return plan


def _assemble(file: Path, text: str, document: dict[str, Any], faults: Faults) -> Plan:
    head = faults.table(document, "plan")
    name = head.take("name", str, file.stem, check=_plain_name) or file.stem
    seed = head.take("seed", int, 0, check=_not_negative)
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
        bounds=solve.several("bounds", str, ("lp",), check=_one_of("bounding method", METHODS)),
        restarts=solve.take("restarts", int, None, check=_positive),
        permute=solve.take("permute", bool, False),
        seeds=solve.several("seeds", int, (0,), check=_not_negative),
        solvers=_solvers(faults, document),
        arrays=_arrays(faults, document),
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
    specs = []
    profiles = ("auto", *PROFILES)
    for row in faults.rows(document, "solvers"):
        name = row.take("name", str, "highs", check=_one_of("solver", tuple(SOLVERS)))
        label = row.take("label", str, "")
        chosen = row.several("profile", str, ("auto",), check=_one_of("profile", profiles))
        options = row.take("options", dict, {})
        for key, message in option_faults(options) if name == "highs" else ():
            row.fault(f"options: {message}", "options", key)
        row.close()
        for profile in chosen:
            base = label or name
            tag = base if profile == "auto" and len(chosen) == 1 else f"{base}/{profile}"
            specs.append(SolverSpec(tag, name, profile, options))
        if len({s.label for s in specs}) < len(specs):
            row.fault("two solvers have the same label; give them label = ...")
    return tuple(specs) or (SolverSpec(),)


def _arrays(faults: Faults, document: dict[str, Any]) -> tuple[ArraySpec, ...]:
    from mipnet.bench.array_cost import array_faults

    specs = []
    for row in faults.rows(document, "hardware"):
        options = {key: value for key, value in row.values.items() if key != "name"}
        dataflows = options.get("dataflow", "ws")
        for flow in dataflows if isinstance(dataflows, list) else [dataflows]:
            chosen = {**options, "dataflow": flow}
            given = row.values.get("name")
            size = options.get("array", "?")
            several = isinstance(dataflows, list)
            name = f"{given}-{flow}" if given and several else str(given or f"{size}-{flow}")
            specs.append(ArraySpec(name, chosen))
            for message in array_faults(chosen):
                row.fault(message, "array")
        if len({s.name for s in specs}) < len(specs):
            row.fault("two arrays have the same name; give them name = ...")
    return tuple(specs)


def _limits(faults: Faults, document: dict[str, Any]) -> Limits:
    given = faults.table(document, "limits")
    usual = Limits()
    time = given.take("time", float, usual.time, check=_positive)
    limits = Limits(
        time=time,
        # Solvers overrun their limit in presolve or at the root; more than this is no overrun.
        wall=given.take("wall", float, 1.2 * (time or usual.time) + 30.0, check=_positive),
        prune_wall=given.take("prune_wall", float, usual.prune_wall, check=_positive),
        memory_mb=given.take("memory_mb", int, usual.memory_mb, check=_positive),
    )
    given.close()
    if limits.wall < limits.time and given.values.get("time", usual.time) == limits.time:
        given.fault(f"wall ({limits.wall:g} s) is below time ({limits.time:g} s)", "wall")
    return limits


def _run(faults: Faults, document: dict[str, Any]) -> RunSpec:
    given = faults.table(document, "run")
    spec = RunSpec(
        jobs=given.take("jobs", int, 1, check=_positive),
        backend=given.take("backend", str, "loky", check=_one_of("backend", BACKENDS)),
        options=given.take("options", dict, {}),
        shuffle=given.take("shuffle", bool, True),
    )
    given.close()
    return spec


def _plain_name(name: str) -> str:
    return "" if _NAME.fullmatch(name) else f"{name!r} may hold letters, digits, '.', '_', '-' only"


def _positive(value: float | None) -> str:
    good = value is None or 0 < value < math.inf
    return "" if good else f"must be above 0 and finite, not {value!r}"


def _not_negative(value: int) -> str:
    return "" if 0 <= value < 2**31 else f"must lie in 0..{2**31 - 1}, not {value!r}"


def _one_of(what: str, known: tuple[str, ...]) -> Callable[[str], str]:
    return lambda name: "" if name in known else f"names an {unknown_name(what, name, known)}"
