"""Convolutional networks as they are written by torch: from file to cost."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from mipnet.cli import main
from mipnet.hardware import cost, save_masks
from mipnet.network.readers import load
from mipnet.pruning import LayerMask

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")


def module() -> Any:
    nn = torch.nn
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 1),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.ReLU(),
        nn.Conv2d(8, 6, 3, groups=2),
        nn.MaxPool2d(3),
        nn.Flatten(),
        nn.Linear(6, 3),
    ).eval()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(module(), torch.zeros(1, 3, 5, 5), str(path), dynamo=False)
    return path


def counted(model: Any) -> list[int]:
    """MACs of every layer with weights, counted by torch while it runs."""
    found: list[int] = []

    def count(layer: Any, _: Any, output: Any) -> None:
        found.append(int(output.numel()) * int(layer.weight[0].numel()))

    for layer in model:
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.register_forward_hook(count)
    model(torch.zeros(1, 3, 5, 5))
    return found


def test_products_are_those_torch_does(file: Path) -> None:
    network = load(file)
    found = cost(network, array=4)
    assert [layer.after.macs for layer in found.layers] == counted(module())
    assert cost(network, array=4, batch=7).macs == 7 * found.macs
    beside = {node.layer.kind for node in network.nodes} - {"Conv", "Affine"}
    assert set(found.workload.beside.values()) == beside


def test_the_command_masks_channels_through_depthwise_layers(file: Path, tmp_path: Path) -> None:
    """Channels of the first layer go through the second to the grouped third."""
    names = [node.name for node in load(file).nodes if node.layer.kind == "Conv"]
    masks = {names[0]: LayerMask(np.array([0, 1, 2, 5]), 8, unit="channel")}
    save_masks(masks, tmp_path / "mask.safetensors")
    arguments = ["hardware", str(file), "--array", "4x4", "--json"]
    result = CliRunner().invoke(main, [*arguments, "--mask", str(tmp_path / "mask.safetensors")])
    assert result.exit_code == 0, result.stderr
    parts = [
        [tuple(part.values()) for part in layer["parts"]]
        for layer in json.loads(result.stdout)["layers"]
    ]
    assert parts == [
        [(25, 3, 4, 1)],
        [(25, 9, 1, 4)],
        [(9, 27, 3, 1), (9, 9, 3, 1)],
        [(1, 6, 3, 1)],
    ]
