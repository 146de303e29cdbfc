"""Arguments of the wrong kind: errors of mipnet that name them, never those of Python."""

from dataclasses import dataclass

import numpy as np
import pytest
from pruning_cases import mlp

from mipnet.errors import MaskError, MipnetError
from mipnet.pruning import (
    LayerMask,
    Mask,
    Parameters,
    Pruner,
    Tiles,
    apply,
    compact,
    finetune,
    mean_shifts,
    prunable_layers,
    prune,
    pruner,
    quality,
    register_pruner,
    tile_grids,
    train_mlp,
    units_of,
)
from mipnet.pruning.exchange import (
    from_history,
    from_removed,
    from_torch_masks,
    to_history,
    to_removed,
    to_torch_masks,
)
from mipnet.pruning.registry import PRUNERS

NET = mlp(3, 6, 4, 2)
MASK = Mask.from_kept(NET, {"affine0": [0, 1]})
X = np.random.default_rng(0).normal(size=(10, 3))
Y = np.arange(10) % 2
WRONG = ["x", 3, None, [1, 2], object()]

OF_NETWORKS = {
    "apply": lambda bad: apply(bad, MASK),
    "compact": lambda bad: compact(bad, MASK),
    "check": MASK.check,
    "from_kept": lambda bad: Mask.from_kept(bad, {}),
    "from_removed": lambda bad: from_removed(bad, {}),
    "from_history": lambda bad: from_history(bad, []),
    "from_torch": lambda bad: from_torch_masks(bad, {}),
    "to_history": lambda bad: to_history(bad, MASK),
    "to_torch": lambda bad: to_torch_masks(bad, MASK),
    "mean_shifts": lambda bad: mean_shifts(bad, MASK, X),
    "units_of": units_of,
    "prunable_layers": prunable_layers,
    "tile_grids": lambda bad: tile_grids(bad, 4),
    "finetune": lambda bad: finetune(bad, X, Y),
    "quality": lambda bad: quality(bad, X, Y),
}
OF_MASKS = {
    "apply": lambda bad: apply(NET, bad),
    "to_removed": to_removed,
    "to_history": lambda bad: to_history(NET, bad),
    "to_torch": lambda bad: to_torch_masks(NET, bad),
    "mean_shifts": lambda bad: mean_shifts(NET, bad, X),
}


@pytest.mark.parametrize("bad", WRONG, ids=lambda bad: type(bad).__name__)
@pytest.mark.parametrize("name", OF_NETWORKS)
def test_what_is_no_network_is_named(name, bad):
    with pytest.raises(MipnetError, match="network must be a Network, not"):
        OF_NETWORKS[name](bad)


@pytest.mark.parametrize("bad", WRONG, ids=lambda bad: type(bad).__name__)
@pytest.mark.parametrize("name", OF_MASKS)
def test_what_is_no_mask_is_named(name, bad):
    with pytest.raises(MaskError, match="mask must be a Mask, not"):
        OF_MASKS[name](bad)


def test_masks_are_loaded_for_networks_only(tmp_path):
    MASK.save(tmp_path / "m")
    for bad in ("x", 3, [1]):
        with pytest.raises(MaskError, match="network must be a Network"):
            Mask.load(tmp_path / "m", bad)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Mask.from_kept(NET, [1, 2]), "kept units, by layer, must be a Mapping"),
        (lambda: Mask.from_kept(NET, {"affine0": [[0], [1, 2]]}), "'affine0'.*one array of bool"),
        (lambda: Mask.from_kept(NET, {"affine0": ["a"]}), "'affine0'.*one array of bool"),
        (lambda: Mask.from_kept(NET, {"affine0": [0]}, scores=3), "scores, by layer,"),
        (
            lambda: Mask.from_kept(NET, {"affine0": [0]}, scores={"affine0": ["a"] * 6}),
            "'affine0': scores must be one array of numbers",
        ),
        (lambda: Mask.from_kept(NET, {"affine0": [0]}, bias=3), "bias, by layer,"),
        (lambda: Mask.from_kept(NET, {}, bias={"affine2": ["x"]}), "'affine2' must be one array"),
        (lambda: Mask.from_kept(NET, {}, tile="x"), "two sides"),
        (lambda: Mask({"a": 3}, MASK.provenance), "layer 'a' must be a LayerMask"),
        (lambda: Mask({}, 3), "provenance must be a Provenance"),
        (lambda: Mask(3, MASK.provenance), "layers must be a Mapping"),
        (lambda: LayerMask([0], 3, unit=3), "kind of unit must be a str"),
        (lambda: LayerMask([0], 3, shape=(3, -1)), "two whole numbers or more"),
        (lambda: LayerMask([0], 3, shape=(3,)), "two whole numbers or more"),
        (lambda: LayerMask([0], 3, shape=(4, 2)), "has 4 units of kind 'neuron', not 3"),
        (
            lambda: LayerMask([0], 3, unit="tile", tile=2, shape=(4, 4)),
            "has 4 units of kind 'tile', not 3",
        ),
        (lambda: mean_shifts(NET, MASK, "x"), "inputs must be numbers"),
        (lambda: mean_shifts(NET, MASK, X[:0]), "over no inputs"),
        (lambda: tile_grids(NET, None), "two sides"),
        (lambda: prune(NET, ["magnitude"]), "name of a method must be a str"),
        (lambda: prune(NET, "magnitude", budget=Parameters("x")), "number from 0 on"),
        (lambda: prune(NET, "magnitude", budget=Tiles(3, "x")), "two sides"),
        (lambda: train_mlp(X, Y, "x"), "widths of the hidden layers"),
        (lambda: train_mlp(X, Y, (5, 0)), "widths of the hidden layers"),
        (lambda: finetune(NET, X, Y, epochs=1.5), "whole numbers"),
        (lambda: finetune(NET, X, Y, seed="x"), "whole numbers"),
        (lambda: finetune(NET, X, Y, lr="x"), "lr must be a number"),
    ],
)
def test_arguments_are_named(make, match):
    with pytest.raises(MipnetError, match=match):
        make()


