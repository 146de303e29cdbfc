"""What a result was made with: software, machine, state of the repository."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import mipnet
from mipnet.bench.plugins import load_plugins

#: Distributions whose version is recorded with every run.
RECORDED = (
    "mipnet",
    "numpy",
    "scipy",
    "pyomo",
    "highspy",
    "torch",
    "onnx",
    "onnxruntime",
    "scikit-learn",
    "joblib",
    "psutil",
    "pandas",
    "pyarrow",
    "dask",
    "distributed",
    "ray",
)
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_CPUINFO = Path("/proc/cpuinfo")


@cache
def package_versions() -> dict[str, str]:
    """Versions of Python, of the recorded distributions that are installed, and of plug-ins."""
    found = {"python": platform.python_version()}
    for name in RECORDED:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found | {plugin.package: plugin.version for plugin in load_plugins()}


@cache
def code_hash() -> str:
    """SHA-256 over the sources of mipnet that can change an answer; not the runner, not the CLI."""
    root = Path(mipnet.__file__).parent
    aside = {root / "bench", root / "cli"}
    digest = hashlib.sha256()
    # Both packages come with one distribution and lie side by side.
    for folder in (root, root.parent / "formulations"):
        for path in sorted(folder.rglob("*.py")):
            if not aside & set(path.parents):
                digest.update(path.relative_to(folder.parent).as_posix().encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def node() -> str:
    """Pseudonym of this machine: tells machines apart without naming them."""
    return hashlib.sha256(f"{platform.node()} {_machine_id()}".encode()).hexdigest()[:12]


@cache
def machine() -> dict[str, Any]:
    """Processor, cores, memory and governor; ``node`` tells machines apart without naming them."""
    import psutil

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "node": node(),
        "cpu": _cpu_model(),
        "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
        "logical_cores": os.cpu_count(),
        "usable_cores": usable,
        "memory_mb": round(psutil.virtual_memory().total / 2**20),
        "governor": _text(_GOVERNOR),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


@cache
def repository() -> dict[str, Any]:
    """Commit of the checkout mipnet runs from, and whether it is dirty; empty when installed."""
    root = Path(mipnet.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return {}
    commit = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return {} if commit is None else {"commit": commit, "dirty": bool(changed)}


def run_provenance(label: str | None = None) -> dict[str, Any]:
    """Everything that is the same for all cells of a run.

    Parameters
    ----------
    label : str, optional
        Name of the host, given by its user; none is taken unasked.
    """
    return {
        "versions": package_versions(),
        "machine": machine(),
        "repository": repository(),
        "code": code_hash(),
        "executable": Path(sys.executable).name,
        "host": label,
    }


def load_average() -> float | None:
    """Average number of runnable processes over the last minute, where the system tells."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def file_hash(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _git(root: Path, *arguments: str) -> str | None:
    # A checkout without git, or of another owner, is no reason to stop.
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(root), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        return done.stdout.strip()
    return None


def _cpu_model() -> str:
    for line in (_text(_CPUINFO) or "").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _machine_id() -> str:
    return _text(Path("/etc/machine-id")) or ""


def _text(path: Path) -> str | None:
    with suppress(OSError):
        return path.read_text(encoding="utf-8").strip()
    return None
