"""Methods, problem kinds and solvers of other packages, found by their entry points.

A package names its modules in its own ``pyproject.toml``::

    [project.entry-points."mipnet.pruners"]
    twin = "my_package.twin"

Importing the module registers what is in it, by the same decorators mipnet itself uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points

#: Entry point groups that are looked through.
GROUPS = (
    "mipnet.pruners",
    "mipnet.formulations",
    "mipnet.problems",
    "mipnet.solvers",
    "mipnet.data",
)


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


@cache
def load_plugins() -> tuple[Plugin, ...]:
    """Import every entry point of the groups, once per process.

    One that fails is reported in its ``fault`` and leaves the others alone.
    """
    return tuple(
        _load(group, entry) for group in GROUPS for entry in sorted(entry_points(group=group))
    )


def version_of(module: str) -> dict[str, str]:
    """Distribution and version of the plug-in that holds a module; empty for mipnet's own.

    Parameters
    ----------
    module : str
        As in ``cls.__module__``.
    """
    top = module.partition(".")[0]
    return {p.package: p.version for p in load_plugins() if p.module.partition(".")[0] == top}


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
