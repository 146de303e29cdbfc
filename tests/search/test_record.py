"""Results: JSON out and in, refusals of everything else, and cells of a notebook."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from html.parser import HTMLParser
from typing import Any, Literal

import numpy as np
import pytest

from mipnet.clocks import Clocks
from mipnet.errors import QueryError
from mipnet.network.layers.base import Array
from mipnet.search import (
    CertifiedRadius,
    Distortion,
    Optimum,
    RobustAccuracy,
    Verdict,
    VerifyResult,
    certified_radius,
    find_adversarial,
    maximize,
    minimal_distortion,
    minimize,
    robust_accuracy,
    verify,
)
from mipnet.search.accuracy_result import Sample
from mipnet.search.record import Record
from mipnet.search.verdict import ClauseResult
from mipnet.search.vnnlib import parse_property
from tests.search.search_cases import random_network

NET = random_network(3, (3, 6, 3), 1.5)
X = np.random.default_rng(7).uniform(-1.0, 1.0, (6, 3))
BOX = {"lower": -1.0, "upper": 1.0}
PROPERTY = """(declare-const X_0 Real) (declare-const X_1 Real) (declare-const X_2 Real)
(declare-const Y_0 Real) (declare-const Y_1 Real) (declare-const Y_2 Real)
(assert (and (>= X_0 0) (<= X_0 1) (>= X_1 0) (<= X_1 1) (>= X_2 0) (<= X_2 1)))
(assert (or (>= Y_0 {bound}) (>= Y_1 {bound})))"""


KINDS = [Verdict, Distortion, CertifiedRadius, VerifyResult, RobustAccuracy, Optimum]


def made() -> list[Record]:
    """Results of every class and of every status that is quick to get."""
    labels = np.argmax(NET(X), axis=1)
    labels[2] = (labels[2] + 1) % 3
    wrong = int(np.argmin(NET(X[0])))
    accuracy = robust_accuracy(NET, X, labels, radius=0.25, progress=False, **BOX)
    return [
        find_adversarial(NET, X[0], radius=0.01),
        find_adversarial(NET, X[0], radius=2.0, norm="l1"),
        find_adversarial(NET, X[0], radius=2.0, target=wrong, time_limit=0.0),
        find_adversarial(NET, X[0], radius=0.3, top_k=2),
        minimal_distortion(NET, X[0], norm="l1", **BOX),
        minimal_distortion(NET, X[0], wrong),
        minimal_distortion(NET, X[0], lower=X[0] - 1e-4, upper=X[0] + 1e-4),
        minimal_distortion(NET, X[0], time_limit=0.0),
        certified_radius(NET, X[0], **BOX),
        certified_radius(NET, X[0], wrong),
        verify(NET, parse_property(PROPERTY.format(bound="0.2"))),
        verify(NET, parse_property(PROPERTY.format(bound="1e6"))),
        verify(NET, parse_property(PROPERTY.format(bound="0.2")), timeout=0.0),
        minimize(NET, [1.0, 0.0, -1.0], (X[0] - 0.3, X[0] + 0.3)),
        maximize(NET, [1.0, 0.0, -1.0], (X[0] - 0.3, X[0] + 0.3), bounds="crown"),
        maximize(NET, [1.0, 0.0, -1.0], (X[0] - 0.3, X[0] + 0.3), time_limit=0.0),
        accuracy,
        robust_accuracy(NET, X, labels, radius=0.25, total_time=0.0, progress=False),
        *accuracy.samples,
    ]


MADE = made()


def test_all_kinds_and_statuses_occur() -> None:
    kinds = {type(r) for r in MADE}
    assert kinds == {*KINDS, Sample}
    statuses = {r.status for r in MADE if hasattr(r, "status")}
    assert statuses >= {"robust", "witness", "unresolved", "none", "sat", "unsat", "misclassified"}
    assert statuses >= {"optimal", "time_limit"}


def same(a: Any, b: Any) -> bool:
    """Equality that looks at arrays and at fields left out of comparisons."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if hasattr(a, "__dataclass_fields__"):
        names = (f.name for f in fields(a))
        return type(a) is type(b) and all(same(getattr(a, n), getattr(b, n)) for n in names)
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("record", MADE, ids=lambda r: type(r).__name__)
def test_every_field_comes_back(record: Record) -> None:
    text = record.to_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    twin = type(record).from_json(text)
    assert twin == record
    assert same(twin, record)
    assert twin.to_json() == text
    assert json.loads(text) == record.to_dict()
    assert str(twin) == str(record)


