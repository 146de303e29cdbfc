"""Faults planted in torch modules: one error names each of them and nothing else."""

from __future__ import annotations

import math
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import entries, named_exactly
from torch import nn
from torch.nn import functional as f

from mipnet.errors import NetworkError, UnsupportedError
from mipnet.network.readers import load

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def broken(module):
    """The module with a weight that is no number."""
    with torch.no_grad():
        module.weight.view(-1)[0] = math.nan
    return module


class Recurrent(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.cell = nn.GRU(n, n)

    def forward(self, x):
        return self.cell(x)[0]


class Attention(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.heads = nn.MultiheadAttention(n, 1)

    def forward(self, x):
        return self.heads(x, x, x)[0]


#: Modules for n channels or features that are read, and such with a fault; all keep n.
SOUND = {
    2: (
        lambda n: nn.Conv2d(n, n, 3, padding=1),
        lambda n: nn.BatchNorm2d(n).eval(),
        lambda n: nn.MaxPool2d(3, 1, 1),
        lambda n: nn.Hardtanh(),
        lambda n: nn.Dropout2d().eval(),
    ),
    0: (
        lambda n: nn.Linear(n, n),
        lambda n: nn.BatchNorm1d(n).eval(),
        lambda n: nn.GELU(),
        lambda n: nn.Dropout().eval(),
    ),
}
FAULTY = {
    2: {
        "channels": (lambda n: nn.Conv2d(n + 1, n, 3, padding=1), "takes 5 channels"),
        "norm": (lambda n, k: nn.BatchNorm2d(n + k).eval(), "normalises"),
        "slopes": (lambda n: nn.PReLU(n + 1), "PReLU"),
        "nan": (lambda n: broken(nn.Conv2d(n, n, 1)), "NaN"),
        "training norm": (nn.BatchNorm2d, "call model.eval()"),
        "training dropout": (lambda n: nn.Dropout2d(), "call model.eval()"),
        "untracked": (
            lambda n: nn.BatchNorm2d(n, track_running_stats=False),
            "statistics of the batch",
        ),
        "group norm": (lambda n: nn.GroupNorm(1, n), "computed deviation"),
        "transposed": (lambda n: nn.ConvTranspose2d(n, n, 1), "(ConvTranspose2d)"),
        "mirror": (lambda n: nn.Conv2d(n, n, 3, padding=1, padding_mode="reflect"), "reflect"),
        "instance": (nn.InstanceNorm2d, "(InstanceNorm2d)"),
        "softshrink": (lambda n: nn.Softshrink(), "(Softshrink)"),
    },
    0: {
        "width": (lambda n: nn.Linear(n + 1, n), "takes vectors of"),
        "norm": (lambda n, k: nn.BatchNorm1d(n + k).eval(), "normalises"),
        "nan": (lambda n: broken(nn.Linear(n, n)), "NaN"),
        "training norm": (nn.BatchNorm1d, "call model.eval()"),
        "training dropout": (lambda n: nn.Dropout(), "call model.eval()"),
        "layer norm": (nn.LayerNorm, "computed deviation"),
        "recurrent": (Recurrent, "unroll"),
        "attention": (Attention, "attention"),
        "mish": (lambda n: nn.Mish(), "(Mish)"),
    },
}
#: Calls with a fault, and a part of their entry; fx numbers the names of repeated ones.
CALLS = {
    "sin": (torch.sin, "(sin)"),
    "exp": (lambda x: x.exp(), "(exp)"),
    "product": (lambda x: x * x.clamp(-1, 1), "(mul): multiplies"),
    "quotient": (lambda x: 1.0 / x, "(truediv): divides"),
    "batch": (lambda x: x - x.mean(0, keepdim=True), "(mean): acts along the batch"),
    "branch": (lambda x: x if x.sum() > 0 else x + 1, "control flow depends"),
    "random": (lambda x: f.dropout(x, 0.5, training=True), "(dropout): drops at random"),
    "number": (lambda x: x * float(x.shape[1]), "into a number"),
    "argmax": (lambda x: x + x.argmax(1, keepdim=True), "(argmax)"),
}


class Planted(nn.Module):
    """Steps over images, a global mean, steps over vectors; faults at given places."""

    def __init__(self, axes, steps):
        super().__init__()
        self.axes, self.steps, self.planted, self.calls = axes, nn.ModuleList(), [], {}
        for k, (kind, choice) in enumerate(steps):
            part = 2 if axes and k < len(steps) // 2 else 0
            fault = FAULTY[part].get(kind)
            make = SOUND[part][choice % len(SOUND[part])] if fault is None else fault[0]
            # Two norms of one wrong size might be right, and what is before them wrong.
            self.steps.append(make(4, k + 1) if kind == "norm" and fault else make(4))
            if fault is not None:
                # Inside of a module of ours, the call has its own name.
                self.planted.append((f"'steps.{k}", fault[1]))
            elif kind in CALLS:
                self.calls[k], text = CALLS[kind]
                self.planted.append(("", text))
        self.turn = len(steps) // 2 if axes else -1

    def forward(self, x):
        for k, step in enumerate(self.steps):
            if k == self.turn:
                x = x.mean((2, 3))
            x = step(x)
            if k in self.calls:
                x = self.calls[k](x)
        return x


KINDS = [*FAULTY[2], *FAULTY[0], *CALLS]


@settings(deadline=None, max_examples=60)
@given(
    axes=st.booleans(),
    faults=st.lists(st.sampled_from(KINDS), min_size=1, max_size=5),
    sound=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    order=st.randoms(use_true_random=False),
)
def test_every_planted_fault_is_named_and_nothing_else(axes, faults, sound, order):
    steps = [(kind, 0) for kind in faults] + [("", choice) for choice in sound]
    order.shuffle(steps)
    module = Planted(axes, steps)
    # A line that decides twice is one place; what is in no layer's list for its part is sound.
    found = entries(module, input_shape=(4, 3, 3) if axes else 4) if module.planted else []
    planted = list(dict.fromkeys(p for p in module.planted if p[1] in ONCE))
    planted += [p for p in module.planted if p[1] not in ONCE]
    for name, text in planted:
        fitting = [entry for entry in found if name in entry and text in entry]
        assert fitting, f"{name} {text} is not in {found}"
        found.remove(fitting[0])
    assert not found, f"{found} stand there beside {module.planted}"


ONCE = ("control flow depends", "into a number")


def test_the_declared_sizes_tell_where_no_shape_is_known():
    class Own(nn.Module):
        def forward(self, x):
            return opaque(x)

    # The call cannot be run for its shape: the layers behind it go by what they declare.
    module = nn.Sequential(
        Own(), nn.Conv2d(3, 8, 3), nn.ReLU(), nn.BatchNorm2d(6), nn.Conv2d(6, 4, 3),
        nn.Conv2d(5, 2, 3), Own(), nn.Linear(7, 5), nn.Hardtanh(), nn.Linear(5, 5), nn.Linear(6, 2),
    ).eval()  # fmt: skip
    found = entries(module, input_shape=(3, 9, 9))
    named_exactly(found, ["(opaque)", "(opaque)", "'3': normalises 6", "'5': weight", "'10': a m"])


@torch.fx.wrap
def opaque(x):
    """A call that is recorded as it is."""
    raise AssertionError


def test_a_disputed_size_is_told_once():
    # Either the norm is wrong or the convolution in front of it; what follows may go by either.
    for after in (8, 6):
        module = nn.Sequential(
            nn.Conv2d(3, 8, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(),
            nn.Linear(after * 4, 5), nn.Linear(5, 2),
        ).eval()  # fmt: skip
        assert len(entries(module, input_shape=(3, 2, 2))) == 1
    module[-1] = nn.Linear(4, 2)
    assert len(entries(module, input_shape=(3, 2, 2))) == 2


def test_images_of_unknown_shape_are_told_beside_the_rest():
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(5), nn.ELU(), nn.Flatten(), nn.Linear(9, 2)
    )
    named_exactly(
        entries(module), ["give input_shape=", "normalises 5", "(BatchNorm2d): is in", "(ELU)"]
    )
    named_exactly(entries(nn.Sequential(nn.ELU(), nn.Linear(4, 2), nn.Linear(3, 1))),
                  ["(ELU)", "'2': weight"])  # fmt: skip


def test_control_flow_is_told_with_its_line_and_both_branches():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(3, 3), nn.LSTM(3, 3), nn.Linear(3, 5)
            self.d = nn.Linear(4, 4)

        def forward(self, x):
            x = self.a(x)
            if x.sum() > 0:
                x = torch.sin(x)
            elif x.amin(1) > 0:
                x = self.c(x)
            else:
                x = torch.cos(x)
            while not x.sum() > 1:
                x = x * 2
            for row in x:
                x = x + row
            return self.d(x)

    found = entries(Branches())
    name = os.path.basename(__file__)
    lines = [f"'forward' ({name}, line"] * 4
    named_exactly(found, [*lines, "(sin)", "(cos)", "'d': weight", "'b' (LSTM)"])
    assert any("while not x.sum() > 1:" in entry for entry in found)


def test_training_mode_is_an_entry_and_the_module_is_left_alone():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.drop, self.none = nn.Linear(3, 3), nn.Dropout(0.2), nn.Dropout(0.0)
            self.register_buffer("m", torch.zeros(3))
            self.register_buffer("v", torch.ones(3))

        def forward(self, x):
            x = f.batch_norm(self.a(x), self.m, self.v, training=self.training)
            return self.none(self.drop(f.dropout(x, 0.5, self.training)))

    module = Functional()
    found = entries(module)
    named_exactly(found, ["(batch_norm): is in", "(dropout): is in", "'drop' (Dropout): is in"])
    assert all(part.training for part in module.modules())
    assert load(module.eval()).n_inputs == 3
    # Half in training: what counts is the mode of the layer itself.
    module.drop.train()
    named_exactly(entries(module), ["'drop' (Dropout): is in"])

    class Noisy(nn.Linear):
        def forward(self, x):
            return super().forward(x + 1 if self.training else x)

    named_exactly(entries(nn.Sequential(Noisy(2, 2))), ["computes something else"])
    # Where no layer tells the modes apart, training is fine.
    assert load(nn.Sequential(nn.Linear(2, 2), nn.ReLU()).train()).n_inputs == 2


def test_single_faults_keep_their_own_error():
    with pytest.raises(NetworkError, match=r"^torch Sequential: layer '1'.*vectors of 3.*; make"):
        load(nn.Sequential(nn.Linear(2, 2), nn.Linear(3, 1)))
    with pytest.raises(UnsupportedError, match=r"1 unsupported operation\(s\) and 1 other fault"):
        load(nn.Sequential(nn.Linear(2, 2), nn.ELU(), nn.Linear(3, 1)))
