"""Every key of every plan misspelt, every value replaced: always a list of faults with lines."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from copy import deepcopy
from datetime import date
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_cases import tiny, toml_text

from mipnet.bench.data import DATA, Raw
from mipnet.bench.errors import Fault, PlanError
from mipnet.bench.plan import load_plan
from mipnet.bench.plan.lines import Path as KeyPath
from mipnet.bench.plan.lines import line_numbers

#: A plan with every key there is.
EVERYTHING = """
[plan]
name = "full"
description = "all"
seed = 3
pin_code = false
[data.mine]
file = "points.npz"
test = 0.25
seed = 0
task = "classification"
domain = [0, 1]
scale = 2.0
[data.other]
source = "wine"
test = 40
[networks.deep]
hidden = [6, 5]
data = "mine"
epochs = 3
lr = 0.01
batch_size = 16
dtype = "float32"
seeds = [0, 1]
[networks.given]
file = ["tiny.npz", "b.npz"]
data = "other"
[[masks]]
method = ["magnitude", "random"]
keep = [0.5, 0.25]
seeds = [0, 1]
finetune = { epochs = 2, lr = 0.1, batch_size = 8 }
networks = ["deep", "given"]
[[masks]]
method = "magnitude"
keep = 0.75
options = { scope = "global" }
networks = "deep"
[[masks]]
method = ["magnitude", "random"]
except = ["random"]
keep = 0.1
[[masks]]
dense = false
[[problems]]
kind = "adversarial"
name = "close"
norm = ["linf", "l1"]
radius = [0.05]
target = ["any"]
items = [0, 3]
part = "test"
networks = ["deep"]
data = "mine"
masks = true
[[problems]]
kind = "distortion"
norm = "linf"
target = "second"
max_radius = 0.5
tolerance = 0.1
items = 2
[[problems]]
kind = "maximize"
output = [0, 1]
radius = 0.1
norm = "l1"
items = 1
name = "m"
[[problems]]
kind = "maximize"
weights = [1.0, -1.0, 0.5]
[solve]
formulations = ["big_m"]
bounds = ["lp"]
seeds = [0]
permute = true
restarts = 4
[[solvers]]
name = "highs"
label = "a"
profile = ["auto", "explore"]
options = { mip_heuristic_effort = 0.1 }
[[solvers]]
label = "b"
[limits]
time = 60
wall = 120
prune_wall = 100
memory_mb = 2000
[[hardware]]
name = "arr"
array = "16x16"
dataflow = ["ws", "os"]
mode = "serial"
edge_aware = true
batch = 2
precision = "int8"
bandwidth = 4.0
energy_table = "horowitz45"
compare = ["relative_eyeriss"]
nm_support = true
skip_slices = false
memory = { input_bytes = 1000, double_buffered = true }
[[hardware]]
array = [8, 8]
[run]
jobs = 2
backend = "dask"
shuffle = false
options = { scheduler = "tcp://a" }
"""
#: Values that fit nowhere, and some that fit here and there.
NOWHERE: tuple[Any, ...] = (math.nan, -(10**30), date(2020, 1, 1), [[1]], [{"a": 1}], ["x", 1.5])
SOMEWHERE: tuple[Any, ...] = (-1, 0, 2.5, 1e308, True, "", "x", [], [-1], {}, {"a": 1}, math.inf)
#: Words of Python that no author of a plan should see.
RAW = ("unexpected keyword", "has no attribute", "not supported between", "Error:", "argument")
PLANS = Path(__file__).parent.parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the plans need beside themselves, made up; data sets are made once."""
    folder = tmp_path_factory.mktemp("fuzz")
    rng = np.random.default_rng(0)
    for name, seed in (("tiny", 0), ("b", 1)):
        tiny(folder / f"{name}.npz", seed, widths=(13, 6, 3))
    np.savez(folder / "points.npz", X=rng.uniform(size=(40, 13)), y=rng.integers(0, 3, 40))
    rows = ["benchmark,onnx,vnnlib,timeout_s,verdict"]
    for family in tomllib.loads((PLANS / "verification.toml").read_text())["problems"][0]["family"]:
        (folder / family).mkdir()
        for name in ("net.onnx", "prop.vnnlib"):
            (folder / family / name).touch()
        rows.append(f"{family},net.onnx,prop.vnnlib,30,unsat")
    (folder / "instances.csv").write_text("\n".join(rows), encoding="utf-8")
    numbers = np.arange(10_400)
    images = Raw(numbers.reshape(-1, 1), numbers % 10, "classification", n_train=10_200)
    with pytest.MonkeyPatch.context() as patch:
        known = {name: cache(DATA[name]) for name in DATA} | {"mnist": lambda: images}
        patch.setattr(DATA, "_entries", known)
        patch.setenv("MIPNET_VNN", str(folder))
        yield folder


