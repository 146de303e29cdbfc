"""``mipnet info``: counts and ranges that can be checked by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from mipnet.cli import main
from mipnet.network import Affine, Flatten, Network, Node, ReLU
from mipnet.network.layers import Add, Conv
from mipnet.network.readers import load
from mipnet.network.writers import save


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["info", *map(str, arguments)])


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.npz"
    np.savez(
        path,
        W0=np.array([[0.5, 0.0], [-4.0, 1e-12], [1e-9, 2.0]]),
        b0=np.array([0.0, -0.25, 1e-8]),
        W1=np.zeros((1, 3)),
        b1=np.zeros(1),
        lb=np.array([-1.0, 0.0]),
        ub=3.0,
    )
    return path


def test_counts(net: Path) -> None:
    result = run(net, "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    first, relu, last = found["layers"]
    assert (first["kind"], relu["kind"], last["kind"]) == ("Affine", "ReLU", "Affine")
    assert first["coefficients"] == {
        "parameters": 9,
        "zeros": 2,
        "near_zeros": 2,
        "least": 1e-12,
        "most": 4.0,
    }
    assert relu["coefficients"]["parameters"] == 0
    assert last["coefficients"] == {
        "parameters": 4,
        "zeros": 4,
        "near_zeros": 0,
        "least": None,
        "most": None,
    }
    assert found["coefficients"]["parameters"] == 13
    assert found["coefficients"]["zeros"] == 6
    assert found["bounds"] == [[-1.0, 0.0], [3.0, 3.0]]
    assert found["dtype"] == "float64"
    assert found["fingerprint"] == load(net).fingerprint


def test_table_shows_every_layer(net: Path) -> None:
    result = run(net)
    assert result.exit_code == 0
    rows = {line.split()[0]: line.split() for line in result.stdout.splitlines()}
    assert rows["W0"][4:] == ["9", "2", "2", "1e-12", "4"]
    assert rows["all"][1:] == ["13", "6", "2", "1e-12", "4"]
    assert rows["fingerprint"][1] == load(net).fingerprint
    assert "lower -1 to 0, upper 3 to 3" in result.stdout
    assert "…" not in result.stdout


def test_one_sided_bounds_stay_valid_json(tmp_path: Path) -> None:
    np.savez(tmp_path / "half.npz", W0=np.ones((1, 2)), b0=np.zeros(1), lb=0.0)
    found = json.loads(run(tmp_path / "half.npz", "--json").stdout, parse_constant=pytest.fail)
    assert found["bounds"] == [[0.0, 0.0], [None, None]]


def test_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    path.write_bytes(b"\x80\x04.")
    result = run(path)
    assert result.exit_code == 2
    assert "pickle" in result.stderr


@pytest.mark.parametrize("ending", ["onnx", "npz", "safetensors"])
def test_networks_with_branches(tmp_path: Path, ending: str) -> None:
    nodes = (
        Node("conv", Conv(np.ones((2, 1, 2, 2)), np.zeros(2)), ("input",)),
        Node("on", ReLU(), ("conv",)),
        Node("sum", Add(), ("conv", "on")),
        Node("flat", Flatten(), ("sum",)),
        Node("out", Affine(np.ones((3, 8)), np.zeros(3)), ("flat",)),
    )
    path = save(Network(nodes, (1, 3, 3)), tmp_path / f"net.{ending}")
    found = json.loads(run(path, "--json").stdout)
    assert [layer["kind"] for layer in found["layers"]] == [
        "Conv",
        "ReLU",
        "Add",
        "Flatten",
        "Affine",
    ]
    assert found["layers"][2]["inputs"] == ["conv", "on"]
    assert (found["n_outputs"], found["coefficients"]["parameters"]) == (3, 37)
    assert "input        shape 1x3x3" in run(path).stdout
