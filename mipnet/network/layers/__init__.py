"""Layers, one file each; importing this package registers them all."""

from mipnet.network.layers.abs import Abs
from mipnet.network.layers.add import Add
from mipnet.network.layers.affine import Affine
from mipnet.network.layers.avg_pool import AvgPool
from mipnet.network.layers.base import LAYERS, Layer, register_layer
from mipnet.network.layers.batch_norm import BatchNorm
from mipnet.network.layers.clip import Clip
from mipnet.network.layers.concat import Concat
from mipnet.network.layers.conv import Conv
from mipnet.network.layers.flatten import Flatten
from mipnet.network.layers.gelu import GELU
from mipnet.network.layers.global_avg_pool import GlobalAvgPool
from mipnet.network.layers.global_max_pool import GlobalMaxPool
from mipnet.network.layers.hard_sigmoid import HardSigmoid
from mipnet.network.layers.hard_swish import HardSwish
from mipnet.network.layers.identity import Identity
from mipnet.network.layers.leaky_relu import LeakyReLU
from mipnet.network.layers.log_softmax import LogSoftmax
from mipnet.network.layers.max_pool import MaxPool
from mipnet.network.layers.prelu import PReLU
from mipnet.network.layers.relu import ReLU
from mipnet.network.layers.reshape import Reshape
from mipnet.network.layers.scale import Scale
from mipnet.network.layers.sigmoid import Sigmoid
from mipnet.network.layers.silu import SiLU
from mipnet.network.layers.slice import Slice
from mipnet.network.layers.softmax import Softmax
from mipnet.network.layers.softplus import Softplus
from mipnet.network.layers.tanh import Tanh
from mipnet.network.layers.transpose import Transpose

__all__ = [
    "GELU",
    "LAYERS",
    "Abs",
    "Add",
    "Affine",
    "AvgPool",
    "BatchNorm",
    "Clip",
    "Concat",
    "Conv",
    "Flatten",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "Layer",
    "LeakyReLU",
    "LogSoftmax",
    "MaxPool",
    "PReLU",
    "ReLU",
    "Reshape",
    "Scale",
    "SiLU",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Softplus",
    "Tanh",
    "Transpose",
    "register_layer",
]
