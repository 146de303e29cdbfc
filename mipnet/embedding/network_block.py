"""A trained network as a Pyomo block."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
from pyomo.core.base.block import ScalarBlock

from mipnet.bounds import Bounds
from mipnet.choice import Choice
from mipnet.embedding.block_data import HOMES, NetworkBlockData, loaded_network
from mipnet.embedding.embedded import Embedder, Options
from mipnet.embedding.inputs import plug
from mipnet.encode import MAX_BIG_M


class NetworkBlock(NetworkBlockData, ScalarBlock):  # type: ignore[misc]
    """A network embedded in a Pyomo model.

    Assign it to a ConcreteModel or a block of one, or return it from the rule of a Block. No
    solver is called. The constraints are valid for the bounds the inputs have now, so the block
    also holds the inputs within those bounds: widening the bounds of a variable later does not
    widen the model (:meth:`rebuild` does), and can never give a wrong output.

    Parameters
    ----------
    network : Network, or anything :func:`mipnet.load` reads
    inputs : Var, expression, number, or nested containers of them, optional
        The network's inputs in row-major order. Expressions, numbers, and variables given a
        second time are tied to variables of the block. When absent the block creates its own.
    lower, upper : array_like, optional
        Bounds of the inputs, broadcastable to the input shape or flat; intersected with those of
        the variables. Without ``inputs`` the bounds that came with the network are the default.
        A fixed variable counts with its bounds, as it may be unfixed later; with its value only
        where it has none.
    bounds : str or Bounds
        Bounding method of the neurons (:func:`mipnet.bounds.compute_bounds`), or bounds proven
        before for this network over a region that holds the inputs.
    formulation : str, Formulation, or mapping of layer to them
        How unstable neurons are written: one way for the network, for each layer, or for each
        neuron (:data:`mipnet.choice.Choice`).
    max_big_m : float
        Larger big-M constants are refused.
    top_k : int, optional
        Mark so many of the largest outputs with binaries, ``marks``; 1 is the one-hot choice of a
        classifier. Of outputs that tie for the last place any may be marked. A single output
        ``z`` counts as the logit of the second of two classes and becomes the outputs ``(0, z)``.
    order_only : bool
        Leave out layers at the end that keep the order of the outputs (Softmax, LogSoftmax,
        Sigmoid, Tanh, Softplus): ``outputs`` are logits, exactly, where probabilities would be
        held within a band. So does ``top_k``.
    relaxed : bool
        Whether a formulation that is only a relaxation is welcome.

    Attributes
    ----------
    inputs : dict of int to VarData
        The variable of each network input, ``0..n_inputs-1``. (No Pyomo Reference: Pyomo's MPS
        writer fails on models that hold one.)
    outputs : Var, indexed 0..n_outputs-1
        Bounded by what was proven about them.
        Expressions where the formulation is ``"reduced_space"``.
    hidden, binaries : Var
        The other columns.
    own_inputs : Var
        Inputs the block made itself, where there are any.
    rows : Constraint
        The network.
    input_range : Constraint
        The inputs within the region.
    sos1, complementary, either, expressions, mixed_rows
        What formulations beyond rows and integers consist of
        (:mod:`mipnet.embedding.constructs`).
    input_links : Constraint
        Equalities that tie those to expressions and numbers, by input.
    marks : Var, indexed 0..n_outputs-1
        Binaries of the ``top_k`` largest outputs.
    label : Expression
        Number of the largest output, where ``top_k`` is 1.

    Raises
    ------
    EmbeddingError
        When the number of inputs is wrong, an input has no finite bounds, or ``top_k`` is out of
        range.
    BoundsError
        When a neuron has no usable bounds or too large an M; names layer and neuron.

    Examples
    --------
    >>> import numpy as np
    >>> import pyomo.environ as pyo
    >>> from mipnet.network import Network
    >>> from mipnet.network.layers import Affine, ReLU
    >>> net = Network.sequential([Affine(np.array([[1.0, -1.0]]), np.zeros(1)), ReLU()])
    >>> m = pyo.ConcreteModel()
    >>> m.x = pyo.Var(range(2), bounds=(0, 1))
    >>> m.nn = NetworkBlock(net, m.x)
    >>> m.nn.report().binaries
    1
    """

    def __init__(
        self,
        network: Any,
        inputs: Any = None,
        *,
        lower: npt.ArrayLike | None = None,
        upper: npt.ArrayLike | None = None,
        bounds: str | Bounds = "crown",
        formulation: Choice = "big_m",
        max_big_m: float = MAX_BIG_M,
        top_k: int | None = None,
        order_only: bool = False,
        relaxed: bool = False,
    ) -> None:
        super().__init__(concrete=True)
        net = loaded_network(network)
        options = Options(lower, upper, bounds, formulation, max_big_m, top_k, order_only, relaxed)
        plugs = plug(inputs, net)
        self.build(Embedder(net, options).embed(plugs), plugs)


HOMES[ScalarBlock] = NetworkBlock
