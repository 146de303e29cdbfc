"""Settings of the whole suite: hypothesis without deadlines, the same examples on every run."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("mipnet", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("mipnet")

#: Settings are no tests: two files of that name cannot both be collected.
collect_ignore_glob = ["*conftest.py"]
