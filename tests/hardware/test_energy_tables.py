"""Energy tables: provenance, units, dimensions, and what happens without them."""

from __future__ import annotations

import json
import math
import re
import tomllib
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mipnet.errors import ReadError
from mipnet.hardware import Memory, NMMask, TileMask, cost, energy_table, energy_tables, sweep

SHIPPED = energy_tables()

OWN = """
name = "own"
[mac]
int8 = ["mac"]
[entries.mac]
kind = "arithmetic"
value = 0.5
unit = "pJ/op"
width_bits = 8
node_nm = 28
source = "measured here"
year = 2026
[entries.sram]
kind = "sram"
value = 8.0
unit = "pJ/access"
width_bits = 64
node_nm = 28
source = "measured here"
year = 2026
[entries.dram]
kind = "dram"
value = 640.0
unit = "pJ/access"
width_bits = 64
node_nm = 28
source = "measured here"
year = 2026
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_value_has_a_birth_certificate(name: str) -> None:
    table = energy_table(name)
    assert table.name == name
    assert table.mac("int8") > 0.0
    for entry in table.entries.values():
        assert entry.value > 0.0
        assert entry.source
        assert 1990 < entry.year < 2030
    plain = tomllib.loads((files("mipnet.hardware") / "tables" / f"{name}.toml").read_text())
    for entry in plain["entries"].values():
        assert {"value", "unit", "width_bits", "node_nm", "source", "year"} <= set(entry)
        if "unrecorded" in entry.values():
            assert "unrecorded" in entry["note"]


def test_only_what_a_source_does_not_give_is_left_out() -> None:
    blank = {
        name: {
            field
            for entry in energy_table(name).entries.values()
            for field in ("width_bits", "node_nm")
            if getattr(entry, field) is None
        }
        for name in SHIPPED
    }
    assert {name: fields for name, fields in blank.items() if fields} == {
        "relative_maestro": {"width_bits", "node_nm"},
        "zigzag_tpu": {"node_nm"},
    }


def test_the_default_and_a_relative_table_are_there() -> None:
    assert {"horowitz45", "relative_eyeriss"} < set(SHIPPED)
    assert energy_table("relative_eyeriss").unit == "MAC"


def test_figures_of_horowitz() -> None:
    table = energy_table("horowitz45")
    assert table.mac("int8") == pytest.approx(0.3)
    assert table.mac("fp32") == pytest.approx(4.6)
    for kb, picojoules in ((8, 1.25), (32, 2.5), (1024, 12.5)):
        assert table.word("sram", 8, capacity=kb * 1024) == pytest.approx(picojoules)
    assert 1300 / 8 <= table.word("dram", 8) <= 2600 / 8
    assert table.word("register", 8) is None


def test_sram_between_capacities() -> None:
    table = energy_table("horowitz45")
    # sqrt(18 KiB) is half way between sqrt(8 KiB) and sqrt(32 KiB).
    assert table.word("sram", 64, capacity=18 * 1024) == pytest.approx(15.0)
    assert table.word("sram", 64, capacity=2 * 1024) == pytest.approx(5.0)
    assert table.word("sram", 64, capacity=4 * 1024 * 1024) == pytest.approx(200.0)


@given(small=st.integers(1, 2**24), more=st.integers(0, 2**24))
def test_larger_buffers_never_cost_less_per_word(small: int, more: int) -> None:
    table = energy_table("horowitz45")
    one, two = (table.word("sram", 8, capacity=size) for size in (small, small + more))
    assert one <= two * (1 + 1e-12)


def test_energy_is_counts_times_values(tmp_path: Path) -> None:
    table = write(tmp_path, OWN)
    found = cost([(64, 64, 64)], array=16, energy_table=table)
    words = 16384 + 4096 + 2 * 12288 + 16384  # operands, read-backs and writes before them, results
    assert found.sram_reads == 16384 + 4096
    sram = (16384 + 4096 + 4096) * 1.0 + 2 * 12288 * 4.0 + (8192 + 4096) * 1.0
    assert words > 0
    parts = found.energies[0].parts()
    assert parts["mac"] == pytest.approx(64**3 * 0.5)
    assert parts["sram"] == pytest.approx(sram)
    assert parts["dram"] == pytest.approx(12288 * 80.0)
    assert found.energy_pj == pytest.approx(sum(parts.values()))


@pytest.mark.parametrize(
    ("unit", "value", "width"),
    [("pJ/byte", 80.0, 64), ("pJ/bit", 10.0, 1), ("nJ/access", 1.28, 128), ("fJ/word", 80000.0, 8)],
)
def test_units_are_dimensions(tmp_path: Path, unit: str, value: float, width: int) -> None:
    """80 pJ per byte, however it is written, gives one energy."""
    before = cost([(20, 30, 40)], array=8, energy_table=write(tmp_path, OWN))
    dram = f'kind = "dram"\nvalue = {value}\nunit = "{unit}"\nwidth_bits = {width}\n'
    text = re.sub(r'kind = "dram"\nvalue = .*\nunit = .*\nwidth_bits = .*\n', dram, OWN)
    after = cost([(20, 30, 40)], array=8, energy_table=write(tmp_path, text))
    assert after.energy == pytest.approx(before.energy, rel=1e-12)


def test_directions_multiplexers_and_leakage(tmp_path: Path) -> None:
    extra = """
