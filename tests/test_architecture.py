"""The house of design.md, section 2: imports point down, optional packages load on use."""

from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

import formulations
import mipnet

ROOT = Path(mipnet.__file__).parent.parent
FILES = sorted(
    path
    for package in (mipnet, formulations)
    for path in Path(package.__file__).parent.rglob("*.py")
)
NAMES = [path.relative_to(ROOT).as_posix() for path in FILES]

#: Floor of every unit; a unit is a top-level package, or a module or package of ``mipnet``.
FLOORS = {
    "formulations": 1,
    "mipnet.graph": 1,
    "mipnet.errors": 1,
    "mipnet.arguments": 1,
    "mipnet.rounding": 1,
    "mipnet.clocks": 1,
    "mipnet.plugins": 1,
    "mipnet.threads": 1,
    "mipnet.network": 2,
    "mipnet.region": 2,
    "mipnet.solver": 2,
    "mipnet.choice": 3,
    "mipnet.encode": 3,
    "mipnet.pruning": 4,
    "mipnet.bounds": 4,
    "mipnet.hardware": 4,
    "mipnet.search": 5,
    "mipnet.embedding": 5,
    "mipnet.certify": 6,
    "mipnet.bench": 6,
    "mipnet.learning": 6,
    "mipnet.testing": 6,
    "mipnet": 6,  # the public face
    "mipnet.cli": 7,
    "mipnet.__main__": 7,
}
SOLVERS = {"highspy", "gurobipy", "pyscipopt"}
#: What a unit must never know, beside everything above it.
FORBIDDEN = {
    "formulations": {"mipnet", "torch", "pyomo", "onnx", *SOLVERS},
    "mipnet.network": {"mipnet.solver", "pyomo", *SOLVERS},
    "mipnet.region": {"mipnet.solver", "pyomo", *SOLVERS},
    "mipnet.solver": {"mipnet.network", "mipnet.region", "pyomo", "torch"},
    "mipnet.choice": {"mipnet.pruning", "mipnet.solver", "pyomo", *SOLVERS},
    "mipnet.encode": {"mipnet.pruning", "mipnet.solver", "pyomo", *SOLVERS},
    "mipnet.pruning": {"mipnet.encode", "mipnet.solver", "formulations", "pyomo", *SOLVERS},
    "mipnet.bounds": {"mipnet.pruning", "pyomo"},
    "mipnet.hardware": {"pyomo"},
    "mipnet.search": {"mipnet.pruning", "pyomo"},
    "mipnet.embedding": {"mipnet.pruning"},
    "mipnet.bench": SOLVERS,
    "mipnet.learning": SOLVERS,
    "mipnet.cli": {"numpy", "scipy", *SOLVERS},
}


def unit(module: str) -> str:
    """The unit a module belongs to: ``mipnet.bounds.crown`` is part of ``mipnet.bounds``."""
    parts = module.split(".")
    return ".".join(parts[: 2 if parts[0] == "mipnet" else 1])


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[str]:
    """Every module a file imports, wherever the statement stands; relative names resolved."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module_name(path).split(".")
            if path.name != "__init__.py":
                package = package[:-1]
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from (
                f"{source}.{alias.name}" if source in {"mipnet", *mipnet_packages()} else source
                for alias in node.names
            )


@cache
def mipnet_packages() -> set[str]:
    """Packages whose members may be modules themselves."""
    return {module_name(path) for path in FILES if path.name == "__init__.py"}


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_imports_point_down(path: Path) -> None:
    home = unit(module_name(path))
    assert home in FLOORS, f"{home} has no floor: place it in design.md and in FLOORS"
    for target in imported(path):
        if target.split(".")[0] not in {"mipnet", "formulations"} or unit(target) == home:
            continue
        other = unit(target) if unit(target) in FLOORS else "mipnet"
        assert FLOORS[other] <= FLOORS[home], f"{home} imports {target}, which lies above it"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_floor_knows_only_what_it_may(path: Path) -> None:
    forbidden = FORBIDDEN.get(unit(module_name(path)), set())
    for target in imported(path):
        prefixes = {target.split(".")[0], unit(target)}
        assert not prefixes & forbidden, f"{module_name(path)} must not know {target}"


def test_the_checks_see_imports() -> None:
    encode = next(
        path for path, name in zip(FILES, NAMES, strict=True) if name.endswith("encode.py")
    )
    seen = {unit(target) for target in imported(encode)}
    assert {"formulations", "mipnet.errors", "mipnet.network", "mipnet.region", "numpy"} <= seen


def test_upper_floors_use_the_public_face_of_the_solver() -> None:
    inside = {module_name(path) for path in FILES} - {"mipnet.solver"}
    inside = {name for name in inside if name.startswith("mipnet.solver.")}
    for path in FILES:
        if FLOORS.get(unit(module_name(path)), 0) in {6, 7}:
            assert not inside & set(imported(path)), module_name(path)


def test_units_of_one_floor_form_no_circle() -> None:
    graph: dict[str, set[str]] = {name: set() for name in FLOORS}
    for path in FILES:
        home = unit(module_name(path))
        graph.setdefault(home, set())
        graph[home] |= {unit(t) for t in imported(path) if unit(t) in FLOORS} - {home, "mipnet"}
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_everything_public_is_documented(path: Path) -> None:
    tree = tree_of(path)
    bare = [] if ast.get_docstring(tree) else [module_name(path)]

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
            if not isinstance(child, kinds) or child.name.startswith("_"):
                continue
            if not ast.get_docstring(child):
                bare.append(f"{prefix}{child.name}")
            if isinstance(child, ast.ClassDef):
                visit(child, f"{prefix}{child.name}.")

    visit(tree, "")
    assert not bare


@pytest.mark.parametrize("module", ["mipnet", "formulations"])
def test_import_is_light(module: str) -> None:
    optional = (
        ["torch", "onnx", "onnxruntime", "sklearn", "pandas", "pyarrow", "matplotlib", "plotly"]
        + ["pyomo", "transformers", "jinja2", "joblib"]
        + (["mipnet", "highspy", "networkx"] if module == "formulations" else [])
    )
    code = f"import sys, {module}; print(*(m for m in {optional!r} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize("package", ["mipnet", "formulations", "mipnet.bounds", "mipnet.solver"])
def test_every_public_name_resolves(package: str) -> None:
    module = import_module(package)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert sorted(set(module.__all__)) == sorted(module.__all__)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_nothing_is_unpickled(path: Path) -> None:
    tree = tree_of(path)
    roots = {target.split(".")[0] for target in imported(path)}
    assert not roots & {"pickle", "cloudpickle", "dill", "shelve", "marshal"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                loose = isinstance(keyword.value, ast.Constant) and (
                    (keyword.arg == "allow_pickle" and keyword.value.value is not False)
                    or (keyword.arg == "weights_only" and keyword.value.value is not True)
                )
                assert not loose, f"line {node.lineno} allows unpickling"


@pytest.mark.parametrize("package", ["mipnet", "mipnet.bench"])
def test_no_module_hides_a_public_function(package: str) -> None:
    """Importing a module sets its name on the package, over what the package gives by that name."""
    found = import_module(package)
    for module in pkgutil.iter_modules(found.__path__):
        if module.name in found._PUBLIC:
            assert found._PUBLIC[module.name] == f"{package}.{module.name}"
            assert getattr(found, module.name).__name__ == f"{package}.{module.name}"
