"""The package of somebody else is no part of the suite: importing it would register its layer."""

collect_ignore = ["third_kinds"]
