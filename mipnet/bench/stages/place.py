"""The results folder as the stages see it: artefacts of finished tasks, and data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mipnet.bench.data import Data
from mipnet.bench.errors import StoreError
from mipnet.bench.store.artefacts import MASK
from mipnet.bench.store.records import read_record
from mipnet.errors import UnsupportedError
from mipnet.network import Network
from mipnet.network.readers import load, save_npz
from mipnet.pruning import Mask, compact


@dataclass(frozen=True)
class Place:
    """A results folder.

    Attributes
    ----------
    folder : Path
    """

    folder: Path

    def artefact(self, task_id: str) -> Path:
        """Folder of the files of a network or mask."""
        return self.folder / "artefacts" / task_id

    def record(self, task_id: str) -> dict[str, Any]:
        """Read what is known of a finished network or mask.

        Raises
        ------
        StoreError
            When it is not there or did not succeed.
        """
        try:
            record = read_record(self.folder / "artefacts" / f"{task_id}.json")
        except FileNotFoundError as error:
            msg = f"artefact {task_id} is missing"
            raise StoreError(msg) from error
        if record["status"] != "optimal":
            msg = f"artefact {task_id} failed: {record['reason']}"
            raise StoreError(msg)
        return record

    def network(self, task_id: str) -> Network:
        """Network of an artefact: stored whole, or the dense one compacted by its mask."""
        record = self.record(task_id)
        stored = record["result"]["file"]
        if stored is not None:
            network = load(self.artefact(task_id) / stored)
        else:
            dense = self.network(record["key"]["needs"]["network"])
            network = compact(dense, self.mask(task_id))
        bounds = record["result"].get("input_bounds")
        return network if bounds is None else network.with_input_bounds(*bounds)

    def mask(self, task_id: str) -> Mask:
        """Mask of an artefact."""
        return Mask.load(self.artefact(task_id) / MASK)

    def data(self, fingerprint: str | None) -> Data | None:
        """Open a data set; None stands for none."""
        return None if fingerprint is None else Data.load(self.folder / "data" / fingerprint)

    def store(self, network: Network, task_id: str) -> str | None:
        """Write a network where its form allows it; return the name of the file."""
        name = "network.npz"
        try:
            with self.writing(task_id, name) as part:
                save_npz(network, part)
        except UnsupportedError:
            return None
        return name

    @contextmanager
    def writing(self, task_id: str, name: str) -> Iterator[Path]:
        """Name to write a file of an artefact under, which takes its place when it is whole.

        Two shards may make the same artefact at the same time.
        """
        folder = self.artefact(task_id)
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{os.getpid()}.{name}"
        try:
            yield part
            os.replace(part, folder / name)
        finally:
            part.unlink(missing_ok=True)
