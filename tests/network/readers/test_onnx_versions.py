"""Old operator sets, which keep parameters in attributes, and files that torch exports."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx_cases import run
from onnx_dags import Dag
from test_onnx_dags import agree
from test_torch_graphs import ResNet
from torch import nn

from mipnet.network.readers import load


@pytest.mark.parametrize("opset", [9, 10, 11, 12])
def test_parameters_in_attributes(opset):
    d = Dag((1, 3, 4, 4), opset=opset, seed=opset)
    y = d.add("Conv", "x", d.normal(4, 3, 2, 2), shape=(1, 4, 3, 3))
    if opset < 11:
        d.add("Clip", y, shape=(1, 4, 3, 3), min=-0.5, max=0.5)
        pads = [0, 0, 1, 1, 0, 0, 0, 1]
        d.add("Pad", y, shape=(1, 4, 4, 5), pads=pads, value=0.25)
    if opset < 10:
        d.add("Slice", y, shape=(1, 2, 3, 2), starts=[1, 0], ends=[3, -1], axes=[1, 3])
    d.add("Split", y, shape=[(1, 1, 3, 3), (1, 3, 3, 3)], outputs=2, axis=1, split=[1, 3])
    z = d.add("ReduceMean", y, shape=(1, 4), axes=[2, 3], keepdims=0)
    z = d.add("Unsqueeze", z, shape=(1, 1, 4), axes=[1])
    d.add("Squeeze", z, shape=(1, 4), axes=[1])
    # Over everything from the axis on.
    d.add("Softmax", y, shape=(1, 4, 3, 3), axis=2)
    d.add("LogSoftmax", z, shape=(1, 1, 4))
    if opset < 12:
        d.add("Dropout", y, shape=(1, 4, 3, 3), ratio=0.5)
    d.add("Flatten", y, shape=(1, 36))
    agree(d.model(), (1, 3, 4, 4))


class Gates(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)
        self.parts = nn.ModuleList(
            [nn.GELU(), nn.SiLU(), nn.Hardswish(), nn.GELU("tanh"), nn.ReLU6(), nn.Hardsigmoid()]
        )

    def forward(self, x):
        x = self.a(x)
        for part in self.parts:
            x = part(x) + x[:, [0]] if isinstance(part, nn.SiLU) else part(x) - 0.1
        return torch.softmax(self.b(x), -1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("opset", [9, 11, 13, 14, 17])
@pytest.mark.parametrize("kind", ["residual", "gates"])
def test_exports_of_torch(tmp_path, opset, kind):
    torch.manual_seed(opset)
    module, shape = (ResNet(), (2, 6, 6)) if kind == "residual" else (Gates(), (6,))
    if kind == "gates" and opset < 14:
        module.parts[3] = nn.Tanh()
    path = str(tmp_path / "net.onnx")
    torch.onnx.export(
        module.eval(), (torch.zeros(1, *shape),), path, input_names=["x"], dynamo=False,
        opset_version=opset, dynamic_axes={"x": {0: "batch"}},
    )  # fmt: skip
    net, twin = load(path), load(module, input_shape=shape)
    x = np.random.default_rng(0).normal(size=(3, *shape))
    np.testing.assert_allclose(net(x), twin(x), rtol=1e-5, atol=1e-6)
    found = run(path, x[:1].astype(np.float32))
    np.testing.assert_allclose(net(x[0]).ravel(), found, rtol=1e-3, atol=1e-5)
    if kind == "gates":
        kinds = {n.layer.kind for n in net.nodes}
        assert {"GELU", "SiLU", "HardSwish", "HardSigmoid", "Clip", "Softmax"} <= kinds
