"""Plans whose parts do not fit each other: told with the rest, each on its line, once."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_cases import plan_file, tiny

from mipnet.bench.errors import PlanError
from mipnet.bench.plan import expand, load_plan
from mipnet.bench.solvers import SOLVERS, register_solver
from mipnet.solver import solve

HEAD = """
[networks.tiny]
file = "tiny.npz"
data = "wine"
"""


def faults(folder: Path, text: str) -> list[tuple[int, str]]:
    """Line and message of every fault of a plan."""
    tiny(folder / "tiny.npz", widths=(13, 6, 3))
    with pytest.raises(PlanError) as caught:
        load_plan(plan_file(folder, text))
    return [(fault.line, fault.message) for fault in caught.value.faults]


def agree(found: list[tuple[int, str]], wanted: list[tuple[int, str]]) -> None:
    """Every fault wanted is found, and no other."""
    for line, words in wanted:
        assert [m for n, m in found if n == line and words in m], (line, words, found)
    assert len(found) == len(wanted), found


def test_classes_outputs_and_items_that_are_not_there(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
[[problems]]
kind = "adversarial"
radius = 0.1
target = [
  1,
  3,
]
items = [
  0,
  99,
  2,
  98,
]
[[problems]]
kind = "maximize"
output = [2, 3]
[[problems]]
kind = "maximize"
name = "w"
weights = [1, 2]
[[problems]]
kind = "distortion"
items = 500
[plan]
nmae = "x"
"""
    )
    agree(
        faults(tmp_path, text),
        [
            (11, "target 3 does not exist: there are 3 outputs (tiny)"),
            (15, "item 99 does not exist: wine has 44 test items"),
            (17, "item 98 does not exist: wine has 44 test items"),
            (21, "output 3 does not exist: there are 3 outputs"),
            (25, "weights has 2 numbers, and there are 3 outputs"),
            (28, "items asks for 500: wine has 44 test items"),
            (30, "unknown key 'nmae'"),
        ],
    )


