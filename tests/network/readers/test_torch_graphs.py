"""torch modules with branches and images: the same function as their own forward."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as f
from torch_cases import agree

from mipnet.errors import NetworkError, ReadError, UnsupportedError
from mipnet.network.layers import LAYERS
from mipnet.network.readers import load

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def norm(kind, n):
    """Batch normalisation that has seen something."""
    module = kind(n)
    with torch.no_grad():
        module.running_mean.normal_()
        module.running_var.uniform_(0.5, 2.0)
        module.weight.normal_()
        module.bias.normal_()
    return module


class Block(nn.Module):
    """A residual block that works in place, as the usual ones do."""

    def __init__(self, inn, out, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inn, out, 3, stride, 1, bias=False)
        self.bn1 = norm(nn.BatchNorm2d, out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = norm(nn.BatchNorm2d, out)
        self.down = None
        if stride > 1 or inn != out:
            self.down = nn.Sequential(nn.Conv2d(inn, out, 1, stride), norm(nn.BatchNorm2d, out))

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.down is not None:
            identity = self.down(x)
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), norm(nn.BatchNorm2d, 3), nn.ReLU())
        self.blocks = nn.Sequential(Block(3, 3), Block(3, 4, 2))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        return self.head(self.drop(torch.flatten(self.pool(x), 1)))


def test_residual_networks():
    torch.manual_seed(0)
    module = ResNet().eval()
    state = copy.deepcopy(module.state_dict())
    net = load(module, input_shape=(2, 6, 6))
    agree(module, net, (2, 6, 6))
    kinds = [node.layer.kind for node in net.nodes]
    assert kinds.count("Add") == 2
    assert kinds.count("Conv") == 6
    assert kinds.count("BatchNorm") == 6
    assert not module.training
    assert all(torch.equal(v, state[k]) for k, v in module.state_dict().items())


MODULES = {
    "conv1d": ((2, 7), lambda: nn.Conv1d(2, 3, 3, stride=2, padding=1, dilation=2)),
    "conv2d": ((4, 5, 4), lambda: nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), groups=2)),
    "conv3d": ((1, 3, 3, 3), lambda: nn.Conv3d(1, 2, 2)),
    "conv same": ((2, 5, 4), lambda: nn.Conv2d(2, 3, (2, 3), padding="same")),
    "conv valid": ((2, 5, 4), lambda: nn.Conv2d(2, 3, 2, padding="valid", bias=False)),
    "norm of vectors": ((4,), lambda: norm(nn.BatchNorm1d, 4)),
    "norm of rows": ((3, 4), lambda: norm(nn.BatchNorm1d, 3)),
    "norm of images": ((3, 2, 2), lambda: norm(nn.BatchNorm2d, 3)),
    "plain norm": ((3, 2, 2), lambda: nn.BatchNorm2d(3, affine=False)),
    "max pool": ((2, 5, 5), lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True)),
    "max pool 1d": ((2, 7), lambda: nn.MaxPool1d(2, dilation=2)),
    "avg pool": ((2, 5, 5), lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False)),
    "avg pool ceil": ((2, 5, 6), lambda: nn.AvgPool2d(2, 2, ceil_mode=True)),
    "avg pool 1d": ((2, 7), lambda: nn.AvgPool1d(3, 2, 1)),
    "rows": ((2, 5, 4), lambda: nn.MaxPool2d((2, 1))),
    "odd stride": ((2, 5, 4), lambda: nn.MaxPool2d((1, 3), (2, 1), (0, 1), (1, 1), ceil_mode=True)),
    "holes": ((2, 6, 5), lambda: nn.MaxPool2d(2, 1, 1, dilation=(1, 2))),
    "columns": ((2, 5, 4), lambda: nn.AvgPool2d((1, 2), (3, 1), (0, 1), ceil_mode=True)),
    "divisor": ((2, 5, 4), lambda: nn.AvgPool2d((3, 2), 2, 1, False, False, 5)),
    "avg pool 3d": ((1, 4, 3, 4), lambda: nn.AvgPool3d((2, 1, 2))),
    "adaptive rows": ((2, 6, 4), lambda: nn.AdaptiveAvgPool2d((None, 2))),
    "adaptive 1d": ((2, 6), lambda: nn.AdaptiveMaxPool1d(3)),
    "adaptive": ((2, 6, 4), lambda: nn.AdaptiveAvgPool2d((3, 2))),
    "adaptive max": ((2, 6, 4), lambda: nn.AdaptiveMaxPool2d((None, 1))),
    "global max": ((2, 3), lambda: nn.AdaptiveMaxPool1d(1)),
    "leaky": ((4,), lambda: nn.LeakyReLU(0.3)),
    "prelu": ((3, 2, 2), lambda: nn.PReLU(3)),
    "prelu one": ((3, 2), nn.PReLU),
    "relu6": ((4,), nn.ReLU6),
    "hardtanh": ((4,), lambda: nn.Hardtanh(-0.5, 0.7)),
    "hardsigmoid": ((4,), nn.Hardsigmoid),
    "hardswish": ((4,), nn.Hardswish),
    "sigmoid": ((4,), nn.Sigmoid),
    "log sigmoid": ((4,), nn.LogSigmoid),
    "tanh": ((4,), nn.Tanh),
    "softplus": ((4,), lambda: nn.Softplus(2.0, 40.0)),
    "gelu": ((4,), nn.GELU),
    "gelu tanh": ((4,), lambda: nn.GELU("tanh")),
    "silu": ((4,), nn.SiLU),
    "softmax": ((4,), lambda: nn.Softmax(dim=1)),
    "softmax 2d": ((2, 3, 2), nn.Softmax2d),
    "log softmax": ((3, 4), lambda: nn.LogSoftmax(-1)),
    "threshold": ((4,), lambda: nn.Threshold(0, 0)),
    "unflatten": ((6,), lambda: nn.Unflatten(1, (2, 3))),
    "zero pad": ((2, 3, 3), lambda: nn.ZeroPad2d((1, 0, 2, -1))),
    "constant pad": ((2, 3), lambda: nn.ConstantPad1d(1, 0.7)),
    "padded conv": (
        (2, 3, 3),
        lambda: nn.Sequential(nn.ZeroPad2d((1, 0, 2, 1)), nn.Conv2d(2, 2, 2)),
    ),
    "minus infinity": (
        (2, 3, 3),
        lambda: nn.Sequential(nn.ConstantPad2d((1, 0, 0, 1), -math.inf), nn.MaxPool2d(2, 1)),
    ),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules(name):
    torch.manual_seed(1)
    shape, make = MODULES[name]
    module = nn.Sequential(make(), nn.Flatten()).double().eval()
    net = load(module, input_shape=shape)
    agree(module, net, shape)
    if name in ("padded conv", "minus infinity"):
        assert [n.layer.kind for n in net.nodes][:-1] == [{"p": "Conv", "m": "MaxPool"}[name[0]]]


FORWARDS = {
    "branches": lambda s, x: torch.cat([s.a(x), f.max_pool2d(x, 1), x[:, :1]], 1),
    "dense block": lambda s, x: f.relu(s.b(torch.cat((x, s.a(x)), dim=1))) - 0.5,
    "difference": lambda s, x: 2.0 * s.a(x)[:, :2] - x.mul(3).add(x, alpha=0.5),
    "split": lambda s, x: x.chunk(2, dim=1)[0].relu() - x.chunk(2, 1)[1],
    "sections": lambda s, x: torch.split(x, [1, 1], 1)[1] + x.narrow(1, 0, 1).abs(),
    "unbound": lambda s, x: (
        x[:, 0] - x[:, -1].flip(1) + x[..., 1:2].squeeze(-1).unsqueeze(1)[:, :, 0]
    ),
    "stack": lambda s, x: torch.stack([x[:, 0], x[:, 1].sigmoid()], dim=2),
    "lists": lambda s, x: x[:, [1, 0]] + x[:, :, torch.tensor([2, 0, 0])][:, 1:],
    "steps": lambda s, x: x[:, :, ::2, 1:],
    "selected": lambda s, x: torch.index_select(x, 2, torch.tensor([2, 0])).select(3, 1),
    "means": lambda s, x: (
        x.mean((2, 3)) + x.mean(dim=3).amax(2) - x.sum(-1, keepdim=True).amin((2, 3))
    ),
    "expand": lambda s, x: x + f.adaptive_avg_pool2d(x, 1).expand(-1, -1, 3, 3),
    "broadcast": lambda s, x: x - x.mean((2, 3), keepdim=True),
    "repeat": lambda s, x: x.repeat(1, 2, 1, 1) * s.w,
    "swish": lambda s, x: (y := s.a(x)[:, 1:]) * torch.sigmoid(y) + x * x.sigmoid(),
    "hard swish": lambda s, x: x * f.relu6(x + 3) / 6,
    "gelu": lambda s, x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))),
    "gelu by tanh": lambda s, x: (
        0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * torch.pow(x, 3))))
    ),
    "maximum": lambda s, x: torch.maximum(s.a(x)[:, :2], x) + torch.minimum(x, s.w[:2]),
    "extremes": lambda s, x: (
        x.max(dim=3).values - torch.min(x, 2)[0] + x.max(-1, True)[0].squeeze(3)
    ),
    "clamps": lambda s, x: x.clamp(min=0) - x.clamp(-1, 0.5) + x.clamp_max(0.3) + f.hardtanh(x),
    "softmaxes": lambda s, x: f.softmax(x, 1) + x.log_softmax(dim=-1),
    "functional": lambda s, x: f.leaky_relu(f.conv2d(x, s.k, padding=1, stride=2), 0.2),
    "channels last": lambda s, x: f.gelu(x.permute(0, 2, 3, 1) @ s.w[0, 0, :2].expand(2, 2)),
    "in place": lambda s, x: s.inplace(x),
    "shapes": lambda s, x: (
        x.view(x.shape[0], x.size(1), -1).transpose(1, 2).reshape(x.dim() - 1, -1)
    ),
    "same twice": lambda s, x: x + x + x.flatten(2).view(x.shape) * 3,
    "movedim": lambda s, x: torch.movedim(x, 1, -1).contiguous().flatten(1),
    "one of two": lambda s, x: torch.where(torch.tensor(True), s.w, s.w)[0, 0, 0] * x,
}


class Parts(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 3, 1), nn.Conv2d(5, 2, 3, padding=1)
        self.w, self.k = nn.Parameter(torch.randn(4, 3, 3)), nn.Parameter(torch.randn(3, 2, 3, 3))
        self.body = forward

    def forward(self, x):
        return self.body(self, x)

    def inplace(self, x):
        y = self.a(x)
        z = y[:, :2]
        y = torch.sigmoid(y)
        y.mul_(2.0)
        z += x
        z.relu_()
        return y[:, 1:] - z


@pytest.mark.parametrize("name", FORWARDS)
def test_forwards(name):
    torch.manual_seed(2)
    module = Parts(FORWARDS[name]).double()
    agree(module, load(module, input_shape=(2, 3, 3)), (2, 3, 3))


class Random(nn.Module):
    """A random graph of modules over images of one size."""

    def __init__(self, kinds, seed):
        super().__init__()
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        self.steps = nn.ModuleList()
        self.plan = []
        for k, kind in enumerate(kinds):
            self.plan.append(
                (kind, [int(n) for n in rng.integers(0, k + 1, size=2)], len(self.steps))
            )
            if kind in PIECES:
                self.steps.append(PIECES[kind]())

    def forward(self, x):
        values = [x]
        for kind, sources, step in self.plan:
            first, second = (values[n] for n in sources)
            if kind == "add":
                values.append(first + 0.5 * second)
            elif kind == "join":
                values.append(torch.cat([first[:, :1], second[:, 1:]], dim=1))
            elif kind == "turn":
                values.append(first.transpose(2, 3).relu().transpose(2, 3))
            elif kind == "gate":
                values.append(second * torch.sigmoid(second))
            else:
                values.append(self.steps[step](first))
        return values[-1] - values[len(values) // 2]


PIECES = {
    "conv": lambda: nn.Conv2d(2, 2, 3, padding=1),
    "norm": lambda: norm(nn.BatchNorm2d, 2),
    "relu": nn.ReLU,
    "prelu": lambda: nn.PReLU(2),
    "gelu": nn.GELU,
    "max": lambda: nn.MaxPool2d(3, 1, 1),
    "mean": lambda: nn.AvgPool2d(3, 1, 1, count_include_pad=False),
    "clip": nn.Hardtanh,
    "soft": lambda: nn.Softmax(1),
    "drop": nn.Dropout,
}


@settings(deadline=None, max_examples=40)
@given(
    kinds=st.lists(
        st.sampled_from([*PIECES, "add", "join", "turn", "gate"]), min_size=1, max_size=12
    ),
    seed=st.integers(0, 2**31),
)
def test_random_graphs(kinds, seed):
    module = Random(kinds, seed).double().eval()
    agree(module, load(module, input_shape=(2, 3, 4)), (2, 3, 4))


def test_all_faults_are_listed():
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(4, 2), nn.BatchNorm1d(3))
    with pytest.raises(NetworkError) as caught:
        load(module.eval(), input_shape=(2, 5, 5))
    listing = str(caught.value).splitlines()[1:]
    assert [line[4:13] for line in listing] == ["layer '0'", "layer '2'", "layer '3'"]
    two = Parts(lambda s, x: s.b(x)[:, :1] + s.k_(x))
    two.k_ = nn.Conv2d(4, 1, 1)
    with pytest.raises(NetworkError, match=r"(?s)several layers do not fit.*'b'.*'k_'"):
        load(two, input_shape=(2, 3, 3))


def test_what_has_no_layer_is_listed_with_a_remedy():
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.norm = nn.GRU(2, 2), nn.LayerNorm(2)
            self.attend = nn.MultiheadAttention(2, 1)

        def forward(self, x):
            while x.sum() > 0:
                x = self.norm(x)
            return x

    with pytest.raises(UnsupportedError) as caught:
        load(Loop())
    listing = str(caught.value)
    for text in ("'cell' (GRU): recurrent", "'attend' (Multi", "'norm' (LayerNorm)", "while x"):
        assert text in listing
    untracked = nn.Sequential(nn.BatchNorm2d(2, track_running_stats=False))
    with pytest.raises(UnsupportedError, match=r"'0'.*statistics of the batch"):
        load(untracked, input_shape=(2, 3, 3))
    mirrored = nn.Sequential(
        nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), nn.ReflectionPad2d(1)
    )
    with pytest.raises(UnsupportedError, match=r"(?s)'0'.*'reflect'.*'1'"):
        load(mirrored, input_shape=(1, 3, 3))


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (nn.AdaptiveAvgPool2d(2), "equal windows; use an output size that divides"),
        (nn.AdaptiveMaxPool2d((None, 3)), "equal windows; use an output size that divides"),
        (nn.AvgPool2d(2, ceil_mode=True, divisor_override=3), "ceil_mode=True; leave one"),
        (nn.MaxPool2d(2, return_indices=True), "returns indices"),
        (nn.LPPool2d(2, 2), "use a convolution, MaxPool or AvgPool"),
    ],
)
def test_pooling_without_a_layer_is_refused(module, text):
    with pytest.raises(UnsupportedError, match=text):
        load(module, input_shape=(1, 5, 5))
    with pytest.raises(NetworkError, match=r"above half the kernel.*; use a smaller padding"):
        load(nn.AvgPool2d((1, 2), padding=1), input_shape=(1, 5, 5))


def test_images_need_an_input_shape():
    with pytest.raises(ReadError, match="give input_shape="):
        load(nn.Sequential(nn.Conv2d(1, 1, 1)))


def test_the_layers_of_modules_are_those_of_the_package():
    torch.manual_seed(3)
    kinds = set()
    for shape, make in MODULES.values():
        kinds |= {n.layer.kind for n in load(make().eval(), input_shape=shape).nodes}
    for name in ("branches", "swish", "difference", "stack", "steps", "sections", "expand"):
        net = load(Parts(FORWARDS[name]), input_shape=(2, 3, 3))
        kinds |= {n.layer.kind for n in net.nodes}
    assert set(LAYERS) - kinds <= {"Affine", "Identity", "Transpose", "Scale"}


def test_a_damaged_weight_is_told_once():
    module = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    with torch.no_grad():
        module[0].weight[1, 0] = math.nan
    with pytest.raises(
        NetworkError, match=r"^torch Sequential: weight of '0': .*first at \[1, 0\]; [^;]*$"
    ):
        load(module)