def paths(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Where every value of a document is."""
    if path:
        yield path
    entries = value.items() if isinstance(value, dict) else ()
    for key, inner in enumerate(value) if isinstance(value, list) else entries:
        yield from paths(inner, (*path, key))


def within(document: Any, path: KeyPath) -> Any:
    for key in path:
        document = document[key]
    return document


def put(document: dict[str, Any], path: KeyPath, value: Any) -> dict[str, Any]:
    changed = deepcopy(document)
    within(changed, path[:-1])[path[-1]] = value
    return changed


def misspelt(document: dict[str, Any], path: KeyPath, name: str) -> dict[str, Any]:
    changed = deepcopy(document)
    parent = within(changed, path[:-1])
    entries = [(name if key == path[-1] else key, value) for key, value in parent.items()]
    parent.clear()
    parent.update(entries)
    return changed


def faults(place: Path, text: str) -> tuple[Fault, ...]:
    """Faults of a plan; whatever else goes wrong goes wrong here."""
    path = place / "plan.toml"
    path.write_text(text, encoding="utf-8")
    try:
        load_plan(path)
    except PlanError as error:
        for fault in error.faults:
            assert fault.line or fault.message.startswith("the plan has "), fault
            assert not any(words in fault.message for words in RAW), fault
        return error.faults
    return ()


def document(name: str) -> dict[str, Any]:
    text = EVERYTHING if name == "everything" else (PLANS / f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text)


@pytest.mark.parametrize(
    "name", ["everything", "digits", "formulations", "cacciola", "mnist", "verification"]
)
class TestEveryPlan:
    def test_as_it_is(self, name: str, place: Path) -> None:
        plan = document(name)
        assert tomllib.loads(toml_text(plan)) == plan
        assert faults(place, toml_text(plan)) == ()

    def test_misspelt_keys_are_named_on_their_line(self, name: str, place: Path) -> None:
        plan = document(name)
        for path in paths(plan):
            key = path[-1]
            # Names of networks and data sets are the author's own.
            if isinstance(key, int) or (path[0] in {"networks", "data"} and len(path) == 2):
                continue
            text = toml_text(misspelt(plan, path, f"{key}x"))
            line = line_numbers(text)[(*path[:-1], f"{key}x")]
            named = [f.message for f in faults(place, text) if f.line == line]
            assert any(f"'{key}x'" in message for message in named), path

    def test_values_that_do_not_fit(self, name: str, place: Path) -> None:
        plan = document(name)
        odd, likely = cycle(NOWHERE), cycle(SOMEWHERE)
        for k, path in enumerate(paths(plan)):
            value = next(odd)
            text = toml_text(put(plan, path, value))
            if k % 4 == 0:
                faults(place, toml_text(put(plan, path, next(likely))))
            while isinstance(path[-1], int) and len(path) > 1:
                # Entries may be told on the line of their list.
                path = path[:-1]  # noqa: PLW2901
            line, last = line_numbers(text)[path], text.count("\n") + 1
            found = faults(place, text)
            assert found, (path, value)
            # The value itself is to blame; a list may say so on the line of its entry.
            assert any(line <= f.line <= last for f in found), (path, value, found)
