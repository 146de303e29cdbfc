"""What an error tells, entry by entry, to be held against the faults planted in a model."""

from __future__ import annotations

import pytest

from mipnet.errors import MipnetError, UnsupportedError
from mipnet.network.readers import load


def entries(source, **options):
    """Return the entries of the one error that loading raises; each must have a remedy."""
    with pytest.raises(MipnetError) as caught:
        load(source, **options)
    error = caught.value
    if isinstance(error, UnsupportedError):
        found = list(error.operations)
    else:
        lines = str(error).split("\n  - ")
        found = lines[1:] or lines
    for entry in found:
        assert "\n" not in entry
        what, remedy = entry.rsplit("; ", maxsplit=1)
        assert what.strip()
        assert remedy.strip()
    return found


def named_exactly(found, planted):
    """Whether every planted fault has one entry, and every entry is one of them."""
    left = list(found)
    for fragment in planted:
        fitting = [entry for entry in left if fragment in entry]
        assert fitting, f"{fragment} is not in {left}"
        left.remove(fitting[0])
    assert not left, f"{left} stand there beside {planted}"
