"""A network as a grey box: values and derivatives for a nonlinear solver, no row."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo
import scipy.sparse as sp
from pyomo.common.modeling import unique_component_name
from pyomo.contrib.pynumero.interfaces.external_grey_box import (
    ExternalGreyBoxBlock,
    ExternalGreyBoxModel,
)

from mipnet.embedding.block_data import loaded_network
from mipnet.embedding.inputs import plug
from mipnet.network import Network

Array = npt.NDArray[np.float64]


class NetworkOracle(ExternalGreyBoxModel):  # type: ignore[misc]
    """Outputs and Jacobian of a network for Pyomo's grey-box interface.

    At a kink the derivative is that of one side; second derivatives are left to the solver's own
    approximation.

    Parameters
    ----------
    network : Network
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self._point = np.zeros(network.n_inputs)

    def input_names(self) -> list[str]:
        """``x0``, ``x1``, ..."""
        return [f"x{i}" for i in range(self.network.n_inputs)]

    def output_names(self) -> list[str]:
        """``y0``, ``y1``, ..."""
        return [f"y{k}" for k in range(self.network.n_outputs)]

    def set_input_values(self, input_values: npt.ArrayLike) -> None:
        """Take the point at which to evaluate."""
        self._point = np.array(input_values, dtype=np.float64)

    def evaluate_outputs(self) -> Array:
        """Run the network; outputs flattened."""
        return self.network(self._point).reshape(-1)

    def evaluate_jacobian_outputs(self) -> sp.coo_matrix:
        """Differentiate all outputs by all inputs."""
        net, count = self.network, self.network.n_outputs
        points = np.repeat(self._point[None], count, axis=0).reshape(count, *net.input_shape)
        weights = np.eye(count).reshape(count, *net.shapes[net.output])
        rows = net.gradient(points, weights).reshape(count, -1)
        # Every entry, zeros too: the solver asks for one structure for all points.
        at = np.indices(rows.shape).reshape(2, -1)
        return sp.coo_matrix((rows.reshape(-1), (at[0], at[1])), shape=rows.shape)


def add_oracle(model: Any, network: Any, inputs: Any, *, name: str = "oracle") -> Any:
    """Put a network into a model as a grey box, for nonlinear solvers that take one.

    No bound is proven and no row written, so size does not matter; what comes back is a local
    optimum (``cyipopt`` through Pyomo). :func:`mipnet.solve` does not take it.

    Parameters
    ----------
    model : ConcreteModel or block
    network : Network, or anything :func:`mipnet.load` reads
    inputs
        Variables, expressions and numbers, as for :class:`mipnet.NetworkBlock`; bounds are not
        needed.
    name : str
        Name of the block; a number is appended where it is taken.

    Returns
    -------
    Block
        ``box``, the ExternalGreyBoxBlock; ``links``, the equalities of its inputs; ``outputs``, a
        dict of the output variables by number.

    Raises
    ------
    EmbeddingError
        When the number of inputs is wrong.
    """
    net = loaded_network(network)
    sources = [p.source for p in plug(inputs, net)]
    block = pyo.Block(concrete=True)
    block.box = ExternalGreyBoxBlock(external_model=NetworkOracle(net))
    block.links = pyo.Constraint(range(net.n_inputs))
    for i, source in enumerate(sources):
        if source is not None:
            block.links[i] = block.box.inputs[f"x{i}"] == source
    block.outputs = {k: block.box.outputs[f"y{k}"] for k in range(net.n_outputs)}
    model.add_component(unique_component_name(model, name), block)
    return block