@pytest.mark.parametrize(
    ("removed", "match"),
    [
        ([1, 2], "must be a Mapping"),
        ({"affine0": [[0], [1, 2]]}, "'affine0': removed units must be one array"),
        ({"affine0": "ab"}, "'affine0': removed units must be one array"),
        ({"affine0": [1, 1]}, "none twice"),
        ({"affine0": [1.7]}, "whole numbers"),
        ({"affine0": [1.0]}, "whole numbers"),
        ({"affine0": [True] * 6}, "whole numbers"),
        ({"affine0": [6]}, "0 to 5"),
    ],
)
def test_removed_units_are_whole_numbers_each_once(removed, match):
    with pytest.raises(MaskError, match=match):
        from_removed(NET, removed)
    if not isinstance(removed, dict):
        return
    with pytest.raises(MaskError, match=r"step 0"):
        from_history(NET, [("affine0", True, removed["affine0"])])


def test_histories_are_steps():
    for bad, match in ((3, "history must be"), ([3], "step 0"), ([("affine0", 1, [0])], "step 0")):
        with pytest.raises(MaskError, match=match):
            from_history(NET, bad)
    for bad in ("x", 3, [1]):
        with pytest.raises(MaskError, match="names must be a Mapping"):
            from_removed(NET, {"affine0": [1]}, bad)
        with pytest.raises(MaskError, match="by name of the buffer, must be"):
            from_torch_masks(NET, bad)
    steps = [("affine0", True, np.array([1])), ("affine0", True, [1])]
    assert from_history(NET, steps).layers["affine0"].removed.tolist() == [1, 2]
    assert to_removed(from_removed(NET, {"affine0": []})) == {}


@pytest.mark.parametrize(
    ("scores", "match"),
    [
        (None, "scores, by layer, must be a Mapping, not None"),
        ([1, 2], "scores, by layer, must be a Mapping"),
        ({3: [1.0]}, r"scores cover layers \['3'\]"),
        ({"affine0": None, "affine1": np.ones(4)}, "'affine0': scores must be one array"),
        ({"affine0": ["a"] * 6, "affine1": np.ones(4)}, "'affine0': scores must be one array"),
        ({"affine0": [[1], [1, 2]], "affine1": np.ones(4)}, "'affine0': scores must be one array"),
        ({"affine0": 1j * np.ones(6), "affine1": np.ones(4)}, "not of complex128"),
    ],
)
def test_scores_of_any_kind_are_looked_at(scores, match):
    @register_pruner("odd")
    @dataclass(kw_only=True)
    class Odd(Pruner):
        source = "test"
        needs = frozenset()

        def scores(self, network, data, rng):
            return scores

    try:
        with pytest.raises(MaskError, match=match):
            prune(NET, "odd", 0.5)
    finally:
        del PRUNERS["odd"]


def typed_options():
    """Every option of every method, with a value of another kind."""
    for name, cls in sorted(PRUNERS.items()):
        for option, value in pruner(name).get_params().items():
            if option in ("tile", "layers", "random_state"):
                continue
            yield cls, option, 3 if isinstance(value, str) else "x"
            if isinstance(value, float | int):
                yield cls, option, [value]


@pytest.mark.parametrize(
    ("cls", "option", "bad"), list(typed_options()), ids=lambda v: getattr(v, "name", str(v))
)
def test_options_of_another_kind_are_named_before_anything_is_done(cls, option, bad):
    method = cls(**{option: bad})
    with pytest.raises(MaskError, match=f"{cls.name}: {option} must be .*, not "):
        method.fit(NET, X, 0.5, y=Y)
