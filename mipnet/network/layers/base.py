"""The protocol every layer fulfils, and the registry that enforces it.

A layer is one file with five rules: semantics (:meth:`Layer.forward`, :meth:`Layer.gradient`),
interval rule, linear-relaxation rule and encoding rule. Arrays are batch first. Layers that are
linear in one input share the rules of :class:`mipnet.network.layers.linear.Linear`, elementwise
nonlinear ones those of :class:`mipnet.network.layers.elementwise.Elementwise`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Self, TypeVar

import numpy as np
import numpy.typing as npt

from formulations import AffineForm, Formulation, Program
from mipnet.errors import NetworkError
from mipnet.network.interval import Interval, LinearForm, Lines
from mipnet.plugins import faults_of, load_group

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]
Shape = tuple[int, ...]
Relaxation = tuple[Array, ...]


class Layer(ABC):
    """One operation of a network: immutable, float64, any number of inputs.

    Attributes
    ----------
    kind : str
        Registered name, shown in reports and errors.
    arity : int
        Number of inputs.
    """

    kind: ClassVar[str]
    arity: int = 1

    @abstractmethod
    def output_shape(self, *shapes: Shape) -> Shape:
        """Shape of one output item.

        Raises
        ------
        NetworkError
            When the input shapes do not fit.
        """

    @abstractmethod
    def forward(self, *values: Floats) -> Floats:
        """Output values, shape (batch, *output_shape), in the dtype of ``values``."""

    @abstractmethod
    def gradient(self, gradient: Array, *values: Array) -> tuple[Array, ...]:
        """Gradients with respect to each input, given the one with respect to the output."""

    @abstractmethod
    def interval(self, *values: Interval) -> Interval:
        """Outward-rounded bounds of the output from bounds of the inputs."""

    @abstractmethod
    def relax(self, *values: Interval) -> Relaxation:
        """Linear relaxation of the layer over bounds of its inputs, as arrays batch first.

        What the arrays are is the layer's own affair; :meth:`backward` reads them. They depend
        on the bounds alone, so one relaxation serves every pass over the same boxes.
        """

    @abstractmethod
    def backward(
        self, form: LinearForm, relaxation: Relaxation, slopes: Array | None = None
    ) -> tuple[LinearForm, ...]:
        """Lower linear forms over each input from lower forms over the output.

        Parameters
        ----------
        form : LinearForm
            Forms over the output of this layer.
        relaxation : tuple of array
            From :meth:`relax`; a batch of one serves every item of the forms' batch.
        slopes : array, optional
            Slopes of the lower lines of a nonlinear layer; its own choice when absent.
        """

    def follow(
        self,
        coefficients: Array,
        relaxation: Relaxation,
        slopes: Array | None,
        *values: Array,
    ) -> Array:
        """Output along the lines that :meth:`backward` picks for given coefficients.

        A linear layer is its own line; a nonlinear one overrides this. It is what the gradient
        with respect to the slopes needs.

        Parameters
        ----------
        coefficients : array, shape (batch, targets, *output_shape)
            Coefficients over the output of this layer.
        relaxation : tuple of array
        slopes : array or None
        *values : array, shape (batch, targets, *shape)
            Value of each input, one point for each target.
        """
        del relaxation, slopes
        batch, targets = coefficients.shape[:2]
        flat = (v.reshape(batch * targets, *v.shape[2:]) for v in values)
        result = np.asarray(self.forward(*flat), dtype=np.float64)
        return result.reshape(batch, targets, *result.shape[1:])

    @abstractmethod
    def lines(self, relaxation: Relaxation, inputs: Array, *values: Lines) -> Lines:
        """Linear bounds of the output over the network input from those of the inputs.

        The forward counterpart of :meth:`backward`: looser, but its cost does not grow with the
        depth of the network, which pays for small inputs and many boxes.

        Parameters
        ----------
        relaxation : tuple of array
            From :meth:`relax`, for the same batch.
        inputs : array, shape (batch, n_inputs)
            Largest absolute values of the network input.
        *values : Lines
            Linear bounds of each input, flattened.
        """

    @abstractmethod
    def encode(
        self,
        program: Program,
        *forms: AffineForm,
        bounds: tuple[Interval, ...],
        formulation: Formulation,
    ) -> AffineForm:
        """Append this layer to ``program`` and return its output forms, flattened.

        Parameters
        ----------
        program : Program
            The program to extend.
        *forms : AffineForm
            Flattened input forms.
        bounds : tuple of Interval
            Bounds of each input, batch of one.
        formulation : Formulation
            Writes unstable activations.
        """

    @property
    def parameters(self) -> tuple[Array, ...]:
        """Arrays the layer holds, in a fixed order."""
        return ()

    @property
    def attributes(self) -> tuple[object, ...]:
        """Plain values (numbers, texts, tuples of them) that set the layer apart, in order."""
        return ()

    def cast(self, dtype: npt.DTypeLike) -> Self:
        """Return the layer with its arrays in another floating type (for replays)."""
        del dtype
        return self

    @property
    def nonlinear(self) -> bool:
        """Whether bounds of the inputs decide how the layer is relaxed and encoded.

        Such a layer has one input.
        """
        return False

    @property
    def band(self) -> float:
        """Largest difference between an output and what the encoding allows in its place.

        0 where the encoding is exact. Where it is not, the encoding still allows every output
        itself.
        """
        return 0.0

    @property
    def hinged(self) -> bool:
        """Whether the layer is elementwise and linear on either side of zero.

        Then the sign of an input settles its phase.
        """
        return False

    def unstable(self, box: Interval) -> Flags:
        """Tell the inputs of a nonlinear layer that their bounds leave without a linear form.

        They are worth tightening, and may cost binaries. The phase of a ReLU unless overridden.

        Parameters
        ----------
        box : Interval
            Bounds of the input.

        Returns
        -------
        array of bool, shape (batch, *shape)
        """
        return (box.lower < 0.0) & (box.upper > 0.0)

    def inactive(self, box: Interval) -> Flags:
        """Tell the inputs of a nonlinear layer that, within bounds, do not change its output.

        That of a ReLU unless overridden. Shapes as for :meth:`unstable`.
        """
        return (box.upper <= 0.0) & (box.lower < 0.0)

    def start(self, relaxation: Relaxation) -> Array | None:
        """Slopes that :meth:`backward` uses by itself; None where it leaves no choice.

        A slope in [0, 1] picks one of a family of lower lines for each output of the layer, all
        of them sound, shape (batch, *output_shape).
        """
        del relaxation
        return None

    @classmethod
    def example(cls, rng: np.random.Generator) -> tuple[Layer, Sequence[Shape]]:
        """Small random layer of this kind with the shapes of its inputs, for ``mipnet.testing``.

        The layer without options over vectors of four, unless overridden.

        Raises
        ------
        NetworkError
            When the constructor needs something.
        """
        del rng
        try:
            layer = cls()
        except TypeError as error:
            msg = f"layer {cls.kind!r} has no example: define example(cls, rng) to return a small "
            raise NetworkError(msg + f"layer and the shapes of its inputs ({error})") from error
        return layer, [(4,)] * layer.arity

    def gain(self, relaxation: Relaxation, *values: Array) -> Array:
        """Return the derivative of the lower lines by their slopes.

        Parameters
        ----------
        relaxation : tuple of array
        *values : array, shape (batch, targets, *shape)
            Value of each input.

        Returns
        -------
        array, shape (batch, targets, *output_shape)
        """
        del relaxation
        return np.zeros_like(values[0])


L = TypeVar("L", bound=type[Layer])
LAYERS: dict[str, type[Layer]] = {}
#: Entry points of layers in other packages; imported when a list or an unknown kind is asked for.
GROUP = "mipnet.layers"


def register_layer(kind: str) -> Callable[[L], L]:
    """Class decorator that files a layer under ``kind``.

    Raises
    ------
    TypeError
        When a rule is missing or the name is taken: at import, not at use.
    """

    def file(cls: L) -> L:
        missing = sorted(getattr(cls, "__abstractmethods__", ()))
        if missing or kind in LAYERS:
            what = f"does not define {', '.join(missing)}" if missing else "uses a taken name"
            msg = f"layer {kind!r} ({cls.__name__}) {what}"
            raise TypeError(msg)
        cls.kind = kind
        LAYERS[kind] = cls
        return cls

    return file


def layer_kinds() -> tuple[str, ...]:
    """Names of all registered layers, those of other packages (``mipnet.layers``) included."""
    load_group(GROUP)
    return tuple(sorted(LAYERS))


def layer_class(kind: str) -> type[Layer]:
    """Return the layer registered under ``kind``.

    Raises
    ------
    KeyError
        When there is none; the message lists what there is.
    """
    if kind not in LAYERS and kind not in layer_kinds():
        msg = f"no such layer: {kind!r}; registered: {', '.join(layer_kinds())}{faults_of(GROUP)}"
        raise KeyError(msg)
    return LAYERS[kind]


def frozen(values: npt.ArrayLike) -> Array:
    """Return a read-only float64 copy.

    Raises
    ------
    NetworkError
        When the values are no array of real numbers.
    """
    try:
        raw = np.asarray(values)
        if np.iscomplexobj(raw):
            msg = "parameters must be real numbers, not complex ones"
            raise NetworkError(msg)
        array = np.array(raw, dtype=np.float64)
    except (TypeError, ValueError) as error:
        msg = f"parameters must be arrays of numbers: {error}"
        raise NetworkError(msg) from error
    array.flags.writeable = False
    return array
