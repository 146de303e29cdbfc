"""``mipnet doctor``: passes here, and fails when it should."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pytest
from click.testing import CliRunner

import mipnet.solver
from mipnet.bench import environment
from mipnet.cli import main
from mipnet.errors import SolverError
from mipnet.solver.version import refuse_known_bad


def examine() -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit status and checks by name; the last one of a name counts."""
    result = CliRunner().invoke(main, ["doctor", "--json"])
    found = json.loads(result.stdout)
    assert found["ok"] == (result.exit_code == 0)
    return result.exit_code, {check["name"]: check for check in found["checks"]}


def test_passes_here() -> None:
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0
    assert "all checks passed" in result.stdout
    assert result.stdout.count("smoke test") == 3
    assert f"numpy {'':>18}  {version('numpy')}" in result.stdout


def test_known_bad_solver_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mipnet.solver, "highs_version", lambda: refuse_known_bad("1.14.0"))
    status, checks = examine()
    assert status == 1
    assert not checks["HiGHS"]["ok"]
    assert "1.14.0" in checks["HiGHS"]["detail"]
    assert not any(name.startswith("smoke") for name in checks)


@pytest.mark.parametrize("wrong", ["bound", "objective"])
def test_wrong_answers_fail(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    right = mipnet.solver.solve

    def liar(*args: Any, **options: Any) -> mipnet.solver.Solution:
        found = right(*args, **options)
        return replace(found, **{wrong: getattr(found, wrong) + 1e-3})

    monkeypatch.setattr(mipnet.solver, "solve", liar)
    status, checks = examine()
    assert status == 1
    assert not checks["smoke test, 2 threads"]["ok"]
    assert "0.9375" in checks["smoke test, 2 threads"]["detail"]


def test_failing_solver_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **options: Any) -> mipnet.solver.Solution:
        msg = "HiGHS refused the model"
        raise SolverError(msg)

    monkeypatch.setattr(mipnet.solver, "solve", broken)
    status, checks = examine()
    assert status == 1
    assert checks["smoke test, 1 thread"]["detail"] == "HiGHS refused the model"


@pytest.mark.parametrize(("name", "ok"), [("torch", True), ("pyarrow", True), ("scipy", False)])
def test_missing_packages(monkeypatch: pytest.MonkeyPatch, name: str, ok: bool) -> None:
    def lookup(asked: str) -> str:
        if asked == name:
            raise PackageNotFoundError(asked)
        return version(asked)

    monkeypatch.setattr(environment, "version", lookup)
    status, checks = examine()
    assert status == (0 if ok else 1)
    assert checks[name]["ok"] == ok
    assert "not installed (pip install" in checks[name]["detail"]


def test_broken_package_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        if name == "networkx":
            raise OSError("no such library")

    monkeypatch.setattr(environment, "import_module", broken)
    status, checks = examine()
    assert status == 1
    assert "no such library" in checks["networkx"]["detail"]
    assert checks["numpy"]["ok"]
