"""The torch modules that are read: each as the function it calls, with its own parameters."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from mipnet.network.readers.torch_ops import activations as act
from mipnet.network.readers.torch_ops import shapes, windows
from mipnet.network.readers.torch_ops.matrices import linear
from mipnet.network.readers.torch_ops.step import STEPS, Step
from mipnet.network.readers.values import RefusalError, Value

Rule = Callable[..., Any]


def _conv(module: Any) -> Rule:
    def step_(step: Step, input: Any) -> Value:
        if module.padding_mode != "zeros":
            reason = f"pads by {module.padding_mode!r}; only zeros are read"
            raise RefusalError(reason)
        return windows.conv(
            step, input, module.weight, module.bias, module.stride, module.padding,
            module.dilation, module.groups,
        )  # fmt: skip

    return step_


def _batch_norm(module: Any) -> Rule:
    return lambda step, input: windows.batch_norm(
        step, input, module.running_mean, module.running_var, module.weight, module.bias,
        eps=module.eps,
    )  # fmt: skip


def _max_pool(module: Any) -> Rule:
    return lambda step, input: windows.max_pool(
        step, input, module.kernel_size, module.stride, module.padding, module.dilation,
        module.ceil_mode, module.return_indices,
    )  # fmt: skip


def _avg_pool(module: Any) -> Rule:
    return lambda step, input: windows.avg_pool(
        step, input, module.kernel_size, module.stride, module.padding, module.ceil_mode,
        module.count_include_pad, getattr(module, "divisor_override", None),
    )  # fmt: skip


def _plain(name: str, *attributes: str) -> Callable[[Any], Rule]:
    """Rule of a function with attributes of the module as its arguments, in order."""
    return lambda module: (
        lambda step, input: STEPS[name](step, input, *(getattr(module, a) for a in attributes))
    )


def _softmax2d(module: Any) -> Rule:
    del module
    return lambda step, input: act.softmax(step, input, -3)


def _adaptive(module: Any) -> Rule:
    mean = "Avg" in type(module).__name__
    if mean:
        return lambda step, input: windows.adaptive_avg_pool(step, input, module.output_size)
    return lambda step, input: windows.adaptive_max_pool(
        step, input, module.output_size, module.return_indices
    )


def _pad(module: Any) -> Rule:
    return lambda step, input: windows.pad(
        step, input, module.padding, value=getattr(module, "value", 0.0)
    )


def _linear(module: Any) -> Rule:
    return lambda step, input: linear(step, input, module.weight, module.bias)


def _prelu(module: Any) -> Rule:
    return lambda step, input: act.prelu(step, input, module.weight)


def _identity(module: Any) -> Rule:
    del module
    return shapes.identity


@cache
def _known() -> dict[type[Any], Callable[[Any], Rule]]:
    """Rules by class."""
    from torch import nn

    known: dict[type[Any], Callable[[Any], Rule]] = {
        nn.Linear: _linear,
        nn.PReLU: _prelu,
        nn.Softmax2d: _softmax2d,
        nn.ReLU: _plain("relu"),
        nn.ReLU6: _plain("relu6"),
        nn.Hardtanh: _plain("hardtanh", "min_val", "max_val"),
        nn.Hardsigmoid: _plain("hardsigmoid"),
        nn.Hardswish: _plain("hardswish"),
        nn.LeakyReLU: _plain("leaky_relu", "negative_slope"),
        nn.Sigmoid: _plain("sigmoid"),
        nn.LogSigmoid: _plain("logsigmoid"),
        nn.Tanh: _plain("tanh"),
        nn.Softplus: _plain("softplus", "beta", "threshold"),
        nn.GELU: _plain("gelu", "approximate"),
        nn.SiLU: _plain("silu"),
        nn.Softmax: _plain("softmax", "dim"),
        nn.LogSoftmax: _plain("log_softmax", "dim"),
        nn.Threshold: _plain("threshold", "threshold", "value"),
        nn.Flatten: _plain("flatten", "start_dim", "end_dim"),
        nn.Unflatten: _plain("unflatten", "dim", "unflattened_size"),
    }
    plain = ("Identity", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout",
             "FeatureAlphaDropout")  # fmt: skip
    families: dict[Callable[[Any], Rule], tuple[str, ...]] = {
        _identity: plain,
        _conv: ("Conv1d", "Conv2d", "Conv3d"),
        _batch_norm: ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm"),
        _max_pool: ("MaxPool1d", "MaxPool2d", "MaxPool3d"),
        _avg_pool: ("AvgPool1d", "AvgPool2d", "AvgPool3d"),
        _adaptive: tuple(f"Adaptive{k}Pool{n}d" for k in ("Avg", "Max") for n in (1, 2, 3)),
        _pad: tuple(f"{k}Pad{n}d" for k in ("Zero", "Constant") for n in (1, 2, 3)),
    }
    for rule, names in families.items():
        known |= {getattr(nn, name): rule for name in names if hasattr(nn, name)}
    return known


def module_step(module: Any) -> Rule | None:
    """Step of a supported module; None for every other one.

    A subclass counts as its parent while it inherits ``forward``.
    """
    for kind, rule in _known().items():
        if isinstance(module, kind) and type(module).forward is kind.forward:
            return None if "forward" in vars(module) else rule(module)
    return None
