"""Forwards that ``torch.fx`` traces: every step a chain may hold, and those that are refused."""

from __future__ import annotations

import pytest
import torch
from planted import entries
from torch import nn
from torch.nn import functional
from torch_cases import Custom, agree

from mipnet.errors import UnsupportedError
from mipnet.network.readers import load


def test_a_custom_forward_is_followed():
    torch.manual_seed(1)
    module = Custom().eval()
    net = load(module, input_shape=(3, 2, 2))
    agree(module, net, (3, 2, 2))
    assert net.input_shape == (3, 2, 2)
    names = [node.name for node in net.nodes]
    assert names[:2] == ["view", "first"]
    assert {"head", "head_1"} <= set(names)
    assert not any("unused" in name for name in names)


FORWARDS = {
    "scalars": lambda s, x: s.b((s.a(x) * 2 - 0.5) / 4 + 1),
    "left constants": lambda s, x: s.b(2 - s.a(3.0 * x)),
    "named functions": lambda s, x: torch.div(
        torch.mul(torch.sub(torch.add(s.a(x), s.v, alpha=2), s.v), s.v.abs() + 1), 3
    ),
    "sub with alpha": lambda s, x: torch.sub(s.v, s.a(x), alpha=3),
    "methods": lambda s, x: s.a(x).add(s.v).sub(1).mul(2).div(s.v.exp()).neg(),
    "in place": lambda s, x: s.b(s.a(x).mul_(2).add_(s.v).relu_()),
    "in place on a name": lambda s, x: s.rename(x),
    "augmented": lambda s, x: s.augmented(x),
    "flatten": lambda s, x: s.b(torch.flatten(s.a(x), 1).flatten(start_dim=1)),
    "flatten all": lambda s, x: s.b(s.a(x).flatten()),
    "view": lambda s, x: s.b(s.a(x).view(-1, 6)),
    "reshape": lambda s, x: s.b(torch.reshape(s.a(x), (x.shape[0], 6)).reshape(-1)),
    "reshape twice": lambda s, x: s.b(s.a(x).reshape(2, 3).t().reshape(1, -1)),
    "transposes": lambda s, x: s.b(s.a(x).view(1, 2, 3).transpose(1, 2).permute(2, 0, 1).flatten()),
    "squeeze": lambda s, x: s.b(s.a(x).unsqueeze(1).unsqueeze(-1).squeeze(1).squeeze(-1)),
    "matmul": lambda s, x: s.a(x) @ s.w,
    "torch.matmul": lambda s, x: torch.matmul(s.a(x), s.w),
    "matrix from the left": lambda s, x: (s.w.t() @ s.a(x).t()).t(),
    "rows": lambda s, x: functional.linear(s.a(x).view(2, 3), s.w[:, :3].contiguous()),
    "keywords": lambda s, x: functional.linear(
        input=functional.relu(input=x), weight=s.w.t(), bias=None
    ),
    "used twice": lambda s, x: s.b(functional.relu(s.b(functional.relu(s.a(x))))),
    "relu first": lambda s, x: s.a(functional.relu(x)),
    "relu of a view": lambda s, x: s.b(functional.relu(s.a(x).view(2, 3).t()).reshape(1, 6)),
    "arithmetic between relus": lambda s, x: functional.relu(functional.relu(s.a(x)) * s.v - 0.1),
    "relu last": lambda s, x: functional.relu(s.a(x), inplace=True),
    "dropout off": lambda s, x: functional.dropout(s.a(x), p=0.0),
    "casts": lambda s, x: s.a(x.to(s.v.dtype)).contiguous().detach(),
    "dead code": lambda s, x: s.dead(x),
}


class Parts(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)
        self.v, self.w = nn.Parameter(torch.randn(6)), nn.Parameter(torch.randn(6, 6))
        self.chain = forward

    def forward(self, x):
        return self.chain(self, x)

    def rename(self, x):
        x = self.a(x)
        x.relu_()
        y = self.b(x)
        functional.relu(y, inplace=True)
        return y

    def augmented(self, x):
        x = self.a(x)
        x += self.v
        x *= 2
        x -= 1
        x /= 3
        return x

    def dead(self, x):
        torch.tanh(self.a(x)).sum()
        return self.b(x)


@pytest.mark.parametrize("name", FORWARDS)
def test_forwards_round_trip(name):
    torch.manual_seed(2)
    module = Parts(FORWARDS[name]).double()
    agree(module, load(module), (6,))


