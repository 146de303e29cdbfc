"""The file a long series of questions is resumed from: JSON lines, one for each answer.

The first line says what is asked of every sample: digests of network and domain, and options.
Every other line holds the answer for one sample, under a digest of the sample. Lines are added
whole and forced to disk, so that a crash costs at most the line being written; such a torn line is
set aside when the file is opened again.
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
from mipnet.search.accuracy_result import Sample

FORMAT = "mipnet.robust_accuracy"
VERSION = 2


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
        """Read a file, or begin one.

        Raises
        ------
        QueryError
            When a line before the last is damaged, or the file holds something else, such as the
            answers to another question.
        OSError
            When the file cannot be written.
        """
        results = cls(None if path is None else Path(path), network, domain, options)
        if results.path is not None:
            # A file that cannot be written to is found out now, not after the first answer.
            with results.path.open("ab"):
                pass
            if not results.read(results.path):
                results._append({"format": FORMAT, "version": VERSION, "asked": results.asked})
        return results

    def read(self, path: Path) -> bool:
        """Take over the answers of a file; whether it has a first line.

        A torn last line moves to a file of its own.
        """
        content = path.read_bytes()
        *whole, last = content.split(b"\n")
        for number, line in enumerate(whole, 1):
            try:
                entry = json.loads(line)
                self._take(entry) if number > 1 else self._recognise(path, entry)
            except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
                if isinstance(error, _OtherQuestionError):
                    raise
                msg = f"{path}, line {number} is no answer of mipnet ({error}); move the file away"
                raise QueryError(msg) from error
        if last:
            # No line end: it was being written when the process died.
            with path.with_name(path.name + ".torn").open("ab") as torn:
                torn.write(last + b"\n")
            with path.open("r+b") as file:
                file.truncate(len(content) - len(last))
        return bool(whole)

    def _recognise(self, path: Path, head: dict[str, Any]) -> None:
        """Refuse a file that answers another question."""
        if (head["format"], head["version"]) != (FORMAT, VERSION):
            msg = f"not of format {FORMAT} {VERSION}"
            raise QueryError(msg)
        theirs, ours = head["asked"], self.asked
        wrong = [
            f"{name} {theirs.get(name)!r}, not {ours.get(name)!r}"
            for name in sorted({*theirs, *ours})
            if theirs.get(name) != ours.get(name)
        ]
        if wrong:
            msg = f"{path} holds answers to another question: {'; '.join(wrong)}; "
            msg += "give another file for results"
            raise _OtherQuestionError(msg)

    def _take(self, entry: dict[str, Any]) -> None:
        """Take over one answer; a later one for the same question replaces it."""
        sample = Sample.from_dict(entry["sample"])
        verdict = sample.verdict
        fits = {"misclassified", "unresolved"} if verdict is None else {verdict.status}
        if sample.status not in fits:
            said = "is missing" if verdict is None else f"says {verdict.status!r}"
            msg = f"the status is {sample.status!r}, the verdict {said}"
            raise QueryError(msg)
        self.known[str(entry["key"])] = sample

    def find(self, point: Array, label: int, limit: float) -> Sample | None:
        """Answer for a sample, unless more time might change it.

        A witness is replayed: only a proof is taken on trust.
        """
        sample = self.known.get(self.key(point, label)) if self.known else None
        if sample is None or (sample.status == "unresolved" and sample.limit < limit):
            return None
        return sample if self.holds(sample, point, label) else None

    def holds(self, sample: Sample, point: Array, label: int) -> bool:
        """Whether what can be checked quickly is so."""
        predicted = int(np.argmax(self.network.replay(point)))
        right = predicted == label
        if (sample.label, sample.predicted) != (label, predicted):
            return False
        if (sample.status == "misclassified") == right:
            return False
        if sample.status != "witness" or sample.verdict is None:
            return True
        witness = sample.verdict.point
        region = ball(point, self.options["radius"], self.options["norm"], *self.domain)
        return (
            witness is not None
            and region.contains(witness)
            and all(
                int(np.argmax(evaluate(witness))) != label
                for evaluate in (self.network, self.network.replay)
            )
        )

    def add(self, point: Array, sample: Sample) -> None:
        """Add an answer to the file, whole or not at all."""
        self._append({"key": self.key(point, sample.label), "sample": sample.to_dict()})

    def _append(self, entry: dict[str, Any]) -> None:
        if self.path is None:
            return
        line = json.dumps(entry, allow_nan=False).encode() + b"\n"
        with self.path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    @staticmethod
    def key(point: Array, label: int) -> str:
        """Digest of a sample, hexadecimal."""
        digest = hashlib.sha256(f"{label} ".encode())
        digest.update(np.ascontiguousarray(point, dtype="<f8").tobytes())
        return digest.hexdigest()

    @property
    def asked(self) -> dict[str, Any]:
        """What is asked of every sample."""
        n = self.network.n_inputs
        sides = {
            name: None
            if side is None
            else hashlib.sha256(
                np.ascontiguousarray(np.broadcast_to(side, (n,)), dtype="<f8").tobytes()
            ).hexdigest()[:16]
            for name, side in zip(("lower", "upper"), self.domain, strict=True)
        }
        network = {"network": self.network.fingerprint, "dtype": self.network.dtype}
        return {**network, **sides, **self.options}


class _OtherQuestionError(QueryError):
    """The file is whole, and answers something else."""
