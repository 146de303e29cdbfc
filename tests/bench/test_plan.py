"""Plans: everything wrong is said at once, and every cell has its own identity."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench_cases import plan_file, tiny

from mipnet.bench.errors import PlanError
from mipnet.bench.plan import expand, load_plan
from mipnet.bench.plan.expand import Matrix, shape_of
from mipnet.pruning import pruners

GOOD = """
[plan]
name = "good"
[networks.tiny]
file = "tiny.npz"
data = "wine"
[networks.trained]
hidden = [8, 8]
data = "wine"
epochs = 3
seeds = [0, 1]
[[masks]]
method = ["magnitude", "random"]
keep = [0.5, 0.25]
seeds = [0, 1]
networks = ["trained"]
[[problems]]
kind = "adversarial"
name = "close"
norm = ["linf", "l1"]
radius = 0.05
items = [0, 5]
networks = ["trained"]
[[problems]]
kind = "maximize"
masks = false
[solve]
seeds = [0, 1, 2]
bounds = ["crown", "lp"]
[[solvers]]
profile = ["auto", "explore"]
[limits]
time = 7
"""


def matrix(folder: Path, text: str) -> Matrix:
    tiny(folder / "tiny.npz", widths=(13, 6, 3))
    return expand(load_plan(plan_file(folder, text)))


def test_the_matrix_is_the_full_factorial(tmp_path: Path) -> None:
    found = matrix(tmp_path, GOOD)
    assert len(found.networks) == 3
    assert len(found.masks) == 2 * 2 * 2 * 2
    ways = 3 * 2 * 2
    # Trained networks and their masks are asked two norms at two items; every dense network once.
    assert len(found.cells) == (2 + 16) * 4 * ways + 3 * ways
    assert len({t.id for t in found.tasks}) == len(found.tasks)
    assert shape_of(found)["seed"] == 3
    assert {t.labels["solver"] for t in found.cells} == {"highs/auto", "highs/explore"}
    assert {t.labels["problem"] for t in found.cells} == {"close linf", "close l1", "maximize"}
    assert {t.labels["network"] for t in found.cells} == {"tiny", "trained-0", "trained-1"}


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("seeds = [0, 1, 2]", "seeds = [0, 1, 2, 3]", 0),
        ("items = [0, 5]", "items = [0, 5, 6]", 0),
        ("items = [0, 5]", "items = 6", 0),
        ('name = "close"', 'name = "near"', 0),
        ('name = "good"', 'name = "other"', 0),
        ("radius = 0.05", "radius = 0.06", 18 * 4 * 12),
        ("time = 7", "time = 8", None),
        ("epochs = 3", "epochs = 4", 18 * 4 * 12 + 2 * 12),
    ],
)
def test_identity_is_what_changes_the_result(
    tmp_path: Path, old: str, new: str, changes: int | None
) -> None:
    assert old in GOOD
    before = {t.id for t in matrix(tmp_path, GOOD).cells}
    after = {t.id for t in matrix(tmp_path, GOOD.replace(old, new)).cells}
    assert len(before - after) == (len(before) if changes is None else changes)


def test_identity_follows_the_content_of_files_not_their_names(tmp_path: Path) -> None:
    text = GOOD.replace("tiny.npz", "other.npz")
    before = {t.id for t in matrix(tmp_path, GOOD).networks}
    (tmp_path / "other.npz").write_bytes((tmp_path / "tiny.npz").read_bytes())
    assert {t.id for t in matrix(tmp_path, text).networks} == before
    tiny(tmp_path / "other.npz", seed=9, widths=(13, 6, 3))
    after = {t.id for t in expand(load_plan(tmp_path / "plan.toml")).networks}
    assert len(after - before) == 1


def test_pairs_are_the_same_under_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mipnet.bench import provenance
    from mipnet.bench.plan import expand as expansion

    del provenance
    before = matrix(tmp_path, GOOD)
    known = expansion.__globals__["package_versions"]()
    monkeypatch.setitem(
        expansion.__globals__, "package_versions", lambda: {**known, "mipnet": "9.9"}
    )
    after = matrix(tmp_path, GOOD)
    assert [t.pair for t in before.tasks] == [t.pair for t in after.tasks]
    assert not {t.id for t in before.tasks} & {t.id for t in after.tasks}


def test_pinned_code_is_part_of_the_identity(tmp_path: Path) -> None:
    pinned = GOOD.replace('name = "good"', 'name = "good"\npin_code = true')
    before, after = (matrix(tmp_path, text) for text in (GOOD, pinned))
    assert not {t.id for t in before.tasks} & {t.id for t in after.tasks}
    assert [t.pair for t in before.tasks] == [t.pair for t in after.tasks]


def test_every_registered_method_but_some(tmp_path: Path) -> None:
    text = GOOD.replace('method = ["magnitude", "random"]', 'method = "all"\nexcept = "random"')
    found = {t.labels["method"] for t in matrix(tmp_path, text).masks}
    assert found == set(pruners()) - {"random"}


BAD = """
[plan]
nmae = "x"
[networks.a]
file = "missing.npz"
data = "wines"
[networks.b]
hidden = [8, 0]
data = "wine"
epochs = "many"
[networks.c]
[[masks]]
method = ["magnitud", "random"]
keep = [0.5, 1.5]
options = { colour = 1 }
[[masks]]
keep = 0.5
[[problems]]
kind = "adversarial"
norm = ["linf", "l7"]
items = 0
[[problems]]
kind = "advresarial"
[solve]
formulations = ["big_m", "small_m", "triangle"]
bounds = "tight"
seeds = [0, -1]
[[solvers]]
name = "gurobi"
profile = "fast"
[limits]
time = 0
wall = 5
memory = "lots"
[run]
backend = "slurm"
[extra]
"""
#: Line and a part of the message.
FAULTS = [
    (3, "unknown key 'nmae' (did you mean 'name'?)"),
    (5, "'missing.npz' does not exist"),
    (6, "unknown data set 'wines' (did you mean 'wine'?)"),
    (8, "hidden must list widths from 1 on"),
    (10, "epochs must be a whole number, not 'many'"),
    (11, "give either file, or hidden"),
    (13, "unknown pruning method 'magnitud' (did you mean 'magnitude'?)"),
    (14, "keep must lie in [0, 1], not 1.5"),
    (15, "method 'random': unknown option 'colour'"),
    (16, "'method' is missing"),
    (18, "'radius' is missing"),
    (23, "unknown kind 'advresarial' (did you mean 'adversarial'?)"),
    (20, "norm must be one of linf, l1, l2, l0, not 'l7'"),
    (21, "items must be a number from 1 on"),
    (25, "unknown formulation 'small_m'"),
    (25, "'triangle' is a relaxation"),
    (26, "unknown bounding method 'tight'"),
    (27, "seeds must lie in 0..2147483647, not -1"),
    (29, "unknown solver 'gurobi'"),
    (30, "unknown profile 'fast'"),
    (32, "time must be above 0 and finite, not 0.0"),
    (34, "unknown key 'memory' (did you mean 'memory_mb'?)"),
    (36, "unknown backend 'slurm'"),
    (37, "unknown section 'extra'"),
]


def test_every_fault_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(PlanError) as caught:
        load_plan(plan_file(tmp_path, BAD))
    found = caught.value.faults
    for line, message in FAULTS:
        assert [f for f in found if f.line == line and message in f.message], (line, message)
    assert len(found) == len(FAULTS), [f for f in found if not any(f.line == n for n, _ in FAULTS)]
    assert f"plan.toml: {len(FAULTS)} faults" in str(caught.value)
    assert list(found) == sorted(found)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a = \n", 1, "Invalid value"),
        ("[plan]\nname = 'x y'\n[networks.t]\nfile = 'tiny.npz'\n[[masks]]\nmethod='random'\n"
         "keep=0.5\n", 2, "may hold letters"),
        ("networks = 3\n", 1, "must hold tables"),
        ("[networks]\nfile = 'tiny.npz'\n", 2, "must be a table"),
        ("[problems]\nkind = 'x'\n", 1, r"must be a list of tables: write [[problems]]"),
        ("[[problems]]\nkind = 'maximize'\n[networks.t]\nfile = 'tiny.npz'\n", 2, "needs data"),
        ("[networks.t]\nfile = 'tiny.npz'\n", 0, "neither problems nor masks"),
        ("[[problems]]\nkind = 'maximize'\n", 0, "no networks"),
        ("[networks.t]\nfile = 'tiny.npz'\ndata = 'wine'\n[[problems]]\nkind = 'maximize'\n"
         "[[problems]]\nkind = 'maximize'\n", 4, "two problems are called 'maximize'"),
        ("[networks.t]\nfile = 'tiny.npz'\n[[masks]]\nmethod = 'random'\nkeep = 0.5\n"
         "finetune = { epochs = 3, pace = 1 }\n", 6, "unknown key 'pace'"),
        ("[networks.t]\nfile = 'tiny.npz'\n[[masks]]\nmethod = 'random'\nkeep = 0.5\n"
         "[[hardware]]\narray = '0x4'\n", 7, "array"),
        ("[networks.t]\nfile = 'tiny.npz'\n[[masks]]\nmethod = 'random'\nkeep = 0.5\n"
         "[[hardware]]\ndataflow = 'ws'\n", 6, "'array' is missing"),
        ("[data.d]\nfile = 'tiny.npz'\n[networks.t]\nfile = 'tiny.npz'\n[[masks]]\n"
         "method = 'random'\nkeep = 0.5\n", 1, "needs arrays X and y"),
        ("[data.d]\nsource = 'wine'\ntest = 1000\n[networks.t]\nfile = 'tiny.npz'\n[[masks]]\n"
         "method = 'random'\nkeep = 0.5\n", 1, "leaves one part empty"),
    ],
)  # fmt: skip
def test_single_faults(tmp_path: Path, text: str, line: int, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        load_plan(plan_file(tmp_path, text))
    assert [f for f in caught.value.faults if f.line == line and message in f.message], caught.value


@pytest.mark.parametrize("key", ["time", "wall", "prune_wall", "memory_mb"])
@pytest.mark.parametrize("value", ["inf", "nan"])
def test_limits_are_finite(tmp_path: Path, key: str, value: str) -> None:
    text = GOOD.replace("time = 7", f"{key} = {value}")
    tiny(tmp_path / "tiny.npz", widths=(13, 6, 3))
    with pytest.raises(PlanError) as caught:
        load_plan(plan_file(tmp_path, text))
    (fault,) = caught.value.faults
    assert fault.line == text[: text.index(f"{key} = {value}")].count("\n") + 1
    assert f"{key} must be " in fault.message


def test_a_plan_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    path.write_bytes(b"[plan]\nname = 'gr\xfc\xdfe'\n")
    with pytest.raises(PlanError, match=r"old.toml: 1 fault:\n  the file is no UTF-8 text"):
        load_plan(path)


def test_options_the_solver_does_not_take(tmp_path: Path) -> None:
    text = GOOD.replace(
        "[[solvers]]",
        """[[solvers]]