def test_constants_fold_into_their_neighbours():
    module = Parts(lambda s, x: s.b(functional.relu(s.a((x - 1) / 2) * s.v + 3) * 2 - s.v))
    assert len(load(module).nodes) == 3


def test_all_unsupported_steps_are_listed():
    module = nn.Sequential(
        nn.LSTM(8, 2), nn.ELU(), nn.Flatten(), nn.Linear(8, 3), nn.ReLU(), nn.LayerNorm(3)
    )
    with pytest.raises(UnsupportedError) as caught:
        load(module)
    assert [entry.split(":")[0] for entry in caught.value.operations] == [
        "'0' (LSTM)",
        "'1' (ELU)",
        "'5' (LayerNorm)",
    ]


REFUSED = {
    "product": (lambda s, x: s.a(x) * x, "multiplies two computed results"),
    "attention": (lambda s, x: s.a(x) @ x.t(), "as attention does"),
    "division by it": (lambda s, x: 1 / s.a(x), "divides by a computed"),
    "always dropping": (lambda s, x: functional.dropout(s.a(x), 0.5), "drops at random"),
    "mask": (lambda s, x: s.a(x)[:, s.v > 0], "selects elements by Tensor"),
    "computed index": (lambda s, x: s.a(x)[x.argmax()], "argmax"),
    "elu": (lambda s, x: functional.elu(s.a(x)), "elu"),
    "half a gelu": (lambda s, x: torch.erf(s.a(x)), "part of a GELU"),
    "over the batch": (lambda s, x: s.a(x).softmax(0), "batch axis"),
    "mean of everything": (lambda s, x: s.a(x).mean(), "batch axis"),
    "batch statistics": (
        lambda s, x: functional.batch_norm(s.a(x), s.v, s.v.abs(), training=True),
        "statistics of the batch",
    ),
    "floor": (lambda s, x: torch.div(s.a(x), 2, rounding_mode="floor"), "rounds"),
    "int": (lambda s, x: s.a(x).to(torch.int32), "no floating type"),
    "concatenation": (lambda s, x: torch.cat([s.a(x), x]), r"cat.*batch axis"),
    "two outputs": (lambda s, x: (s.a(x), x), "something other than one tensor"),
    "control flow": (lambda s, x: s.a(x) if x.sum() > 0 else x, "cannot be traced.*control flow"),
    "in place under two names": (lambda s, x: s.alias(x), "changes a value in place"),
    "lost behind it": (lambda s, x: s.a(torch.sin(x).view(x.size(0), -1)) + torch.cos(x), "sin"),
}


class Alias(Parts):
    def alias(self, x):
        x = self.a(x)
        y = x.view(-1)
        y.relu_()
        return x


@pytest.mark.parametrize("name", REFUSED)
def test_refused_forwards(name):
    forward, text = REFUSED[name]
    with pytest.raises(UnsupportedError, match=text):
        load(Alias(forward))


def test_steps_behind_an_unsupported_one_are_checked():
    module = Parts(
        lambda s, x: (
            1 / functional.dropout(torch.sin(s.a(x)).view(x.size(0) // 1, -1), 0.5) * x.cos()
        )
    )
    with pytest.raises(UnsupportedError) as caught:
        load(module)
    assert len(caught.value.operations) == 5


def test_several_inputs_are_refused():
    class Two(nn.Module):
        def forward(self, x, y):
            return functional.relu(x) * y

    with pytest.raises(UnsupportedError, match=r"several inputs.*x.*y"):
        load(Two())


@pytest.mark.parametrize(
    "forward",
    [
        lambda s, x: x.permute(0, 3),
        lambda s, x: torch.stack([x, x], dim=3),
        lambda s, x: x.narrow(1, 4, 3),
        lambda s, x: x.flatten(2),
        lambda s, x: x.reshape(4, 4),
        lambda s, x: x.split(0, 1)[0],
        lambda s, x: x.mean("a"),
        lambda s, x: functional.pad(x, (1,)),
        lambda s, x: functional.max_pool2d(x, 0),
        lambda s, x: x[:, 6],
        lambda s, x: x.foo,
        lambda s, x: x + {}["z"],
        lambda s, x: s.forward(x),
    ],
)
def test_calls_that_torch_does_not_run_are_told_in_words(forward):
    module = Parts(forward)
    with pytest.raises((AttributeError, KeyError, RuntimeError, TypeError, IndexError, ValueError)):
        module(torch.ones(1, 6))
    for entry in entries(module, input_shape=6):
        assert "Traceback" not in entry
