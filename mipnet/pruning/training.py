"""Training with torch: small ReLU networks from scratch, and fine-tuning after pruning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mipnet.arguments import number, require
from mipnet.errors import MissingPackageError, NetworkError
from mipnet.network import Affine, Network, ReLU
from mipnet.network.layers import Conv, Layer
from mipnet.pruning.apply import check_masked, held
from mipnet.pruning.mask import Mask
from mipnet.pruning.torch_layers import Parameters, forward, from_torch, to_torch

if TYPE_CHECKING:
    from torch import Tensor

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Loss = Callable[["Tensor", "Tensor"], Any]
Penalty = Callable[[Parameters], "Tensor"]
EachEpoch = Callable[[int, Parameters], None]

TASKS = ("classification", "regression")
DTYPES = ("float64", "float32")
OPTIMIZERS = ("adam", "sgd")
SCHEDULES = ("cosine", "constant")
#: Laws of first weights.
LAWS = ("he", "torch")


def train_mlp(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    hidden: Sequence[int] = (50, 50),
    *,
    epochs: int = 60,
    lr: float = 3e-3,
    batch_size: int = 64,
    seed: int = 0,
    task: str = "auto",
    dtype: str = "float64",
    input_bounds: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
) -> Network:
    """Train a fully connected ReLU network from scratch.

    Weights start normal with variance ``2 / n_in`` (He et al., ICCV 2015, section 2.2), biases
    at 0; inputs are used as they are, so scale them first.

    Parameters
    ----------
    X : array, shape (n, n_inputs)
    y : array, shape (n,) or (n, n_outputs)
        Class labels 0, 1, ..., each at least once, or regression targets.
    hidden : sequence of int
        Widths of the hidden layers.
    epochs, lr, batch_size, seed, task, dtype
        As for :func:`finetune`.
    input_bounds : tuple of two arrays, optional
        Attached to the network.

    Returns
    -------
    Network
        With one output per class (logits) or target.

    Raises
    ------
    NetworkError
        When data or settings do not fit.
    MissingPackageError
        Without torch.
    """
    start = _start(X, y, hidden, seed, task)
    if input_bounds is not None:
        start = start.with_input_bounds(*input_bounds)
    return finetune(
        start, X, y, epochs=epochs, lr=lr, batch_size=batch_size, seed=seed, task=task, dtype=dtype
    )


def finetune(
    network: Network,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    epochs: int = 20,
    lr: float = 1e-3,
    batch_size: int = 64,
    seed: int = 0,
    task: str = "auto",
    mask: Mask | None = None,
    dtype: str = "float64",
    optimizer: str = "adam",
    schedule: str = "cosine",
    penalty: Penalty | None = None,
    gates: Mapping[str, Tensor] | None = None,
    each_epoch: EachEpoch | None = None,
) -> Network:
    """Train a network further on shuffled batches.

    The loss is cross-entropy of the outputs as logits (binary for one output), or the mean
    squared error. Equal arguments give equal networks on one machine with one number of threads.
    No global state of torch is touched.

    Parameters
    ----------
    network : Network
        Compacted, masked or neither.
    X : array, shape (n, *input_shape) or (n, n_inputs)
    y : array, shape (n,) or (n, n_outputs)
        Class labels 0, 1, ... or regression targets.
    epochs, batch_size, seed : int
    lr : float
        Learning rate at the start.
    task : {"auto", "classification", "regression"}
        By ``auto``, whole-number or boolean ``y`` of shape (n,) means classification.
    mask : Mask, optional
        The network must be masked by it. Whatever it holds at 0 stays exactly 0: rows, biases and
        columns of removed units, and removed tiles.
    dtype : {"float64", "float32"}
        Of the training and of the result.
    optimizer : {"adam", "sgd"}
        Adam, or plain gradient descent without momentum.
    schedule : {"cosine", "constant"}
        Whether the learning rate falls to 0 along half a cosine.
    penalty : callable, optional
        From weight and bias of every layer, by name, to a term added to the loss.
    gates : mapping of str to Tensor, optional
        Factors on the output of nodes, broadcastable to it; ``each_epoch`` may change them in
        place. They are no part of the result.
    each_epoch : callable, optional
        Called after every epoch, without gradients, with its number from 0 and the parameters.

    Returns
    -------
    Network
        Same structure and names, new weights.

    Raises
    ------
    NetworkError
        When data or settings do not fit, or training diverges.
    MaskError
        When the network is not masked by ``mask``.
    UnsupportedError
        When a layer has no torch counterpart here.
    MissingPackageError
        Without torch.
    """
    plan = _Plan(epochs, lr, batch_size, seed, dtype, optimizer, schedule)
    inputs, targets = training_data(network, X, y, task)
    if mask is not None:
        check_masked(network, mask)
    hooks = _Hooks(penalty, gates or {}, each_epoch, {} if mask is None else held(network, mask))
    return replace(_train(network, inputs, targets, plan, hooks), dtype=dtype)


def initialised(network: Network, seed: int = 0, law: str = "he") -> Network:
    """Return a network with new weights in every Affine and Conv layer; others stay as they are.

    Parameters
    ----------
    network : Network
    seed : int
    law : {"he", "torch"}
        ``he``: normal weights of variance ``2 / n_in`` (He et al., ICCV 2015, section 2.2) and
        biases of 0, as :func:`train_mlp` begins with. ``torch``: weights and biases uniform within
        ``1 / sqrt(n_in)``, as layers of torch begin with; a third of the size.

    Raises
    ------
    NetworkError
        When the law is unknown.
    """
    if law not in LAWS:
        msg = f"unknown law {law!r} of first weights; there are {', '.join(LAWS)}"
        raise NetworkError(msg)
    rng = np.random.default_rng(seed)
    layers: dict[str, Layer] = {}
    for node in network.nodes:
        if isinstance(node.layer, Affine | Conv):
            weight = node.layer.weight
            n_in, bias = max(1, weight[0].size), np.zeros(len(weight))
            if law == "he":
                drawn = rng.normal(0.0, np.sqrt(2.0 / n_in), weight.shape)
            else:
                limit = 1.0 / np.sqrt(n_in)
                drawn, bias = (rng.uniform(-limit, limit, p.shape) for p in (weight, bias))
            layers[node.name] = replace(node.layer, weight=drawn, bias=bias)
    return network.with_layers(layers)


def quality(network: Network, X: npt.ArrayLike, y: npt.ArrayLike, task: str = "auto") -> float:
    """Share of right classes, or coefficient of determination (R2) of a regression.

    Parameters
    ----------
    network : Network
        A single output is a class by its sign.
    X : array, shape (n, *input_shape) or (n, n_inputs)
    y : array, shape (n,) or (n, n_outputs)
    task : {"auto", "classification", "regression"}
        As for :func:`finetune`.

    Raises
    ------
    NetworkError
        When the data do not fit.
    """
    inputs, targets = training_data(network, X, y, task)
    found = network(inputs).reshape(len(inputs), -1)
    if np.issubdtype(targets.dtype, np.integer):
        chosen = found.argmax(axis=1) if found.shape[1] > 1 else found[:, 0] > 0.0
        return float(np.mean(chosen == targets))
    spread = np.square(targets - targets.mean(axis=0)).sum()
    missed = np.square(found - targets).sum()
    if spread == 0.0:
        return 1.0 if missed == 0.0 else 0.0
    return float(1.0 - missed / spread)


def _start(
    X: npt.ArrayLike, y: npt.ArrayLike, hidden: Sequence[int], seed: int, task: str
) -> Network:
    """Untrained network of the right shape."""
    if np.ndim(X) != 2:
        msg = f"X must have shape (n, n_inputs), not {np.shape(X)}"
        raise NetworkError(msg)
    given: Any = hidden
    widths = given if isinstance(given, Sequence) and not isinstance(given, str) else [0]
    if not all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in widths) or any(
        n < 1 for n in widths
    ):
        msg = f"hidden must be the widths of the hidden layers, such as (50, 50), not {hidden!r}"
        raise NetworkError(msg)
    targets = _numbers(y)
    if _task(task, targets) == "regression":
        n_outputs = 1 if targets.ndim == 1 else targets.shape[1]
    else:
        n_outputs = len(np.unique(targets))
        _labels(targets, n_outputs)
    rng = np.random.default_rng(seed)
    layers: list[Layer] = []
    for n_in, n_out in pairwise([np.shape(X)[1], *hidden, n_outputs]):
        weight = rng.normal(0.0, np.sqrt(2.0 / max(1, n_in)), (n_out, n_in))
        layers += [Affine(weight, np.zeros(n_out)), ReLU()]
    return Network.sequential(layers[:-1], source="train_mlp")


@dataclass(frozen=True)
class _Plan:
    epochs: int
    lr: float
    batch_size: int
    seed: int
    dtype: str
    optimizer: str
    schedule: str

    def __post_init__(self) -> None:
        counts = (self.epochs, self.batch_size, self.seed)
        whole = all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in counts)
        rate = number(self.lr, "lr", NetworkError)
        low = not whole or self.epochs < 0 or self.batch_size < 1 or self.seed < 0
        if low or not 0.0 < rate < np.inf:
            msg = (
                f"epochs, batch_size and seed are whole numbers, epochs >= 0, batch_size >= 1, "
                f"seed >= 0, and lr > 0; got {self.epochs!r}, {self.batch_size!r}, {self.seed!r}, "
                f"{self.lr!r}"
            )
            raise NetworkError(msg)
        for name, known in (
            ("dtype", DTYPES),
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
        ):
            if getattr(self, name) not in known:
                msg = f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}"
                raise NetworkError(msg)


@dataclass(frozen=True)
class _Hooks:
    penalty: Penalty | None
    gates: Mapping[str, Tensor]
    each_epoch: EachEpoch | None
    held: Mapping[str, tuple[Flags, Flags]]


def _train(
    network: Network, inputs: Array, targets: npt.NDArray[Any], plan: _Plan, hooks: _Hooks
) -> Network:
    torch = require_torch()
    dtype = getattr(torch, plan.dtype)
    parameters = to_torch(network, dtype, "fine-tuning")
    tensors = [tensor for pair in parameters.values() for tensor in pair]
    whole = np.issubdtype(targets.dtype, np.integer)
    x = torch.tensor(inputs, dtype=dtype)
    t = torch.tensor(targets, dtype=None if whole and network.n_outputs > 1 else dtype)
    loss = loss_of(torch, whole, network.n_outputs)
    steps = max(1, plan.epochs * -(-len(x) // plan.batch_size))
    method = torch.optim.Adam if plan.optimizer == "adam" else torch.optim.SGD
    optimiser = method(tensors, lr=plan.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    generator = torch.Generator().manual_seed(plan.seed)
    # Entries that stay as they are: without a gradient Adam never moves them.
    still = [
        (tensor, torch.from_numpy(flags))
        for name, pair in hooks.held.items()
        for tensor, flags in zip(parameters[name], pair, strict=True)
    ]
    for epoch in range(plan.epochs):
        for rows in torch.randperm(len(x), generator=generator).split(plan.batch_size):
            optimiser.zero_grad()
            value = loss(forward(network, parameters, x[rows], hooks.gates), t[rows])
            if hooks.penalty is not None:
                value = value + hooks.penalty(parameters)
            value.backward()
            for tensor, flags in still:
                if tensor.grad is not None:
                    tensor.grad.masked_fill_(flags, 0.0)
            optimiser.step()
            if plan.schedule == "cosine":
                schedule.step()
        if not bool(value.isfinite()):
            msg = f"training diverged in epoch {epoch + 1}: lower lr={plan.lr} or rescale the data"
            raise NetworkError(msg)
        if hooks.each_epoch is not None:
            with torch.no_grad():
                hooks.each_epoch(epoch, parameters)
    return from_torch(network, parameters)


def loss_of(torch: Any, classes: bool, n_outputs: int) -> Loss:
    """Cross-entropy of labels, or mean squared error of targets, from outputs (n, n_outputs)."""
    functional = torch.nn.functional
    if classes and n_outputs > 1:
        chosen: Loss = functional.cross_entropy
        return chosen
    score = functional.binary_cross_entropy_with_logits if classes else functional.mse_loss
    return lambda out, target: score(out, target.reshape(out.shape))


def require_torch() -> Any:
    """Import torch, or say how to get it."""
    try:
        import torch
    except ImportError as error:
        raise MissingPackageError("torch", "training", "torch") from error
    return torch


def _task(task: str, y: npt.NDArray[Any]) -> str:
    if task == "auto":
        whole = y.ndim == 1 and (np.issubdtype(y.dtype, np.integer) or y.dtype == np.bool_)
        return "classification" if whole else "regression"
    if task not in TASKS:
        msg = f"unknown task {task!r}; there are auto, {', '.join(TASKS)}"
        raise NetworkError(msg)
    return task


def training_data(
    network: Network, X: npt.ArrayLike, y: npt.ArrayLike, task: str
) -> tuple[Array, npt.NDArray[Any]]:
    """Check inputs and targets; labels as int64, regression targets as float64 rows."""
    inputs, single = require(network, Network, "network", NetworkError).batch(X)
    targets = _numbers(y)
    task = _task(task, targets)
    if single or targets.shape[:1] != inputs.shape[:1] or not len(inputs):
        msg = f"X and y must hold the same number of items; got {np.shape(X)} and {targets.shape}"
        raise NetworkError(msg)
    if not np.isfinite(inputs).all():
        msg = "X holds NaN or infinite values"
        raise NetworkError(msg)
    if task == "classification":
        return inputs, _labels(targets, max(2, network.n_outputs))
    values = targets.astype(np.float64).reshape(len(inputs), -1)
    if values.shape[1] != network.n_outputs or not np.isfinite(values).all():
        msg = f"y of shape {targets.shape} must hold {network.n_outputs} finite value(s) per item"
        raise NetworkError(msg)
    return inputs, values


def _numbers(y: npt.ArrayLike) -> npt.NDArray[Any]:
    targets = np.asarray(y)
    if not targets.size or targets.dtype.kind not in "biuf":
        msg = f"y must hold numbers, at least one; got {targets.dtype} of shape {targets.shape}"
        raise NetworkError(msg)
    return targets


def _labels(y: npt.NDArray[Any], classes: int) -> npt.NDArray[np.int64]:
    whole = np.issubdtype(y.dtype, np.integer) or y.dtype == np.bool_
    if y.ndim != 1 or not whole or y.min() < 0 or y.max() >= classes:
        msg = f"labels must be whole numbers 0..{classes - 1} of shape (n,): encode them first"
        raise NetworkError(msg)
    return y.astype(np.int64)
