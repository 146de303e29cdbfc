"""Additions of other packages, found by their entry points.

A package names its modules in its own ``pyproject.toml``::

    [project.entry-points."mipnet.pruners"]
    twin = "my_package.twin"

Importing the module registers what is in it, by the same decorators mipnet itself uses. Registries
load their group when they are first asked for a list, or for a name they do not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points


@dataclass(frozen=True)
class Plugin:
    """One entry point.

    Attributes
    ----------
    group, name : str
    module : str
        The module it imports.
    package, version : str
        Distribution that brings it.
    fault : str
        Why it could not be imported; empty when it was.
    """

    group: str
    name: str
    module: str
    package: str
    version: str
    fault: str = ""

    def __str__(self) -> str:
        found = f"entry point {self.name!r} of {self.package} ({self.group})"
        return f"{found} cannot be imported: {self.fault}" if self.fault else found


@cache
def load_group(group: str) -> tuple[Plugin, ...]:
    """Import every entry point of a group, once per process.

    One that fails is reported in its ``fault`` and leaves the others alone.

    Parameters
    ----------
    group : str
        Such as ``mipnet.pruners``.
    """
    return tuple(_load(group, entry) for entry in sorted(entry_points(group=group)))


def faults_of(group: str) -> str:
    """Say which entry points of a group cannot be imported; empty when all can."""
    return "".join(f"; {plugin}" for plugin in load_group(group) if plugin.fault)


def _load(group: str, entry: EntryPoint) -> Plugin:
    package = entry.dist.name if entry.dist else "unknown package"
    version = entry.dist.version if entry.dist else ""
    fault = ""
    try:
        # A foreign module may raise anything.
        entry.load()
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
    return Plugin(group, entry.name, entry.module, package, version, fault)
