"""Networks: layers, the immutable graph, and one reader per format."""

from mipnet.network.combine import combined, scaled
from mipnet.network.interval import Interval, LinearForm
from mipnet.network.layers import Affine, Flatten, Layer, ReLU, register_layer
from mipnet.network.network import INPUT, Network, Node

__all__ = [
    "INPUT",
    "Affine",
    "Flatten",
    "Interval",
    "Layer",
    "LinearForm",
    "Network",
    "Node",
    "ReLU",
    "combined",
    "register_layer",
    "scaled",
]
