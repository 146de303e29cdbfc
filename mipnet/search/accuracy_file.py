"""The file a long series of questions is resumed from: JSON lines, one for each answer.

Every line names the question it answers by a key: a digest of network, sample, label, norm,
radius, domain and options. Lines are added whole and forced to disk, so that a crash costs at most
the line being written; such a torn line is set aside when the file is opened again.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mipnet.errors import QueryError
from mipnet.network import Network
from mipnet.network.layers.base import Array
from mipnet.region import ball
from mipnet.search.accuracy_result import STATUSES, Sample
from mipnet.search.verdict import Verdict, from_strict, to_strict

FORMAT = "mipnet.robust_accuracy"
VERSION = 1


@dataclass
class Results:
    """Answers on disk and in memory.

    Attributes
    ----------
    path : Path or None
        None keeps nothing.
    network : Network
    domain : tuple of two (array or None)
    options : dict
        Whatever else the question consists of.
    known : dict of key to Sample
    """

    path: Path | None
    network: Network
    domain: tuple[Array | None, Array | None]
    options: dict[str, Any]
    known: dict[str, Sample] = field(default_factory=dict)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] | None,
        network: Network,
        domain: tuple[Array | None, Array | None],
        options: dict[str, Any],
    ) -> Results:
        """Read a file, if it is there.

        Raises
        ------
        QueryError
            When a line before the last is damaged, or the file holds something else.
        OSError
            When the file cannot be written.
        """
        results = cls(None if path is None else Path(path), network, domain, options)
        if results.path is not None:
            # A file that cannot be written to is found out now, not after the first answer.
            with results.path.open("ab"):
                pass
            results.read(results.path)
        return results

    def read(self, path: Path) -> None:
        """Take over the answers of a file; a torn last line moves to a file of its own."""
        content = path.read_bytes()
        *whole, last = content.split(b"\n")
        for number, line in enumerate(whole, 1):
            try:
                self.take(line)
            except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
                msg = f"{path}, line {number} is no answer of mipnet ({error}); move the file away"
                raise QueryError(msg) from error
        if last:
            # No line end: it was being written when the process died.
            with path.with_name(path.name + ".torn").open("ab") as torn:
                torn.write(last + b"\n")
            with path.open("r+b") as file:
                file.truncate(len(content) - len(last))

    def take(self, line: bytes) -> None:
        """Take over one answer; a later one for the same question replaces it."""
        entry = from_strict(json.loads(line))
        if (entry["format"], entry["version"]) != (FORMAT, VERSION):
            msg = f"not of format {FORMAT} {VERSION}"
            raise QueryError(msg)
        plain = entry["sample"]
        if plain["status"] not in STATUSES:
            msg = f"unknown status {plain['status']!r}"
            raise QueryError(msg)
        verdict = plain.pop("verdict")
        if verdict is not None:
            verdict = Verdict.from_json(json.dumps(to_strict(verdict)))
        sample = Sample(**plain, verdict=verdict)
        expected = "misclassified" if verdict is None else verdict.status
        if sample.status != expected:
            msg = f"the status is {sample.status!r}, the verdict says {expected!r}"
            raise QueryError(msg)
        self.known[str(entry["key"])] = sample

    def find(self, point: Array, label: int, limit: float) -> Sample | None:
        """Answer for a sample, unless more time might change it.

        A witness is replayed: only a proof is taken on trust.
        """
        sample = self.known.get(self.key(point, label)) if self.known else None
        if sample is None or (sample.status == "unresolved" and sample.limit < limit):
            return None
        return sample if self.holds(sample, point) else None

    def holds(self, sample: Sample, point: Array) -> bool:
        """Whether what can be checked quickly is so."""
        predicted = int(np.argmax(self.network.replay(point)))
        if sample.predicted != predicted or (sample.status == "misclassified") == (
            predicted == sample.label
        ):
            return False
        if sample.status != "witness" or sample.verdict is None:
            return True
        witness = sample.verdict.point
        region = ball(point, self.options["radius"], self.options["norm"], *self.domain)
        return (
            witness is not None
            and region.contains(witness)
            and all(
                int(np.argmax(evaluate(witness))) != sample.label
                for evaluate in (self.network, self.network.replay)
            )
        )

    def add(self, point: Array, sample: Sample) -> None:
        """Add an answer to the file, whole or not at all."""
        if self.path is None:
            return
        plain = sample.to_dict()
        del plain["resumed"]
        entry = {
            "format": FORMAT,
            "version": VERSION,
            "key": self.key(point, sample.label),
            "sample": plain,
        }
        line = json.dumps(to_strict(entry), allow_nan=False).encode() + b"\n"
        with self.path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def key(self, point: Array, label: int) -> str:
        """Digest of the question about one sample, hexadecimal."""
        digest = hashlib.sha256(self._common)
        digest.update(f"{label} ".encode())
        digest.update(np.ascontiguousarray(point, dtype="<f8").tobytes())
        return digest.hexdigest()

    @property
    def _common(self) -> bytes:
        n = self.network.n_inputs
        sides = [
            None
            if side is None
            else hashlib.sha256(
                np.ascontiguousarray(np.broadcast_to(side, (n,)), dtype="<f8").tobytes()
            ).hexdigest()
            for side in self.domain
        ]
        common = [self.network.fingerprint, self.network.dtype, sides, self.options]
        return json.dumps(common, sort_keys=True, allow_nan=False).encode()
