"""Scores of single weights before training, and the masks a global threshold makes of them.

Magnitude, random, SNIP (Lee, Ajanthan, Torr, ICLR 2019), GraSP (Wang, Zhang, Grosse, ICLR 2020)
and SynFlow (Tanaka, Kunin, Yamins, Ganguli, NeurIPS 2020), of the weights of Affine and Conv
layers; higher is more important.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError
from mipnet.network import Affine, Layer, Network
from mipnet.network.layers import Conv
from mipnet.pruning.torch_layers import Parameters, forward, to_torch
from mipnet.pruning.training import loss_of, require_torch

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
#: Weight scores or masks by layer, each of the shape of the weight.
Scores = dict[str, Array]
Masks = dict[str, Flags]

#: Temperature of the logits in GraSP.
TEMPERATURE = 200.0
#: Rounds in which SynFlow reaches its sparsity.
ROUNDS = 100


def weights_of(network: Network) -> Scores:
    """Weights of the Affine and Conv layers, by name, in network order."""
    return {
        node.name: node.layer.weight
        for node in network.nodes
        if isinstance(node.layer, Affine | Conv)
    }


def magnitude(network: Network) -> Scores:
    """Absolute weights."""
    return {name: np.abs(weight) for name, weight in weights_of(network).items()}


def uniform(network: Network, rng: np.random.Generator) -> Scores:
    """Uniform random numbers."""
    return {name: rng.random(weight.shape) for name, weight in weights_of(network).items()}


def snip(
    network: Network, inputs: Array, targets: npt.NDArray[Any], batch_size: int = 256
) -> Scores:
    r"""Sensitivity of the loss, :math:`|w\,\partial L / \partial w|`.

    Parameters
    ----------
    network : Network
    inputs : array, shape (n, *input_shape)
    targets : array
        As :func:`~mipnet.pruning.training.training_data` gives them.
    batch_size : int
        Scores of batches are averaged, weighted by their sizes.
    """
    total = {name: np.zeros_like(weight) for name, weight in weights_of(network).items()}
    for start in range(0, len(inputs), batch_size):
        part = slice(start, start + batch_size)
        share = len(inputs[part]) / len(inputs)
        parameters, loss = _loss(network, inputs[part], targets[part], 1.0)
        for name, product in _products(parameters, total, loss).items():
            total[name] += share * np.abs(product)
    return total


def grasp(
    network: Network, inputs: Array, targets: npt.NDArray[Any], *, absolute: bool = False
) -> Scores:
    r"""Effect on the flow of gradients, :math:`w\,\partial z / \partial w`.

    With :math:`z = \sum\langle \mathrm{const}(g), g\rangle` over the weights' gradients :math:`g`
    of the loss at temperature :data:`TEMPERATURE`. The paper removes the highest of
    :math:`-w\,\partial z / \partial w`; the sign is turned here.

    Parameters
    ----------
    network, inputs, targets
        As for :func:`snip`; one batch.
    absolute : bool
        Take the absolute value, so that weights without any effect go first.
    """
    torch = require_torch()
    parameters, loss = _loss(network, inputs, targets, TEMPERATURE)
    names = list(weights_of(network))
    weights = [parameters[name][0] for name in names]
    slopes = torch.autograd.grad(loss, weights, create_graph=True, materialize_grads=True)
    flow = sum((slope.detach() * slope).sum() for slope in slopes)
    found = _products(parameters, names, flow)
    return {name: np.abs(value) for name, value in found.items()} if absolute else found


def synflow(network: Network, sparsity: float = 0.0, rounds: int = ROUNDS) -> Scores:
    r"""Flow through a weight, :math:`|w\,\partial R / \partial w|`, without data.

    :math:`R` is the sum of the outputs for an input of ones, all weights and biases replaced by
    their absolute values.

    Parameters
    ----------
    network : Network
    sparsity : float
        Share of weights to be removed. It is reached in ``rounds``, each of which removes the
        weakest of what is left, up to :math:`1 - (1 - p)^{k / rounds}` in round :math:`k`; a weight
        that is gone scores 0 and counts as 0 for the others.
    rounds : int

    Returns
    -------
    dict of str to array
        Scores before the last removal.
    """
    network = _absolute(network)
    scores = _flow(network)
    for number in range(1, rounds if sparsity > 0.0 else 0):
        masks = keep_strongest(scores, 1.0 - (1.0 - sparsity) ** (number / rounds))
        network = masked(network, masks)
        scores = _flow(network)
    return scores


def masked(network: Network, masks: Mapping[str, Flags]) -> Network:
    """Network with weights outside the masks at 0."""
    layers: dict[str, Layer] = {}
    for name, mask in masks.items():
        layer: Any = network.by_name[name].layer
        layers[name] = replace(layer, weight=np.where(mask, layer.weight, 0.0))
    return network.with_layers(layers)


def keep_strongest(scores: Mapping[str, Array], sparsity: float, *, ties: str = "exact") -> Masks:
    """Masks of the weights of highest score, over all layers together.

    Parameters
    ----------
    scores : mapping of str to array
    sparsity : float
        Share to remove, in [0, 1].
    ties : {"exact", "strict"}
        ``exact`` removes floor(p n) weights, earlier ones first; ``strict`` all that do not exceed
        the one of index ceil(p n) in ascending order, as open_lth does, which takes ties along.

    Raises
    ------
    MaskError
        When the share is none, a score is NaN, or the rule is unknown.
    """
    pooled = np.concatenate([values.reshape(-1) for values in scores.values()])
    share = isinstance(sparsity, int | float) and not isinstance(sparsity, bool)
    if not share or not 0.0 <= sparsity <= 1.0 or np.isnan(pooled).any():
        msg = f"sparsity must be a share in [0, 1], not {sparsity!r}, and no score may be NaN"
        raise MaskError(msg)
    # Products like 0.7 * 10 are off by a rounding error.
    exact = round(sparsity * pooled.size, 9)
    order = np.argsort(pooled, kind="stable")
    if ties == "exact":
        kept = np.ones(pooled.size, bool)
        kept[order[: int(exact)]] = False
    elif ties == "strict":
        index = int(np.ceil(exact))
        kept = pooled > pooled[order[index]] if index < pooled.size else np.zeros_like(pooled, bool)
    else:
        msg = f"unknown rule {ties!r} for ties; there are exact, strict"
        raise MaskError(msg)
    ends = np.cumsum([values.size for values in scores.values()])[:-1]
    parts = np.split(kept, ends)
    return {n: p.reshape(scores[n].shape) for n, p in zip(scores, parts, strict=True)}


def _loss(
    network: Network, inputs: Array, targets: npt.NDArray[Any], temperature: float
) -> tuple[Parameters, Any]:
    torch = require_torch()
    parameters = to_torch(network, torch.float64, "scoring weights")
    classes = bool(np.issubdtype(targets.dtype, np.integer))
    wanted = torch.tensor(
        targets, dtype=None if classes and network.n_outputs > 1 else torch.float64
    )
    outputs = forward(network, parameters, torch.tensor(inputs, dtype=torch.float64))
    return parameters, loss_of(torch, classes, network.n_outputs)(outputs / temperature, wanted)


def _absolute(network: Network) -> Network:
    layers: dict[str, Layer] = {}
    for node in network.nodes:
        layer: Any = node.layer
        if hasattr(layer, "weight") and hasattr(layer, "bias"):
            layers[node.name] = replace(layer, weight=np.abs(layer.weight), bias=np.abs(layer.bias))
    return network.with_layers(layers)


def _flow(network: Network) -> Scores:
    torch = require_torch()
    parameters = to_torch(network, torch.float64, "scoring weights")
    ones = torch.ones((1, *network.input_shape), dtype=torch.float64)
    found = _products(parameters, weights_of(network), forward(network, parameters, ones).sum())
    return {name: np.abs(value) for name, value in found.items()}


def _products(parameters: Parameters, names: Iterable[str], value: Any) -> Scores:
    """Weights times their slopes, 0 where a value does not depend on them."""
    weights = [parameters[name][0] for name in names]
    slopes = require_torch().autograd.grad(value, weights, materialize_grads=True)
    found = (weight * slope for weight, slope in zip(weights, slopes, strict=True))
    return {name: product.detach().numpy() for name, product in zip(names, found, strict=True)}


#: Scores by name: network, inputs, targets, share to remove, random generator.
SCORERS: Mapping[
    str, Callable[[Network, Array, npt.NDArray[Any], float, np.random.Generator], Scores]
] = {
    "magnitude": lambda net, x, y, p, rng: magnitude(net),
    "random": lambda net, x, y, p, rng: uniform(net, rng),
    "snip": lambda net, x, y, p, rng: snip(net, x, y),
    "grasp": lambda net, x, y, p, rng: grasp(net, x, y),
    "graspabs": lambda net, x, y, p, rng: grasp(net, x, y, absolute=True),
    "synflow": lambda net, x, y, p, rng: synflow(net, p),
}
