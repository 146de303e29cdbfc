"""The same layers in torch and as ONNX nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

#: Largest operator set used; ``Gelu`` came with 20.
OPSET = 20


def _tensor(values: Any):
    import torch

    return torch.as_tensor(np.array(values, dtype=float))


def _functional():
    from torch.nn import functional

    return functional


def _padded(layer, x, value: float = 0.0):
    """Torch pads both ends of an axis alike; ONNX and mipnet do not."""
    w = layer.window
    pairs = zip(reversed(w.before), reversed(w.after), strict=True)
    return _functional().pad(x, [n for pair in pairs for n in pair], value=value)


def _torch_conv(layer, x):
    f = _functional()
    convolve = (f.conv1d, f.conv2d, f.conv3d)[x.ndim - 3]
    options = {"stride": layer.stride, "dilation": layer.dilation, "groups": layer.groups}
    return convolve(_padded(layer, x), _tensor(layer.weight), _tensor(layer.bias), **options)


def _torch_avg_pool(layer, x):
    f, w = _functional(), layer.window
    pool = (f.avg_pool1d, f.avg_pool2d)[x.ndim - 3]
    return pool(x, w.kernel, w.stride, w.before, layer.ceil, layer.count_padding)


def _torch_slice(layer, x):
    import torch

    for start, end, axis, step in zip(
        layer.starts, layer.ends, layer.axes, layer.steps, strict=True
    ):
        kept = list(range(x.shape[axis + 1]))[
            start : None if step < 0 and end < -x.shape[axis + 1] else end : step
        ]
        x = torch.index_select(x, axis + 1, torch.tensor(kept))
    return x


def _torch_batch_norm(layer, x):
    parts = map(_tensor, (layer.mean, layer.variance, layer.weight, layer.bias))
    return _functional().batch_norm(x, *parts, False, 0.0, layer.epsilon)


def _channels(layer, x):
    """Dimensions a torch tensor keeps: the batch, and the item."""
    return x.mean(dim=tuple(range(2, x.ndim)), keepdim=True)


def _axis(layer) -> int:
    """Axis of the layer, the batch axis counted."""
    return layer.axis + 1 if layer.axis >= 0 else layer.axis


def _torch_max_pool(layer, x):
    f, w = _functional(), layer.window
    pool = (f.max_pool1d, f.max_pool2d)[x.ndim - 3]
    return pool(x, w.kernel, w.stride, w.before, w.dilation, layer.ceil)


TORCH: dict[str, Callable[..., Any]] = {
    "GELU": lambda layer, x: _functional().gelu(x, approximate=layer.approximate),
    "HardSwish": lambda layer, x: _functional().hardswish(x),
    "Sigmoid": lambda layer, x: x.sigmoid(),
    "SiLU": lambda layer, x: _functional().silu(x),
    "Softmax": lambda layer, x: x.softmax(_axis(layer)),
    "Softplus": lambda layer, x: _functional().softplus(x, layer.beta),
    "Tanh": lambda layer, x: x.tanh(),
    "Abs": lambda layer, x: x.abs(),
    "Clip": lambda layer, x: x.clamp(layer.low, layer.high),
    "GlobalMaxPool": lambda layer, x: x.amax(dim=tuple(range(2, x.ndim)), keepdim=True),
    "HardSigmoid": lambda layer, x: (
        _functional().hardsigmoid(x)
        if layer.alpha == 1.0 / 6.0 and layer.beta == 0.5
        else (layer.alpha * x + layer.beta).clamp(0.0, 1.0)
    ),
    "LeakyReLU": lambda layer, x: _functional().leaky_relu(x, layer.slope),
    "LogSoftmax": lambda layer, x: x.log_softmax(_axis(layer)),
    "MaxPool": _torch_max_pool,
    "PReLU": lambda layer, x: _functional().prelu(x, _tensor(layer.slope).reshape(-1)),
    "ReLU": lambda layer, x: x.relu(),
    "Add": lambda layer, *xs: sum(s * x for s, x in zip(layer.scales, xs, strict=True)),
    "Affine": lambda layer, x: _functional().linear(x, _tensor(layer.weight), _tensor(layer.bias)),
    "AvgPool": _torch_avg_pool,
    "BatchNorm": _torch_batch_norm,
    "Concat": lambda layer, *xs: __import__("torch").cat(xs, _axis(layer)),
    "Conv": _torch_conv,
    "Flatten": lambda layer, x: x.flatten(1),
    "GlobalAvgPool": _channels,
    "Identity": lambda layer, x: _functional().dropout(x, 0.5, training=False),
    "Reshape": lambda layer, x: x.reshape(len(x), *layer.shape),
    "Scale": lambda layer, x: x * _tensor(layer.scale) + _tensor(layer.shift),
    "Slice": _torch_slice,
    "Transpose": lambda layer, x: x.permute(0, *(a + 1 for a in layer.axes)),
}


def _geometry(layer, **more: Any) -> dict[str, Any]:
    w = layer.window
    return {
        "kernel_shape": w.kernel,
        "strides": w.stride,
        "dilations": w.dilation,
        "pads": (*w.before, *w.after),
        **more,
    }


def _node(kind: str, inputs: list[str], output: str = "y", **attributes: Any):
    from onnx import helper

    return helper.make_node(kind, inputs, [output], **attributes)


def _integers(values) -> np.ndarray:
    return np.asarray(values, dtype=np.int64)


def _onnx_add(layer, names):
    scaled = [_node("Mul", [n, f"s{k}"], f"t{k}") for k, n in enumerate(names)]
    constants = {f"s{k}": np.float32(s) for k, s in enumerate(layer.scales)}
    return [*scaled, _node("Sum", [f"t{k}" for k in range(len(names))])], constants


def _onnx_affine(layer, names):
    weights = {"w": layer.weight, "b": layer.bias}
    return [_node("Gemm", [*names, "w", "b"], transB=1)], weights


def _onnx_conv(layer, names):
    node = _node("Conv", [*names, "w", "b"], **_geometry(layer, group=layer.groups))
    return [node], {"w": layer.weight, "b": layer.bias}


def _onnx_avg_pool(layer, names):
    attributes = _geometry(layer, ceil_mode=int(layer.ceil))
    attributes["count_include_pad"] = int(layer.count_padding)
    return [_node("AveragePool", names, **attributes)], {}


def _onnx_batch_norm(layer, names):
    parts = dict(zip("wbmv", layer.parameters, strict=True))
    return [_node("BatchNormalization", [*names, *parts], epsilon=layer.epsilon)], parts


def _onnx_scale(layer, names):
    nodes = [_node("Mul", [*names, "a"], "t"), _node("Add", ["t", "c"])]
    return nodes, {"a": layer.scale, "c": layer.shift}


def _onnx_slice(layer, names):
    parts = {
        "starts": _integers(layer.starts),
        "ends": _integers(layer.ends),
        "axes": _integers(layer.axes) + 1,
        "steps": _integers(layer.steps),
    }
    return [_node("Slice", [*names, *parts])], parts


def _onnx_reshape(layer, names):
    return [_node("Reshape", [*names, "s"])], {"s": _integers((0, *layer.shape))}


def _onnx_clip(layer, names):
    ends = {"low": layer.low, "high": layer.high}
    given = {name: np.asarray(v) for name, v in ends.items() if np.isfinite(v)}
    return [_node("Clip", [*names, *(n if n in given else "" for n in ends)])], given


def _onnx_hard_sigmoid(layer, names):
    return [_node("HardSigmoid", names, alpha=layer.alpha, beta=layer.beta)], {}


def _onnx_silu(layer, names):
    return [_node("Sigmoid", names, "s"), _node("Mul", [*names, "s"])], {}


def _onnx_softplus(layer, names):
    nodes = [_node("Mul", [*names, "b"], "t"), _node("Softplus", ["t"], "p")]
    return [*nodes, _node("Div", ["p", "b"])], {"b": np.asarray(layer.beta)}


#: Nodes from the input names to ``y``, and constants by name.
ONNX: dict[str, Callable[..., Any]] = {
    "GELU": lambda layer, names: ([_node("Gelu", names, approximate=layer.approximate)], {}),
    "HardSwish": lambda layer, names: ([_node("HardSwish", names)], {}),
    "Sigmoid": lambda layer, names: ([_node("Sigmoid", names)], {}),
    "SiLU": _onnx_silu,
    "Softplus": _onnx_softplus,
    "Tanh": lambda layer, names: ([_node("Tanh", names)], {}),
    "Abs": lambda layer, names: ([_node("Abs", names)], {}),
    "Clip": _onnx_clip,
    "GlobalMaxPool": lambda layer, names: ([_node("GlobalMaxPool", names)], {}),
    "HardSigmoid": _onnx_hard_sigmoid,
    "LeakyReLU": lambda layer, names: ([_node("LeakyRelu", names, alpha=layer.slope)], {}),
    "LogSoftmax": lambda layer, names: ([_node("LogSoftmax", names, axis=_axis(layer))], {}),
    "Softmax": lambda layer, names: ([_node("Softmax", names, axis=_axis(layer))], {}),
    "MaxPool": lambda layer, names: (
        [_node("MaxPool", names, **_geometry(layer, ceil_mode=int(layer.ceil)))],
        {},
    ),
    "PReLU": lambda layer, names: ([_node("PRelu", [*names, "s"])], {"s": layer.slope}),
    "ReLU": lambda layer, names: ([_node("Relu", names)], {}),
    "Add": _onnx_add,
    "Affine": _onnx_affine,
    "AvgPool": _onnx_avg_pool,
    "BatchNorm": _onnx_batch_norm,
    "Concat": lambda layer, names: (
        [_node("Concat", names, axis=_axis(layer))],
        {},
    ),
    "Conv": _onnx_conv,
    "Flatten": lambda layer, names: ([_node("Flatten", names)], {}),
    "GlobalAvgPool": lambda layer, names: ([_node("GlobalAveragePool", names)], {}),
    "Identity": lambda layer, names: ([_node("Dropout", names)], {}),
    "Reshape": _onnx_reshape,
    "Scale": _onnx_scale,
    "Slice": _onnx_slice,
    "Transpose": lambda layer, names: (
        [_node("Transpose", names, perm=(0, *(a + 1 for a in layer.axes)))],
        {},
    ),
}


def run_torch(layer, values: list[np.ndarray]) -> np.ndarray:
    """Result of the layer in torch, float64."""
    import torch

    with torch.no_grad():
        return TORCH[layer.kind](layer, *map(_tensor, values)).numpy()


def run_onnx(layer, values: list[np.ndarray]) -> np.ndarray:
    """Result of the layer in onnxruntime, float32."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    names = [f"x{k}" for k in range(len(values))]
    nodes, constants = ONNX[layer.kind](layer, names)
    stored = [
        numpy_helper.from_array(
            np.asarray(v) if np.asarray(v).dtype == np.int64 else np.asarray(v, np.float32), name
        )
        for name, v in constants.items()
    ]
    inputs = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, v.shape)
        for n, v in zip(names, values, strict=True)
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "layer", inputs, outputs, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {n: v.astype(np.float32) for n, v in zip(names, values, strict=True)}
    return np.asarray(session.run(None, feed)[0])