@pytest.mark.parametrize("record", MADE, ids=lambda r: type(r).__name__)
def test_any_damage_is_refused(record: Record) -> None:
    """Every entry in turn with a value of another type; every required one left out."""
    kind, plain = type(record), record.to_dict()
    for f in fields(record):  # type: ignore[arg-type]
        loose = f.name in {"region"}
        for wrong in (
            [{}],
            {"a": {}},
            True if f.type != "bool" else 1,
            "x" if f.type != "str" else 0,
        ):
            if loose and isinstance(wrong, dict):
                continue
            with pytest.raises(QueryError, match=f"not a {kind.__name__}: .*{f.name}"):
                kind.from_dict({**plain, f.name: wrong})
    for name in ("format", *list(plain)[1:4]):
        if name != "format" and kind is Sample and name == "predicted":
            continue
        with pytest.raises(QueryError):
            kind.from_dict({k: v for k, v in plain.items() if k != name})
    with pytest.raises(QueryError, match="extra"):
        kind.from_dict({**plain, "extra": 1})


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", "null", "3", '{"format": 99}', '{"format": 1}', "[" * 99999, "nan"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_other_texts_are_refused(kind: type[Record], text: str) -> None:
    with pytest.raises(QueryError, match=f"not a {kind.__name__}"):
        kind.from_json(text)


@dataclass(frozen=True)
class Small(Record):
    """Something of every type."""

    status: Literal["optimal", "error"]
    value: float
    point: Array
    pairs: tuple[ClauseResult, ...] = ()
    words: tuple[str, ...] = ()
    numbers: dict[str, float] | None = None
    clocks: Clocks = field(default_factory=Clocks)
    flag: bool = False
    count: int = 0


def test_numbers_that_json_lacks() -> None:
    small = Small("error", -np.inf, np.array([np.inf, 1.0]), numbers={"a": np.inf})
    twin = Small.from_json(small.to_json())
    assert same(twin, small)
    assert np.isnan(Small.from_json(replace(small, value=np.nan).to_json()).value)


def test_whole_numbers_are_floats_where_floats_are_asked_for() -> None:
    plain = {"format": 1, "status": "optimal", "value": 3, "point": [1, 2.5]}
    small = Small.from_dict(plain)
    assert (type(small.value), small.point.tolist()) == (float, [1.0, 2.5])
    for change in ({"count": 1.0}, {"flag": 1}, {"value": True}, {"point": 1.0}, {"words": "ab"}):
        with pytest.raises(QueryError):
            Small.from_dict({**plain, **change})
    with pytest.raises(QueryError, match="status"):
        Small.from_dict({**plain, "status": "fine"})
    with pytest.raises(QueryError, match="value"):
        Small.from_dict({**plain, "value": 10**400})


def test_numpy_numbers_are_written_as_numbers() -> None:
    small = Small("optimal", np.float64(0.5), np.zeros(1), count=np.int64(3))  # type: ignore[arg-type]
    assert Small.from_json(small.to_json()).count == 3


# --- notebooks --------------------------------------------------------------------------------


class Page(HTMLParser):
    """Checks that tags match, and collects text and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.style = ""
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        assert {name for name, _ in attrs} <= {"style"}
        self.style += " ".join(value or "" for _, value in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.parametrize("record", MADE, ids=lambda r: type(r).__name__)
def test_cell_shows_status_and_facts(record: Record) -> None:
    html = record._repr_html_()
    page = Page(html)
    text = " ".join(page.text)
    assert page.text[0] == type(record).__name__
    assert getattr(record, "status", "") in text
    assert (getattr(record, "reason", "") or getattr(record, "message", ""))[:60] in text
    for name in ("label", "fingerprint", "solver"):
        assert str(getattr(record, name, "")) in text
    # Readable on any background: no colour of text or background but that of the status.
    assert "background:#" not in page.style
    assert "color:black" not in page.style
    assert len(html) < 20000


def test_text_is_escaped() -> None:
    evil = "<script>alert('x')</script>&"
    clause = ClauseResult(evil, "open", "none", np.inf, detail=evil)
    small = Small("error", 0.0, np.zeros(9), pairs=(clause,), words=(evil,), numbers={evil: 1.0})
    html = small._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert Page(html).text.count(evil) == 2


def test_long_tables_are_cut() -> None:
    clauses = tuple(ClauseResult(f"class {k}", "open", "none", 1.0) for k in range(100))
    html = Small("optimal", 1.0, np.arange(9.0), pairs=clauses)._repr_html_()
    assert "and 88 more" in html
    assert "class 11" in html
    assert "class 12" not in html
    assert "(9 values)" in html
