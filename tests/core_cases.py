"""Random tiny networks with regions and objectives, one family for each way they can be odd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mipnet.network import Affine, Network, ReLU
from mipnet.region import Box, L1Ball, Region

Array = np.ndarray


@dataclass(frozen=True)
class Case:
    """A network as plain arrays, a box, an objective and, for some, an l1 ball."""

    weights: list[Array]
    biases: list[Array]
    lower: Array
    upper: Array
    objective: Array
    centre: Array | None = None
    radius: float = 0.0

    @property
    def box(self) -> tuple[Array, Array]:
        return self.lower, self.upper

    @property
    def ball(self) -> tuple[Array, float] | None:
        return None if self.centre is None else (self.centre, self.radius)

    @property
    def network(self) -> Network:
        return chain(self.weights, self.biases)

    @property
    def region(self) -> Region:
        if self.centre is None:
            return Box(self.lower, self.upper)
        return L1Ball(self.centre, self.radius, self.lower, self.upper)


def chain(weights: Sequence[Array], biases: Sequence[Array]) -> Network:
    """Affine layers with ReLUs between them."""
    layers: list[Affine | ReLU] = []
    for weight, bias in zip(weights, biases, strict=True):
        layers += [Affine(weight, bias), ReLU()]
    return Network.sequential(layers[:-1])


def dense(rng: np.random.Generator, widths: Sequence[int] = ()) -> Case:
    """One hidden layer of 3 to 6, or two of 2 to 4, dense normal weights, a random box."""
    if not widths:
        hidden = [(4,), (6,), (3, 3), (4, 2), (2, 4)][rng.integers(5)]
        widths = (int(rng.integers(1, 4)), *hidden, int(rng.integers(1, 4)))
    weights = [rng.normal(size=(m, n)) for n, m in pairwise(widths)]
    biases = [0.5 * rng.normal(size=m) for m in widths[1:]]
    centre, half = rng.normal(size=widths[0]), rng.uniform(0.1, 2.0, size=widths[0])
    objective = rng.normal(size=widths[-1])
    return Case(weights, biases, centre - half, centre + half, objective)


def _changed(case: Case, **changes: object) -> Case:
    return Case(**{**case.__dict__, **changes})  # type: ignore[arg-type]


def sparse(rng: np.random.Generator) -> Case:
    """Sixty per cent of the weights are exactly zero."""
    case = dense(rng)
    return _changed(case, weights=[w * (rng.random(w.shape) > 0.6) for w in case.weights])


def dead(rng: np.random.Generator) -> Case:
    """Half of the hidden neurons never fire."""
    return _shifted(rng, -100.0)


def active(rng: np.random.Generator) -> Case:
    """Half of the hidden neurons always fire."""
    return _shifted(rng, 100.0)


def _shifted(rng: np.random.Generator, shift: float) -> Case:
    case = dense(rng)
    biases = [b + shift * (rng.random(b.shape) > 0.5) for b in case.biases[:-1]]
    return _changed(case, biases=[*biases, case.biases[-1]])


def all_dead(rng: np.random.Generator) -> Case:
    """A whole layer is inactive, so the output is constant."""
    case = dense(rng)
    return _changed(case, biases=[case.biases[0] - 100.0, *case.biases[1:]])


def zero_rows(rng: np.random.Generator) -> Case:
    """Some neurons have no weights at all, some of them no bias either."""
    case = dense(rng)
    weights = [w * (rng.random(len(w)) > 0.4)[:, None] for w in case.weights]
    biases = [b * (rng.random(b.shape) > 0.4) for b in case.biases]
    return _changed(case, weights=weights, biases=biases)


def duplicated(rng: np.random.Generator) -> Case:
    """Every hidden neuron of the first layer occurs twice, once with the sign reversed."""
    case = dense(rng, (2, 1, 2, 1) if rng.random() < 0.5 else (2, 2, 1))
    first = np.vstack([case.weights[0], case.weights[0], -case.weights[0]])
    bias = np.concatenate([case.biases[0], case.biases[0], -case.biases[0]])
    second = np.hstack([case.weights[1], case.weights[1], rng.normal(size=case.weights[1].shape)])
    return _changed(
        case,
        weights=[first, second, *case.weights[2:]],
        biases=[bias, *case.biases[1:]],
    )


def point_box(rng: np.random.Generator) -> Case:
    """The box is a single point."""
    case = dense(rng)
    return _changed(case, upper=case.lower)


def flat_box(rng: np.random.Generator) -> Case:
    """Some sides of the box have width zero."""
    case = dense(rng)
    flat = rng.random(case.lower.shape) > 0.5
    return _changed(case, upper=np.where(flat, case.lower, case.upper))


def one_neuron(rng: np.random.Generator) -> Case:
    """Layers of one neuron, one to three hidden ones."""
    return dense(rng, (int(rng.integers(1, 4)), *[1] * int(rng.integers(1, 4)), 1))


def deep(rng: np.random.Generator) -> Case:
    """Three hidden layers."""
    return dense(rng, (2, 3, 2, 3, 1))


def far(rng: np.random.Generator) -> Case:
    """A small box far from the origin, with the network centred on it."""
    case = dense(rng, (2, 4, 2))
    away = rng.choice([-1.0, 1.0], size=2) * 10.0 ** rng.uniform(2, 5, size=2)
    first = case.biases[0] - case.weights[0] @ away
    return _changed(
        case, biases=[first, *case.biases[1:]], lower=case.lower + away, upper=case.upper + away
    )


def scaled(rng: np.random.Generator) -> Case:
    """Layers of very different size, product moderate."""
    case = dense(rng, (2, 4, 1))
    size = 10.0 ** rng.uniform(-3, 3)
    return _changed(
        case,
        weights=[case.weights[0] * size, case.weights[1] / size],
        biases=[case.biases[0] * size, case.biases[1]],
    )


def l1_inside(rng: np.random.Generator) -> Case:
    """An l1 ball around the middle of the box, smaller than the box."""
    return _ball(rng, 0.5, rng.uniform(0.1, 0.9))


def l1_face(rng: np.random.Generator) -> Case:
    """An l1 ball whose centre lies on faces of the box."""
    return _ball(rng, rng.choice([0.0, 0.3, 1.0]), rng.uniform(0.1, 1.5))


def l1_point(rng: np.random.Generator) -> Case:
    """An l1 ball of radius zero."""
    return _ball(rng, rng.uniform(), 0.0)


def l1_large(rng: np.random.Generator) -> Case:
    """An l1 ball that holds the whole box."""
    return _ball(rng, rng.uniform(), 20.0)


def _ball(rng: np.random.Generator, where: float, share: float) -> Case:
    case = dense(rng)
    width = case.upper - case.lower
    share_of = np.where(rng.random(width.shape) > 0.5, where, 1.0 - where)
    centre = np.clip(case.lower + share_of * width, case.lower, case.upper)
    centre = np.where(share_of >= 1.0, case.upper, centre)
    return _changed(case, centre=centre, radius=float(share * width.mean()))


FAMILIES: dict[str, Callable[[np.random.Generator], Case]] = {
    f.__name__: f
    for f in (
        dense,
        sparse,
        dead,
        active,
        all_dead,
        zero_rows,
        duplicated,
        point_box,
        flat_box,
        one_neuron,
        deep,
        far,
        scaled,
        l1_inside,
        l1_face,
        l1_point,
        l1_large,
    )
}


def make(family: str, seed: int) -> Case:
    """The case of a family with that seed."""
    rng = np.random.default_rng([seed, *family.encode()])
    return FAMILIES[family](rng)


def wild(rng: np.random.Generator, *shape: int, spread: tuple[float, float]) -> Array:
    """Values of wildly different size: sign times ten to a uniform power, some exactly zero."""
    values = 10.0 ** rng.uniform(*spread, size=shape) * rng.choice([-1.0, 1.0], size=shape)
    return values * (rng.random(shape) > 0.2)
