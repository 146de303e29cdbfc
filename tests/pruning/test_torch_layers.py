"""Layers mean the same in torch as here, and come back with what was trained."""

import numpy as np
import pytest

from mipnet.errors import UnsupportedError
from mipnet.network import Affine, Flatten, Network, Node, ReLU
from mipnet.network import layers as kinds
from mipnet.pruning.torch_layers import forward, from_torch, to_torch

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)


def conv(n_out, n_in, *kernel, **options):
    weight = RNG.normal(size=(n_out, n_in, *kernel))
    return kinds.Conv(weight, RNG.normal(size=n_out), **options)


def norm(channels):
    one, two, three = RNG.normal(size=(3, channels))
    return kinds.BatchNorm(one, two, three, RNG.uniform(0.5, 2.0, channels))


IMAGE = (4, 7, 6)
CASES = [
    (IMAGE, conv(3, 4, 3, 2)),
    (IMAGE, conv(6, 2, 3, 3, stride=(2, 1), padding=(1, 0, 2, 1), dilation=(1, 2), groups=2)),
    ((4, 9), conv(5, 4, 3, padding=1)),
    ((2, 4, 5, 3), conv(3, 2, 2, 2, 2)),
    (IMAGE, norm(4)),
    ((5,), norm(5)),
    (IMAGE, kinds.MaxPool((2, 3))),
    (IMAGE, kinds.MaxPool((3, 3), stride=2, padding=1, ceil=True)),
    (IMAGE, kinds.MaxPool((3, 2), stride=1, padding=(2, 0, 1, 1), dilation=(2, 1))),
    (IMAGE, kinds.AvgPool((2, 2), ceil=True)),
    (IMAGE, kinds.AvgPool((3, 3), stride=2, padding=1, count_padding=False)),
    (IMAGE, kinds.GlobalAvgPool()),
    (IMAGE, kinds.GlobalMaxPool()),
    (IMAGE, Flatten()),
    (IMAGE, kinds.Reshape((2, -1))),
    (IMAGE, kinds.Scale(RNG.normal(size=(4, 1, 1)), 0.5)),
    *[((6,), layer) for layer in (
        Affine(RNG.normal(size=(3, 6)), RNG.normal(size=3)), ReLU(), kinds.Abs(), kinds.Identity(),
        kinds.LeakyReLU(0.3), kinds.LeakyReLU(-1.5), kinds.Tanh(), kinds.Sigmoid(), kinds.SiLU(),
        kinds.GELU(), kinds.GELU(approximate="tanh"),
    )],
]  # fmt: skip


@pytest.mark.parametrize(("shape", "layer"), CASES, ids=lambda v: getattr(v, "kind", None))
def test_same_values(shape, layer):
    net = Network.sequential([layer], shape)
    x = RNG.normal(size=(5, *shape))
    found = forward(net, to_torch(net, torch.float64), torch.tensor(x))
    np.testing.assert_allclose(found.detach(), net(x).reshape(5, -1), rtol=1e-10, atol=1e-12)


def test_branches_and_gates():
    nodes = [
        Node("a", Affine(RNG.normal(size=(3, 3)), RNG.normal(size=3)), ("input",)),
        Node("sum", kinds.Add((1.0, -2.0)), ("input", "a")),
        Node("both", kinds.Concat(2, -1), ("sum", "a")),
    ]
    net = Network(tuple(nodes), (3,))
    x = RNG.normal(size=(4, 3))
    parameters = to_torch(net, torch.float64)
    np.testing.assert_allclose(forward(net, parameters, torch.tensor(x)).detach(), net(x))
    gated = forward(net, parameters, torch.tensor(x), {"a": torch.tensor([1.0, 0.0, 1.0])})
    # The second output of "a" is off, so there the difference is the input.
    assert gated[:, 4].abs().max() == 0.0
    np.testing.assert_allclose(gated[:, 1].detach(), x[:, 1])


def test_the_way_back_takes_what_was_trained():
    layers = [conv(3, 4, 3, 3), norm(3), ReLU(), Flatten(), Affine(np.ones((2, 60)), np.zeros(2))]
    net = Network.sequential(layers, IMAGE)
    parameters = to_torch(net, torch.float64)
    assert from_torch(net, parameters).fingerprint == net.fingerprint
    x = torch.tensor(RNG.normal(size=(8, *IMAGE)))
    optimiser = torch.optim.SGD([t for pair in parameters.values() for t in pair], lr=0.1)
    forward(net, parameters, x).square().mean().backward()
    optimiser.step()
    back = from_torch(net, parameters)
    np.testing.assert_allclose(back(x.numpy()), forward(net, parameters, x).detach(), rtol=1e-9)
    for name in ("conv0", "batchnorm0", "affine0"):
        before, after = (n.by_name[name].layer for n in (net, back))
        assert (before.weight != after.weight).all()
    assert (back.by_name["batchnorm0"].layer.mean == net.by_name["batchnorm0"].layer.mean).all()


def test_what_has_no_rule_is_listed():
    net = Network.sequential(
        [kinds.Softmax(), kinds.AvgPool((2,), dilation=2), kinds.MaxPool((2,), ceil=True)], (4, 9)
    )
    with pytest.raises(UnsupportedError) as caught:
        to_torch(net, torch.float64)
    assert len(caught.value.operations) == 2
    assert "AvgPool" in caught.value.operations[1]
