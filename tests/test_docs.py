"""Examples of the manual give what they say."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from formulations import registry

DOCS = Path(__file__).parents[1] / "docs"
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
PAGES = [page.name for page in sorted(DOCS.glob("*.md")) if ">>> " in page.read_text("utf-8")]


@pytest.mark.parametrize("page", PAGES)
def test_examples_run(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # What a page registers is gone with it.
    monkeypatch.setattr(registry, "_FORMULATIONS", dict(registry._FORMULATIONS))
    found = doctest.testfile(str(DOCS / page), module_relative=False, optionflags=FLAGS)
    assert found.attempted > 0
    assert found.failed == 0


def test_there_are_examples() -> None:
    assert "regions.md" in PAGES