[solvers.options]
mip_heuristic_effor = 0.1
mip_rel_gap = "x"
threads = 8
time_limit = 3.0
mip_abs_gap = 1e-6
[[solvers]]
label = "b\"""",
    )
    tiny(tmp_path / "tiny.npz", widths=(13, 6, 3))
    with pytest.raises(PlanError) as caught:
        load_plan(plan_file(tmp_path, text))
    first = text[: text.index("mip_heuristic_effor")].count("\n") + 1
    words = ("mean 'mip_heuristic_effort'", "take mip_rel_gap = 'x'", "threads is", "time_limit is")
    for k, word in enumerate(words):
        assert any(f.line == first + k and word in f.message for f in caught.value.faults), word
    assert len(caught.value.faults) == len(words), caught.value


def test_items_a_data_set_does_not_have(tmp_path: Path) -> None:
    path = plan_file(tmp_path, GOOD.replace("items = [0, 5]", "items = [0, 999]"))
    tiny(tmp_path / "tiny.npz", widths=(13, 6, 3))
    with pytest.raises(PlanError, match=r"line 22: .* item 999 does not exist: wine has 44 test"):
        load_plan(path)


def test_data_of_a_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    points, classes = rng.uniform(size=(40, 13)), rng.integers(0, 3, 40)
    np.savez(tmp_path / "mine.npz", X=points, y=classes)
    text = GOOD.replace('data = "wine"', 'data = "mine"') + (
        '[data.mine]\nfile = "mine.npz"\ntest = 0.5\ndomain = [0, 1]\n'
    )
    tiny(tmp_path / "tiny.npz", widths=(13, 6, 3))
    plan = load_plan(plan_file(tmp_path, text))
    data = plan.data["mine"]
    assert (len(data.train), len(data.test), data.task) == (20, 20, "classification")
    assert not set(data.train) & set(data.test)
    np.testing.assert_array_equal(data.points([3])[0], points[3])
    assert (data.lower.min(), data.upper.max()) == (0.0, 1.0)
    other = replace(data, scale=2.0)
    assert other.fingerprint != data.fingerprint
