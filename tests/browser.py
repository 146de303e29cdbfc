"""A real browser without a window, for pages that mipnet writes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def executable() -> str:
    """Path of Chromium; a test of a page fails without one, it is not skipped."""
    chosen = os.environ.get("MIPNET_BROWSER") or next(filter(None, map(shutil.which, _NAMES)), None)
    if chosen is None:
        pytest.fail(
            "no Chromium for the tests of pages: apt-get install chromium, or set MIPNET_BROWSER"
        )
    return chosen


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser of the system."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        found = play.chromium.launch(executable_path=executable())
        yield found
        found.close()


@contextmanager
def opened(browser: Browser, address: str, *, width: int = 1280, **options: Any) -> Iterator[Page]:
    """Open a page; afterwards, fail for anything it logged or tried to fetch.

    Parameters
    ----------
    browser : Browser
    address : str
    width : int
    **options
        Of the browser's context.
    """
    said: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": 900}, **options)
    page = context.new_page()
    page.on("console", lambda m: said.append(f"{m.type}: {m.text}"))
    page.on("pageerror", lambda e: said.append(f"error: {e}"))
    page.on("dialog", lambda d: (said.append(f"dialog: {d.message}"), d.dismiss()))
    page.on(
        "request",
        lambda r: (
            None
            if r.url.split("#")[0] == address or r.url.startswith(("blob:", "data:"))
            else said.append(f"request: {r.url}")
        ),
    )
    page.goto(address)
    page.wait_for_selector("html[data-ready]", state="attached")
    yield page
    context.close()
    assert said == []
