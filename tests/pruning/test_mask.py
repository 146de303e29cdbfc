import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pruning_cases import masked_networks, mlp
from safetensors import safe_open
from safetensors.numpy import save_file

from mipnet.errors import MaskError
from mipnet.pruning import LayerMask, Mask, Provenance, prune

NET = mlp(3, 5, 4, 2)


def rewritten(path, *, header=None, arrays=None, drop=(), checksum=None):
    """Change a mask file: header entries, arrays to set, arrays to drop."""
    with safe_open(path, framework="numpy") as file:
        meta = file.metadata()
        held = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    held = {k: v for k, v in (held | (arrays or {})).items() if k not in drop}
    # As version 2 wrote it, without a checksum, so that what is inside is looked at.
    entries = json.loads(meta["mipnet.mask"]) | {"version": 2} | (header or {})
    entries.pop("checksum", None) if checksum is None else entries.update(checksum=checksum)
    meta = {"mipnet.mask": json.dumps(entries)}
    save_file(held, path, meta)
    return path


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mask.safetensors"
    Mask.from_kept(NET, {"affine0": [4, 1]}, compensation={"affine0": [1, 2, 3]}).save(path)
    return path


def test_booleans_and_indices_say_the_same():
    flags = LayerMask(np.array([True, False, True]), 3)
    indices = LayerMask([2, 0], 3)
    assert flags.kept.tolist() == indices.kept.tolist() == [0, 2]
    assert indices.kept.dtype == np.int64
    assert indices.removed.tolist() == [1]
    assert indices.keep.tolist() == [True, False, True]
    assert LayerMask([], 3).removed.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="read-only"):
        indices.kept[0] = 1


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"kept": [3]}, "index 3 is outside 0..2"),
        ({"kept": [-1]}, "index -1"),
        ({"kept": [1, 1]}, "repeat"),
        ({"kept": [0.5]}, "bool or int"),
        ({"kept": [[0]]}, "one array"),
        ({"kept": [True, False]}, r"shape \(3,\)"),
        ({"kept": [0], "compensation": [1.0]}, "compensation must be 2"),
        ({"kept": [0], "compensation": [1.0, np.inf]}, "neuron 2 is not finite"),
        ({"kept": [0], "scores": [1.0, np.nan, 0.0]}, "NaN at 1"),
        ({"kept": [], "width": -1}, "width"),
    ],
)
def test_a_broken_layer_is_refused(fields, match):
    with pytest.raises(MaskError, match=match):
        LayerMask(**{"width": 3} | fields)


@pytest.mark.parametrize(
    ("kept", "match"),
    [
        ({"affine9": [0]}, r"'affine9' does not exist; prunable: \['affine0', 'affine1'\]"),
        ({"affine2": [0]}, "is the output layer"),
        ({"relu0": [0]}, "holds no units"),
        ({"affine0": [5]}, "layer 'affine0'.*index 5"),
    ],
)
def test_from_kept_names_the_layer_at_fault(kept, match):
    with pytest.raises(MaskError, match=match):
        Mask.from_kept(NET, kept)
    with pytest.raises(MaskError, match="without kept units"):
        Mask.from_kept(NET, {}, scores={"affine0": np.ones(5)})


def test_kept_share_counts_listed_layers():
    assert Mask.from_kept(NET, {"affine0": [0], "affine1": [0, 1, 2]}).kept_share == 4 / 9
    assert Mask.from_kept(NET, {}).kept_share == 1.0


def test_check_lists_everything_that_differs():
    layers = {
        "nope": LayerMask([0], 2),
        "affine0": LayerMask([0], 7),
        "affine1": LayerMask([0], 4, unit="head"),
        "affine2": LayerMask([0], 2),
    }
    mask = Mask(layers, Provenance("0" * 64))
    with pytest.raises(MaskError) as caught:
        mask.check(NET)
    text = str(caught.value)
    for part in (
        "no layer 'nope'",
        "5 units, the mask has 7",
        "'head'",
        "output layer",
        "made for",
    ):
        assert part in text
    with pytest.raises(MaskError) as caught:
        mask.check(NET, same_weights=False)
    assert "made for" not in str(caught.value)


@settings(deadline=None, max_examples=40)
@given(masked_networks())
def test_saving_and_loading_gives_the_same_mask(tmp_path_factory, case):
    network, mask = case
    path = tmp_path_factory.mktemp("mask") / "m"
    mask.save(path)
    again = Mask.load(path)
    again.check(network)
    assert again.provenance == mask.provenance
    assert list(again.layers) == list(mask.layers)
    for name, layer in mask.layers.items():
        twin = again.layers[name]
        assert (twin.width, twin.unit) == (layer.width, layer.unit)
        np.testing.assert_array_equal(twin.kept, layer.kept)
        assert (twin.compensation is None) == (layer.compensation is None)
        if layer.compensation is not None:
            np.testing.assert_array_equal(twin.compensation, layer.compensation)


