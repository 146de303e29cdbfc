"""Plans, plug-ins and networks for the tests of the runner."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from mipnet.network.readers import load, save_npz

HERE = Path(__file__).parent
#: A network that needs no training: 3 inputs, 6 hidden units, 2 classes.
NAPS = """
[plan]
name = "naps"
[networks.tiny]
file = "tiny.npz"
[[problems]]
kind = "nap"
count = {count}
seconds = {seconds}
[limits]
time = 5
wall = {wall}
memory_mb = 1500
"""


def install(package: str, site: Path) -> None:
    """Put a package of the tests where Python finds it, with its entry points.

    The same files as after ``pip install``, without asking any index for a build back end.
    """
    source = HERE / package
    project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for folder in source.iterdir():
        if folder.is_dir() and folder.name.startswith("mipnet_"):
            shutil.copytree(
                folder, site / folder.name, ignore=shutil.ignore_patterns("__pycache__")
            )
    name, version = project["name"].replace("-", "_"), project["version"]
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {version}\n", encoding="utf-8"
    )
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def tiny(path: Path, seed: int = 0, widths: tuple[int, ...] = (3, 6, 2)) -> Path:
    """Write a small random network."""
    rng = np.random.default_rng(seed)
    pairs = list(pairwise(widths))
    weights = [rng.normal(size=(b, a)) for a, b in pairs]
    save_npz(load((weights, [rng.normal(size=b) for _, b in pairs])), path)
    return path


def plan_file(folder: Path, text: str, name: str = "plan.toml") -> Path:
    """Write a plan beside its network."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "tiny.npz").exists():
        tiny(folder / "tiny.npz")
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def environment(site: Path | None = None) -> dict[str, str]:
    """Variables for a process that sees the plug-ins."""
    paths = [str(site)] if site else []
    paths += [p for p in [os.environ.get("PYTHONPATH")] if p]
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


def command(*arguments: object) -> list[str]:
    """Command line of ``mipnet bench``."""
    start = [sys.executable, "-c", "from mipnet.cli import main; main()", "bench"]
    return [*start, *map(str, arguments)]


def bench(*arguments: object, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``mipnet bench`` in a process of its own."""
    return subprocess.run(
        command(*arguments),
        env=environment(site),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def records(folder: Path, name: str = "cells") -> dict[str, dict[str, Any]]:
    """Records of a results folder by task."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((folder / name).glob("*.json"))
    }


def toml_text(document: dict[str, Any]) -> str:
    """Document as TOML, every key and every entry of a list on a line of its own."""
    lines: list[str] = []
    sections = [(name, value) for name, value in document.items() if not _inline(name, value)]
    lines += [f"{_key(k)} = {_value(v)}" for k, v in document.items() if _inline(k, v)]
    for name, value in sections:
        nested = value.items() if name in {"data", "networks"} else ()
        tables = [(f"[{_key(name)}.{_key(n)}]", table) for n, table in nested]
        if isinstance(value, list):
            tables = [(f"[[{_key(name)}]]", table) for table in value]
        for header, table in tables or [(f"[{_key(name)}]", value)]:
            lines += [header, *(f"{_key(k)} = {_value(v)}" for k, v in table.items())]
    return "\n".join(lines) + "\n"


def _inline(name: str, value: Any) -> bool:
    """Whether the value of a section is written behind a sign of equality."""
    if isinstance(value, list):
        return not value or not all(isinstance(v, dict) for v in value)
    nested = name in {"data", "networks"} and isinstance(value, dict)
    return not isinstance(value, dict) or (
        nested and not all(isinstance(v, dict) for v in value.values())
    )


def _key(name: str) -> str:
    return json.dumps(name)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ",".join(f"\n{_value(v)}" for v in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, float):
        return repr(value)
    return value.isoformat() if isinstance(value, date) else json.dumps(value)
