from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from mipnet.network import Network
from mipnet.network.layers import Affine, ReLU

MakeNet = Callable[..., Network]


@pytest.fixture(scope="session")
def make_net() -> MakeNet:
    """Random dense ReLU networks."""

    def make(*widths: int, seed: int = 0, **options: object) -> Network:
        rng = np.random.default_rng(seed)
        layers: list[Affine | ReLU] = []
        for before, after in pairwise(widths):
            if layers:
                layers.append(ReLU())
            layers.append(Affine(rng.normal(size=(after, before)), 0.3 * rng.normal(size=after)))
        return Network.sequential(layers, **options)

    return make
