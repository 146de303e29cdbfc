"""Modules with forwards of their own, and how a network is compared with a module."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn
from torch.nn import functional


def agree(module, net, shape):
    """Whether a network and a module are the same function at random points."""
    double = copy.deepcopy(module).double().eval()
    x = torch.randn(6, *shape, dtype=torch.float64)
    with torch.no_grad():
        # One by one: a chain may use its batch axis, and is read for a batch of one.
        expected = np.stack([double(item[None]).numpy().ravel() for item in x])
    result = net(x.numpy()).reshape(6, -1)
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-9)


class Custom(nn.Module):
    """Everything a chain may hold, declared in another order than it is used."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 6)
        self.unused = nn.Conv2d(1, 1, 1)
        self.first = nn.Linear(12, 6)
        self.register_buffer("mean", torch.randn(3, 1, 1))
        self.std = nn.Parameter(torch.rand(1, 3, 1, 1) + 0.5)
        self.last = nn.Parameter(torch.randn(2, 6))
        self.register_buffer("mask", (torch.rand(2, 6) > 0.5).float())

    def forward(self, x, reverse=False, scale=None):
        x = (x - self.mean) / self.std
        x = x.view(x.size(0), -1)
        x = functional.relu(self.first(x))
        x = functional.dropout(x, 0.5, training=self.training)
        x = self.head(x)
        x.relu_()
        x = torch.relu(self.head(x))
        x = (1 - x * 2 + 0.5).clone()
        if reverse:
            x = x.flip(1)
        x = -x if scale is None else x * scale
        return functional.linear(x, self.last * self.mask)
