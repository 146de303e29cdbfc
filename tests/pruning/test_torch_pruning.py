"""Compaction against Torch-Pruning's: the same channels gone, the same parameters left."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
tp = pytest.importorskip("torch_pruning")

from torch import nn  # noqa: E402

from mipnet.network import INPUT, Affine, Flatten, Network, Node, ReLU  # noqa: E402
from mipnet.network.layers import Add, AvgPool, BatchNorm, Concat, Conv, MaxPool  # noqa: E402
from mipnet.pruning import Parameters, compact, prune  # noqa: E402
from mipnet.pruning.exchange import from_history, to_history  # noqa: E402

X = torch.tensor(np.random.default_rng(0).normal(size=(4, 2, 8, 8)))


class Residual(nn.Module):
    """Residual sum, depthwise convolution, normalisation and pooling."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.inner = nn.Conv2d(8, 6, 3, padding=1)
        self.outer = nn.Conv2d(6, 8, 1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.last = nn.Conv2d(8, 5, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.top = nn.Linear(5 * 16, 3)

    def forward(self, x):
        stem = torch.relu(self.norm(self.stem(x)))
        total = stem + self.outer(torch.relu(self.inner(stem)))
        last = self.last(torch.relu(self.depthwise(total)))
        return self.top(self.pool(last).flatten(1))


class Joined(nn.Module):
    """Concatenation of two convolutions, read by a third."""

    def __init__(self):
        super().__init__()
        self.left = nn.Conv2d(2, 6, 3, padding=1)
        self.right = nn.Conv2d(2, 4, 1)
        self.both = nn.Conv2d(10, 5, 3, padding=1)
        self.means = nn.AvgPool2d(2)
        self.top = nn.Linear(5 * 16, 3)

    def forward(self, x):
        both = torch.cat([torch.relu(self.left(x)), torch.relu(self.right(x))], 1)
        return self.top(self.means(torch.relu(self.both(both))).flatten(1))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(128, 20), nn.Linear(20, 12), nn.Linear(12, 3)

    def forward(self, x):
        return self.c(torch.relu(self.b(torch.relu(self.a(x.flatten(1))))))


def weights(module):
    return tuple(p.detach().numpy().astype(float) for p in (module.weight, module.bias))


def convolution(module):
    weight, bias = weights(module)
    return Conv(weight, bias, padding=module.padding, groups=module.groups)


def residual_network(m):
    norm = BatchNorm(
        *weights(m.norm), m.norm.running_mean.numpy(), m.norm.running_var.numpy(), m.norm.eps
    )
    nodes = (
        Node("stem", convolution(m.stem), (INPUT,)),
        Node("norm", norm, ("stem",)),
        Node("relu", ReLU(), ("norm",)),
        Node("inner", convolution(m.inner), ("relu",)),
        Node("relu1", ReLU(), ("inner",)),
        Node("outer", convolution(m.outer), ("relu1",)),
        Node("sum", Add(), ("relu", "outer")),
        Node("depthwise", convolution(m.depthwise), ("sum",)),
        Node("relu2", ReLU(), ("depthwise",)),
        Node("last", convolution(m.last), ("relu2",)),
        Node("pool", MaxPool((2, 2)), ("last",)),
        Node("flat", Flatten(), ("pool",)),
        Node("top", Affine(*weights(m.top)), ("flat",)),
    )
    return Network(nodes, (2, 8, 8))


def joined_network(m):
    nodes = (
        Node("left", convolution(m.left), (INPUT,)),
        Node("relu", ReLU(), ("left",)),
        Node("right", convolution(m.right), (INPUT,)),
        Node("relu1", ReLU(), ("right",)),
        Node("cat", Concat(2, 0), ("relu", "relu1")),
        Node("both", convolution(m.both), ("cat",)),
        Node("relu2", ReLU(), ("both",)),
        Node("means", AvgPool((2, 2)), ("relu2",)),
        Node("flat", Flatten(), ("means",)),
        Node("top", Affine(*weights(m.top)), ("flat",)),
    )
    return Network(nodes, (2, 8, 8))


def mlp_network(m):
    layers = [Flatten(), Affine(*weights(m.a)), ReLU(), Affine(*weights(m.b)), ReLU(),
              Affine(*weights(m.c))]  # fmt: skip
    return Network.sequential(layers, (2, 8, 8), names=["flat", "a", "ra", "b", "rb", "c"])


def model(kind, seed=0):
    torch.manual_seed(seed)
    module = kind().double().eval()
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.uniform_(-1, 1)
            norm.running_var.uniform_(0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.uniform_(norm.bias, -1, 1)
    make = {Residual: residual_network, Joined: joined_network, Mlp: mlp_network}[kind]
    return module, make(module)


def removed(kind, steps):
    """Names and indices to remove, step by step, in indices of what is left."""
    plans = {
        Residual: [("stem", [1, 4, 6]), ("inner", [0, 2]), ("last", [3]), ("stem", [0, 4])],
        Joined: [("left", [0, 5]), ("both", [1, 2]), ("right", [3]), ("left", [3])],
        Mlp: [("a", [3, 7, 19]), ("b", [0, 11]), ("a", [0, 16])],
    }
    return plans[kind][: 3 + steps]


@pytest.mark.parametrize("kind", [Residual, Joined, Mlp])
@pytest.mark.parametrize("steps", [0, 1])
def test_what_torch_pruning_removes_compaction_removes(kind, steps):
    module, net = model(kind)
    graph = tp.DependencyGraph().build_dependency(module, X[:1])
    for name, indices in removed(kind, steps):
        layer = getattr(module, name)
        prune_outputs = graph.get_pruner_of_module(layer).prune_out_channels
        graph.get_pruning_group(layer, prune_outputs, indices).prune()
    small = compact(net, from_history(net, graph.pruning_history()))
    want = {name: p.detach().numpy() for name, p in module.named_parameters()}
    got = {
        f"{node.name}.{part}": p
        for node in small.nodes
        for part, p in zip(("weight", "bias"), node.layer.parameters, strict=False)
    }
    assert set(got) == set(want)
    for name, values in want.items():
        np.testing.assert_array_equal(got[name], values)
    out = module(X).detach().numpy()
    np.testing.assert_allclose(small(X.numpy()), out, rtol=1e-12, atol=1e-12)
    # Running statistics are parameters of a network here, buffers there.
    running = sum(b.numel() for n, b in module.named_buffers() if "running" in n)
    _, parameters = tp.utils.count_ops_and_params(module, X[:1])
    assert Parameters(0).measure(small) == parameters + running


def test_a_pruner_of_torch_pruning_leaves_a_history_that_is_read():
    module, net = model(Mlp)
    pruner = tp.pruner.BasePruner(
        module, X[:1], tp.importance.MagnitudeImportance(p=2), pruning_ratio=0.6,
        iterative_steps=3, ignored_layers=[module.c],
    )  # fmt: skip
    for _ in range(3):
        pruner.step()
    small = compact(net, from_history(net, pruner.pruning_history()))
    assert small.shapes["a"] == (8,)
    np.testing.assert_allclose(small(X.numpy()), module(X).detach().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [Residual, Joined, Mlp])
def test_torch_pruning_replays_our_masks(kind):
    module, net = model(kind, seed=1)
    result = prune(net, "random", 0.4)
    graph = tp.DependencyGraph().build_dependency(module, X[:1])
    graph.load_pruning_history(to_history(net, result.mask))
    np.testing.assert_allclose(
        result.network(X.numpy()), module(X).detach().numpy(), rtol=1e-12, atol=1e-12
    )


def test_a_module_comes_back_smaller_and_is_left_as_it_was():
    from mipnet.network.readers import load
    from mipnet.network.writers import to_torch

    module, _ = model(Residual, seed=2)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    net = load(module, input_shape=(2, 8, 8))
    result = prune(net, "magnitude", 0.5)
    small = to_torch(result.network).double().eval()
    np.testing.assert_allclose(
        small(X).detach().numpy(), result.masked(X.numpy()), rtol=1e-9, atol=1e-12
    )
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in module.parameters())
    assert module.training is False
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
