"""Bounds, optima and verdicts of a small network around every kind of layer."""

from __future__ import annotations

import numpy as np
import pytest

from mipnet.bounds import METHODS, compute_bounds
from mipnet.bounds.crown import crown_lower
from mipnet.bounds.tighten import tighten_layer
from mipnet.clocks import Stopwatch
from mipnet.encode import encode
from mipnet.network import Affine, Flatten, Interval, Network, ReLU
from mipnet.network.layers import LAYERS as REGISTERED
from mipnet.region import Box
from mipnet.search.adversarial import find_adversarial
from mipnet.search.optimize import maximize, minimize
from tests import oracle
from tests.network.layers.tame_nets import LAYERS, around, grid

LOWER, UPPER = np.array([-1.0, -0.7]), np.array([0.8, 1.0])
REGION = Box(LOWER, UPPER)


def test_every_layer_has_a_network() -> None:
    assert sorted(LAYERS) == sorted(REGISTERED)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("seed", range(2))
def test_bounds_hold_and_tighten(kind: str, seed: int) -> None:
    network = around(kind, seed)
    points = grid(LOWER, UPPER, 41)
    widths = []
    for method in METHODS:
        bounds = compute_bounds(network, REGION, method)
        assert bounds.violation(points) is None
        widths.append(float((bounds.output.upper - bounds.output.lower).sum()))
    assert widths[1] <= widths[0] * (1.0 + 1e-9)
    assert widths[2] <= widths[1] * (1.0 + 1e-9)
    # Boxes in a batch are bounded as they are alone.
    ends = np.array([[LOWER, UPPER], [LOWER, [0.0, 0.1]], [[-0.1, 0.0], [0.1, 0.05]]])
    boxes = Interval(ends[:, 0], ends[:, 1])
    many = crown_lower(network, REGION, boxes)
    for b, (low, high) in enumerate(ends):
        one = crown_lower(network, REGION, Interval(low[None], high[None]))
        assert many.lower[b] == pytest.approx(one.lower[0], rel=1e-9, abs=1e-9)
        assert many.unstable[b] == one.unstable[0]
        values = network(grid(low, high, 21))
        assert (many.lower[b] <= values.min(axis=0) + 1e-12).all()


@pytest.mark.parametrize("kind", LAYERS)
def test_linear_programs_tighten_behind_every_layer(kind: str) -> None:
    network = around(kind, 6)
    loose = compute_bounds(network, REGION, "interval")
    tight, points = dict(loose.intervals), grid(LOWER, UPPER, 41)
    for name in [n for n in ("mix", "narrow") if n in network.by_name]:
        tight[name] = tighten_layer(network, REGION, tight, name, Stopwatch(None))
    values = network.trace(points)["narrow"]
    found, before = tight["narrow"], loose["narrow"]
    assert (found.lower <= values.min(axis=0) + 1e-12).all()
    assert (found.upper >= values.max(axis=0) - 1e-12).all()
    widths = [(b.upper - b.lower).sum() for b in (found, before)]
    assert widths[0] <= widths[1]
    # What is stable already is left alone.
    assert widths[0] < widths[1] or not ReLU().unstable(before).any()


@pytest.mark.parametrize("kind", LAYERS)
def test_optima_are_those_of_the_grid(kind: str) -> None:
    network = around(kind, 3)
    weights = np.array([1.0, -0.7])
    values = network(grid(LOWER, UPPER)) @ weights
    for find, sign, best in ((minimize, 1.0, values.min()), (maximize, -1.0, values.max())):
        found = find(network, weights, REGION, bounds="alpha", restarts=8)
        assert sign * found.bound <= sign * best + 1e-9
        assert float(network(found.point) @ weights) == pytest.approx(found.value, abs=1e-12)
        if network.by_name["layer"].layer.band == 0.0:
            assert found.status == "optimal", found.message
            assert sign * found.value <= sign * best + 1e-6
            assert found.gap <= 1e-5
        else:
            assert found.status in {"optimal", "band"}, found.message
            assert found.gap <= 0.2
            assert ("'layer' (0.0" in found.message) == (found.status == "band")


@pytest.mark.parametrize("kind", LAYERS)
def test_the_program_alone_finds_the_optimum(kind: str) -> None:
    """No start point, no bisection: the rows are what decides."""
    from mipnet.solver import Status, solve

    network = around(kind, 4, outputs=1)
    bounds = compute_bounds(network, REGION, "crown")
    encoding = encode(network, REGION, bounds.intervals)
    answer = solve(encoding.arrays(np.ones(1)))
    values = network(grid(LOWER, UPPER))
    assert answer.status is Status.OPTIMAL
    assert answer.values is not None
    replayed = float(network(answer.values[encoding.inputs])[0])
    # Two bands, through weights of a moderate size.
    assert replayed == pytest.approx(answer.bound, abs=20.0 * encoding.band + 1e-6)
    assert answer.bound <= values.min() + 1e-6
    assert encoding.band == network.by_name["layer"].layer.band
    assert encoding.n_binaries == encoding.arrays(np.ones(1)).n_binaries > 0
    for x in grid(LOWER, UPPER, 9):
        full = encoding.complete(x)
        assert encoding.arrays().violation(full) <= 1e-9
        assert encoding.output.evaluate(full) == pytest.approx(network(x), abs=1e-9)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("radius", [0.05, 0.6])
