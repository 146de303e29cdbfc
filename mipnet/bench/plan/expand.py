"""From a plan to its tasks: the full factorial of everything it names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any

from mipnet.bench.errors import Fault, PlanError
from mipnet.bench.plan.model import ArraySpec, MaskSpec, NetworkSpec, Plan, ProblemSpec, SolverSpec
from mipnet.bench.plugins import version_of
from mipnet.bench.problems.base import Instance, Problem, options_of
from mipnet.bench.provenance import code_hash, file_hash, package_versions
from mipnet.bench.solvers import SOLVERS
from mipnet.bench.tasks import Kind, Task
from mipnet.errors import MipnetError
from mipnet.pruning.registry import PRUNERS


@dataclass(frozen=True)
class Matrix:
    """Everything a plan asks for.

    Attributes
    ----------
    networks, masks, costs, cells : tuple of Task
    """

    networks: tuple[Task, ...]
    masks: tuple[Task, ...]
    costs: tuple[Task, ...]
    cells: tuple[Task, ...]

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All of them, stage by stage."""
        return self.networks + self.masks + self.costs + self.cells


@dataclass(frozen=True)
class _Subject:
    """A network that is asked: what it is made of, and the dense one it comes from."""

    spec: NetworkSpec
    artefact: Task
    original: Task
    labels: Mapping[str, Any]


def expand(plan: Plan) -> Matrix:
    """List the tasks of a plan.

    Raises
    ------
    PlanError
        When instances cannot be listed: items a data set does not have, files that are missing.
    """
    return _Expansion(plan).run()


