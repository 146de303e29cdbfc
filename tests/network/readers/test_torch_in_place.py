"""Changes in place: every name of a tensor sees them, or the module is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as f
from torch_cases import agree

from mipnet.errors import NetworkError, UnsupportedError
from mipnet.network.readers import load

OPERATORS = ("+=", "-=", "*=", "/=", "**=", "add_", "relu_")


def change(kind, h, y):
    """Change ``h`` in place; scalars where no network has the product."""
    if kind == "+=":
        h += y
    elif kind == "-=":
        h -= y
    elif kind == "*=":
        h *= 1.5
    elif kind == "/=":
        h /= -2.0
    elif kind == "**=":
        h **= 1
    elif kind == "add_":
        h.add_(y)
    else:
        h.relu_()
    return h


class Aliased(nn.Module):
    """Random steps on a few names, some of which are the same tensor."""

    def __init__(self, plan):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3) for _ in range(3)])
        self.plan = plan

    def forward(self, x):
        names = [layer(x) for layer in self.layers]
        for kind, a, b in self.plan:
            if kind == "same":
                names[a] = names[b]
            elif kind == "view":
                names[a] = names[b].view(-1, 3)
            elif kind == "layer":
                names[a] = self.layers[a](f.relu(names[b]))
            else:
                names[a] = change(kind, names[a], names[b])
        return names[0] + 2.0 * f.relu(names[1]) - names[2]


STEPS = st.tuples(
    st.sampled_from(("same", "same", "layer", "view", *OPERATORS)),
    st.integers(0, 2),
    st.integers(0, 2),
)


@settings(deadline=None, max_examples=25)
@given(plan=st.lists(STEPS, min_size=2, max_size=7))
def test_random_aliases(plan):
    torch.manual_seed(3)
    module = Aliased(plan).double()
    viewed = any(kind == "view" for kind, _, _ in plan)
    try:
        net = load(module)
    except UnsupportedError as error:
        # Views may be refused; another name of the very same tensor never is.
        if viewed and "in place" in str(error):
            return
        raise
    x = np.random.default_rng(0).normal(size=(5, 3))
    with torch.no_grad():
        expected = np.concatenate([module(torch.tensor(row[None])).numpy() for row in x])
    np.testing.assert_allclose(net(x), expected, rtol=1e-9, atol=1e-9)


class Parts(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.a, self.b, self.out = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 1)
        self.w = nn.Parameter(torch.randn(1, 3))
        self.body = forward

    def forward(self, x):
        return self.body(self, x)


@pytest.mark.parametrize("kind", OPERATORS)
def test_another_name_sees_the_change(kind):
    def forward(s, x):
        h = s.a(x)
        skip = h
        h = change(kind, h, s.b(f.relu(h)))
        return s.out(f.relu(h) + skip)

    torch.manual_seed(4)
    module = Parts(forward).double()
    agree(module, load(module), (3,))


def test_sizes_are_numbers():
    def forward(s, x):
        n = x.shape[-1]
        m = n
        n += 3
        n //= 2
        h = s.a(x)
        h += s.b(x)
        return s.out(h.view(-1, n)) * m

    module = Parts(forward).double()
    agree(module, load(module), (3,))


def _late_view(s, x):
    h = s.a(x)
    flat = h.t()
    h += 1
    return s.out(flat.t())


def _changed_view(s, x):
    h = s.a(x)
    flat = h.t()
    flat *= 2
    return s.out(h)


def _pieces(s, x):
    h = s.a(x)
    pieces = h.chunk(3, 1)
    h += 1
    return pieces[0] + pieces[1]


def _state(s, x):
    w = s.w
    w += 1
    return s.a(x) + w


def _state_by_input(s, x):
    w = s.w
    w += x
    return s.a(x) + w


def _out(s, x):
    h = s.a(x)
    torch.add(h, 1, out=h)
    return s.out(h)


def _state_out(s, x):
    torch.add(s.w, 1, out=s.w)
    return s.a(x) + s.w


def _element(s, x):
    h = s.a(x)
    h[:, 0] += 1
    return s.out(h)


def _remainder(s, x):
    h = s.a(x)
    h %= 2
    return s.out(h)


@pytest.mark.parametrize(
    "forward",
    [
        _late_view, _changed_view, _pieces, _state, _state_by_input, _out, _state_out, _element,
        _remainder,
    ],
)  # fmt: skip
def test_refused(forward):
    with pytest.raises(UnsupportedError):
        load(Parts(forward))


def test_a_larger_result_does_not_fit():
    def forward(s, x):
        h = s.out(x)
        h += x
        return h

    with pytest.raises(NetworkError, match="in place"):
        load(Parts(forward))
