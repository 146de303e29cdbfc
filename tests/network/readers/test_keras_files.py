"""Keras models through ONNX: graphs as tf2onnx writes them, against a forward pass in numpy.

The graphs have what its files have: channels last with transposes around every convolution, biases
added apart, shapes computed from the batch, ReLU6 as Min and Max, global pooling as ReduceMean.
"""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_cases import run

from mipnet.errors import ReadError
from mipnet.network.readers import load

RNG = np.random.default_rng(11)


class File:
    """A graph of functional Keras layers, as tf2onnx lowers them."""

    def __init__(self, shape, batch="unk__1"):
        kind = TensorProto.FLOAT
        self.input = helper.make_tensor_value_info("input_1", kind, [batch, *shape])
        self.nodes, self.stored, self.last = [], [], "input_1"

    def const(self, values, dtype=np.float32):
        name = f"const__{len(self.stored)}"
        self.stored.append(numpy_helper.from_array(np.asarray(values, dtype=dtype), name))
        return name

    def op(self, kind, *inputs, **attributes):
        output = f"model/{kind.lower()}/{kind}:{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(
                kind, list(inputs), [output], f"{output[:-2]}__{len(self.nodes)}", **attributes
            )
        )
        self.last = output
        return output

    def channels_first(self, x):
        return self.op("Transpose", x, perm=[0, 3, 1, 2])

    def channels_last(self, x):
        return self.op("Transpose", x, perm=[0, 2, 3, 1])

    def conv(self, x, kernel, bias, **attributes):
        """Conv2D: the kernel of Keras is (height, width, in, out)."""
        weight = self.const(kernel.transpose(3, 2, 0, 1))
        y = self.op("Conv", self.channels_first(x), weight, **attributes)
        return self.op("Add", self.channels_last(y), self.const(bias))

    def dense(self, x, kernel, bias):
        return self.op("Add", self.op("MatMul", x, self.const(kernel)), self.const(bias))

    def flatten(self, x, size):
        """Reshape to the batch found in the graph."""
        shape = self.op("Cast", self.op("Shape", x), to=TensorProto.INT64)
        ends = [self.const([n], np.int64) for n in (0, 1, 0)]
        batch = self.op("Slice", shape, *ends)
        target = self.op("Concat", batch, self.const([size], np.int64), axis=0)
        return self.op("Reshape", x, target)

    def model(self):
        output = helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "tf2onnx", [self.input], [output], self.stored)
        opsets = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 2)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=7, producer_name="tf2onnx")


def normal(*shape):
    return RNG.normal(size=shape) * 0.5


def same(x, size, kernel, stride):
    """Padding of Keras' "same", one axis."""
    missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return missing // 2, missing - missing // 2