[entries.mux]
kind = "mux"
value = 0.01
unit = "pJ/op"
width_bits = 8
node_nm = 28
source = "measured here"
year = 2026
[entries.idle]
kind = "leakage"
value = 0.001
unit = "pJ/cycle"
width_bits = "unrecorded"
node_nm = "unrecorded"
source = "measured here"
year = 2026
note = "one PE of a chip whose node is not told"
"""
    halves = OWN.replace("[entries.dram]", "[entries.dram_write]").replace(
        'kind = "dram"', 'kind = "dram"\ndirection = "write"'
    )
    reads = OWN[OWN.index("[entries.dram]") :].replace(
        'kind = "dram"\nvalue = 640.0', 'kind = "dram"\ndirection = "read"\nvalue = 320.0'
    )
    table = write(tmp_path, halves + reads + extra)
    found = cost([(16, 64, 32)], {"gemm0": NMMask(1, 4)}, array=8, energy_table=table)
    parts = found.energies[0].parts()
    assert parts["mux"] == pytest.approx(found.macs * 3 * 0.01)
    assert parts["leakage"] == pytest.approx(64 * found.cycles * 0.001)
    dram = found.after.dram_read_bytes * 40.0 + found.after.dram_write_bytes * 80.0
    assert parts["dram"] == pytest.approx(dram)
    assert found.energies[0].unpriced == ("register", "hop")


def test_base_fills_the_gaps() -> None:
    table = energy_table("aladdin45")
    assert table.mac("int8") == pytest.approx(12.89)
    assert table.word("dram", 8) == energy_table("horowitz45").word("dram", 8)
    assert table.word("register", 8) == pytest.approx(0.072)


@pytest.mark.parametrize(
    "field", ["unit", "value", "source", "year", "node_nm", "width_bits", "kind"]
)
def test_a_missing_field_is_named(tmp_path: Path, field: str) -> None:
    path = write(tmp_path, re.sub(rf"\n{field} = .*", "", OWN, count=1))
    with pytest.raises(ReadError, match=f"entry 'mac' has no {field}"):
        cost([(4, 4, 4)], energy_table=path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"pJ/op"', '"pJ"', "does not fit kind"),
        ('"pJ/op"', '"pJ/access"', "does not fit kind"),
        ('"pJ/access"', '"W/access"', "does not fit kind"),
        ("0.5", "-0.5", "not a positive number"),
        ("0.5", '"half"', "not a positive number"),
        ('"sram"', '"flash"', "none of"),
        ('["mac"]', '["multiply"]', "no arithmetic entries"),
        ('width_bits = 64', 'width_bits = "unrecorded"', "needs width_bits"),
        ('node_nm = 28', 'node_nm = "unrecorded"', "node_nm unrecorded; say why"),
        ('name = "own"', 'colour = "red"', "unknown fields"),
        ('name = "own"', "name = ", "own.toml"),
        ("8.0\nunit = \"pJ/access\"", "8.0\nunit = \"MAC/access\"", "relative to a MAC"),
        ('kind = "dram"', 'kind = "hop"', "prices no dram"),
        ("[mac]\nint8 = [\"mac\"]\n", "", r"prices no \[mac\]"),
        ('name = "own"', 'base = "nowhere"', "none of"),
    ],
)  # fmt: skip
def test_bad_tables(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in OWN
    with pytest.raises(ReadError, match=said):
        energy_table(write(tmp_path, OWN.replace(old, new)))


def test_unknown_tables_and_precisions(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="horowitz45"):
        energy_table("horowitz")
    with pytest.raises(ReadError, match=r"fp32_int8.*relative_eyeriss"):
        energy_table("horowitz45").mac("fp32_int8")
    mixed = cost([(4, 4, 4)], precision="fp32_int8", energy_table="relative_eyeriss")
    assert [table.name for table in mixed.tables] == ["relative_eyeriss", "relative_maestro"]
    for nothing in (tmp_path / "nothing.toml", 3, None):
        with pytest.raises(ReadError):
            energy_table(nothing)


@pytest.mark.parametrize("name", SHIPPED)
def test_results_always_come_under_two_tables(name: str) -> None:
    mask = TileMask(np.eye(4, dtype=bool), (16, 16), (64, 64))
    found = cost([(8, 64, 64)], {"gemm0": mask}, array=16, energy_table=name)
    assert found.tables[0].name == name
    assert len({table.name for table in found.tables}) == len(found.ranking.orders) == 2
    for order in found.ranking.orders.values():
        assert sorted(order) == ["is", "os", "ws"]
    relative = found.tables[0].unit == "MAC"
    assert (found.energy_pj is None) == relative
    assert found.energy < found.energy_before
    assert all(table.name in str(found) for table in found.tables)


def test_one_table_to_compare_with_needs_no_list() -> None:
    found = cost((8, 64, 64), compare="aladdin45")
    assert [table.name for table in found.tables] == ["horowitz45", "aladdin45"]


def test_relative_energies_do_not_depend_on_width_of_words() -> None:
    one, two = (
        cost([(8, 64, 64)], array=16, precision=p, energy_table="relative_eyeriss", memory=Memory())
        for p in ("int8", "fp32")
    )
    assert one.energy == two.energy


def test_tables_of_one_name_are_told_apart(tmp_path: Path) -> None:
    one, two = tmp_path / "t0.toml", tmp_path / "t1.toml"
    one.write_text(OWN, encoding="utf-8")
    two.write_text(OWN.replace("0.5", "50.0"), encoding="utf-8")
    alone = cost([(8, 64, 64)], energy_table=one)
    found = cost([(8, 64, 64)], energy_table=one, compare=two)
    assert [t.name for t in found.tables] == ["own (t0.toml)", "own (t1.toml)"]
    assert found.energy == alone.energy  # the one asked for stays the first
    assert found.energies[1].total.sum() > found.energy
    assert list(found.ranking.orders) == ["own (t0.toml)", "own (t1.toml)"]
    plain = found.to_dict()
    assert plain["energy_table_path"] == str(one)
    assert [e["path"] for e in plain["energies"]] == [str(one), str(two)]
    same = cost([(8, 64, 64)], energy_table=one, compare=[one, one])
    assert [t.name for t in same.tables] == ["own", "relative_eyeriss"]


def test_files_and_objects_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    one, two = write(tmp_path, OWN), write(tmp_path / "a", OWN.replace("8.0", "9.0"))
    again = replace(energy_table(one), title="another", path=None)
    third = replace(again, title="a third")
    found = cost((8, 64, 64), energy_table=one, compare=[two, again, third])
    names = ["own (own.toml)", f"own ({two})", "own", "own (2)"]
    assert [t.name for t in found.tables] == names


def test_a_file_named_like_a_shipped_table(tmp_path: Path) -> None:
    path = write(tmp_path, OWN.replace('"own"', '"horowitz45"'))
    found = cost((8, 64, 64), energy_table=path)
    assert [t.name for t in found.tables] == ["horowitz45", "relative_eyeriss"]
    assert found.to_dict()["energy_table_path"] == str(path)
    assert any(str(path) in note for note in found.notes)
    both = cost((8, 64, 64), compare=path)
    assert [t.name for t in both.tables] == ["horowitz45", "horowitz45 (own.toml)"]
    assert both.energy == cost((8, 64, 64)).energy
    assert both.to_dict()["energy_table_path"] is None


def test_a_precision_without_a_price_leaves_energy_unknown() -> None:
    found = cost({"fc": (4, 8, 8)}, {"fc": NMMask(2, 4)}, precision="fp32_int8")
    assert found.cycles == cost({"fc": (4, 8, 8)}, {"fc": NMMask(2, 4)}).cycles
    assert math.isnan(found.energy)
    assert found.energy_pj is None
    assert math.isnan(found.layers[0].energy)
    assert "mac" in found.energies[0].unpriced
    assert list(found.ranking.orders) == ["relative_eyeriss", "relative_maestro"]
    (note,) = (note for note in found.notes if "fp32_int8" in note)
    assert "horowitz45" in note
    assert "relative_eyeriss, relative_maestro" in note
    plain = json.loads(found.to_json())
    assert plain["energy"] is plain["energy_pj"] is plain["layers"][0]["energy"] is None
    assert plain["before"]["energy"] is plain["energies"][0]["total"] is None
    assert plain["energies"][1]["total"] > 0.0
    assert "unknown" in str(found)
    assert "unknown" in found._repr_html_()
    assert "nan" not in str(found)


def test_a_sweep_without_a_price_takes_the_tables_that_know() -> None:
    space = sweep((4, 8, 8), arrays=[4, 8], precision="fp32_int8")
    assert list(space.ranking.orders) == ["relative_eyeriss", "relative_maestro"]
    assert space.pareto()
