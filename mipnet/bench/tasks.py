"""Tasks: everything a run has to do, each identified by a hash of what changes its result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

Kind = Literal["network", "mask", "cost", "solve"]

#: Stages in the order they have to be done; the first two are the cached artefacts.
STAGES: tuple[tuple[Kind, ...], ...] = (("network",), ("mask",), ("cost", "solve"))
#: Folder of the records of each kind.
FOLDERS: Mapping[Kind, str] = {
    "network": "artefacts",
    "mask": "artefacts",
    "cost": "costs",
    "solve": "cells",
}


@dataclass(frozen=True)
class Task:
    """One thing to do.

    Attributes
    ----------
    id : str
        Hash of ``kind`` and ``key``, 32 hexadecimal digits.
    pair : str
        The same without versions: what two runs of different software have in common.
    kind : {"network", "mask", "cost", "solve"}
    key : mapping
        Everything that changes the result, as plain JSON.
    needs : tuple of str
        Tasks whose artefacts it reads.
    labels : mapping
        Readable names, columns of the tables; no part of the identity.
    files : mapping of str to str
        Where files lie whose content is part of ``key``.
    wall : float
        Seconds after which it is killed.
    memory_mb : int
    """

    id: str
    pair: str
    kind: Kind
    key: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    labels: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    wall: float = 60.0
    memory_mb: int = 4096

    @classmethod
    def make(
        cls,
        kind: Kind,
        key: Mapping[str, Any],
        *,
        needs: Mapping[str, Task] | None = None,
        versions: Mapping[str, str] | None = None,
        **others: Any,
    ) -> Self:
        """Task whose key names what it needs and the software it runs on.

        Parameters
        ----------
        kind : str
        key : mapping
            Without ``needs`` and ``versions``.
        needs : mapping of str to Task
            By the role they play.
        versions : mapping of str to str
        **others
            The remaining attributes.
        """
        before = dict(needs or {})
        whole = {**key, "needs": {role: task.id for role, task in before.items()}}
        bare = {**key, "needs": {role: task.pair for role, task in before.items()}}
        whole["versions"] = dict(versions or {})
        return cls(
            id=identity(kind, whole),
            pair=identity(kind, bare),
            kind=kind,
            key=whole,
            needs=tuple(task.id for task in before.values()),
            **others,
        )

    @property
    def folder(self) -> str:
        """Folder of its record."""
        return FOLDERS[self.kind]

    @property
    def name(self) -> str:
        """Readable name, for messages."""
        parts = [str(v) for v in self.labels.values() if v not in (None, "")]
        return f"{self.kind} {' '.join(parts)}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data, not copied."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Undo :meth:`to_dict`."""
        return cls(**{**plain, "needs": tuple(plain["needs"])})


def identity(kind: str, key: Mapping[str, Any]) -> str:
    """Hash of a kind and a key: SHA-256 of canonical JSON, first 32 hexadecimal digits."""
    text = json.dumps({"kind": kind, "key": key}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def in_shard(task_id: str, shard: tuple[int, int] | None) -> bool:
    """Whether a task belongs to shard ``(i, n)``, ``i`` from 1 to ``n``; to None everything does.

    Hashes spread tasks evenly and independently of their order.
    """
    return shard is None or int(task_id[:12], 16) % shard[1] == shard[0] - 1
