"""Networks in torch: what each layer computes there, and its way back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mipnet.errors import UnsupportedError
from mipnet.network import INPUT, Affine, Flatten, Layer, Network, ReLU
from mipnet.network.layers import (
    GELU,
    Abs,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    GlobalAvgPool,
    GlobalMaxPool,
    Identity,
    LeakyReLU,
    MaxPool,
    Reshape,
    Scale,
    Sigmoid,
    SiLU,
    Tanh,
)
from mipnet.network.layers.window import Window

if TYPE_CHECKING:
    from torch import Tensor

#: Trained tensors of every layer that has some: weight and bias.
Parameters = dict[str, "tuple[Tensor, Tensor]"]
#: From a layer, its trained tensors and its inputs (batch first) to its output.
Rule = Callable[[Any, Sequence["Tensor"], Sequence["Tensor"]], "Tensor"]

#: Layers with a trained weight and bias.
TRAINED = (Affine, Conv, BatchNorm)


def to_torch(network: Network, dtype: Any, purpose: str = "training") -> Parameters:
    """Weights and biases of a network as leaves that collect gradients.

    Those of a BatchNorm are its scale and shift; its running statistics stay as they are.

    Parameters
    ----------
    network : Network
    dtype : torch.dtype
    purpose : str
        For the error.

    Raises
    ------
    UnsupportedError
        Listing every layer without a rule here.
    """
    import torch

    unknown = [f"{n.name} ({n.layer.kind})" for n in network.nodes if not _has_rule(n.layer)]
    if unknown:
        raise UnsupportedError(purpose, unknown)
    found: Parameters = {}
    for node in network.nodes:
        if isinstance(node.layer, TRAINED):
            pair = node.layer.weight, node.layer.bias
            weight, bias = (torch.tensor(p, dtype=dtype).requires_grad_() for p in pair)
            found[node.name] = weight, bias
    return found


def from_torch(network: Network, parameters: Parameters) -> Network:
    """Network with trained weights and biases."""
    layers: dict[str, Layer] = {}
    for name, pair in parameters.items():
        layer: Any = network.by_name[name].layer
        weight, bias = (tensor.detach().double().numpy() for tensor in pair)
        layers[name] = replace(layer, weight=weight, bias=bias)
    return network.with_layers(layers)


def forward(
    network: Network,
    parameters: Parameters,
    x: Tensor,
    gates: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Evaluate a network.

    Parameters
    ----------
    network : Network
    parameters : dict
        See :func:`to_torch`.
    x : Tensor, shape (batch, *input_shape)
    gates : mapping of str to Tensor, optional
        Factors on the output of nodes.

    Returns
    -------
    Tensor, shape (batch, n_outputs)
    """
    values, gates = {INPUT: x}, gates or {}
    for node in network.nodes:
        inputs = [values[name] for name in node.inputs]
        value = RULES[type(node.layer)](node.layer, parameters.get(node.name, ()), inputs)
        values[node.name] = value * gates[node.name] if node.name in gates else value
    return values[network.output].flatten(1)


def _has_rule(layer: Layer) -> bool:
    if isinstance(layer, AvgPool):
        # torch knows no holes in an average.
        return set(layer.window.dilation) == {1} and _pads(layer.window)
    if isinstance(layer, MaxPool):
        return _pads(layer.window) or not layer.window.ceil
    return type(layer) in RULES


def _pads(window: Window) -> bool:
    """Whether a pooling of torch pads like this window: equally, by at most half of it."""
    halves = (2 * p <= k for p, k in zip(window.before, window.kernel, strict=True))
    return window.before == window.after and all(halves)


def _function(name: str, axes: int) -> Any:
    from torch.nn import functional

    return getattr(functional, f"{name}{axes}d")


def _affine(layer: Any, tensors: Sequence[Tensor], inputs: Sequence[Tensor]) -> Tensor:
    from torch.nn.functional import linear

    del layer
    return linear(inputs[0], *tensors)


def _conv(layer: Conv, tensors: Sequence[Tensor], inputs: Sequence[Tensor]) -> Tensor:
    window = layer.window
    convolve = _function("conv", len(window.kernel))
    result: Tensor = convolve(
        _padded(inputs[0], window, 0.0),
        *tensors,
        stride=window.stride,
        dilation=window.dilation,
        groups=layer.groups,
    )
    return result


