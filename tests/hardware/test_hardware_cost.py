"""The result: frozen, complete, in several forms."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mipnet.errors import MissingPackageError
from mipnet.hardware import Gemm, HardwareCost, Memory, TileMask, cost, transformer_block
from mipnet.pruning import LayerMask

KEYS = (
    *("cycles", "macs", "utilization", "sram_reads", "sram_writes"),
    *("dram_reads", "dram_writes", "energy_pj"),
)


def parsed(markup: str) -> ElementTree.Element:
    """Markup as a tree; a tag left open raises."""
    return ElementTree.fromstring(markup)  # noqa: S314 - written by mipnet itself


def example(**options: object) -> HardwareCost:
    rng = np.random.default_rng(0)
    masks = {
        "block.ffn": LayerMask(np.arange(40), 64),
        "block.attention.q": TileMask(rng.random((4, 4)) < 0.5, (8, 8), (32, 32)),
    }
    return cost(transformer_block(16, 32, 4, 64), masks, array=8, **options)


def test_the_result_cannot_be_changed() -> None:
    found = example()
    for thing in (found, found.machine, found.after, found.layers[0], found.savings, found.costs):
        name = dataclasses.fields(thing)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, name, None)
    table = found.energies[0].total  # a sum made on request: changing it changes nothing else
    table[:] = 0.0
    assert found.energy > 0.0
    for array in (found.costs.compute_cycles, found.energies[0].mac, found.workload.m):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 7


def test_totals_are_sums_of_the_layers() -> None:
    found = example(bandwidth=4.0)
    for name in ("cycles", "macs", "sram_reads", "dram_writes", "stall_cycles", "index_bytes"):
        for state in ("before", "after"):
            total = sum(getattr(getattr(layer, state), name) for layer in found.layers)
            assert total == getattr(getattr(found, state), name)
    assert found.energy == pytest.approx(sum(layer.energy for layer in found.layers))
    assert found.energy_before == pytest.approx(sum(x.energy_before for x in found.layers))
    assert found.cycles == found.compute_cycles + found.stall_cycles
    assert found.stall_cycles > 0
    assert found.utilization == pytest.approx(found.macs / (64 * found.cycles))


def test_three_savings_side_by_side() -> None:
    found = example(bandwidth=1.0)
    saving = found.savings
    assert saving.bandwidth == 1.0
    before, after = found.before, found.after
    assert saving.ideal == pytest.approx(1 - after.active_macs / before.macs)
    assert saving.tile_quantised == pytest.approx(1 - after.compute_cycles / before.compute_cycles)
    assert saving.after_memory == pytest.approx(1 - after.cycles / before.cycles)
    # Without a limit the memory column is stated at a reference bandwidth.
    free = example()
    assert free.savings.bandwidth == 16.0
    assert free.savings.after_memory == example(bandwidth=16.0).savings.after_memory


def test_plain_data() -> None:
    found = example(energy_table="aladdin45")
    plain = json.loads(found.to_json())
    assert set(KEYS) <= set(plain)
    for name in KEYS:
        assert plain[name] == getattr(found, name)
    assert plain["energy_table"] == "aladdin45"
    assert [e["table"] for e in plain["energies"]] == ["aladdin45", "relative_eyeriss"]
    assert len(plain["layers"]) == 8
    assert plain["before"]["cycles"] == found.before.cycles
    assert plain["savings"]["ideal"] == found.savings.ideal
    assert "before" not in json.loads(cost((4, 4, 4)).to_json())


def test_frame() -> None:
    found = example()
    frame = found.to_frame()
    assert list(frame.index) == list(found.workload.names)
    assert frame["cycles"].sum() == found.cycles
    assert frame["cycles_before"].sum() == found.before.cycles
    assert frame.loc["block.ffn.up", ["n_before", "n"]].tolist() == [64, 40]
    assert frame["energy_horowitz45_pJ"].sum() == pytest.approx(found.energy)


def test_frame_needs_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackageError, match="pandas"):
        example().to_frame()


def test_notebook_cell() -> None:
    found = cost([Gemm("<b>", 4, 4, 4)], array=4)
    html = found._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    tree = parsed(html)
    heads = [cell.text for cell in tree.iter("th")]
    assert "cycles" in heads
    assert "ideal" not in heads
    masked = parsed(example()._repr_html_())
    assert "ideal" in [cell.text for cell in masked.iter("th")]
    many = cost(np.full((70, 3), 4))._repr_html_()
    assert "10 more GEMMs" in many


def test_text_names_tables_and_assumptions() -> None:
    text = str(example())
    for said in ("8x8 ws, serial, int8", "horowitz45", "relative_eyeriss", "ideal", "packing"):
        assert said in text


@given(
    m=st.integers(1, 60),
    k=st.integers(1, 60),
    n=st.integers(1, 60),
    bandwidth=st.floats(0.1, 64.0),
    write=st.none() | st.floats(0.1, 64.0),
)
def test_nothing_is_above_the_roof(
    m: int, k: int, n: int, bandwidth: float, write: float | None
) -> None:
    memory = Memory(bandwidth=bandwidth, write_bandwidth=write)
    roof = cost((m, k, n), array=(4, 8), memory=memory).roofline
    assert roof.peak == 32
    assert roof.ridge == pytest.approx(32 / (bandwidth + (write or 0.0)))
    (arrow,) = roof.arrows
    assert arrow.reached <= arrow.attainable * (1 + 1e-9)
    assert arrow.attainable <= 32


def test_roofline_arrows() -> None:
    found = cost(
        {"fc": (64, 256, 256)}, {"fc": LayerMask(np.arange(64), 256)}, array=16, bandwidth=16.0
    )
    (arrow,) = found.roofline.arrows
    assert arrow.intensity_before == pytest.approx(64 * 256**2 / (2 * 64 * 256 + 256**2))
    assert arrow.intensity < arrow.intensity_before  # pruning lowers intensity
    drawing = parsed(found.roofline.svg())
    assert sum(1 for node in drawing.iter() if node.tag.endswith("line")) == 2
    gone = cost({"fc": (4, 4, 4)}, {"fc": LayerMask(np.array([], int), 4)}, array=4)
    assert gone.roofline.arrows[0].reached == 0.0
    assert parsed(gone.roofline.svg()) is not None


def test_import_is_light() -> None:
    code = (
        "import sys, mipnet, mipnet.hardware; mipnet.hardware.cost((4, 4, 4)); "
        "print(*({'torch', 'pandas', 'pyomo', 'highspy', 'plotly'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_package_is_reached_from_mipnet() -> None:
    code = "import mipnet; print(mipnet.hardware.cost([(64, 64, 64)], array='16x16').cycles)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1760"


def test_tables_are_shipped() -> None:
    from importlib.resources import files

    tables = [f.name for f in (files("mipnet.hardware") / "tables").iterdir()]
    assert "horowitz45.toml" in tables
