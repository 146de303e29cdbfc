"""A pruning result in files."""

from __future__ import annotations

import os
from pathlib import Path

from mipnet.errors import QueryError
from mipnet.network.writers import save
from mipnet.network.writers.base import check_folder, replace_file
from mipnet.pruning.maskfile import mask_content
from mipnet.pruning.report import PruneResult


def save_result(
    result: PruneResult,
    mask: str | os.PathLike[str],
    network: str | os.PathLike[str] | None = None,
) -> None:
    """Write the mask of a result, and its compacted network; a network that fails leaves neither.

    Parameters
    ----------
    result : PruneResult
    mask : path
        Safetensors.
    network : path, optional
        In the format its ending says (:func:`mipnet.save`).

    Raises
    ------
    QueryError
        When the ending is unknown, or both are the same file.
    UnsupportedError
        When the format cannot hold the network.
    FileNotFoundError
        When a folder to write to does not exist.
    """
    if network is not None and Path(mask).resolve() == Path(network).resolve():
        msg = f"mask and network are to go into the same file, {mask}; give each its own"
        raise QueryError(msg)
    content = mask_content(result.mask)
    for target in (mask, network or mask):
        check_folder(Path(target))
    if network is not None:
        save(result.network, network)
    replace_file(Path(mask), content)
