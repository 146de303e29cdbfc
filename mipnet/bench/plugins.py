"""Everything other packages add to plans: all groups of entry points."""

from __future__ import annotations

from mipnet.plugins import Plugin, load_group

#: Entry point groups that are looked through.
GROUPS = (
    "mipnet.pruners",
    "mipnet.layers",
    "mipnet.formulations",
    "mipnet.problems",
    "mipnet.solvers",
    "mipnet.data",
)


def load_plugins() -> tuple[Plugin, ...]:
    """Import every entry point of the groups, each once per process."""
    return tuple(plugin for group in GROUPS for plugin in load_group(group))


def version_of(module: str) -> dict[str, str]:
    """Distribution and version of the plug-in that holds a module; empty for mipnet's own.

    Parameters
    ----------
    module : str
        As in ``cls.__module__``.
    """
    top = module.partition(".")[0]
    return {p.package: p.version for p in load_plugins() if p.module.partition(".")[0] == top}
