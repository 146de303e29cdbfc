"""The public suite: what is built in passes it, and so does what somebody else adds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mipnet.testing
from mipnet.errors import QueryError
from mipnet.network.layers import LAYERS
from mipnet.testing import Case, cases, check_layer
from tests.bench.bench_cases import environment, install

HERE = Path(__file__).parent
EVERY = cases()


def some(check: str, step: int) -> list[Case]:
    """Return every so many cases of a check, moving on through layers and formulations."""
    return [case for case in EVERY if case.check == check][::step]


SAMPLE = [
    *some("rules", 1),
    *some("bounds", 11),
    *some("program", 19),
    *some("removal", 41),
]


@pytest.mark.parametrize("case", SAMPLE, ids=str)
def test_what_is_built_in_conforms(case: Case) -> None:
    case.run()


@pytest.mark.parametrize("name", ["magnitude", "random", "mlp_rank"])
def test_pruning_methods_conform(name: str) -> None:
    mipnet.testing.check_pruner(name, keeps=(0.0, 0.4, 1.0))


def test_cases_are_the_product_and_have_names() -> None:
    assert len({str(case) for case in EVERY}) == len(EVERY)
    kinds, ways = mipnet.testing.layers(), mipnet.testing.formulations()
    assert set(LAYERS) == set(kinds)
    programs = [case for case in EVERY if case.check == "program"]
    assert len(programs) == len(kinds) * len(ways) * 2
    assert {case.formulation for case in SAMPLE if case.check == "program"} == set(ways)
    assert {case.pruner for case in EVERY if case.check == "pruner"} == set(mipnet.pruners())
    for bad in ({"layers": ["Abz"]}, {"pruners": ["rendom"]}, {"solvers": ["hihgs"]}):
        with pytest.raises(QueryError, match=r"Abz|rendom|hihgs"):
            cases(**bad)


def test_solvers_of_pyomo_are_asked_by_name() -> None:
    found = cases(["Abs"], ["big_m"], sparsity=[0.5], solvers=["appsi_highs"], pruners=[])
    assert [case.check for case in found] == ["rules", "bounds", "removal"]
    found[-1].run()


def test_the_same_seed_is_the_same_case() -> None:
    drawn = [Case(check="rules", layer="Conv", seed=s).rng().normal() for s in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    check_layer(lambda rng: (LAYERS["Abs"](), [(2,)]), ["big_m"], sparsity=[0.0], seeds=[7])


PROGRAM = """
import json, sys
import mipnet.testing as t
assert "pytest" not in sys.modules
found = t.cases(["Vee"], ["big_m", "textbook"], sparsity=[0.5], pruners=["last_units"])
found += t.cases(["ReLU", "MaxPool"], ["textbook"], sparsity=[0.0], pruners=[])
for case in found:
    case.run()
print(json.dumps([[str(c) for c in found], t.layers(), t.formulations()]))
"""


def test_additions_of_another_package_pass_without_touching_mipnet(tmp_path: Path) -> None:
    install("../testing/third_kinds", tmp_path)
    done = _python(PROGRAM, tmp_path)
    assert done.returncode == 0, done.stderr
    names, kinds, ways = json.loads(done.stdout)
    assert "Vee" in kinds
    assert "textbook" in ways
    assert {"rules-Vee-0", "program-Vee-textbook-0.5-highs-0", "pruner-last_units-0"} < set(names)
    # Nobody else sees them.
    assert "Vee" not in mipnet.testing.layers()


def test_files_with_layers_of_another_package_are_read(tmp_path: Path) -> None:
    install("../testing/third_kinds", tmp_path)
    code = f"""
import numpy as np, mipnet
from mipnet.network import Network
from mipnet.network.layers.base import layer_class
net = Network.sequential([layer_class("Vee")(0.25, 3.0)], (2,))
mipnet.save(net, {str(tmp_path / "vee.safetensors")!r})
"""
    done = _python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    read = f"import mipnet; print(mipnet.load({str(tmp_path / 'vee.safetensors')!r})([-4.0, 2.0]))"
    done = _python(read, tmp_path)
    assert done.stdout.split() == ["[1.", "6.]"], done.stderr
    done = _python(read, None)
    assert "no such layer" in done.stderr


def _python(code: str, site: Path | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment(site),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_importing_the_suite_needs_no_test_runner() -> None:
    code = "import sys, mipnet.testing; print({'pytest', 'hypothesis', 'pyomo'} & set(sys.modules))"
    assert _python(code, None).stdout.strip() == "set()"


def test_samples_hold_the_ends_of_the_box() -> None:
    from mipnet.testing.nets import points

    found = points(np.random.default_rng(0), -np.ones(2), np.ones(2))
    assert found.min(axis=0).tolist() == [-1.0, -1.0]
    assert np.abs(found).max() == 1.0
