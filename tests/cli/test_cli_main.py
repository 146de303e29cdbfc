"""The command group: light to import, clear about mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from mipnet import __version__
from mipnet.cli import main
from mipnet.cli.output import echo_json, print_table
from mipnet.errors import QueryError, UnsupportedError

COMMANDS = ("demo", "doctor", "info", "optimize")


def run(*arguments: str) -> click.testing.Result:
    return CliRunner().invoke(main, arguments)


def test_help_needs_no_heavy_package() -> None:
    """The group and every command can be described without numpy, torch or a solver."""
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from mipnet.cli import main\n"
        "result = CliRunner().invoke(main, ['--help'])\n"
        "assert result.exit_code == 0, result.output\n"
        f"assert all(name in result.output for name in {COMMANDS})\n"
        "heavy = {'torch', 'numpy', 'scipy', 'pyomo', 'highspy', 'sklearn', 'onnx', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert "Exit" in result.output or name in {"demo", "info"}
    assert import_module(f"mipnet.cli.{name}").command.name == name


def test_version() -> None:
    assert __version__ in run("--version").output


@pytest.mark.parametrize("arguments", [["solve-it"], ["info"], ["optimize", "--threads", "0", "x"]])
def test_usage_errors(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error: " in result.stderr


@pytest.mark.parametrize(
    "error",
    [
        QueryError("the first line\n and the second"),
        UnsupportedError("net.onnx", ["a: Sin", "b: Cos"]),
        PermissionError(13, "Permission denied", "net.npz"),
    ],
)
def test_errors_are_one_line(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command("info")
    def fails() -> None:
        raise error

    monkeypatch.setattr("mipnet.cli.info.command", fails)
    result = run("info")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert all(word in result.stderr for word in str(error).split())


def test_other_errors_are_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command("info")
    def fails() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("mipnet.cli.info.command", fails)
    assert isinstance(run("info").exception, ZeroDivisionError)


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    echo_json({"a": float("nan"), "b": [float("-inf"), 1.5], "c": {"d": (float("inf"), None)}})
    assert capsys.readouterr().out == '{"a": null, "b": [null, 1.5], "c": {"d": [null, null]}}\n'


def test_tables_are_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    table = Table(box=None)
    words = ["abcdefghij" * 3] * 12
    for word in words:
        table.add_column(word, no_wrap=True)
    table.add_row(*words)
    print_table(table)
    assert capsys.readouterr().out.split() == words * 2


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "mipnet", "hardware", "--gemm", "64,64,64", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["cycles"] == 1760
    bad = subprocess.run([*command, "--batch", "0"], capture_output=True, text=True, check=False)
    assert bad.returncode == 2
    assert "batch is 0" in bad.stderr