def test_a_pruners_mask_keeps_its_provenance(tmp_path):
    mask = prune(NET, "magnitude", 0.5, data=np.ones((2, 3)), random_state=7, norm="l2").mask
    mask.save(tmp_path / "m")
    again = Mask.load(tmp_path / "m")
    assert again.provenance == mask.provenance
    found = again.provenance
    assert (found.method, found.seed, found.fingerprint) == ("magnitude", 7, NET.fingerprint)
    assert found.options["norm"] == "l2"
    assert found.options["keep"] == 0.5
    assert set(found.versions) == {"mipnet", "numpy", "python"}
    for name, layer in mask.layers.items():
        np.testing.assert_array_equal(again.layers[name].scores, layer.scores)


def test_damaged_files_are_refused(file):
    good = file.read_bytes()
    file.write_bytes(good[:-3])
    with pytest.raises(MaskError, match="damaged"):
        Mask.load(file)
    file.write_bytes(b"no mask at all")
    with pytest.raises(MaskError, match=r"cannot read mask .*mask\.safetensors"):
        Mask.load(file)
    save_file({"weight": np.ones(2)}, file)
    with pytest.raises(MaskError, match="no mask file"):
        Mask.load(file)
    with pytest.raises(FileNotFoundError):
        Mask.load(file.with_name("absent"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"header": {"version": 99}}, "format version 99; this release reads 1, 2, 3"),
        ({"header": {"layers": {"affine0": {"width": 3, "unit": "neuron"}}}}, "index 4"),
        ({"header": {"layers": {"affine0": {"width": "5", "unit": "neuron"}}}}, "width"),
        ({"header": {"layers": [1]}}, "damaged"),
        ({"header": {"layers": {"affine0": {"width": 10**12, "unit": "neuron"}}}}, "width must be"),
        (
            {
                "header": {"layers": {"affine0": {"width": 9, "unit": "neuron", "shape": [5, 3]}}},
                "drop": ["compensation/affine0"],
            },
            r"a weight of shape \(5, 3\) has 5 units of kind 'neuron', not 9",
        ),
        (
            {"header": {"layers": {"affine0": {"width": 5, "unit": "neuron", "shape": "wide"}}}},
            "the shape of a weight",
        ),
        ({"header": {"version": 3}}, "checksum"),
        ({"checksum": "0" * 64}, "checksum does not match"),
        ({"header": {"provenance": {}}}, "damaged"),
        ({"header": {"provenance": {"fingerprint": 3}}}, "fingerprint"),
        ({"header": {"provenance": {"fingerprint": "a", "extra": 3}}}, "damaged"),
        ({"drop": ["kept/affine0"]}, "'kept/affine0' is missing"),
        ({"arrays": {"kept/affine1": np.array([0])}}, r"no layer .* \['kept/affine1'\]"),
        ({"arrays": {"kept/affine0": np.array([4.0, 1.0])}}, "float64"),
        ({"arrays": {"kept/affine0": np.array([1, -4])}}, "index -4"),
        ({"arrays": {"compensation/affine0": np.array([1.0, np.nan, 2.0])}}, "NaN"),
    ],
)
def test_tampered_files_are_refused(file, change, match):
    Mask.load(file)
    with pytest.raises(MaskError, match=match):
        Mask.load(rewritten(file, **change))


def test_files_of_earlier_versions_are_read(file):
    wanted = Mask.load(file)
    for version in (2, 1):
        found = Mask.load(rewritten(file, header={"version": version}))
        np.testing.assert_array_equal(found.layers["affine0"].kept, wanted.layers["affine0"].kept)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_no_changed_byte_goes_unnoticed(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("mask") / "m"
    kept = data.draw(st.sets(st.integers(0, 4), min_size=1))
    mask = Mask.from_kept(NET, {"affine0": sorted(kept)}, scores={"affine0": np.arange(5.0)})
    mask.save(path)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        again = Mask.load(path)
    except MaskError:
        return
    # Spaces that pad the header of safetensors mean nothing.
    again.check(NET)
    assert again.provenance == mask.provenance
    assert again.layers["affine0"].kept.tolist() == sorted(kept)
    np.testing.assert_array_equal(again.layers["affine0"].scores, np.arange(5.0))


def test_a_shifted_index_is_noticed(tmp_path):
    Mask.from_kept(NET, {"affine0": [0, 2, 4]}).save(tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    good, bad = (np.array(kept, "<i8").tobytes() for kept in ([0, 2, 4], [0, 1, 4]))
    assert content.count(good) == 1
    (tmp_path / "m").write_bytes(content.replace(good, bad))
    with pytest.raises(MaskError, match="checksum does not match"):
        Mask.load(tmp_path / "m")


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(MaskError, match="it is a folder"):
        Mask.load(tmp_path)
    for path in (3, None, [1]):
        with pytest.raises(MaskError, match="path of a mask"):
            Mask.load(path)


def test_no_memory_is_spent_on_a_claimed_width():
    layer = LayerMask([0], 2**31 - 1)
    assert Mask({"affine0": layer}, Provenance("0" * 64)).kept_share < 1e-8
    with pytest.raises(MaskError, match="5 units, the mask has 2147483647"):
        Mask({"affine0": layer}, Provenance("0" * 64)).check(NET)


def test_options_must_be_plain_data():
    options = {"a": np.float64(0.5), "b": (1, 2), "c": np.arange(2)}
    assert Provenance("f", options=options).options == {"a": 0.5, "b": [1, 2], "c": [0, 1]}
    for bad in (object(), float("nan")):
        with pytest.raises(MaskError, match="plain JSON"):
            Provenance("f", options={"a": bad})
