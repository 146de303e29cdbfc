"""How good a network is on held-back items, alone and beside the one it was pruned from."""

from __future__ import annotations

import numpy as np

from mipnet.bench.data import Data
from mipnet.network import Network

#: Items evaluated at once.
CHUNK = 2048


def quality(network: Network, data: Data | None, original: Network | None) -> dict[str, float]:
    r"""Scores on the test items of a data set.

    Parameters
    ----------
    network : Network
    data : Data or None
        Nothing can be said without.
    original : Network or None
        The network it was pruned from; itself when absent.

    Returns
    -------
    dict
        ``accuracy`` (share of items given their class) and ``agreement`` (given the class the
        original gives) for classification; ``r2``,
        :math:`1 - \sum (y - f)^2 / \sum (y - \bar y)^2`, for regression; for both ``output_mse``,
        the mean squared difference of the outputs from those of the original.
    """
    if data is None:
        return {}
    outputs = _outputs(network, data)
    reference = outputs if original is None else _outputs(original, data)
    targets = np.asarray(data.targets[data.test])
    found = {"output_mse": float(np.mean((outputs - reference) ** 2))}
    if data.task == "classification":
        classes = outputs.argmax(axis=1)
        found["accuracy"] = float(np.mean(classes == targets))
        found["agreement"] = float(np.mean(classes == reference.argmax(axis=1)))
    else:
        wanted = targets.reshape(len(targets), -1)
        spread = float(np.sum((wanted - wanted.mean(axis=0)) ** 2))
        found["r2"] = 1.0 - float(np.sum((wanted - outputs) ** 2)) / spread
    return found


def _outputs(network: Network, data: Data) -> np.typing.NDArray[np.float64]:
    parts = [
        network(data.points(data.test[k : k + CHUNK])).reshape(-1, network.n_outputs)
        for k in range(0, len(data.test), CHUNK)
    ]
    return np.concatenate(parts)
