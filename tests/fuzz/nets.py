"""Random networks, one family for each way they can be nasty.

All of them see two numbers, for the exact answers: two inputs, or the sums of two groups of inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from mipnet.network import Affine, Network, ReLU
from tests.core_cases import wild

Array = np.ndarray
_TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}


@dataclass(frozen=True, eq=False)
class Net:
    """Plain arrays, and the same as a network and as an ONNX model.

    ``tame`` says that the solver is expected to close all questions but ties; ``group`` is the
    number of inputs with the same weights.
    """

    family: str
    weights: list[Array]
    biases: list[Array]
    dtype: str = "float64"
    tame: bool = True
    group: int = 1

    @property
    def folded(self) -> list[Array]:
        """Weights of the two sums."""
        return [self.weights[0][:, :: self.group], *self.weights[1:]]

    @property
    def n_inputs(self) -> int:
        return 2 * self.group

    @property
    def n_outputs(self) -> int:
        return len(self.biases[-1])

    @cached_property
    def network(self) -> Network:
        layers: list[Affine | ReLU] = []
        for weight, bias in zip(self.weights, self.biases, strict=True):
            layers += [Affine(weight, bias), ReLU()]
        return Network.sequential(layers[:-1], dtype=self.dtype)

    @cached_property
    def model(self) -> bytes:
        """ONNX file of Gemm and Relu in the type of the network."""
        nodes, stored, last = [], [], "x"
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            for name, values in (("w", weight), ("b", bias)):
                stored.append(numpy_helper.from_array(values.astype(self.dtype), f"{name}{k}"))
            nodes.append(helper.make_node("Gemm", [last, f"w{k}", f"b{k}"], [f"z{k}"], transB=1))
            last = f"z{k}"
            if k < len(self.weights) - 1:
                nodes.append(helper.make_node("Relu", [last], [f"a{k}"]))
                last = f"a{k}"
        kind = _TYPES[self.dtype]
        graph = helper.make_graph(
            nodes,
            "net",
            [helper.make_tensor_value_info("x", kind, [1, self.n_inputs])],
            [helper.make_tensor_value_info(last, kind, [1, self.n_outputs])],
            stored,
        )
        opsets = [helper.make_opsetid("", 13)]
        made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        return bytes(made.SerializeToString())

    @cached_property
    def _session(self) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        return ort.InferenceSession(self.model, options, providers=["CPUExecutionProvider"])

    def run(self, point: Array) -> Array:
        """Outputs by onnxruntime."""
        values = np.asarray(point, dtype=self.dtype).reshape(1, -1)
        return np.asarray(self._session.run(None, {"x": values})[0], dtype=np.float64).reshape(-1)

    def exact(self, point: Sequence[float]) -> list[Fraction]:
        """Outputs in rational arithmetic."""
        values = [Fraction(float(v)) for v in point]
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = [max(v, Fraction(0)) for v in values] if k else values
            values = [
                sum((Fraction(w) * v for w, v in zip(row, values, strict=True)), Fraction(b))
                for row, b in zip(weight.tolist(), bias.tolist(), strict=True)
            ]
        return values

    def noise(self, point: Array, dtype: str) -> float:
        """What rounding may change an output by."""
        size = np.abs(np.asarray(point, dtype=np.float64))
        for weight, bias in zip(self.weights, self.biases, strict=True):
            size = np.abs(weight) @ size + np.abs(bias)
        # Also where results are so small that they lose digits.
        info, steps = np.finfo(dtype), 8 * sum(map(len, self.biases))
        return float(steps * (info.eps * size.max() + info.tiny))


def _dense(rng: np.random.Generator, widths: Sequence[int] = ()) -> tuple[list[Array], list[Array]]:
    if not widths:
        hidden = [(3,), (5,), (3, 3), (4, 2), (2, 3)][rng.integers(5)]
        widths = (2, *hidden, int(rng.integers(2, 5)))
    weights = [rng.normal(size=(m, n)) for n, m in pairwise(widths)]
    return weights, [0.5 * rng.normal(size=m) for m in widths[1:]]


def ordinary(rng: np.random.Generator) -> Net:
    """Normal weights."""
    return Net("ordinary", *_dense(rng))


def wide(rng: np.random.Generator) -> Net:
    """More neurons than the others."""
    return Net("wide", *_dense(rng, (2, 9, 6, 3)))


def grouped(rng: np.random.Generator) -> Net:
    """Ten inputs, of which the network sees two sums."""
    weights, biases = _dense(rng, (2, 7, 4, 3))
    return Net("grouped", [np.repeat(weights[0], 5, axis=1), *weights[1:]], biases, group=5)


def deep(rng: np.random.Generator) -> Net:
    """Three hidden layers."""
    return Net("deep", *_dense(rng, (2, 3, 3, 2, 2)))


def whole(rng: np.random.Generator) -> Net:
    """Small whole numbers: ties, parallel lines, and corners on top of each other."""
    weights, biases = _dense(rng)
    return Net("whole", [np.round(w) for w in weights], [np.round(2.0 * b) for b in biases])


def duplicated(rng: np.random.Generator) -> Net:
    """Every neuron twice, once more with the sign reversed; two outputs alike."""
    (w0, w1), (b0, b1) = _dense(rng, (2, 2, 3))
    first, bias = np.vstack([w0, w0, -w0]), np.concatenate([b0, b0, -b0])
    second = np.hstack([w1, w1, rng.normal(size=w1.shape)])
    second[1] = second[0]
    return Net("duplicated", [first, second], [bias, np.array([b1[0], b1[0], b1[2]])])


def sparse(rng: np.random.Generator) -> Net:
    """Zeros: neurons without inputs, without outputs, without bias."""
    weights, biases = _dense(rng)
    weights = [w * (rng.random(w.shape) > 0.5) for w in weights]
    return Net("sparse", weights, [b * (rng.random(b.shape) > 0.5) for b in biases])


def settled(rng: np.random.Generator) -> Net:
    """Most neurons are never, or always, active."""
    weights, biases = _dense(rng)
    shifts = [rng.choice([-100.0, 0.0, 100.0], size=b.shape) for b in biases[:-1]]
    return Net(
        "settled", weights, [*(b + s for b, s in zip(biases, shifts, strict=False)), biases[-1]]
    )


def scaled(rng: np.random.Generator) -> Net:
    """Layers of very different size, product moderate."""
    (w0, w1), (b0, b1) = _dense(rng, (2, 4, 3))
    size = 10.0 ** rng.uniform(-6, 6)
    return Net("scaled", [w0 * size, w1 / size], [b0 * size, b1], tame=False)


def extreme(rng: np.random.Generator) -> Net:
    """Weights from 1e-9 to 1e6 side by side."""
    widths = (2, 4, 3) if rng.random() < 0.6 else (2, 3, 2, 2)
    weights = [wild(rng, m, n, spread=(-9.0, 6.0)) for n, m in pairwise(widths)]
    biases = [wild(rng, m, spread=(-9.0, 6.0)) for m in widths[1:]]
    return Net("extreme", weights, biases, tame=False)


def tiny(rng: np.random.Generator) -> Net:
    """All weights around 1e-9."""
    weights, biases = _dense(rng)
    return Net("tiny", [1e-9 * w for w in weights], [1e-9 * b for b in biases], tame=False)


def huge(rng: np.random.Generator) -> Net:
    """All weights around 1e6."""
    weights, biases = _dense(rng)
    return Net("huge", [1e6 * w for w in weights], [1e6 * b for b in biases], tame=False)


def single(rng: np.random.Generator) -> Net:
    """A model in float32."""
    weights, biases = _dense(rng)
    cast = [[v.astype(np.float32).astype(np.float64) for v in part] for part in (weights, biases)]
    return Net("single", *cast, dtype="float32")


FAMILIES: list[Callable[[np.random.Generator], Net]] = [
    *(ordinary, ordinary, wide, grouped, grouped, deep, whole, whole, whole, duplicated),
    *(sparse, settled),
    *(scaled, extreme, extreme, tiny, huge, single, single, single),
]


def make(seed: int) -> Net:
    """The network of a seed."""
    rng = np.random.default_rng([seed, 1])
    return FAMILIES[rng.integers(len(FAMILIES))](rng)
