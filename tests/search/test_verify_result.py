"""What a result of verify says, and that it survives being written."""

from __future__ import annotations

import numpy as np
import pytest

from mipnet.clocks import Clocks
from mipnet.errors import QueryError
from mipnet.search import VerifyResult
from tests.search.search_cases import random_network
from tests.search.verify_cases import ask, boxed, line


def test_json_round_trip() -> None:
    boxes = "(or (and (>= X_0 0) (<= X_0 1)) (and (>= X_0 2) (<= X_0 3)))"
    for bound in ("2.5", "9"):
        result = ask(line(), f"(assert {boxes}) (assert (>= Y_0 {bound}))", timeout=30.0)
        twin = VerifyResult.from_json(result.to_json())
        assert twin == result
        assert twin.clocks == result.clocks
        assert str(result).startswith(result.status)
        if result.status == "sat":
            assert twin.counterexample() == result.counterexample()
            assert twin.point.tolist() == result.point.tolist()
        else:
            with pytest.raises(QueryError, match="no counterexample"):
                twin.counterexample()


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": 99}', '{"format": 1}', "[" * 100000])
def test_no_result_is_refused(text: str) -> None:
    with pytest.raises(QueryError):
        VerifyResult.from_json(text)


def test_result_says_what_it_rests_on() -> None:
    net = random_network(3, (3, 6, 6, 1), 1.5)
    grid = np.random.default_rng(0).uniform(-1, 1, size=(4000, 3))
    box = "(assert (and " + boxed(["-1"] * 3, ["1"] * 3) + "))"
    top = float(net(grid).max())
    result = ask(net, box + f"(assert (>= Y_0 {top + 0.5:.4f}))", 3, 1, timeout=60.0)
    assert result.status == "unsat"
    assert sum(result.methods.values()) == 1
    assert result.fingerprint == net.fingerprint
    assert result.tolerances["margin"] > 0.0
    assert result.clocks != Clocks()
    assert 0.0 < result.clocks.total <= result.seconds <= 60.0
