"""Masks and problems of a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from itertools import product
from typing import Any, get_type_hints

from mipnet.bench import problems
from mipnet.bench.data import Data
from mipnet.bench.errors import Fault
from mipnet.bench.plan.check import REQUIRED, Faults, Table
from mipnet.bench.plan.model import MaskSpec, NetworkSpec, ProblemSpec
from mipnet.bench.plan.read_sources import data_name
from mipnet.bench.problems.base import PROBLEMS, Problem
from mipnet.bench.registry import unknown_name
from mipnet.errors import MipnetError
from mipnet.pruning import pruner, pruners
from mipnet.pruning.registry import PRUNERS

__all__ = ["problems", "read_masks", "read_problems"]


def read_masks(
    faults: Faults,
    document: dict[str, Any],
    networks: tuple[NetworkSpec, ...],
    data: Mapping[str, Data],
) -> tuple[tuple[MaskSpec, ...], bool]:
    """Masks of a plan, and whether the dense networks are asked too."""
    specs: list[MaskSpec] = []
    dense = True
    for table in faults.rows(document, "masks"):
        if "dense" in table.values and set(table.values) == {"dense"}:
            dense = bool(table.take("dense", bool, True))
            continue
        specs += _masks(table, networks, data)
    return tuple(specs), dense


def _masks(
    table: Table, networks: tuple[NetworkSpec, ...], data: Mapping[str, Data]
) -> Iterator[MaskSpec]:
    known = pruners()

    def wrong(name: str) -> str:
        good = name in known or name == "all"
        return "" if good else f"names an {unknown_name('pruning method', name, known)}"

    methods = table.several("method", str, check=wrong)
    left_out = table.several("except", str, (), check=wrong)
    if "all" in methods:
        methods = known
    methods = tuple(m for m in methods if m not in left_out)
    keeps = table.several("keep", float, check=_share)
    seeds = table.several("seeds", int, (0,))
    options = table.take("options", dict, {})
    tuned = table.table("finetune")
    finetune = None if tuned is None else _finetune(tuned)
    chosen = _networks_of(table, networks)
    table.close()
    for method in methods:
        try:
            pruner(method, random_state=0, **options)
        except (MipnetError, TypeError, ValueError) as error:
            table.fault(f"method {method!r}: {error}", "options")
            continue
        needs = set(PRUNERS[method].needs)
        bare = [n.name for n in networks if n.data not in data and n.name in (chosen or {n.name})]
        if needs & {"data", "gradients", "training"} and bare:
            table.fault(f"method {method!r} needs data, which {', '.join(bare)} have not", "method")
        if finetune is not None and bare:
            table.fault(f"fine-tuning needs data, which {', '.join(bare)} have not", "finetune")
        for keep, seed in product(keeps, seeds):
            yield MaskSpec(method, keep, seed, options, finetune, chosen)


def _finetune(table: Table) -> dict[str, Any]:
    hints: dict[str, Any] = {"epochs": int, "lr": float, "batch_size": int}
    found = {key: table.take(key, hint, None) for key, hint in hints.items()}
    table.close()
    return {key: value for key, value in found.items() if value is not None}


def _share(keep: float) -> str:
    return "" if 0.0 <= keep <= 1.0 else f"must lie in [0, 1], not {keep!r}"


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
    known = tuple(PROBLEMS)
    kind = table.take(
        "kind",
        str,
        check=lambda n: "" if n in PROBLEMS else f"names an {unknown_name('kind', n, known)}",
    )
    name = table.take("name", str, "")
    source = data_name(table, data)
    chosen = _networks_of(table, networks)
    masks = table.take("masks", bool, None)
    if kind is None:
        return
    cls = PROBLEMS[kind]
    if masks is None:
        # Networks an instance brings along seldom come with data to prune by.
        masks = not cls.brings_networks
    line = table.faults.lines.get(table.path, 0)
    if cls.needs_data and source is None and "data" not in table.values:
        bare = [n.name for n in networks if n.data is None and n.name in (chosen or {n.name})]
        if bare:
            table.fault(f"kind {kind!r} needs data, which {', '.join(bare)} have not", "kind")
    combinations = list(_options(table, cls))
    table.close()
    for options, tag in combinations:
        try:
            problem = cls(**options)
        except TypeError:
            # A missing or wrong field has been reported.
            continue
        for message in problem.faults():
            table.fault(message, next((k for k in options if k in message), "kind"))
        label = name or kind
        yield ProblemSpec(f"{label} {tag}".strip(), problem, source, chosen, masks, line)


def _options(table: Table, cls: type[Problem]) -> Iterator[tuple[dict[str, Any], str]]:
    """Every combination of the fields, and what tells it from the others."""
    hints = get_type_hints(cls)
    single: dict[str, Any] = {}
    several: dict[str, tuple[Any, ...]] = {}
    for f in fields(cls):
        if not f.init:
            continue
        required = f.default is MISSING
        check = f.metadata.get("check")
        default = REQUIRED if required else f.default
        if f.metadata.get("axis"):
            values = table.several(
                f.name, hints[f.name], default if required else (f.default,), check=check
            )
            if values:
                several[f.name] = values
        else:
            single[f.name] = table.take(f.name, hints[f.name], default, check=check)
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

    given = table.several(
        "networks",
        str,
        (),
        check=lambda n: "" if of(n) else f"names an {unknown_name('network', n, known)}",
    )
    return tuple(dict.fromkeys(n for name in given for n in of(name)))