def test_a_target_that_is_the_class_of_an_item(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    text = HEAD + "[[problems]]\nkind = 'adversarial'\nradius = 0.1\ntarget = 0\nitems = 44\n"
    found = faults(tmp_path, text)
    assert {line for line, _ in found} == {8}
    assert all("is the class of test" in message for _, message in found)


def test_data_that_do_not_fit(tmp_path: Path) -> None:
    text = (
        HEAD.replace("wine", "diabetes")
        + """
[[problems]]
kind = "adversarial"
radius = 0.1
data = "diabetes"
[networks.trained]
hidden = 4
data = "diabetes"
[[problems]]
kind = "distortion"
networks = "trained"
"""
    )
    agree(
        faults(tmp_path, text),
        [
            (4, "data 'diabetes' has 10 features, network 'tiny' takes 13"),
            (9, "data 'diabetes' has 10 features, network 'tiny' takes 13"),
            (7, "kind 'adversarial' needs networks with two outputs or more (trained)"),
            (14, "kind 'distortion' needs networks with two outputs or more (trained)"),
        ],
    )


def test_what_is_named_twice(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for seed, name in enumerate(("tiny", "x", "sub/x")):
        tiny(tmp_path / f"{name}.npz", seed, widths=(13, 6, 3))
    text = (
        HEAD
        + """
[networks.two]
file = ["tiny.npz", "tiny.npz"]
[networks.other]
file = ["x.npz", "sub/x.npz"]
[networks.other-x]
file = "x.npz"
[[masks]]
method = ["random", "magnitude", "random"]
keep = [0.5, 0.25, 0.5]
seeds = [
  0,
  0,
]
networks = ["tiny", "tiny"]
[[masks]]
method = ["all", "random"]
except = "magnitude"
keep = 0.5
networks = "tiny"
[[masks]]
method = "random"
except = "magnitude"
keep = 0.5
networks = "tiny"
[[masks]]
dense = true
[[masks]]
dense = false
[[problems]]
kind = "maximize"
radius = 0.1
items = [3, 3]
norm = ["l1", "l1"]
networks = "tiny"
[solve]
seeds = [1, 1]
bounds = ["lp", "lp"]
[[hardware]]
array = "4x4"
dataflow = ["ws", "ws"]
[[hardware]]
array = "4x4"
[[hardware]]
array = "4x4"
"""
    )
    agree(
        faults(tmp_path, text),
        [
            (7, "file names 'tiny.npz' twice"),
            (8, "two networks are called 'other-x'"),
            (10, "two networks are called 'other-x'"),
            (13, "method names 'random' twice"),
            (14, "keep names 0.5 twice"),
            (17, "seeds names 0 twice"),
            (19, "networks names 'tiny' twice"),
            (21, "method names 'all' beside others"),
            (27, "except names 'magnitude', which is not among the methods"),
            (33, "dense is said twice"),
            (37, "items names 3 twice"),
            (38, "norm names 'l1' twice"),
            (41, "seeds names 1 twice"),
            (42, "bounds names 'lp' twice"),
            (45, "dataflow names 'ws' twice"),
            (48, "two arrays are called '4x4-ws'"),
        ],
    )


def test_hardware_keys_are_told_like_all_others(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
[[masks]]
method = "random"
keep = 0.5
[[hardware]]
aray = "4x4"
[[hardware]]
array = "0x4"
dataflow = [
  "ws",
  "sw",
]
batsh = 2
edge_aware = "yes"
memory = { input_bites = 3 }
[[hardware]]
array = "4x4"
energy_table = "gold"
compare = ["silver"]
precision = "int7"
"""
    )
    found = faults(tmp_path, text)
    agree(
        found,
        [
            (10, "unknown key 'aray' (did you mean 'array'?)"),
            (12, "array rows"),
            (15, "sw"),
            (17, "unknown key 'batsh' (did you mean 'batch'?)"),
            (18, "edge_aware must be true or false, not 'yes'"),
            (19, "unknown key 'input_bites'"),
            (22, "energy_table names no table"),
            (23, "compare names an unknown energy table 'silver'"),
            (24, "int7"),
        ],
    )
    assert not [m for _, m in found if "unexpected keyword" in m]


def test_an_energy_table_is_known_by_its_content(tmp_path: Path) -> None:
    from mipnet.hardware import energy_table

    shipped = Path(str(energy_table("horowitz45").path or ""))
    if not shipped.is_file():
        import mipnet.hardware

        shipped = Path(mipnet.hardware.__file__).parent / "tables" / "horowitz45.toml"
    content = shipped.read_text(encoding="utf-8")
    text = HEAD + "[[masks]]\nmethod = 'random'\nkeep = 0.5\n[[hardware]]\narray = 4\n"
    tiny(tmp_path / "tiny.npz", widths=(13, 6, 3))
    ids = []
    for name, words in (("a.toml", content), ("b.toml", content), ("a.toml", content + "\n#\n")):
        (tmp_path / name).write_text(words, encoding="utf-8")
        plan = load_plan(plan_file(tmp_path, text + f"energy_table = '{name}'\n"))
        ids.append({task.id for task in expand(plan).costs})
    assert ids[0] == ids[1]
    assert not ids[0] & ids[2]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (HEAD.replace('data = "wine"', 'dta = "wine"') + "[[problems]]\nkind = 'maximize'\n", 4,
         "unknown key 'dta' (did you mean 'data'?)"),
        (HEAD.replace("wine", "wines") + "[[problems]]\nkind = 'maximize'\n"
         "[[masks]]\nmethod = 'activation'\nkeep = 0.5\n", 4, "unknown data set 'wines'"),
        (HEAD.replace("tiny.npz", "tinny.npz") + "[[problems]]\nkind = 'maximize'\n"
         "networks = 'tiny'\n", 3, "'tinny.npz' does not exist"),
        (HEAD + "[[problems]]\nkid = 'maximize'\noutput = 1\n", 6, "unknown key 'kid'"),
        (HEAD + "[[problems]]\nkind = 'maximize'\nnetworks = 'tony'\noutput = 7\n", 7,
         "unknown network 'tony'"),
        (HEAD + "[[problems]]\nkind = 'adversarial'\nradios = 0.1\n", 7, "unknown key 'radios'"),
        (HEAD + "[[masks]]\nmethd = 'random'\nkeep = 0.5\n", 6, "unknown key 'methd'"),
        (HEAD.replace("[networks.tiny]", "[network.tiny]") + "[[problems]]\nkind = 'maximize'\n"
         "networks = 'tiny'\n", 2, "unknown section 'network'"),
        (HEAD + "[[masks]]\nmethod = 'random'\nkeep = 0.5\noptions = { scope = 'glob' }\n", 8,
         "scope"),
        (HEAD + "[[masks]]\nmethod = 'random'\nkeep = 0.5\n[run]\nbackend = 'dask'\n"
         "options = { shceduler = 'tcp://a' }\n", 10, "unknown key 'shceduler'"),
        ("[networks.t]\nfile = 'plan.toml'\n[[problems]]\nkind = 'maximize'\nnetworks = 't'\n"
         "data = 'wine'\n", 2, "holds no network"),
        (HEAD + "[[problems]]\nkind = 'maximize'\nradius = 0.1\nitems = [\n0,\n'a',\n-1\n]\n", 10,
         "items must be a whole number, not 'a'"),
    ],
)  # fmt: skip
def test_one_mistake_is_one_fault(tmp_path: Path, text: str, line: int, words: str) -> None:
    found = faults(tmp_path, text)
    assert [m for n, m in found if n == line and words in m], found
    assert len(found) == 1 + ("-1" in text), found


def test_every_wrong_item_on_its_line(tmp_path: Path) -> None:
    text = HEAD + "[[problems]]\nkind = 'distortion'\nitems = [\n0,\n'a',\n-1,\n1.5\n]\n"
    wanted = [(9, "not 'a'"), (10, "from 0 on, not -1"), (11, "not 1.5")]
    agree(faults(tmp_path, text), wanted)


def test_another_solver_says_which_options_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SOLVERS, "_entries", dict(SOLVERS._entries))

    def wrong(options: dict[str, object]) -> list[tuple[str, str]]:
        return [(name, f"there is no {name!r}") for name in options if name != "gap"]

    register_solver("choosy", version=lambda: "1", option_faults=wrong)(solve)
    register_solver("easy", version=lambda: "1")(solve)
    register_solver("broken", version=lambda: "1", option_faults=lambda o: o["x"])(solve)
    problem = "[[problems]]\nkind = 'maximize'\n"
    text = (
        HEAD
        + problem
        + """
[[solvers]]
name = "easy"
options = { anything = 1 }
[[solvers]]
name = "choosy"
[solvers.options]
gap = 0.1
gpa = 0.1
[[solvers]]
name = "broken"
options = { y = 1 }
"""
    )
    found = faults(tmp_path, text)
    agree(found, [(15, "there is no 'gpa'"), (18, "'broken' cannot check them (KeyError: 'x')")])
