"""torch modules: the same function as their own forward, pruned, traced or plain."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune
from torch_cases import Custom, agree

from mipnet.errors import NetworkError, ReadError, UnsupportedError
from mipnet.network import ReLU
from mipnet.network.readers import load

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


PIECES = ("linear", "relu", "identity", "dropout", "flatten", "nested")


@settings(deadline=None, max_examples=40)
@given(
    pieces=st.lists(st.sampled_from(PIECES), min_size=0, max_size=6),
    widths=st.lists(st.integers(1, 6), min_size=8, max_size=8),
    bias=st.booleans(),
    masks=st.sets(st.sampled_from(["weight", "bias"])),
    precision=st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16]),
    training=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_sequential_round_trip(pieces, widths, bias, masks, precision, training, seed):
    torch.manual_seed(seed)
    layers, width = [nn.Linear(widths[-1], widths[0], bias=bias)], widths[0]
    for piece, size in zip(pieces, widths, strict=False):
        if piece == "linear":
            layers.append(nn.Linear(width, size, bias=bias))
            width = size
        else:
            layers.append(
                {
                    "relu": nn.ReLU(inplace=size > 3),
                    "identity": nn.Identity(),
                    "dropout": nn.Dropout(0.5),
                    "flatten": nn.Flatten(),
                    "nested": nn.Sequential(nn.Linear(width, width), nn.ReLU()),
                }[piece]
            )
    module = nn.Sequential(*layers).to(precision).train(training)
    dense = copy.deepcopy(module)
    for part in [m for m in module.modules() if isinstance(m, nn.Linear)]:
        for name in sorted(masks):
            if getattr(part, name) is not None:
                prune.random_unstructured(part, name, amount=0.5)
    # The dense twin gets the masked values written in by hand.
    for part, twin in zip(module.modules(), dense.modules(), strict=True):
        for name in ("weight", "bias"):
            if f"{name}_orig" in dict(part.named_parameters(recurse=False)):
                with torch.no_grad():
                    masked = getattr(part, f"{name}_orig") * getattr(part, f"{name}_mask")
                    getattr(twin, name).copy_(masked)
    if training and "dropout" in pieces:
        with pytest.raises(UnsupportedError, match=r"\(Dropout\): is in training mode"):
            load(module)
        assert module.training
        module.eval()
    mode = module.training
    net = load(module)
    assert net.dtype == ("float64" if precision == torch.float64 else "float32")
    assert module.training is mode
    agree(dense, net, (widths[-1],))


def pruned(bias_only=False):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    if not bias_only:
        prune.l1_unstructured(module[0], "weight", amount=0.5)
    prune.random_unstructured(module[2], "bias", amount=1)
    return module


def test_masks_apply_to_stale_attributes():
    module = pruned()
    before = module[0].weight.detach().clone()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    module(torch.randn(3, 4)).square().sum().backward()
    optimizer.step()
    # The attribute is only refreshed by the next forward pass.
    assert torch.equal(module[0].weight, before)
    net = load(module)
    masked = (module[0].weight_orig * module[0].weight_mask).detach().double().numpy()
    np.testing.assert_array_equal(net.nodes[0].layer.weight, masked)
    assert (masked == 0).sum() == 16
    assert not np.array_equal(masked, before.double().numpy())
    bias = (module[2].bias_orig * module[2].bias_mask).detach().double().numpy()
    np.testing.assert_array_equal(net.nodes[2].layer.bias, bias)
    assert (bias == 0).sum() == 1
    assert torch.equal(module[0].weight, before)


def test_a_masked_bias_alone_is_not_lost():
    module = pruned(bias_only=True)
    net = load(module)
    bias = (module[2].bias_orig * module[2].bias_mask).detach().double().numpy()
    np.testing.assert_array_equal(net.nodes[2].layer.bias, bias)
    assert bias.any()


def test_iterated_structured_and_global_pruning():
    module = pruned(bias_only=True)
    prune.ln_structured(module[0], "weight", amount=2, n=2, dim=0)
    prune.random_unstructured(module[0], "weight", amount=3)
    prune.global_unstructured(
        [(module[0], "bias"), (module[2], "weight")], prune.L1Unstructured, amount=5
    )
    module.eval()
    x = torch.randn(5, 4)
    np.testing.assert_allclose(load(module)(x.numpy()), module(x).detach().numpy(), atol=1e-6)


def test_pruned_modules_that_compute_with_their_own_weight():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 4))

        def forward(self, x):
            return functional.linear(x, self.weight).relu()

    module = nn.Sequential(Own(), nn.Linear(3, 1))
    prune.random_unstructured(module[0], "weight", amount=6)
    with torch.no_grad():
        module[0].weight_orig.mul_(2.0)
    net = load(module)
    masked = (module[0].weight_orig * module[0].weight_mask).detach().double().numpy()
    np.testing.assert_array_equal(net.nodes[0].layer.weight, masked)
    assert type(module[0].weight) is torch.Tensor


def test_the_module_is_left_as_it_was():
    module = pruned().train()
    module(torch.randn(3, 4)).sum().backward()
    module[1].register_full_backward_hook(lambda *_: None)
    module.note = ["a", {"b": 1}]

    def snapshot():
        state = {key: value.clone() for key, value in module.state_dict().items()}
        grads = [None if p.grad is None else p.grad.clone() for p in module.parameters()]
        parts = [
            (
                id(m),
                m.training,
                sorted(vars(m)),
                list(m._forward_pre_hooks),
                list(m._backward_hooks),
            )
            for m in module.modules()
        ]
        flags = [(id(p), p.requires_grad) for p in module.parameters()]
        return state, grads, (parts, flags, module.note)

    before = snapshot()
    net = load(module)
    after = snapshot()
    assert after[2] == before[2]
    for old, new in zip(before[0].values(), after[0].values(), strict=True):
        assert torch.equal(old, new)
    for old, new in zip(before[1], after[1], strict=True):
        assert (old is None) == (new is None)
        assert old is None or torch.equal(old, new)
    x = np.ones(4)
    value = net(x)
    with torch.no_grad():
        module[0].weight_orig.zero_()
    np.testing.assert_array_equal(net(x), value)


def test_flatten_first_takes_a_vector_or_the_given_shape():
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    assert load(module).input_shape == (12,)
    net = load(module, input_shape=(3, 2, 2))
    assert net.input_shape == (3, 2, 2)
    assert [node.name for node in net.nodes] == ["0", "1"]
    agree(module, net, (3, 2, 2))


def test_lone_modules_and_networks_without_weights():
    module = nn.Linear(3, 2)
    agree(module, load(module), (3,))
    assert load(module).nodes[0].name == "linear"
    net = load(nn.Sequential(nn.Flatten(), nn.ReLU()), input_shape=(2, 2))
    assert net([[1.0, -1.0], [2.0, -2.0]]).tolist() == [1.0, 0.0, 2.0, 0.0]
    assert net.dtype == "float32"
    assert isinstance(load(nn.ReLU(), input_shape=3).nodes[0].layer, ReLU)
    assert load(nn.Identity(), input_shape=3)([1.0, 2.0, 3.0]).tolist() == [1.0, 2.0, 3.0]


def test_wrappers_are_looked_through():
    module = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    for wrapped in (
        nn.DataParallel(module),
        torch.compile(module),
        nn.DataParallel(torch.compile(module)),
    ):
        assert load(wrapped).fingerprint == load(module).fingerprint


@pytest.mark.parametrize(
    "wrap",
    [parametrizations.weight_norm, parametrizations.spectral_norm, parametrizations.orthogonal],
)
def test_parametrizations_are_read_as_computed(wrap):
    torch.manual_seed(3)
    module = nn.Sequential(wrap(nn.Linear(4, 4)), nn.ReLU(), nn.Linear(4, 1)).double()
    state = copy.deepcopy(module.state_dict())
    net = load(module)
    for key, value in module.state_dict().items():
        assert torch.equal(value, state[key])
    module.eval()
    x = torch.randn(5, 4, dtype=torch.float64)
    np.testing.assert_allclose(net(x.numpy()), module(x).detach().numpy(), atol=1e-12)


def test_a_subclass_counts_by_its_forward():
    class Masked(nn.Linear):
        def forward(self, x):
            return functional.linear(x, self.weight * (self.weight > 0), self.bias)

    class Plain(nn.Linear):
        pass

    module = nn.Sequential(Plain(3, 3), nn.ReLU(), Masked(3, 2))
    agree(module, load(module), (3,))


def test_forward_hooks_are_refused_and_not_called():
    module = nn.Sequential(nn.Linear(2, 2), nn.ELU())
    calls = []
    module[0].register_forward_hook(lambda *args: calls.append(args))
    module[0].register_forward_pre_hook(lambda *args: calls.append(args))
    with pytest.raises(UnsupportedError) as caught:
        load(module)
    assert len(caught.value.operations) == 3
    assert "forward hook" in caught.value.operations[0]
    assert not calls
    with pytest.raises(UnsupportedError, match="WeightNorm"):
        load(nn.utils.weight_norm(nn.Linear(2, 2)))


def test_broken_modules():
    with pytest.raises(NetworkError, match=r"'1'.*vectors of 3.*'0' gives"):
        load(nn.Sequential(nn.Linear(2, 2), nn.Linear(3, 1)))
    with pytest.raises(ReadError, match="input_shape"):
        load(nn.Sequential(nn.Flatten(), nn.ReLU()))
    with pytest.raises(NetworkError, match=r"give input_shape="):
        load(Custom().eval())
    with pytest.raises(NetworkError, match="vectors of 12, but the input gives"):
        load(nn.Sequential(nn.Linear(12, 1)), input_shape=(3, 4))
    with pytest.raises(ReadError, match="lazy"):
        load(nn.Sequential(nn.LazyLinear(2)))
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    with torch.no_grad():
        module[1].bias[0] = torch.inf
    with pytest.raises(NetworkError, match=r"bias of '1'.*infinite"):
        load(module)
    with torch.no_grad():
        module[0].weight[1, 0] = torch.nan
    with pytest.raises(NetworkError, match=r"weight of '0'.*NaN.*\[1, 0\]"):
        load(module)
    module[0].weight = nn.Parameter(torch.ones(2, 2, dtype=torch.complex64))
    with pytest.raises(ReadError, match="complex"):
        load(module)
    with pytest.raises(ReadError, match="meta"):
        load(nn.Linear(2, 2, device="meta"))
    masked = pruned()
    masked[0].weight_mask = torch.ones(2, 2)
    with pytest.raises(NetworkError, match="mask"):
        load(masked)
