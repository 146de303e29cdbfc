"""safetensors files and state dicts: order, masks, precisions and refusals."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_cases import evaluate, random_layers
from torch import nn
from torch.nn.utils import prune

from mipnet.errors import MipnetError, NetworkError, ReadError, UnsupportedError
from mipnet.network.readers import load


@settings(deadline=None, max_examples=40)
@given(
    widths=st.lists(st.integers(1, 5), min_size=2, max_size=13),
    seed=st.integers(0, 2**31),
    precision=st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16]),
    stem=st.sampled_from(["", "fc", "net.", "module.layer_"]),
    step=st.integers(1, 3),
    biased=st.booleans(),
    masked=st.booleans(),
)
def test_round_trip_with_torch(
    tmp_path_factory, widths, seed, precision, stem, step, biased, masked
):
    torch.manual_seed(seed)
    pairs = pairwise(widths)
    layers = [nn.Linear(inn, out, bias=biased).to(precision) for inn, out in pairs]
    state = {}
    for k, layer in enumerate(layers):
        if masked and layer.weight.numel() > 1:
            prune.random_unstructured(layer, "weight", amount=0.5)
        if masked and biased:
            prune.random_unstructured(layer, "bias", amount=1)
        state |= {f"{stem}{step * k}.{key}": value for key, value in layer.state_dict().items()}
    path = tmp_path_factory.mktemp("st") / "net.safetensors"
    safetensors.torch.save_file(state, path)
    weights = [layer.weight.detach().double().numpy() for layer in layers]
    biases = [
        layer.bias.detach().double().numpy() if biased else np.zeros(layer.out_features)
        for layer in layers
    ]
    x = np.random.default_rng(seed).normal(size=(3, widths[0]))
    expected = evaluate(weights, biases, x)
    shuffled = dict(sorted(state.items(), reverse=True))
    for source in (path, str(path), path.read_bytes(), state, shuffled):
        net = load(source)
        np.testing.assert_allclose(net(x), expected, rtol=1e-12, atol=1e-12)
        assert net.dtype == ("float64" if precision == torch.float64 else "float32")
    assert [node.name for node in net.nodes[::2]] == [
        f"{stem}{step * k}" for k in range(len(layers))
    ]


def state(*names, widths=(3, 4, 4, 2)):
    weights, biases = random_layers(widths[: len(names) + 1], 0)
    arrays = {}
    for name, weight, bias in zip(names, weights, biases, strict=True):
        arrays |= {f"{name}.weight": weight, f"{name}.bias": bias}
    return arrays, weights, biases


def test_numbers_in_names_count_by_value():
    arrays, weights, biases = state("fc2", "fc10", "fc11")
    x = np.ones((1, 3))
    np.testing.assert_allclose(load(arrays)(x), evaluate(weights, biases, x), atol=1e-12)


def test_the_metadata_sets_the_order(tmp_path):
    arrays, weights, biases = state("zeta", "mid", "alpha")
    path = tmp_path / "net.safetensors"
    listed = json.dumps(["zeta", "relu", "mid", "alpha", "relu"])
    safetensors.numpy.save_file(arrays, path, metadata={"mipnet.layers": listed})
    net = load(path)
    assert [node.name for node in net.nodes] == ["zeta", "relu", "mid", "alpha", "relu_1"]
    x = np.random.default_rng(0).normal(size=(5, 3))
    first = evaluate(weights[:2], biases[:2], x)
    expected = np.maximum(first @ weights[2].T + biases[2], 0.0)
    np.testing.assert_allclose(net(x), expected, atol=1e-12)
    given_order = load(path, layers=["zeta", "relu", "mid", "relu", "alpha"])
    np.testing.assert_allclose(given_order(x), evaluate(weights, biases, x), atol=1e-12)
    assert load(arrays, layers=json.loads(listed)).fingerprint == net.fingerprint


def test_flatten_and_input_shape():
    arrays, _, _ = state("0", widths=(4, 2))
    net = load(arrays, layers=["flatten", "0"], input_shape=(2, 2))
    assert net.input_shape == (2, 2)
    np.testing.assert_array_equal(net(np.ones((2, 2))), load(arrays)(np.ones(4)))


def test_a_lone_layer_and_another_suffix(tmp_path):
    path = tmp_path / "weights.dat"
    safetensors.numpy.save_file({"weight": np.ones((1, 2), np.float32)}, path)
    assert load(path)([1.0, 2.0]) == [3.0]


@pytest.mark.parametrize(
    ("arrays", "error", "text"),
    [
        ({}, ReadError, "holds no"),
        ({"a.bias": np.ones(2)}, UnsupportedError, "bias and no weight"),
        ({"a.weight": np.ones((2, 2)), "a.bias": np.ones(3)}, NetworkError, "'a'.*\\(3,\\)"),
        ({"0.weight": np.ones((3, 2)), "1.weight": np.ones((1, 4))}, NetworkError, "'1'.*'0'"),
        ({"0.weight": np.array([[np.nan]])}, NetworkError, "weight of '0'.*NaN"),
        ({"0.weight": np.eye(1), "0.bias": np.array([-np.inf])}, NetworkError, "bias of '0'"),
        ({"0.weight_orig": np.eye(2)}, UnsupportedError, "weight_orig and weight_mask"),
        (
            {"0.weight_orig": np.eye(2), "0.weight_mask": np.ones((1, 2))},
            NetworkError,
            "'0'.*weight_mask.*differ",
        ),
        (
            {f"0.weight{end}": np.eye(2) for end in ("", "_orig", "_mask")},
            UnsupportedError,
            "'0': needs weight",
        ),
    ],
)
def test_bad_state_dicts(arrays, error, text):
    with pytest.raises(error, match=text):
        load(arrays)


def test_all_foreign_tensors_are_listed():
    arrays = {
        "conv.weight": np.ones((1, 1, 3, 3)),
        "bn.weight": np.ones(3),
        "bn.running_mean": np.ones(3),
        "fc.weight": np.eye(2),
        "fc.parametrizations.weight.original": np.eye(2),
    }
    with pytest.raises(UnsupportedError) as caught:
        load(arrays)
    listing = "\n".join(caught.value.operations)
    assert len(caught.value.operations) == 4
    assert "'fc.weight'" not in listing
    assert "'conv.weight' (tensor of shape (1, 1, 3, 3))" in listing


@pytest.mark.parametrize(
    ("listed", "text"),
    [
        ("[0", "must be a JSON list"),
        ('{"0": 1}', "must be a JSON list"),
        ('["0", 1]', "must be a JSON list"),
        ('["0", "tanh"]', r"\['tanh'\]"),
        ('["relu"]', r"leaves out \['0'\]"),
    ],
)
def test_bad_metadata(tmp_path, listed, text):
    path = tmp_path / "net.safetensors"
    tensors = {"0.weight": np.eye(2, dtype=np.float32)}
    safetensors.numpy.save_file(tensors, path, metadata={"mipnet.layers": listed})
    with pytest.raises(ReadError, match=text):
        load(path)


def test_every_truncation_is_refused(tmp_path):
    whole = safetensors.numpy.save(state("0", "1")[0])
    path = tmp_path / "cut.safetensors"
    for size in range(0, len(whole), 5):
        path.write_bytes(whole[:size])
        with pytest.raises(ReadError, match="truncated"):
            load(path)
    for junk in (b"", b"junk", b"\xff" * 40):
        path.write_bytes(junk)
        with pytest.raises(MipnetError, match="truncated"):
            load(path)


def test_state_dicts_of_torch_with_an_architecture(tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 3, 2, bias=False),
        nn.BatchNorm2d(3),
        nn.PReLU(3),
        nn.Flatten(),
        nn.Linear(12, 2),
    )
    with torch.no_grad():
        module[1].running_mean.normal_()
        module[1].running_var.uniform_(0.5, 2.0)
        module[2].weight.uniform_(-1.0, 1.0)
    prune.random_unstructured(module[4], "weight", amount=5)
    kinds = ["Conv", "BatchNorm", "PReLU", "Flatten", "Affine"]
    nodes = [{"name": str(k), "kind": kind} for k, kind in enumerate(kinds)]
    description = {"input_shape": [1, 3, 3], "nodes": nodes}
    path = tmp_path / "net.safetensors"
    text = json.dumps(description)
    safetensors.torch.save_file(module.state_dict(), path, metadata={"mipnet.architecture": text})
    x = torch.randn(4, 1, 3, 3)
    expected = module.eval()(x).detach().numpy()
    for net in (load(path), load(module.state_dict(), architecture=description)):
        np.testing.assert_allclose(net(x.numpy()), expected, rtol=1e-5, atol=1e-6)
        assert net.dtype == "float32"
    with pytest.raises(ReadError, match=r"'4' \(Affine\) lacks its weight"):
        load({k: v for k, v in module.state_dict().items() if k[0] != "4"}, architecture=text)
