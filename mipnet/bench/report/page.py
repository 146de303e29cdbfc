"""The HTML page: one file, nothing fetched, nothing run but its own two hashed pieces."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from string import Template

#: Scripts in the order they depend on each other.
SCRIPTS = (
    *("stats", "dom", "data", "plot", "curves", "pareto", "bars", "table", "sections", "main"),
)


@cache
def asset(name: str) -> str:
    """Text of a file of the report."""
    return (files("mipnet.bench.report") / "assets" / name).read_text(encoding="utf-8")


@cache
def script() -> str:
    """All scripts as one, in a scope of their own."""
    parts = "\n".join(asset(f"js/{name}.js") for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}\n}})();\n'


def policy(style: str, code: str) -> str:
    """Content security policy: the page may run and style itself and reach nothing else."""

    def digest(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; script-src {digest(code)}; style-src {digest(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def page(parts: Mapping[str, str]) -> str:
    """Fill the page.

    Parameters
    ----------
    parts : mapping of str to str
        ``title``, ``subtitle``, ``stamp``, ``version`` as plain text, which is escaped here;
        ``facts``, ``notes``, ``comparison``, ``plan``, ``fallback`` as HTML; ``data`` as embedded
        JSON.
    """
    style, code = asset("style.css"), script()
    plain = {k: html.escape(parts[k]) for k in ("title", "subtitle", "stamp", "version")}
    return Template(asset("page.html")).substitute(
        {
            **parts,
            **plain,
            "policy": policy(style, code),
            "style": style,
            "script": code,
            "formulas": asset("formulas.html"),
        }
    )


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Numbers at the head of the page."""
    return "".join(
        f"<li><b>{html.escape(value)}</b><span>{html.escape(what)}</span></li>"
        for value, what in pairs
    )


def notes(lines: Iterable[str]) -> str:
    """List what was left out, set aside, or is to be taken with care."""
    found = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f'<ul class="notes">{found}</ul>' if found else ""


def folded(heading: str, text: str) -> str:
    """Text that opens on request, and for print."""
    if not text:
        return ""
    return (
        f'<details class="print"><summary>{html.escape(heading)}</summary>'
        f"<pre>{html.escape(text)}</pre></details>"
    )
