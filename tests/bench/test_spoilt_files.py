"""What lies beside the records: files of artefacts, data, the plan; named and made again."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from bench_cases import plan_file, records, tiny
from click.testing import CliRunner, Result

from mipnet.bench import StoreError, collect, load, load_plan, outlook, run, status
from mipnet.cli import main

pytestmark = pytest.mark.usefixtures("nursery")

PLAN = """
[plan]
name = "spoilt"
[networks.tiny]
file = "tiny.npz"
data = "wine"
[[masks]]
method = ["magnitude", "random"]
keep = 0.5
[[problems]]
kind = "maximize"
[[problems]]
kind = "adversarial"
radius = 0.01
items = 2
networks = ["tiny"]
masks = false
[solve]
seeds = [0, 1]
[[hardware]]
array = "4x4"
[limits]
time = 10
"""
CELLS = 10


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, nursery: None) -> Path:
    """A plan beside its results."""
    del nursery
    place = tmp_path_factory.mktemp("made")
    tiny(place / "tiny.npz", widths=(13, 5, 3))
    done = run(plan_file(place, PLAN), place / "r")
    assert done.ok
    assert sum(done.counts.values()) == CELLS
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """A copy of it that may be spoilt."""
    return Path(shutil.copytree(made, tmp_path / "p"))


def asked(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["bench", *map(str, arguments)])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


def link_instead(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def no_folder(path: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.write_text("in the way", encoding="utf-8")


SPOIL: tuple[Callable[[Path], object], ...] = (
    lambda path: path.write_bytes(path.read_bytes()[:50]),
    flip,
    Path.unlink,
    folder_instead,
    link_instead,
    no_folder,
)


@pytest.mark.parametrize("pattern", ["network.npz", "mask.safetensors"])
@pytest.mark.parametrize("spoil", SPOIL)
def test_files_of_artefacts_are_named_and_made_again(
    place: Path, spoil: Callable[[Path], object], pattern: str
) -> None:
    folder, plan = place / "r", load_plan(place / "plan.toml")
    path = min(folder.glob(f"artefacts/*/{pattern}"))
    kind = "mask" if pattern.startswith("mask") else "network"
    kind = records(folder, "artefacts")[path.parent.name]["kind"] if kind == "network" else kind
    content = path.read_bytes()
    spoil(path)
    where = str(path.relative_to(folder))
    assert any(line.startswith(where) for line in status(folder).damaged)
    ahead = outlook(plan, folder)
    assert ahead.left == {"network": 0, "mask": 0, "cost": 0, "solve": 0} | {kind: 1}
    assert any(note.startswith(where) for note in ahead.notes)
    found = collect([folder])
    assert len(found.cells) == CELLS
    assert any(note.startswith(where) for note in found.notes)
    done = run(plan, folder)
    assert done.ok
    assert any(path.parent.name in note and "set aside" in note for note in done.notes)
    assert path.read_bytes() == content
    assert not status(folder).damaged
    assert run(plan, folder).notes == []


@pytest.mark.parametrize("spoil", [flip, SPOIL[0], no_folder])
def test_data_are_named_and_written_again(place: Path, spoil: Callable[[Path], object]) -> None:
    folder = place / "r"
    (path,) = folder.glob("data/*/inputs.npy")
    content = path.read_bytes()
    spoil(path)
    assert any(line.startswith(f"data/{path.parent.name}") for line in status(folder).damaged)
    assert any(note.startswith(f"data/{path.parent.name}") for note in load(folder).notes)
    done = run(place / "plan.toml", folder)
    assert done.ok
    assert any("it is written again" in note for note in done.notes)
    assert path.read_bytes() == content
    assert (folder / "set_aside" / "data").is_dir()
    assert not status(folder).damaged


@pytest.mark.parametrize("name", ["cells", "artefacts", "costs"])
@pytest.mark.parametrize("spoil", [folder_instead, link_instead])
def test_no_file_where_a_record_should_be(
    place: Path, spoil: Callable[[Path], object], name: str
) -> None:
    folder = place / "r"
    path = min((folder / name).glob("*.json"))
    spoil(path)
    where = f"{name}/{path.name}"
    assert any(line.startswith(where) for line in status(folder).damaged)
    assert any(note.startswith(where) for note in load(folder).notes)
    told = asked("collect", folder)
    assert told.exit_code == 0
    assert f"{where} set aside" in told.output
    assert (folder / "cells.parquet").is_file()
    assert run(place / "plan.toml", folder).ok
    assert not status(folder).damaged


class TestPlanOfAFolder:
    def test_a_dry_run_refuses_what_a_run_refuses(self, place: Path) -> None:
        other = plan_file(place, PLAN.replace('"spoilt"', '"other"'), "other.toml")
        told = [asked("run", other, "--results", place / "r", *dry) for dry in ([], ["--dry-run"])]
        assert [t.exit_code for t in told] == [2, 2]
        assert told[0].output == told[1].output
        assert "holds the results of the plan 'spoilt'" in told[0].output
        (place / "mine").mkdir()
        (place / "mine" / "notes.txt").write_text("dear diary", encoding="utf-8")
        told = [
            asked("run", other, "--results", place / "mine", *dry) for dry in ([], ["--dry-run"])
        ]
        assert [t.exit_code for t in told] == [2, 2]

    def test_without_plan_json_nothing_is_lost(self, place: Path) -> None:
        folder = place / "r"
        # Files of the plan are found from the folder too.
        shutil.copy(place / "tiny.npz", folder / "tiny.npz")
        (folder / "plan.json").unlink()
        told = asked("run", place / "plan.toml", "--results", folder, "--dry-run")
        assert told.exit_code == 0
        assert f"solve {CELLS:>9}, of which 0 to do" in told.output
        assert "plan.json was gone" in told.output
        found = status(folder)
        assert found.missing["solve"] == 0
        assert any(line.startswith("plan.json: it is gone") for line in found.damaged)
        assert len(load(folder).cells) == CELLS
        assert asked("collect", folder).exit_code == 0
        assert not (folder / "plan.json").exists()
        assert run(place / "plan.toml", folder).kept == CELLS + 6
        assert not status(folder).damaged

    @pytest.mark.parametrize("gone", [["plan.json"], ["plan.json", "plan.toml"]])
    def test_where_it_cannot_be_remade_the_remedy_is_named(
        self, place: Path, gone: list[str]
    ) -> None:
        folder = place / "r"
        for name in gone:
            (folder / name).unlink()
        for ask in (status, load, lambda folder: collect([folder])):
            with pytest.raises(StoreError, match=r"mipnet bench run PLAN .*makes it anew"):
                ask(folder)
        assert run(place / "plan.toml", folder).kept == CELLS + 6
        assert not status(folder).damaged


def test_the_factors_of_a_dry_run_multiply_to_its_cells(place: Path) -> None:
    ahead = outlook(load_plan(place / "plan.toml"), place / "r")
    assert ahead.factors == {"networks": 3, "questions": 3, "ways": 2}
    assert ahead.cells == CELLS
    shown = asked("run", place / "plan.toml", "--results", place / "r", "--dry-run").output
    line = next(line for line in shown.splitlines() if line.startswith("cells: "))
    cells, *factors, left_out = map(int, re.findall(r"\d+", line))
    assert cells == math.prod(factors) - left_out == CELLS
