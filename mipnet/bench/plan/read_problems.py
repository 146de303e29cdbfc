"""Masks and problems of a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import MISSING, fields
from inspect import signature
from itertools import product
from typing import Any, get_type_hints

import numpy as np

from mipnet.bench import problems
from mipnet.bench.data import Data
from mipnet.bench.errors import Fault
from mipnet.bench.plan.check import REQUIRED, Faults, Table
from mipnet.bench.plan.checks import named, share
from mipnet.bench.plan.checks import seed as seed_check
from mipnet.bench.plan.model import MaskSpec, NetworkSpec, ProblemSpec
from mipnet.bench.plan.read_sources import data_name, take_training, unequal
from mipnet.bench.plan.types import convert, plain
from mipnet.bench.problems.base import PROBLEMS, Misfit, Problem
from mipnet.bench.registry import unknown_name
from mipnet.errors import MipnetError
from mipnet.network.readers import load
from mipnet.pruning import prune, pruner, pruners
from mipnet.pruning.registry import PRUNERS

#: Networks of a table whose own are all wrong: not all there are.
_NOBODY = ("",)

__all__ = ["problems", "read_masks", "read_problems"]


def read_masks(
    faults: Faults,
    document: dict[str, Any],
    networks: tuple[NetworkSpec, ...],
    data: Mapping[str, Data],
) -> tuple[tuple[MaskSpec, ...], bool]:
    """Masks of a plan, and whether the dense networks are asked too."""
    specs: list[MaskSpec] = []
    dense: bool | None = None
    for table in faults.rows(document, "masks"):
        if set(table.values) == {"dense"}:
            if dense is not None:
                table.fault("dense is said twice", "dense")
            dense = bool(table.take("dense", bool, True))
            continue
        specs += _masks(table, networks, data)
    return tuple(specs), dense is not False


def _masks(
    table: Table, networks: tuple[NetworkSpec, ...], data: Mapping[str, Data]
) -> Iterator[MaskSpec]:
    known = pruners()
    wrong = named("pruning method", (*known, "all"))
    chosen_methods = table.several("method", str, check=wrong)
    left_out = table.several("except", str, (), check=named("pruning method", known))
    keeps = table.several("keep", float, check=share)
    seeds = table.several("seeds", int, (0,), check=seed_check)
    options = table.take("options", dict, {})
    tuned = table.table("finetune")
    finetune = None if tuned is None else _finetune(tuned)
    chosen = _networks_of(table, networks)
    table.close()
    every = "all" in chosen_methods
    if every and len(chosen_methods) > 1:
        table.fault("method names 'all' beside others, which it includes", "method")
    methods = [m for m in (known if every else chosen_methods) if m not in left_out]
    for name in left_out:
        if not every and chosen_methods and name not in chosen_methods:
            place = table.place("except", name)
            table.fault(f"except names {name!r}, which is not among the methods", *place)
    if chosen_methods and not methods:
        table.fault("no method is left", "except")
    bare = _bare(table, networks, chosen, data)
    for method in methods:
        place = ("method",) if every else table.place("method", method)
        if not _takes(table, method, options):
            continue
        if set(PRUNERS[method].needs) & {"data", "gradients", "training"} and bare:
            table.fault(f"method {method!r} needs data, which {', '.join(bare)} have not", *place)
        for keep, seed in product(keeps, seeds):
            yield MaskSpec(method, keep, seed, options, finetune, chosen)
    if finetune is not None and bare:
        table.fault(f"fine-tuning needs data, which {', '.join(bare)} have not", "finetune")


def _takes(table: Table, method: str, options: Mapping[str, Any]) -> bool:
    """Whether a method takes its options; each that it does not is noted."""
    cls = PRUNERS[method]
    wrong: dict[str, str] = {}
    hints: dict[str, Any] = {}
    with suppress(NameError, TypeError):
        # Of a class whose hints cannot be resolved only the names of the options are known.
        hints = get_type_hints(cls)
    taken = tuple(signature(cls).parameters)
    for key, value in options.items():
        hint = plain(hints.get(key, object))
        if key == "random_state":
            wrong[key] = "random_state is set by seeds; leave it out"
        elif key not in taken:
            wrong[key] = unknown_name("option", key, taken)
        elif hint is not None:
            try:
                convert(value, hint, table.faults.folder)
            except TypeError as error:
                wrong[key] = f"{key} {error}"
    if options and not wrong:
        message = _trial(method, options)
        key = next((k for k in options if k in message), "")
        if key:
            wrong[key] = message
    for key, message in wrong.items():
        table.fault(f"method {method!r}: {message}", "options", key)
    return not wrong


def _trial(method: str, options: Mapping[str, Any]) -> str:
    """Return what a method says to its options when it is asked to prune a small network.

    Many options are words the method itself knows. One that trains is not tried: it takes long.
    """
    try:
        if "training" in PRUNERS[method].needs:
            pruner(method, random_state=0, **options)
            return ""
        rng = np.random.default_rng(0)
        weights = [rng.normal(size=(8, 8)) for _ in range(3)]
        network = load((weights, [rng.normal(size=8) for _ in weights]))
        points = rng.uniform(size=(16, 8))
        prune(network, method, keep=0.5, data=points, random_state=0, **options)
    except Exception as error:
        # Somebody else's code, asked about values that may be anything.
        return str(error)
    return ""


def _finetune(table: Table) -> dict[str, Any]:
    found = take_training(table, {})
    table.close()
    return found


def _bare(
    table: Table,
    networks: tuple[NetworkSpec, ...],
    chosen: tuple[str, ...],
    data: Mapping[str, Data],
) -> list[str]:
    """Networks without data, of which nothing has been said yet."""
    asked = [n for n in networks if n.name in (chosen or {n.name})]
    return [n.name for n in asked if n.data not in data and n.name not in table.faults.bare]


def read_problems(
    faults: Faults,
    document: dict[str, Any],
    networks: tuple[NetworkSpec, ...],
    data: Mapping[str, Data],
) -> tuple[ProblemSpec, ...]:
    """Problems of a plan; fields given as lists make several."""
    specs: list[ProblemSpec] = []
    for table in faults.rows(document, "problems"):
        specs += _problems(table, networks, data)
    names = [spec.name for spec in specs]
    for spec in specs:
        if names.count(spec.name) > 1:
            message = f"[[problems]]: two problems are called {spec.name!r}; give them name = ..."
            faults.found.append(Fault(spec.line, message))
    return tuple(specs)


def _problems(
    table: Table, networks: tuple[NetworkSpec, ...], data: Mapping[str, Data]
) -> Iterator[ProblemSpec]:
    kind = table.take("kind", str, check=named("kind", tuple(PROBLEMS)))
    name = table.take("name", str, "")
    source = data_name(table, data)
    chosen = _networks_of(table, networks)
    masks = table.take("masks", bool, None)
    if kind is None:
        # Of what kind it should be is not known, but what no kind has is wrong in any case.
        for key in dict.fromkeys(f.name for cls in PROBLEMS.values() for f in fields(cls)):
            table.take(key, Any, None)
        table.close()
        return
    cls = PROBLEMS[kind]
    if masks is None:
        # Networks an instance brings along seldom come with data to prune by.
        masks = not cls.brings_networks
    line = table.faults.lines.get(table.path, 0)
    before = len(table.faults.found)
    combinations = list(_options(table, cls))
    bare = _bare(table, networks, chosen, data)
    if cls.needs_data and bare and not table.meant("data"):
        table.fault(f"kind {kind!r} needs data, which {', '.join(bare)} have not", "kind")
    # What stands in for a value that was refused is not worth a second look.
    clean = len(table.faults.found) == before and not table.lacks
    table.close()
    asked = [n for n in networks if n.name in (chosen or {n.name})]
    for options, tag in combinations:
        try:
            problem = cls(**options)
        except TypeError:
            # A missing or wrong field has been reported.
            continue
        label = name or kind
        spec = ProblemSpec(f"{label} {tag}".strip(), problem, source, chosen, masks, line)
        together = list(problem.faults())
        for message in together:
            table.fault(message, next((k for k in options if k in message), "kind"))
        if clean and not together:
            _meet(table, spec, asked, data)
        yield spec


def _meet(
    table: Table, spec: ProblemSpec, networks: list[NetworkSpec], data: Mapping[str, Data]
) -> None:
    """Note what of a problem does not fit its data, or the networks asked."""
    problem = spec.problem
    meetings: dict[tuple[str | None, int | None], list[NetworkSpec]] = {}
    for network in networks:
        name = spec.data or network.data
        if spec.data and (wrong := unequal(network, spec.data, data[spec.data])):
            table.fault(wrong, "data")
        elif not (problem.needs_data and name not in data):
            meetings.setdefault((name, network.n_outputs), []).append(network)
    if problem.brings_networks:
        meetings = {(None, None): []}
    for (name, outputs), asked in meetings.items():
        own = data.get(name or "")
        whose = f" ({', '.join(n.name for n in asked)})" if asked else ""
        try:
            found: list[Misfit] = [(p, f"{m}{whose}") for p, m in problem.misfits(own, outputs)]
            found = found or [(("kind",), message) for message in _unlisted(problem, own)]
        except Exception as error:
            # Somebody else's problem kind.
            found = [(("kind",), f"{type(error).__name__}: {error}")]
        for path, message in found:
            key = str(path[0])
            value = getattr(problem, key, None)
            table.fault(message, *(path if len(path) > 1 else table.place(key, value)))


def _unlisted(problem: Problem, data: Data | None) -> Iterator[str]:
    """Say why the instances of a problem cannot be listed, or that there are none."""
    try:
        if not any(True for _ in problem.instances(data)):
            yield "there is nothing to ask: no instance"
    except (MipnetError, OSError, ValueError) as error:
        yield str(error)


def _options(table: Table, cls: type[Problem]) -> Iterator[tuple[dict[str, Any], str]]:
    """Every combination of the fields, and what tells it from the others."""
    hints = get_type_hints(cls)
    single: dict[str, Any] = {}
    several: dict[str, tuple[Any, ...]] = {}
    for f in fields(cls):
        if not f.init:
            continue
        default = REQUIRED if f.default is MISSING else f.default
        check, each = f.metadata.get("check"), f.metadata.get("each")
        unique = bool(f.metadata.get("unique"))
        if f.metadata.get("axis"):
            usual = default if default is REQUIRED else (default,)
            values = table.several(f.name, hints[f.name], usual, check=check)
            if values:
                several[f.name] = values
        else:
            hint = hints[f.name]
            taken = table.take(f.name, hint, default, check=check, each=each, unique=unique)
            single[f.name] = taken
    for values in product(*several.values()):
        chosen = dict(zip(several, values, strict=True))
        tag = " ".join(
            f"{key} {value}" if isinstance(value, int | float) else str(value)
            for key, value in chosen.items()
            if len(several[key]) > 1
        )
        yield {**single, **chosen}, tag


def _networks_of(table: Table, networks: tuple[NetworkSpec, ...]) -> tuple[str, ...]:
    """Networks by name, or by the name of the table several were made from."""
    known = tuple(n.name for n in networks)

    def of(name: str) -> list[str]:
        return [n for n in known if n == name or n.startswith(f"{name}-")]

    def wrong(name: str) -> str:
        bare = table.faults.bare
        if of(name) or "networks" in table.faults.broken:
            return ""
        every = tuple(sorted({*known, *bare}))
        good = name in bare or any(name.startswith(f"{b}-") for b in bare)
        return "" if good else f"names an {unknown_name('network', name, every)}"

    given = table.several("networks", str, (), check=wrong)
    if not given and "networks" in table.values:
        return _NOBODY
    return tuple(dict.fromkeys(n for name in given for n in of(name) or [name]))
