"""Settings of the engine that send small questions down paths made for large ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import numpy as np

from mipnet.bounds import cascade
from mipnet.search import decide, optimize, top_k

#: Name to the replacements it stands for: (module or class, attribute, value).
KNOBS = {
    # Every unstable neuron is worth a bisection, and linear programs.
    "bisect": [(decide, "MIP_UNSTABLE", 0), (optimize, "MIP_UNSTABLE", 0)],
    "tighten": [(cascade, "_FEW", 0)],
    # Bounds and exact search have to find the witness themselves.
    "blind": [(decide.Decision, "attack", lambda _: None), (top_k, "_attack", lambda *_: None)],
}


@contextmanager
def turned(rng: np.random.Generator) -> Iterator[list[str]]:
    """Turn each knob with some probability; gives the names of those turned."""
    names = [name for name in KNOBS if rng.random() < 0.4]
    with ExitStack() as stack:
        for name in names:
            for owner, attribute, value in KNOBS[name]:
                stack.enter_context(patch.object(owner, attribute, value))
        yield names
