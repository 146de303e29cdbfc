"""A pruning result in files."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from mipnet.errors import UnsupportedError
from mipnet.network import Network
from mipnet.network.readers.npz import save_npz
from mipnet.pruning.files import replacing
from mipnet.pruning.maskfile import write_mask
from mipnet.pruning.report import PruneResult


def save_result(
    result: PruneResult,
    mask: str | os.PathLike[str],
    network: str | os.PathLike[str] | None = None,
) -> None:
    """Write the mask of a result, and its compacted network: both files, or none.

    Parameters
    ----------
    result : PruneResult
    mask : path
        Safetensors.
    network : path, optional
        In the format its ending says.
    """
    with ExitStack() as files:
        if network is not None:
            save_network(result.network, files.enter_context(replacing(network)))
        write_mask(result.mask, files.enter_context(replacing(mask)))


def save_network(network: Network, path: Path) -> None:
    """Write a network in the format the ending of the path says.

    Raises
    ------
    UnsupportedError
        When the ending is unknown, or the format cannot hold the network.
    """
    if path.suffix != ".npz":
        raise UnsupportedError(f"writing networks to {path.suffix!r} files", ["known: .npz"])
    save_npz(network, path)