class _Expansion:
    """Tasks of a plan, made once each however often they are needed."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.data = {name: data.fingerprint for name, data in plan.data.items()}
        self.found: dict[str, Task] = {}
        self.hashes: dict[Path, str] = {}
        self.faults: list[Fault] = []
        self.asked = 0
        self.same: set[tuple[str, str]] = set()

    def run(self) -> Matrix:
        plan = self.plan
        subjects = [s for spec in plan.networks for s in self.subjects(spec, plan.masks)]
        for problem in plan.problems:
            self.asked = 0
            try:
                self.ask(problem, subjects)
                if not self.asked:
                    message = "asks nothing: masks, networks and dense = false leave no network"
                    self.faults.append(
                        Fault(problem.line, f"[[problems]] {problem.name}: {message}")
                    )
            except (MipnetError, OSError, ValueError) as error:
                self.faults.append(Fault(problem.line, f"[[problems]] {problem.name}: {error}"))
        for subject, array in product(subjects, plan.arrays):
            self.cost(subject, array)
        if self.faults:
            raise PlanError(plan.path.name, self.faults)
        kinds: tuple[Kind, ...] = ("network", "mask", "cost", "solve")
        by_kind = (tuple(t for t in self.found.values() if t.kind == kind) for kind in kinds)
        return Matrix(*by_kind)

    def add(self, task: Task) -> Task:
        """File a task, once: two ways to the same thing are one thing."""
        return self.found.setdefault(task.id, task)

    def subjects(self, spec: NetworkSpec, masks: Iterable[MaskSpec]) -> list[_Subject]:
        """List the network itself, and everything pruned from it."""
        dense = self.network(spec)
        found = []
        if self.plan.dense:
            found.append(_Subject(spec, dense, dense, dense.labels))
        for mask in masks:
            if spec.name in (mask.networks or {spec.name}):
                task = self.mask(spec, dense, mask)
                found.append(_Subject(spec, task, dense, task.labels))
        return found

    def network(self, spec: NetworkSpec) -> Task:
        """Task that trains a network, or takes it from its file."""
        labels = {"network": spec.name, "method": "dense"}
        limits = self.plan.limits
        common: dict[str, Any] = {"wall": limits.prune_wall, "memory_mb": limits.memory_mb}
        if spec.file is not None:
            key: dict[str, Any] = {"file": self.hash(spec.file), "suffix": _suffix(spec.file)}
            common["files"] = {"network": str(spec.file)}
            versions = self.versions("mipnet")
        else:
            key = {"hidden": list(spec.hidden), "training": dict(spec.training)}
            versions = self.versions("mipnet", "numpy", "torch")
        key["data"] = self.data.get(spec.data or "")
        return self.add(Task.make("network", key, versions=versions, labels=labels, **common))

    def mask(self, spec: NetworkSpec, dense: Task, mask: MaskSpec) -> Task:
        """Task that prunes a network."""
        method = PRUNERS[mask.method]
        key = {
            "method": mask.method,
            "keep": mask.keep,
            "seed": mask.seed,
            "options": dict(mask.options),
            "finetune": None if mask.finetune is None else dict(mask.finetune),
            "data": self.data.get(spec.data or ""),
        }
        trains = mask.finetune is not None or "training" in method.needs
        # Methods may solve programs, or use whatever else mipnet does.
        packages = ("mipnet", "numpy", "scipy", "highspy", *(("torch",) if trains else ()))
        return self.add(
            Task.make(
                "mask",
                key,
                needs={"network": dense},
                versions=self.versions(*packages) | version_of(method.__module__),
                labels={
                    "network": spec.name,
                    "method": mask.method,
                    "keep": mask.keep,
                    "mask_seed": mask.seed,
                },
                wall=self.plan.limits.prune_wall,
                memory_mb=self.plan.limits.memory_mb,
            )
        )

    def cost(self, subject: _Subject, array: ArraySpec) -> None:
        """Task that costs a mask on an array."""
        key: dict[str, Any] = {"array": dict(array.options)}
        if array.files:
            key["files"] = {role: self.hash(path) for role, path in array.files.items()}
        self.add(
            Task.make(
                "cost",
                key,
                needs={"network": subject.artefact},
                versions=self.versions("mipnet"),
                labels={**subject.labels, "array": array.name},
                files={role: str(path) for role, path in array.files.items()},
                memory_mb=self.plan.limits.memory_mb,
            )
        )

    def ask(self, spec: ProblemSpec, subjects: list[_Subject]) -> None:
        """Tasks that put every question of a problem to every network."""
        if spec.problem.brings_networks:
            for instance in spec.problem.instances(None):
                for subject in self.brought(spec, instance):
                    self.put(spec, instance, subject, None)
            return
        chosen = [s for s in subjects if s.spec.name in (spec.networks or {s.spec.name})]
        if not spec.masks:
            chosen = [s for s in chosen if s.artefact.kind == "network"]
        for name in dict.fromkeys(spec.data or s.spec.data for s in chosen):
            data = self.plan.data.get(name or "")
            instances = list(spec.problem.instances(data))
            for subject in chosen:
                if (spec.data or subject.spec.data) == name:
                    for instance in instances:
                        self.put(spec, instance, subject, name)

    def brought(self, spec: ProblemSpec, instance: Instance) -> list[_Subject]:
        """Networks an instance names itself."""
        if instance.network is None:
            msg = f"{instance.name} names no network"
            raise ValueError(msg)
        own = NetworkSpec(instance.network.stem, file=instance.network)
        return self.subjects(own, [m for m in self.plan.masks if spec.masks and not m.networks])

    def put(
        self, spec: ProblemSpec, instance: Instance, subject: _Subject, data: str | None
    ) -> None:
        """Every way of answering one question about one network."""
        plan = self.plan
        needs = {"network": subject.artefact}
        if subject.artefact is not subject.original:
            needs["original"] = subject.original
        time = min(plan.limits.time, instance.time_limit or plan.limits.time)
        asked = {
            "problem": {"kind": spec.problem.kind, **options_of(spec.problem)},
            "instance": dict(instance.options),
            "files": {role: self.hash(path) for role, path in instance.files.items()},
            "data": self.data.get(data or ""),
            "permute": plan.permute,
            "restarts": plan.restarts,
            "threads": 1,
            "time_limit": time,
            "wall": plan.limits.wall,
            "memory_mb": plan.limits.memory_mb,
        }
        files = {role: str(path) for role, path in instance.files.items()}
        ways = product(plan.formulations, plan.bounds, plan.solvers, plan.seeds)
        for formulation, bounds, solver, seed in ways:
            way = {
                "formulation": formulation,
                "bounds": bounds,
                "solver": {
                    "name": solver.name,
                    "profile": solver.profile,
                    "options": dict(solver.options),
                },
                "seed": seed,
            }
            labels = {
                **subject.labels,
                "kind": spec.problem.kind,
                "problem": spec.name,
                "instance": instance.name,
                "formulation": formulation,
                "bounds": bounds,
                "solver": solver.label,
                "seed": seed,
            }
            task = Task.make(
                "solve",
                {**asked, **way},
                needs=needs,
                versions=self.solve_versions(spec.problem, solver),
                labels=labels,
                files=files,
                wall=plan.limits.wall,
                memory_mb=plan.limits.memory_mb,
            )
            self.asked += 1
            self.once(spec, str(self.add(task).labels["problem"]), instance)

    def once(self, spec: ProblemSpec, known_as: str, instance: Instance) -> None:
        """Note a question that another problem asks too: it would stand under one name only."""
        # Families of files may well hold one question twice.
        same = known_as == spec.name or instance.network is not None
        if same or (spec.name, known_as) in self.same:
            return
        self.same.add((spec.name, known_as))
        line = next((p.line for p in self.plan.problems if p.name == known_as), 0)
        message = f"{instance.name} is asked by {known_as!r} (line {line}) already"
        self.faults.append(Fault(spec.line, f"[[problems]] {spec.name}: {message}"))

    def solve_versions(self, problem: Problem, solver: SolverSpec) -> dict[str, str]:
        """Software an answer depends on."""
        found = self.versions("mipnet", "numpy", "scipy")
        found[solver.name] = SOLVERS[solver.name].version()
        return found | version_of(type(problem).__module__)

    def versions(self, *packages: str) -> dict[str, str]:
        """Versions of some packages; with ``pin_code`` the code of mipnet itself too."""
        known = package_versions()
        found = {name: known[name] for name in packages if name in known}
        return found | {"code": code_hash()} if self.plan.pin_code else found

    def hash(self, path: Path) -> str:
        """Content of a file, read once."""
        if path not in self.hashes:
            self.hashes[path] = file_hash(path)
        return self.hashes[path]


def shape_of(matrix: Matrix) -> dict[str, int]:
    """How many different values every label of the cells takes."""
    values: dict[str, set[Any]] = {}
    # Those of pruned networks name the most.
    for task in sorted(matrix.cells, key=lambda t: -len(t.labels)):
        for name, value in task.labels.items():
            values.setdefault(name, set()).add(value)
    return {name: len(found) for name, found in values.items()}


def factors_of(matrix: Matrix) -> dict[str, int]:
    """How many networks, questions and ways of answering one the cells are made of."""
    parts = {
        "questions": ("problem", "instance"),
        "ways": ("formulation", "bounds", "solver", "seed"),
    }
    found: dict[str, set[Any]] = {"networks": {task.needs[0] for task in matrix.cells}}
    for name, labels in parts.items():
        found[name] = {tuple(task.labels[label] for label in labels) for task in matrix.cells}
    return {name: len(values) for name, values in found.items()}


def problem_from(kind: type[Problem], options: Mapping[str, Any]) -> Problem:
    """Problem from its options as a task carries them; files come with the instance."""
    names = {f.name for f in fields(kind) if f.init}
    given = {k: _tupled(v) for k, v in options.items() if k in names}
    for f in fields(kind):
        if f.init and f.metadata.get("path"):
            given.setdefault(f.name, Path())
    return kind(**given)


def _tupled(value: Any) -> Any:
    return tuple(_tupled(v) for v in value) if isinstance(value, list) else value


def _suffix(path: Path) -> str:
    return "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