def _padded(x: Tensor, window: Window, fill: float) -> Tensor:
    from torch.nn.functional import pad

    # torch counts from the last axis.
    sides = [n for pair in zip(window.before, window.after, strict=True) for n in reversed(pair)]
    return pad(x, sides[::-1], value=fill) if any(sides) else x


def _norm(layer: BatchNorm, tensors: Sequence[Tensor], inputs: Sequence[Tensor]) -> Tensor:
    x = inputs[0]
    weight, bias = tensors
    shape = (-1, *(1,) * (x.dim() - 2))
    mean, variance = (x.new_tensor(v) for v in (layer.mean, layer.variance))
    scaled = weight / (variance + layer.epsilon).sqrt()
    return (x - mean.reshape(shape)) * scaled.reshape(shape) + bias.reshape(shape)


def _max_pool(layer: MaxPool, tensors: Sequence[Tensor], inputs: Sequence[Tensor]) -> Tensor:
    del tensors
    window = layer.window
    pool = _function("max_pool", len(window.kernel))
    x = inputs[0]
    padding: Any = window.before
    if not _pads(window):
        x, padding = _padded(x, window, float("-inf")), 0
    result: Tensor = pool(
        x, window.kernel, window.stride, padding, window.dilation, ceil_mode=window.ceil
    )
    return result


def _avg_pool(layer: AvgPool, tensors: Sequence[Tensor], inputs: Sequence[Tensor]) -> Tensor:
    del tensors
    window = layer.window
    pool = _function("avg_pool", len(window.kernel))
    result: Tensor = pool(
        inputs[0],
        window.kernel,
        window.stride,
        window.before,
        ceil_mode=window.ceil,
        count_include_pad=layer.count_padding,
    )
    return result


def _reshape(layer: Reshape, tensors: Sequence[Tensor], inputs: Sequence[Tensor]) -> Tensor:
    del tensors
    x = inputs[0]
    return x.reshape(len(x), *layer.output_shape(tuple(x.shape[1:])))


def _add(layer: Add, tensors: Sequence[Tensor], inputs: Sequence[Tensor]) -> Tensor:
    del tensors
    terms = [x * scale for x, scale in zip(inputs, layer.scales, strict=True)]
    return sum(terms[1:], terms[0])


def _concat(layer: Concat, tensors: Sequence[Tensor], inputs: Sequence[Tensor]) -> Tensor:
    from torch import cat

    del tensors
    return cat(list(inputs), dim=layer.axis + 1 if layer.axis >= 0 else layer.axis)


def _scale(layer: Scale, tensors: Sequence[Tensor], inputs: Sequence[Tensor]) -> Tensor:
    del tensors
    return inputs[0] * inputs[0].new_tensor(layer.scale) + inputs[0].new_tensor(layer.shift)


def _gelu(layer: GELU, tensors: Sequence[Tensor], inputs: Sequence[Tensor]) -> Tensor:
    from torch.nn.functional import gelu

    del tensors
    return gelu(inputs[0], approximate=layer.approximate)


def _each(function: Callable[[Any, Tensor], Tensor]) -> Rule:
    """Rule of a layer of one input that trains nothing."""

    def rule(layer: Any, tensors: Sequence[Tensor], inputs: Sequence[Tensor]) -> Tensor:
        del tensors
        return function(layer, inputs[0])

    return rule


def _spatial(x: Tensor) -> tuple[int, ...]:
    return tuple(range(2, x.dim()))


RULES: Mapping[type[Layer], Rule] = {
    Abs: _each(lambda layer, x: x.abs()),
    Add: _add,
    Affine: _affine,
    AvgPool: _avg_pool,
    BatchNorm: _norm,
    Concat: _concat,
    Conv: _conv,
    Flatten: _each(lambda layer, x: x.flatten(1)),
    GELU: _gelu,
    GlobalAvgPool: _each(lambda layer, x: x.mean(_spatial(x), keepdim=True)),
    GlobalMaxPool: _each(lambda layer, x: x.amax(_spatial(x), keepdim=True)),
    Identity: _each(lambda layer, x: x),
    LeakyReLU: _each(lambda layer, x: x.relu() - layer.slope * (-x).relu()),
    MaxPool: _max_pool,
    ReLU: _each(lambda layer, x: x.relu()),
    Reshape: _reshape,
    Scale: _scale,
    SiLU: _each(lambda layer, x: x * x.sigmoid()),
    Sigmoid: _each(lambda layer, x: x.sigmoid()),
    Tanh: _each(lambda layer, x: x.tanh()),
}
