"""Errors and warnings of mipnet: one root, each also a standard class."""

from __future__ import annotations

from collections.abc import Sequence


class MipnetError(Exception):
    """Root of every error mipnet raises on purpose."""


class MipnetWarning(UserWarning):
    """Root of every warning mipnet issues."""


class NetworkError(MipnetError, ValueError):
    """A network is malformed: shapes, values or wiring."""


class UnsupportedError(MipnetError, ValueError):
    """A model holds operations mipnet does not read; all of them are listed.

    Attributes
    ----------
    operations : tuple of str
        One entry per unsupported operation: name, kind, reason and, where there is one, remedy;
        and one for everything else that is wrong with the model.
    """

    def __init__(self, source: str, operations: Sequence[str], *, faults: int = 0) -> None:
        self.operations = tuple(operations)
        listing = "\n".join(f"  - {entry}" for entry in self.operations)
        found = f"{len(self.operations) - faults} unsupported operation(s)"
        found += f" and {faults} other fault(s)" if faults else ""
        super().__init__(f"{source}: {found}:\n{listing}")


class ReadError(MipnetError, ValueError):
    """A file or object cannot be read as a network."""


class MissingPackageError(MipnetError, ImportError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs {package}: pip install 'mipnet[{extra}]'")


class RegionError(MipnetError, ValueError):
    """An input region is empty, unbounded or of the wrong shape."""


class BoundsError(MipnetError, ValueError):
    """A neuron has no usable bounds: missing, infinite, contradictory or above the limit of M."""


class SolverError(MipnetError, RuntimeError):
    """The solver failed, or its answer contradicts a replay."""


class CoefficientError(SolverError, ValueError):
    """A program holds coefficients the solver would drop or misread."""


class MaskError(MipnetError, ValueError):
    """A mask does not fit the network, or compaction changed the function."""


class EmbeddingError(MipnetError, ValueError):
    """A network cannot be embedded in the given optimisation model."""


class QueryError(MipnetError, ValueError):
    """A question does not fit the network: label, target, objective or option."""


class GraphError(MipnetError, ValueError):
    """A graph of units cannot be ranked: weights, shapes, or no unique stationary distribution."""
