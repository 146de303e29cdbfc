"""Layers, one file each; importing this package registers them all."""

from mipnet.network.layers.affine import Affine
from mipnet.network.layers.base import LAYERS, Layer, register_layer
from mipnet.network.layers.flatten import Flatten
from mipnet.network.layers.relu import ReLU

__all__ = ["LAYERS", "Affine", "Flatten", "Layer", "ReLU", "register_layer"]
