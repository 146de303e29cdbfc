"""Lines of keys: whatever the standard parser finds has its line."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mipnet.bench.plan.lines import Path, line_numbers

DOCUMENT = '''# a comment with [brackets] and = signs
title = "x # no comment" # a comment
[a . "b.c"]
'odd key' = 1
dotted.deep = { inner = [1, 2], "other" = "}" }
list = [ # comment
  1,
  [ 2, { k = 3 } ],

  "]", """
three
lines \\" \\u0041 """"", 4,
]
text = \'\'\'
[not.a.header]
k = 1
\'\'\'
after = 1e5
[[rows]]
n = 0
[[rows.inner]]
m = 1
[[rows.inner]]
m = 2
[[rows]]
[rows.table]
z = 1979-05-27T07:32:00Z
'''
WANTED = {
    ("title",): 2,
    ("a",): 3,
    ("a", "b.c"): 3,
    ("a", "b.c", "odd key"): 4,
    ("a", "b.c", "dotted", "deep", "inner", 1): 5,
    ("a", "b.c", "dotted", "deep", "other"): 5,
    ("a", "b.c", "list", 0): 7,
    ("a", "b.c", "list", 1, 1, "k"): 8,
    ("a", "b.c", "list", 2): 10,
    ("a", "b.c", "list", 3): 10,
    ("a", "b.c", "list", 4): 12,
    ("a", "b.c", "text"): 14,
    ("a", "b.c", "after"): 18,
    ("rows", 0): 19,
    ("rows", 0, "n"): 20,
    ("rows", 0, "inner", 1, "m"): 24,
    ("rows", 1): 25,
    ("rows", 1, "table", "z"): 27,
}


def flatten(value: Any, path: Path = ()) -> set[Path]:
    """Paths of everything in a parsed document."""
    found = {path} if path else set()
    entries = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        entries = enumerate(value)
    for key, inner in entries:
        found |= flatten(inner, (*path, key))
    return found


def test_lines_of_a_document_with_everything() -> None:
    found = line_numbers(DOCUMENT)
    assert {path: found.get(path) for path in WANTED} == WANTED
    assert set(found) == flatten(tomllib.loads(DOCUMENT))


KEYS = st.text("ab-_1", min_size=1, max_size=3) | st.sampled_from(['"x.y"', "'#'", '"\\u00e9\\""'])
VALUES = st.recursive(
    st.sampled_from(
        ["1", "-2.5e3", "true", '"a"', "'b'", '"""\n"" c\n"""', "'''\n'd'\n'''", "inf"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda v: "[" + ",\n".join(v) + "]")
        | st.lists(inner, max_size=3).map(
            lambda v: "{" + ", ".join(f"k{i} = {x}" for i, x in enumerate(v)) + "}"
        )
    ),
    max_leaves=6,
)


@given(
    st.lists(
        st.tuples(st.sampled_from(["", "[", "[["]), KEYS, st.lists(st.tuples(KEYS, VALUES))),
        max_size=4,
    )
)
def test_finds_what_the_parser_finds(sections: list[Any]) -> None:
    text = ""
    for marks, name, pairs in sections:
        header = f"{marks}{name}{marks.replace('[', ']')}\n" if marks else ""
        text += header + "".join(f"{key} = {value}\n" for key, value in pairs)
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found = line_numbers(text)
    assert set(found) == flatten(parsed)
    lines = text.splitlines()
    assert all(1 <= line <= len(lines) for line in found.values())
