"""``mipnet hardware``: golden values through the command line, and one line for every mistake."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import mipnet
from mipnet.cli import main
from mipnet.hardware import NMMask, TileMask, cost, save_masks
from mipnet.network.readers import load

KEYS = {
    *("cycles", "macs", "utilization", "sram_reads", "sram_writes"),
    *("dram_reads", "dram_writes", "energy_pj"),
}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["hardware", *map(str, arguments)])


def plain(*arguments: object) -> dict:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout, parse_constant=pytest.fail)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "net.npz"
    weights = {"W0": rng.normal(size=(32, 48)), "W1": rng.normal(size=(10, 32))}
    np.savez(path, b0=np.zeros(32), b1=np.zeros(10), **weights)
    return path


@pytest.mark.parametrize(("dataflow", "cycles"), [("ws", 1760), ("os", 1504), ("is", 1760)])
def test_a_bare_gemm(dataflow: str, cycles: int) -> None:
    found = plain("--gemm", "64,64,64", "--array", "16x16", "--dataflow", dataflow)
    assert set(found) >= KEYS
    assert found["cycles"] == cycles
    assert found["macs"] == 64**3
    assert found["utilization"] == pytest.approx(64**3 / (256 * cycles))
    assert found["sram_reads"] == {"ws": 20480, "os": 32768, "is": 20480}[dataflow]
    assert found["sram_writes"] == {"ws": 16384, "os": 4096, "is": 16384}[dataflow]
    assert (found["dram_reads"], found["dram_writes"]) == (8192, 4096)
    assert found["energy_pj"] > 0
    assert "before" not in found


def test_several_gemms_and_options() -> None:
    options = ("--mode", "overlap", "--edge-aware", "--bandwidth", "2", "--buffers", "1,1,1")
    found = plain(
        "--gemm",
        "20,30,40",
        "--gemm",
        "7,8,9",
        "--array",
        "4x8",
        "--partial-sums",
        "spill",
        *options,
    )
    assert [layer["name"] for layer in found["layers"]] == ["gemm0", "gemm1"]
    assert found["stall_cycles"] > 0
    assert found["memory"]["input_bytes"] == 1024
    assert found["mode"] == "overlap"
    assert found["edge_aware"]


def test_a_network_under_a_mask(net: Path, tmp_path: Path) -> None:
    network = load(net)
    mask = mipnet.prune(network, "magnitude", keep=0.5).mask
    mask.save(tmp_path / "mask.safetensors")
    arguments = (net, "--array", "8x8", "--dataflow", "ws", "--batch", 5)
    found = plain(*arguments, "--mask", tmp_path / "mask.safetensors")
    expected = cost(network, mask, array=8, batch=5)
    assert found["cycles"] == expected.cycles
    assert found["before"]["cycles"] == expected.before.cycles == plain(*arguments)["cycles"]
    assert found["savings"]["ideal"] == pytest.approx(0.5)
    assert found["layers"][0]["n"] == 16
    assert found["layers"][1]["k"] == 16


def test_masks_of_tiles(net: Path, tmp_path: Path) -> None:
    masks = {"W0": TileMask(np.eye(6, 4, dtype=bool), (8, 8), (48, 32)), "W1": NMMask(2, 4)}
    save_masks(masks, tmp_path / "mask.safetensors")
    found = plain(net, "--array", "8x8", "--mask", tmp_path / "mask.safetensors")
    assert found["cycles"] == 4 * 23 + 2 * 2 * 23
    result = run(net, "--array", "16x16", "--mask", tmp_path / "mask.safetensors")
    assert result.exit_code == 2
    assert "8x8 do not match the 16x16 array" in result.stderr


def test_tables_of_energy(net: Path, tmp_path: Path) -> None:
    relative = plain(net, "--energy-table", "relative_eyeriss")
    assert relative["energy_pj"] is None
    assert relative["energy_unit"] == "MAC"
    from importlib.resources import files

    text = (files("mipnet.hardware") / "tables" / "horowitz45.toml").read_text()
    own = tmp_path / "own.toml"
    own.write_text(text.replace('name = "horowitz45"', 'name = "own"'))
    found = plain(net, "--energy-table", own)
    assert found["energy_table"] == "own"
    assert found["energy_pj"] == plain(net)["energy_pj"]
    assert set(found["ranking"]["order"]) == {"own", "relative_eyeriss"}
    own.write_text(text.replace('unit = "pJ/access"\n', ""))
    result = run(net, "--energy-table", own)
    assert result.exit_code == 2
    assert "has no unit" in result.stderr


def test_report_for_people(net: Path, tmp_path: Path) -> None:
    save_masks({"W1": NMMask(1, 4)}, tmp_path / "mask.safetensors")
    result = run(net, "--mask", tmp_path / "mask.safetensors")
    assert result.exit_code == 0
    assert "…" not in result.stdout
    for said in (
        "W0",
        "1 x 48 x 32",
        "horowitz45",
        "relative_eyeriss",
        "after memory",
        "not priced",
    ):
        assert said in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give either NET or --gemm"),
        (("--gemm", "0,4,4"), "M is 0"),
        (("--gemm", "4,-4,4"), "K is -4"),
        (("--gemm", "4,4"), "M,K,N"),
        (("--gemm", "4,4,x"), "M,K,N"),
        (("--gemm", "4,4,4", "--array", "0x4"), "array rows is 0"),
        (("--gemm", "4,4,4", "--array", "4by4"), "16x16"),
        (("--gemm", "4,4,4", "--dataflow", "rs"), "dataflow"),
        (("--gemm", "4,4,4", "--bandwidth", "0"), "bandwidth is 0"),
        (("--gemm", "4,4,4", "--bandwidth", "nan"), "bandwidth"),
        (("--gemm", "5,5,5", "--bandwidth", "1e-18"), "'gemm0': its memory stalls at bandwidth="),
        (("--gemm", "5,5,5", "--batch", "99999999999999999999"), "'gemm0': M = 5 times batch"),
        (("--gemm", "5,5,99999999999999999999"), "'gemm0'"),
        (("--gemm", "4,4,4", "--batch", "0"), "batch"),
        (("--gemm", "4,4,4", "--buffers", "1,2"), "KiB"),
        (("--gemm", "4,4,4", "--buffers", "0,1,1"), "input_bytes"),
        (("--gemm", "4,4,4", "--energy-table", "nowhere"), "horowitz45"),
        (("nothing.npz",), "does not exist"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


def test_a_precision_without_a_price() -> None:
    found = plain("--gemm", "64,64,64", "--precision", "fp32_int8")
    assert found["cycles"] == 1760
    assert found["energy_pj"] is found["energy"] is None
    assert any("relative_eyeriss" in note for note in found["notes"])
    result = run("--gemm", "64,64,64", "--precision", "fp32_int8")
    assert result.exit_code == 0
    assert "unknown" in result.stdout