def conv_last(x, kernel, bias, stride=1, padding="valid"):
    """Conv2D of Keras on (height, width, channels)."""
    h, w, _, out = kernel.shape
    if padding == "same":
        pads = [same(x, n, k, stride) for n, k in zip(x.shape[:2], (h, w), strict=True)]
        x = np.pad(x, (*pads, (0, 0)))
    rows, columns = ((n - k) // stride + 1 for n, k in zip(x.shape[:2], (h, w), strict=True))
    y = np.empty((rows, columns, out))
    for i in range(rows):
        for j in range(columns):
            part = x[i * stride : i * stride + h, j * stride : j * stride + w]
            y[i, j] = np.einsum("hwc,hwco->o", part, kernel) + bias
    return y


def check(model, shape, forward):
    net = load(model)
    assert net.input_shape == shape
    for _ in range(3):
        x = normal(*shape).astype(np.float32)
        expected = forward(x.astype(float)).ravel()
        np.testing.assert_allclose(net(x).ravel(), expected, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(run(model, x[None]), expected, rtol=1e-3, atol=1e-4)
    return net


def test_a_convolutional_classifier():
    """Conv2D, BatchNormalization, ReLU, MaxPooling2D, Flatten, Dense, Softmax."""
    k1, b1, k2, b2 = normal(3, 3, 2, 4), normal(4), normal(12, 3), normal(3)
    gamma, beta, mean = normal(4) + 1.0, normal(4), normal(4)
    variance = RNG.uniform(0.5, 2.0, 4)
    f = File((6, 5, 2))
    x = f.conv("input_1", k1, b1)
    parts = [f.const(v) for v in (gamma, beta, mean, variance)]
    x = f.op("BatchNormalization", f.channels_first(x), *parts, epsilon=1e-3)
    x = f.op("Relu", f.channels_last(x))
    x = f.op("MaxPool", f.channels_first(x), kernel_shape=[2, 1], strides=[2, 1])
    x = f.flatten(f.channels_last(x), 24)
    f.op("Softmax", f.dense(x, np.vstack([k2, k2]), b2), axis=1)

    def forward(x):
        y = conv_last(x, k1, b1)
        y = np.maximum(gamma * (y - mean) / np.sqrt(variance + 1e-3) + beta, 0.0)
        y = y.reshape(2, 2, 3, 4).max(axis=1).ravel() @ np.vstack([k2, k2]) + b2
        return np.exp(y) / np.exp(y).sum()

    net = check(f.model(), (6, 5, 2), forward)
    kinds = [n.layer.kind for n in net.nodes]
    # The transposes between layers cancel; those at the two ends are the only ones left.
    assert kinds.count("Transpose") <= 2
    assert kinds[-1] == "Softmax"
    assert {"Conv", "BatchNorm", "ReLU", "MaxPool", "Affine"} <= set(kinds)


def test_a_mobile_block():
    """ZeroPadding2D, depthwise Conv2D, ReLU6 as Min and Max, Add, GlobalAveragePooling2D."""
    k1, b1 = normal(3, 3, 1, 3), normal(3)
    k2, b2, k3, b3 = normal(1, 1, 3, 3), normal(3), normal(3, 2), normal(2)
    f = File((5, 5, 3))
    pads = f.const([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    x = f.op("Pad", f.channels_first("input_1"), pads, f.const(0.0))
    x = f.op("Conv", x, f.const(k1.transpose(3, 2, 0, 1)), group=3)
    x = f.op("Add", f.channels_last(x), f.const(b1))
    x = f.op("Max", f.op("Min", x, f.const(6.0)), f.const(0.0))
    x = f.op("Add", f.conv(x, k2, b2), "input_1")
    x = f.op("ReduceMean", x, axes=[1, 2], keepdims=0)
    f.op("Sigmoid", f.dense(x, k3, b3))

    def forward(x):
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
        y = np.stack(
            [
                conv_last(padded[..., c : c + 1], k1[..., c : c + 1], b1[c])[..., 0]
                for c in range(3)
            ],
            axis=-1,
        )
        y = conv_last(np.clip(y, 0.0, 6.0), k2, b2) + x
        return 1.0 / (1.0 + np.exp(-(y.mean(axis=(0, 1)) @ k3 + b3)))

    net = check(f.model(), (5, 5, 3), forward)
    kinds = [n.layer.kind for n in net.nodes]
    assert kinds.count("Conv") == 2
    # The padding is part of the convolution.
    assert kinds.count("Concat") == 0
    assert {"Add", "GlobalAvgPool", "Sigmoid"} <= set(kinds)


@pytest.mark.parametrize("stride", [1, 2])
def test_same_padding_is_worked_out(stride):
    kernel, bias = normal(3, 2, 2, 2), normal(2)
    f = File((5, 4, 2))
    f.conv("input_1", kernel, bias, auto_pad="SAME_UPPER", strides=[stride, stride])
    check(f.model(), (5, 4, 2), lambda x: conv_last(x, kernel, bias, stride, "same"))


def test_swish_leaky_relu_and_concatenation():
    k1, b1, k2, b2 = normal(4, 6), normal(6), normal(10, 2), normal(2)
    f = File((4,))
    x = f.dense("input_1", k1, b1)
    x = f.op("Mul", x, f.op("Sigmoid", x))
    y = f.op("LeakyRelu", "input_1", alpha=0.25)
    f.dense(f.op("Concat", x, y, axis=-1), k2, b2)

    def forward(x):
        y = x @ k1 + b1
        y = np.concatenate([y / (1.0 + np.exp(-y)), np.where(x > 0, x, 0.25 * x)])
        return y @ k2 + b2

    net = check(f.model(), (4,), forward)
    assert [n.layer.kind for n in net.nodes].count("SiLU") == 1


def test_rows_of_dense_layers():
    """Dense on (steps, features): one matrix for every step."""
    kernel, bias = normal(3, 2), normal(2)
    f = File((4, 3))
    f.dense("input_1", kernel, bias)
    check(f.model(), (4, 3), lambda x: x @ kernel + bias)


def test_an_open_image_size_is_asked_for():
    f = File((None, None, 2))
    f.conv("input_1", normal(1, 1, 2, 1), normal(1))
    with pytest.raises(ReadError, match="input_shape="):
        load(f.model())
    assert load(f.model(), input_shape=(3, 3, 2)).n_outputs == 9
