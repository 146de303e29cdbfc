"""Plug-ins of the tests, in this process and in those it starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bench_cases import install

from mipnet.bench.plugins import load_plugins
from mipnet.bench.runner.supervisor import supervisor
from mipnet.plugins import load_group

#: Packages of their own: importing them would register what is in them.
collect_ignore = ["faulty", "third_party"]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the misbehaving plug-in."""
    folder = tmp_path_factory.mktemp("site")
    install("faulty", folder)
    return folder


@pytest.fixture(scope="session")
def faulty(site: Path) -> Iterator[Path]:
    """Make the misbehaving problem kinds known here and to the processes of cells."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        patch.setenv("PYTHONPATH", str(site))
        load_group.cache_clear()
        assert not [p.fault for p in load_plugins() if p.fault]
        yield site
    load_group.cache_clear()


@pytest.fixture(scope="module")
def nursery(faulty: Path) -> Iterator[None]:
    """Keep the process cells are forked from over all runs of a module: it takes a second."""
    del faulty
    watcher = supervisor()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watcher, "close", lambda: None)
        yield
    watcher.close()
