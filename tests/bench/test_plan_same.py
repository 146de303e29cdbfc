"""Things of equal content under two names, items outside the domain, and plans that ask nothing."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from bench_cases import plan_file, tiny

from mipnet.bench import PlanError, RunError, load_plan
from mipnet.bench.plan import expand
from mipnet.bench.plan import read as reading
from mipnet.bench.runner import engine
from mipnet.plugins import Plugin

HEAD = """[plan]
name = "p"
[networks.a]
file = "tiny.npz"
data = "wine"
"""
ASK = """[[problems]]
kind = "maximize"
name = "most"
"""


def faults(folder: Path, text: str) -> list[str]:
    if not (folder / "tiny.npz").exists():
        tiny(folder / "tiny.npz", widths=(13, 5, 3))
    with pytest.raises(PlanError) as caught:
        expand(load_plan(plan_file(folder, text)))
    return [str(fault) for fault in caught.value.faults]


def test_networks_of_equal_content(tmp_path: Path) -> None:
    tiny(tmp_path / "tiny.npz", widths=(13, 5, 3))
    shutil.copy(tmp_path / "tiny.npz", tmp_path / "copy.npz")
    text = HEAD + '[networks.b]\nfile = "copy.npz"\ndata = "wine"\n' + ASK
    (found,) = faults(tmp_path, text)
    assert found == ("line 6: [networks.b]: network 'b' is the same as 'a' (line 3): leave one out")
    trained = "".join(f'[networks.n{k}]\nhidden = [4]\ndata = "wine"\n' for k in (1, 2))
    (found,) = faults(tmp_path, trained + ASK)
    assert "network 'n2' is the same as 'n1' (line 1)" in found
    # Another seed makes another network.
    load_plan(plan_file(tmp_path, f"{trained}seeds = [1]\n{ASK}"))


def test_problems_of_equal_content(tmp_path: Path) -> None:
    again = '[[problems]]\nkind = "maximize"\nname = "again"\n'
    (found,) = faults(tmp_path, HEAD + ASK + again)
    assert found == "line 9: [[problems]] again: domain is asked by 'most' (line 6) already"
    items = '[[problems]]\nkind = "adversarial"\nradius = 0.1\nname = "{}"\nitems = {}\n'
    text = HEAD + items.format("one", "[0, 1]") + items.format("two", "[1, 2]")
    (found,) = faults(tmp_path, text)
    assert "[[problems]] two: test 1 is asked by 'one' (line 6) already" in found
    expand(load_plan(plan_file(tmp_path, text.replace("[1, 2]", "[2, 3]"))))


def test_arrays_and_solvers_of_equal_content(tmp_path: Path) -> None:
    arrays = '[[hardware]]\narray = {}\nname = "{}"\n'
    text = HEAD + ASK + arrays.format(16, "x") + arrays.format('"16x16"', "y")
    (found,) = faults(tmp_path, text)
    assert "line 12: [[hardware]]: array 'y' is the same as 'x' (line 9)" in found
    solvers = '[[solvers]]\nname = "highs"\nlabel = "{}"\n'
    (found,) = faults(tmp_path, HEAD + ASK + solvers.format("x") + solvers.format("y"))
    assert "solver 'y' is the same as 'x' (line 9)" in found


def test_one_size_is_one_task_however_it_is_written(tmp_path: Path) -> None:
    tiny(tmp_path / "tiny.npz", widths=(13, 5, 3))
    ids = set()
    for size in ("16", '"16x16"', '"16"', "[16, 16]"):
        text = f"{HEAD}{ASK}[[hardware]]\narray = {size}\n"
        ids |= {task.id for task in expand(load_plan(plan_file(tmp_path, text))).costs}
    assert len(ids) == 1


def test_masks_are_identified_by_all_they_are_made_with(tmp_path: Path) -> None:
    tiny(tmp_path / "tiny.npz", widths=(13, 5, 3))
    text = HEAD + '[[masks]]\nmethod = "mip"\nkeep = 0.5\n' + ASK
    (mask,) = expand(load_plan(plan_file(tmp_path, text))).masks
    assert {"mipnet", "numpy", "scipy", "highspy"} <= set(mask.key["versions"])


def test_items_outside_the_domain(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    inputs = np.concatenate([rng.uniform(0.4, 0.5, size=(20, 2)), np.full((20, 2), 0.75)])
    np.savez(tmp_path / "pts.npz", X=inputs, y=np.tile([0, 1], 20))
    head = """[data.mine]
file = "pts.npz"
domain = [0.4, 0.5]
[networks.n]
hidden = [4]
data = "mine"
"""
    kinds = ("adversarial", "distortion", "maximize")
    for kind in kinds:
        radius = "" if kind == "distortion" else "radius = 0.1\n"
        text = f'{head}[[problems]]\nkind = "{kind}"\n{radius}items = 10\n'
        (found,) = faults(tmp_path, text)
        assert "line 10" in found if radius else "line 9" in found
        assert "of pts.npz lies outside the domain: feature 0 is 0.75, not in [0.4, 0.5]" in found
        load_plan(plan_file(tmp_path, text.replace("[0.4, 0.5]", "[0.4, 0.75]")))
    # What asks about the domain itself needs no items.
    load_plan(plan_file(tmp_path, f'{head}[[problems]]\nkind = "maximize"\n'))


def test_nothing_to_ask(tmp_path: Path) -> None:
    none = "[[masks]]\ndense = false\n"
    (found,) = faults(tmp_path, HEAD + ASK + none)
    assert "line 9: dense = false leaves nothing to do" in found
    some = none + '[[masks]]\nmethod = "random"\nkeep = 0.5\n'
    (found,) = faults(tmp_path, HEAD + ASK + "masks = false\n" + some)
    assert "line 6: [[problems]] most: asks nothing" in found


def test_names_of_networks_with_faults_are_known(tmp_path: Path) -> None:
    text = '[networks.n1]\nhidden = [0]\ndata = "wine"\n[networks.n2]\nfile = "PLACE"\n'
    text = text.replace("PLACE", str(tmp_path))
    found = faults(tmp_path, text + ASK + 'networks = ["m9"]\n')
    assert any("unknown network 'm9'; known: n1, n2" in line for line in found)
    assert any("is a folder, not a file" in line for line in found)


def test_a_broken_entry_point_stops_only_plans_that_need_something_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Plugin("mipnet.pruners", "twin", "twin", "far-away", "1.0", "ImportError: no")
    monkeypatch.setattr(reading, "load_plugins", lambda: (broken,))
    tiny(tmp_path / "tiny.npz", widths=(13, 5, 3))
    with caplog.at_level(logging.WARNING):
        assert load_plan(plan_file(tmp_path, HEAD + ASK)).name == "p"
    assert "entry point 'twin' of far-away (mipnet.pruners) cannot be imported" in caplog.text
    found = faults(tmp_path, HEAD + ASK + '[[masks]]\nmethod = "twin"\nkeep = 0.5\n')
    assert any("unknown pruning method 'twin'" in line for line in found)
    assert any("entry point 'twin' of far-away" in line for line in found)
    found = faults(tmp_path, HEAD + ASK + "[limits]\ntime = -1\n")
    assert len(found) == 1


def test_a_scheduler_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(engine, "CONNECT", 0.3)
    with (
        pytest.raises(RunError, match=r"no dask scheduler answers at tcp://127\.0\.0\.1:9"),
        engine._dask_client(1, "tcp://127.0.0.1:9"),
    ):
        pass
