"""scikit-learn's linear projections: PCA, truncated SVD, ICA, random projections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mipnet.network.readers.graph import Graph
from mipnet.network.readers.products import dense
from mipnet.network.readers.sklearn_refusals import fitted
from mipnet.network.readers.values import RefusalError, Value

#: Deviations below this part of the largest one are those of rounding errors.
NOISE = float(np.sqrt(np.finfo(np.float64).eps))


def project(graph: Graph, name: str, step: Any, value: Value) -> Value:
    """Return ``(x - mean) @ components.T``, divided by the deviations where PCA whitens."""
    fitted(step, "components_", name)
    components = step.components_
    if hasattr(components, "toarray"):
        # Sparse random projections.
        components = components.toarray()
    if getattr(step, "mean_", None) is not None:
        value = value.apply(name, "sub", graph.constant(step.mean_, f"mean_ of {name!r}"))
    value = dense(graph, name, value, components, None)
    if not getattr(step, "whiten", False) or not hasattr(step, "explained_variance_"):
        return value
    scale = np.sqrt(np.asarray(step.explained_variance_))
    if scale.min() <= NOISE * scale.max():
        reason = "whitens directions in which the data has no variance, and so divides rounding "
        reason += "errors by nearly zero; give PCA fewer components"
        raise RefusalError(reason)
    return value.apply(name, "div", graph.constant(scale, f"explained_variance_ of {name!r}"))


#: By module and class; ICA has its whitening in its components.
PROJECTIONS: dict[tuple[str, str], Callable[[Graph, str, Any, Value], Value]] = {
    ("sklearn.decomposition", "PCA"): project,
    ("sklearn.decomposition", "IncrementalPCA"): project,
    ("sklearn.decomposition", "TruncatedSVD"): project,
    ("sklearn.decomposition", "FastICA"): project,
    ("sklearn.random_projection", "GaussianRandomProjection"): project,
    ("sklearn.random_projection", "SparseRandomProjection"): project,
}