def test_verdicts_are_those_of_the_grid(kind: str, radius: float) -> None:
    network = around(kind, 5)
    x = np.array([0.1, 0.2])
    label = int(np.argmax(network(x)))
    found = find_adversarial(network, x, radius=radius, time_limit=20.0, restarts=4)
    around_x = network(grid(x - radius, x + radius))
    changes = bool((np.argmax(around_x, axis=1) != label).any())
    # A band may leave a margin near zero open.
    known = {"robust", "witness"} if network.by_name["layer"].layer.band == 0.0 else None
    assert known is None or found.status in known
    assert found.status != "robust" or not changes
    if found.status == "witness":
        assert found.point is not None
        assert int(np.argmax(network(found.point))) != label


@pytest.mark.parametrize(
    "kind", [k for k in LAYERS if not around(k, 0).by_name["layer"].layer.nonlinear]
)
@pytest.mark.parametrize("seed", range(3))
def test_optima_are_those_of_the_enumeration(kind: str, seed: int) -> None:
    """Layers without a kink merge into the affine ones around them: a chain, enumerated."""
    network = around(kind, seed, outputs=1)
    x = np.zeros((1, 2))
    names = [n.name for n in network.nodes]
    start = names.index("on")
    # What lies between the two ReLU layers is affine: read it off unit vectors.
    size = int(np.prod(network.shapes["on"]))
    inner = network.nodes[start + 1 : names.index("narrow") + 1]

    def between(values: np.ndarray) -> np.ndarray:
        known = {"on": values, "wide": values}
        for node in inner:
            known[node.name] = node.layer.forward(*(known[i] for i in node.inputs))
        return known["narrow"]

    reads_wide = any("wide" in n.inputs for n in inner)
    offset = between(np.zeros((1, size)))[0]
    matrix = (between(np.eye(size)) - offset).T
    wide, out = (network.by_name[n].layer for n in ("wide", "out"))
    if reads_wide:
        weights, biases = (
            [matrix @ wide.weight, out.weight],
            [matrix @ wide.bias + offset, out.bias],
        )
    else:
        weights = [wide.weight, matrix, out.weight]
        biases = [wide.bias, offset, out.bias]
    assert oracle.forward(weights, biases, x[0]) == pytest.approx(network(x)[0], abs=1e-12)
    # A box in which few of the neurons change their phase: every combination is one LP.
    lower, upper = np.array([-0.1, 0.15]), np.array([0.1, 0.3])
    truth = oracle.minimum(weights, biases, (lower, upper), np.ones(1))
    found = minimize(network, np.ones(1), Box(lower, upper), restarts=4)
    assert found.status == "optimal"
    assert found.value == pytest.approx(truth.value, abs=1e-6)


def test_layers_that_no_mask_knows_are_refused() -> None:
    """Pruning names the layer in the way instead of shrinking around it."""
    from mipnet.errors import MaskError
    from mipnet.pruning.mask import Mask
    from mipnet.pruning.units import prunable_layers

    network = around("Softmax", 0)
    assert "wide" not in prunable_layers(network)
    with pytest.raises(MaskError, match="'wide'"):
        Mask.from_kept(network, {"wide": [0]})


def test_a_network_of_new_layers_compacts_to_itself() -> None:
    from mipnet.pruning.compact import compact

    for kind in LAYERS:
        network = around(kind, 1)
        small = compact(network)
        x = grid(LOWER, UPPER, 5)
        assert small(x) == pytest.approx(network(x), abs=1e-12)


def test_networks_of_images_take_flat_points() -> None:
    from mipnet.network.layers import Conv, GlobalAvgPool, MaxPool

    rng = np.random.default_rng(0)
    layers = [Conv(rng.normal(size=(2, 1, 2, 2)), np.zeros(2)), MaxPool((2, 2)), GlobalAvgPool()]
    layers += [Flatten(), Affine(rng.normal(size=(2, 2)), np.zeros(2))]
    network = Network.sequential(layers, (1, 3, 3))
    found = find_adversarial(network, np.full(9, 0.5), radius=0.05, lower=0.0, upper=1.0)
    assert found.status in {"robust", "witness"}
