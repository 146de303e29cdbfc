from dataclasses import replace

import numpy as np
import pytest
from graph_cases import batch_norm, conv
from pruning_cases import mlp

from mipnet.errors import MaskError
from mipnet.network import INPUT, Affine, Flatten, Network, Node, ReLU
from mipnet.network.layers import Add, BatchNorm, Conv
from mipnet.pruning import Mask, apply, compact
from mipnet.pruning.exchange import (
    from_history,
    from_removed,
    from_torch_masks,
    to_history,
    to_removed,
    to_torch_masks,
)

RNG = np.random.default_rng(3)
NET = mlp(4, 6, 5, 2)
X = RNG.normal(size=(9, 4))


def residual():
    nodes = (
        Node("stem", conv(RNG, 4, 2), (INPUT,)),
        Node("inner", conv(RNG, 5, 4), ("stem",)),
        Node("norm", batch_norm(RNG, 5), ("inner",)),
        Node("relu", ReLU(), ("norm",)),
        Node("outer", conv(RNG, 4, 5), ("relu",)),
        Node("sum", Add(), ("stem", "outer")),
        Node("flat", Flatten(), ("sum",)),
        Node("out", Affine(RNG.normal(size=(2, 64)), np.zeros(2)), ("flat",)),
    )
    return Network(nodes, (2, 4, 4))


def test_indices_of_any_partner_are_enough():
    net = residual()
    mask = from_removed(net, {"outer": [0, 3], "inner": [4]})
    assert to_removed(mask) == {"stem": [0, 3], "inner": [4]}
    renamed = from_removed(net, {"b2": [4]}, names={"b2": "inner"})
    assert to_removed(renamed) == {"inner": [4]}


@pytest.mark.parametrize(
    ("removed", "match"),
    [
        ({"stem": [4]}, "whole numbers 0 to 3"),
        ({"stem": [0.5]}, "whole numbers"),
        ({"out": [0]}, "cannot be removed, the layer is the output"),
        ({"norm": [0]}, r"no Affine or Conv layer 'norm'; there are \['stem'"),
    ],
)
def test_indices_that_do_not_fit_are_refused(removed, match):
    with pytest.raises(MaskError, match=match):
        from_removed(residual(), removed)


def test_histories_count_what_is_left_at_every_step():
    net = residual()
    steps = [("inner", True, [1]), ("stem", True, [0]), ("inner", True, [1, 3]),
             ("inner", False, [2])]  # fmt: skip
    mask = from_history(net, steps)
    # Of inner 1, then of what is left (0, 2, 3, 4) the second and fourth; of the inputs of inner
    # (stem without 0) the third.
    assert to_removed(mask) == {"stem": [0, 3], "inner": [1, 2, 4]}
    again = from_history(net, to_history(net, mask))
    assert to_removed(again) == to_removed(mask)
    with pytest.raises(MaskError, match="step 1: layer 'stem' has 1 left, indices reach 0 to 1"):
        from_history(net, [("stem", True, [0, 1, 2]), ("stem", True, [0, 1])])
    with pytest.raises(MaskError, match="step 0 of the history must be"):
        from_history(net, [("stem", [1])])
    with pytest.raises(MaskError, match="must stay"):
        from_history(net, [("out", True, [1])])


def test_torch_buffers_come_back_as_the_same_mask():
    for net in (NET, residual()):
        first = next(iter(Mask.from_kept(net, {}).layers), None) or net.nodes[0].name
        mask = from_removed(net, {first: [0, 2]})
        buffers = to_torch_masks(net, mask)
        again = from_torch_masks(net, buffers)
        assert to_removed(again) == to_removed(mask)
        assert all(layer.compensation is None for layer in again.layers.values())


def test_channels_that_are_normalised_come_back_as_the_same_mask():
    rng = np.random.default_rng(1)
    net = Network.sequential(
        [
            Conv(rng.normal(size=(4, 1, 3, 3)), rng.normal(size=4)),
            BatchNorm(*rng.normal(size=(3, 4)), rng.uniform(0.5, 2.0, 4)),
            ReLU(),
            Flatten(),
            Affine(rng.normal(size=(2, 16)), np.zeros(2)),
        ],
        (1, 4, 4),
    )
    mask = from_removed(net, {"conv0": [0, 2]})
    buffers = to_torch_masks(net, mask)
    again = from_torch_masks(net, buffers)
    assert to_removed(again) == {"conv0": [0, 2]}
    images = rng.normal(size=(5, 1, 4, 4))
    np.testing.assert_allclose(compact(net, again)(images), apply(net, mask)(images), rtol=1e-12)
    # The scale alone: what is left of the channel is its shift, which readers go on seeing.
    scale = {"batchnorm0.weight_mask": np.array([1.0, 0.0, 1.0, 1.0])}
    left = from_torch_masks(net, scale)
    norm = net.by_name["batchnorm0"].layer
    wanted = net.with_layers({"batchnorm0": replace(norm, weight=norm.weight * [1, 0, 1, 1])})
    assert to_removed(left) == {"conv0": [1]}
    np.testing.assert_allclose(compact(net, left)(images), wanted(images), rtol=1e-12)


def test_a_bias_that_is_not_masked_becomes_compensation():
    weight = np.ones((6, 4))
    weight[[1, 4]] = 0.0
    mask = from_torch_masks(NET, {"affine0.weight_mask": weight, "epoch": 3})
    layer = NET.by_name["affine0"].layer
    left = NET.with_layers({"affine0": Affine(layer.weight * weight, layer.bias)})
    np.testing.assert_allclose(apply(NET, mask)(X), left(X), rtol=1e-12, atol=1e-12)
    assert mask.layers["affine0"].removed.tolist() == [1, 4]
    assert compact(NET, mask).shapes["affine0"] == (4,)
    wanted = np.maximum(layer.bias[[1, 4]], 0.0)
    assert wanted.any()
    np.testing.assert_array_equal(mask.layers["affine0"].compensation, wanted)


def test_single_zeros_and_odd_shapes_are_refused():
    weight = np.ones((6, 4))
    weight[0, 1] = 0.0
    with pytest.raises(MaskError, match="1 single entries are masked"):
        from_torch_masks(NET, {"affine0.weight_mask": weight})
    with pytest.raises(MaskError, match=r"weight_mask has shape \(4, 6\)"):
        from_torch_masks(NET, {"affine0.weight_mask": weight.T})
    with pytest.raises(MaskError, match="nothing is masked"):
        from_torch_masks(NET, {"weight": weight})


def test_masks_of_torch_itself():
    torch = pytest.importorskip("torch")
    from torch.nn.utils import prune as torch_prune

    from mipnet.network.readers import load

    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
    ).double()
    dense = load(module, input_shape=(4,))
    torch_prune.ln_structured(module[0], "weight", 0.5, n=2, dim=0)
    mask = from_torch_masks(dense, module.state_dict(), names={"0": dense.nodes[0].name})
    assert len(mask.layers[dense.nodes[0].name].removed) == 4
    wanted = module(torch.tensor(X)).detach().numpy()
    np.testing.assert_allclose(compact(dense, mask)(X), wanted, rtol=1e-12, atol=1e-12)
