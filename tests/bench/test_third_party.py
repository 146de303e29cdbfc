"""A package of somebody else, found by its entry points: no line of mipnet knows of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from bench_cases import bench, environment, install, plan_file, records, tiny

from mipnet.bench import build_report, load

PLAN = """
[plan]
name = "theirs"
[networks.tiny]
file = "tiny.npz"
data = "corners"
[[masks]]
method = ["first_units", "random"]
keep = 0.5
[[problems]]
kind = "range"
output = [0, 1]
[[solvers]]
name = "patient"
[solve]
bounds = "interval"
[[hardware]]
array = "4x4"
"""


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("theirs")
    install("third_party", site)
    return site


def test_method_problem_solver_and_data_in_a_plan(theirs: Path, tmp_path: Path) -> None:
    tiny(tmp_path / "tiny.npz", widths=(2, 5, 5, 2))
    plan = plan_file(tmp_path, PLAN)
    folder = tmp_path / "r"
    done = bench("run", plan, "--results", folder, site=theirs)
    assert done.returncode == 0, done.stderr
    found = load(folder)
    assert set(found.cells["pruning"]) == {"dense", "first_units 0.5", "random 0.5"}
    assert set(found.cells["problem"]) == {"range output 0", "range output 1"}
    assert set(found.cells["status"]) == {"optimal"}
    assert (found.cells.query("method == 'dense'")["objective"] > 0.0).all()
    assert len(found.hardware) == 3
    # And in the report, as any other method.
    page = build_report(folder)
    assert set(page.series) == {"dense", "first_units 0.5", "random 0.5"}
    assert '"name":"first_units 0.5"' in page.html()
    # Its version is part of the identity, so that another version is asked again.
    keys = [r["key"] for r in records(folder).values()]
    assert {k["versions"]["mipnet-example"] for k in keys} == {"1.2.3"}
    assert all(k["versions"]["patient"].startswith("patient 1.") for k in keys)
    logs = "".join(p.read_text(encoding="utf-8") for p in (folder / "logs").glob("*.log"))
    assert "patient was here" in logs
    text = PLAN.replace('name = "patient"', 'name = "patient"\noptions = { presolv = "off" }')
    refused = bench("run", plan_file(tmp_path, text, "options.toml"), "--dry-run", site=theirs)
    assert refused.returncode == 2
    assert "line 15: [[solvers]]: options: patient has no option 'presolv'" in refused.stderr
    # Nobody else's plan changes: without the package its names are unknown, all of them.
    refused = bench("run", plan, "--results", tmp_path / "other", "--dry-run")
    assert refused.returncode == 2
    for line, name in ((6, "corners"), (8, "first_units"), (11, "range"), (14, "patient")):
        assert f"line {line}: " in refused.stderr
        assert repr(name) in refused.stderr


def test_method_runs_through_the_tests_of_every_method(theirs: Path) -> None:
    """The conformance tests ask the registry: all it takes is that the package is installed."""
    tests = Path(__file__).parent.parent / "pruning" / "test_methods.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(tests), "-k", "EveryMethod and first_units", "-v",
         "-p", "no:cacheprovider"],
        env=environment(theirs),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_method_is_there_without_any_import(theirs: Path, tmp_path: Path) -> None:
    """``mipnet.prune`` knows a method of an installed package by its name."""
    code = (
        "import mipnet, numpy as np\n"
        "net = mipnet.load(([np.ones((4, 2)), np.ones((1, 4))], [np.zeros(4), np.zeros(1)]))\n"
        "print(mipnet.prune(net, 'first_units', keep=0.5).mask.provenance.method)\n"
        "print('first_units' in mipnet.pruners())\n"
        "mipnet.prune(net, 'first_unit')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(theirs),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.split() == ["first_units", "True"], done.stderr
    assert "unknown pruning method 'first_unit'" in done.stderr


def test_a_package_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    site = tmp_path / "site"
    install("third_party", site)
    (site / "mipnet_example" / "corners.py").write_text("import nowhere\n", encoding="utf-8")
    tiny(tmp_path / "tiny.npz", widths=(2, 5, 5, 2))
    refused = bench("run", plan_file(tmp_path, PLAN), "--dry-run", site=site)
    assert refused.returncode == 2
    assert "entry point 'corners' of mipnet-example (mipnet.data) cannot be imported" in (
        refused.stderr
    )
    assert "No module named 'nowhere'" in refused.stderr
